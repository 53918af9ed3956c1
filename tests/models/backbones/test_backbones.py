import pytest
import torch

from lensmith.base.errors import ModelError
from lensmith.models.adapters.torchvision_classifiers import TORCHVISION
from lensmith.models.adapters.torchvision_detectors import WHOLE
from lensmith.models.adapters.torchvision_instances import WHOLE_INSTANCES
from lensmith.models.adapters.torchvision_segmenters import SEGMENTERS
from lensmith.models.backbone import least_size, reduced
from lensmith.models.backbones import BACKBONES, find_backbone

OWN = {"lenet", "lenet3x3", "conv10_20", "simple", "simple2", "cnn3", "stack", "csp", "darknet53", "darknet",
       "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"}


def test_the_table_holds_the_own_networks_and_torchvisions():
    assert set(BACKBONES) == OWN | set(TORCHVISION) | set(WHOLE) | set(WHOLE_INSTANCES) | set(SEGMENTERS)


def test_a_name_of_the_table_is_found_without_trust():
    assert find_backbone("lenet", trusted=False) is BACKBONES["lenet"]


@pytest.mark.parametrize(("name", "hint"), [
    ("lennet", " Did you mean 'lenet'?"), ("resnet-18", " Did you mean 'resnet1"), ("zzzz", " `lensmith list"),
])
def test_an_unknown_name_gets_the_nearest_and_what_else_is_accepted(name, hint):
    with pytest.raises(ModelError) as caught:
        find_backbone(name, trusted=False)
    text = str(caught.value)
    assert text.startswith(f"unknown backbone {name!r}.{hint}")
    assert text.endswith("`lensmith list backbones` shows all; timm:NAME, smp:ARCHITECTURE/ENCODER, FILE.py:CLASS and "
                         "PACKAGE.MODULE:CLASS are accepted too.")


def test_reduced_and_least_size_agree():
    steps = [("conv1", 5, 1, 0), ("pool1", 2, 2, 0), ("conv2", 3, 2, 1), ("pool2", 3, 3, 0)]
    least = least_size(steps)
    assert min(reduced((least, least + 3), steps, what="it")) == 1
    with pytest.raises(ModelError) as caught:
        reduced((least, least - 1), steps, what="it")
    assert str(caught.value).startswith(f"it cannot take pictures of {least} x {least - 1} pixels: ")
    assert str(caught.value).endswith(f"-> nothing. Take larger pictures with pictures.size={least} or more.")


def test_a_whole_detector_takes_pictures_without_their_ground():
    """Those of a wide picture are lower than the least edge that its last maps need."""
    backbone = WHOLE["ssd300_vgg16"](inputs=3, size=(272, 272))    # the least that it takes
    wide = torch.rand(2, 3, 64, 272)
    assert torch.equal(backbone(wide)[0], torch.cat((wide, torch.zeros(2, 3, 208, 272)), 2))
    assert backbone(torch.rand(2, 3, 320, 272))[0].shape == (2, 3, 320, 272)
    head = backbone.detector(2, threshold=0.01, overlap=0.5, most=5).eval()
    with torch.inference_mode():
        assert len(head(backbone(wide)).image) <= 10
