import sys

import pytest
import torch

from lensmith.base.errors import ModelError
from lensmith.models.adapters.timm_backbones import timm_network
from lensmith.models.backbones import find_backbone

timm = pytest.importorskip("timm")

SMALL = ("test_resnet", "lcnet_050", "mobilenetv3_small_050", "convnext_atto", "densenet121")
MANY = ("resnet18", "efficientnet_b0", "regnety_002", "inception_v4", "vgg11", "ghostnet_050", "hgnet_tiny",
        "hrnet_w18_small", "edgenext_xx_small", "dla34", "cspdarknet53", "xception41", "nf_resnet26", "mixnet_s",
        "inception_next_atto", "repvit_m1", "fastvit_t8", "rexnet_100", "selecsls42", "starnet_s1", "vovnet39a",
        "tf_efficientnetv2_b0", "dpn48b", "poolformer_s12")


def check_against_timm(name, size):
    torch.manual_seed(0)
    own = timm.create_model(name, pretrained=False, num_classes=7).eval()
    backbone = find_backbone(f"timm:{name}", trusted=False)(inputs=3, size=size).eval()
    head = backbone.classifier(7).eval()
    state = dict(own.state_dict())
    backbone.load_state_dict({key: state.pop(key.removeprefix("network.")) for key in backbone.state_dict()})
    head.load_state_dict({key: state.pop(key.removeprefix("network.")) for key in head.state_dict()})
    assert not state
    pictures = torch.randn(2, 3, *size)
    with torch.no_grad():
        expected, maps = own(pictures), backbone(pictures)
        found = head(maps)
    scale = expected.abs().max()
    assert scale > 0
    torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-5)
    assert tuple(map_.shape[1] for map_ in maps) == backbone.channels
    assert list(backbone.strides) == sorted(set(backbone.strides))


@pytest.mark.parametrize("name", SMALL)
def test_the_same_weights_give_the_same_scores_as_in_timm_and_no_weight_is_there_twice(name):
    check_against_timm(name, (64, 96))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")    # of timm's own making
@pytest.mark.parametrize("name", MANY)
def test_many_networks_give_the_same_scores_as_in_timm(name):
    check_against_timm(name, (160, 160))


def test_gray_pictures_are_taken_and_gradients_reach_every_weight():
    backbone = timm_network("test_resnet", inputs=1, size=(48, 48))
    head = backbone.classifier(3)
    maps = backbone(torch.randn(4, 1, 48, 48))
    assert [map_.shape[2] for map_ in maps] == [48 // stride for stride in (2, 4, 8, 16)] + [2]
    head(maps).square().sum().backward()
    assert all(p.grad is not None for p in (*backbone.parameters(), *head.parameters()))


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(ModelError) as caught:
        find_backbone("timm:resnet118", trusted=False)
    assert str(caught.value).startswith("timm has no network 'resnet118'. Did you mean 'resnet")


@pytest.mark.parametrize("name", ["hf-hub:someone/network", "hf_hub:someone/network", "local-dir:folder"])
def test_a_name_that_timm_would_download_or_read_is_refused(name):
    with pytest.raises(ModelError, match="timm has no network"):
        find_backbone(f"timm:{name}", trusted=True)


@pytest.mark.parametrize("name", ["test_vit", "swin_tiny_patch4_window7_224"])
def test_a_transformer_is_refused(name):
    with pytest.raises(ModelError) as caught:
        timm_network(name, inputs=3, size=(224, 224))
    assert str(caught.value).startswith(f"timm:{name} is not a convolutional network that gives maps for pictures of")


def test_a_picture_too_small_is_refused_with_the_size_that_works():
    with pytest.raises(ModelError) as caught:
        timm_network("convnext_atto", inputs=3, size=(20, 20))
    text = str(caught.value)
    assert text.startswith("timm:convnext_atto cannot take pictures of 20 x 20 pixels")
    least = int(text.split("pictures.size=")[1].split()[0])
    timm_network("convnext_atto", inputs=3, size=(least, least))
    with pytest.raises(ModelError):
        timm_network("convnext_atto", inputs=3, size=(least - 1, least - 1))


def test_without_timm_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModelError) as caught:
        find_backbone("timm:resnet18", trusted=False)
    assert str(caught.value) == 'networks of timm need the package timm: pip install "lensmith[timm]"'
