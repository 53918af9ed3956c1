"""Mask R-CNN under the common task, against torchvision's own way of calling it."""

import pytest
import torch
from torchvision.models import get_model
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from lensmith.base.errors import ModelError
from lensmith.models.backbones import BACKBONES
from lensmith.values.instance_masks import Masks, pack_bits

NAME = "maskrcnn_resnet50_fpn"


@pytest.fixture(scope="module")
def head() -> torch.nn.Module:
    torch.manual_seed(0)
    return BACKBONES[NAME](inputs=3, size=(64, 96)).instance_detector(3, threshold=0.0, overlap=0.5, most=7)


def truth() -> Masks:
    pixels = torch.zeros(3, 64, 96, dtype=torch.bool)
    pixels[0, 10:40, 8:30] = pixels[1, 20:60, 50:90] = pixels[2, :, :40] = True
    return Masks(torch.tensor([[8.0, 10, 30, 40], [50, 20, 90, 60], [0, 0, 40, 64]]), torch.tensor([0, 2, 1]),
                 image=torch.tensor([0, 0, 1]), crowd=torch.tensor([False, False, True]), bits=pack_bits(pixels))


def alone(head: torch.nn.Module) -> torch.nn.Module:
    """The same network as torchvision calls it, on pictures that need no change."""
    model = get_model(NAME, weights=None, weights_backbone=None, num_classes=4)
    model.load_state_dict(head.model.state_dict())
    model.transform = GeneralizedRCNNTransform(64, 96, [0.0] * 3, [1.0] * 3)
    model.roi_heads.score_thresh, model.roi_heads.detections_per_img = 0.0, 7
    return model


def test_its_objects_are_torchvisions_own(head):
    pictures = torch.randn(2, 3, 64, 96)
    head.eval()
    with torch.no_grad():
        found = head([pictures])
        wanted = alone(head).eval()(list(pictures))
    assert len(wanted[0]["boxes"]) == 7 and found.bits.shape == (14, 64, 12)
    for number, one in enumerate(wanted):
        own = found[number]
        assert torch.allclose(own.corners, one["boxes"], atol=1e-3) and torch.equal(own.classes + 1, one["labels"])
        assert (own.pixels() == (one["masks"][:, 0] > 0.5)).float().mean() > 0.9999
        assert torch.allclose(own.margins, one["masks"][:, 0] - 0.5, atol=1e-4)


def test_its_losses_are_torchvisions_own_and_crowds_are_not_learned(head):
    pictures = torch.randn(2, 3, 64, 96)
    head.train()
    torch.manual_seed(1)
    parts = head.loss([pictures], {"masks": truth()})
    rows = [{"boxes": truth().corners[:2], "labels": torch.tensor([1, 3]), "masks": truth().pixels()[:2].byte()},
            {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long(), "masks": torch.zeros(0, 64, 96).byte()}]
    plain = alone(head).train()    # which draws its first weights
    plain.transform.torch_choice = lambda sizes: sizes[0]    # and a size, of one, for each picture
    torch.manual_seed(1)
    wanted = plain(list(pictures), rows)
    assert set(parts) == {"classifier", "box_reg", "mask", "objectness", "rpn_box_reg"}
    for name, part in parts.items():
        assert part.item() == pytest.approx(wanted[f"loss_{name}"].item(), rel=1e-3, abs=1e-5), name
    assert len(head([pictures]).bits) == 0    # while it learns there are no objects to be had


def test_pictures_that_it_cannot_take_are_refused():
    with pytest.raises(ModelError, match="takes pictures of 3 channels; these have 1"):
        BACKBONES[NAME](inputs=1, size=(64, 64))
    with pytest.raises(ModelError, match=r"cannot take pictures of 20 x 64 pixels: take larger .* pictures.size=32"):
        BACKBONES[NAME](inputs=3, size=(20, 64))
    with pytest.raises(ModelError, match="looks for objects and has no scores for whole pictures: train it with "
                                         "task.name=instances"):
        BACKBONES[NAME](inputs=3, size=(64, 64)).classifier(3)
