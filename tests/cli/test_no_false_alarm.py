"""Nothing that is known to work is called wrong: the table of networks, and networks as other packages have them."""

import warnings

import pytest
import timm
from torch import nn
from torchvision import models

from lensmith.cli.layers_by_name import layers
from lensmith.models.adapters.torchvision_classifiers import TORCHVISION
from lensmith.models.adapters.torchvision_detectors import WHOLE
from lensmith.models.adapters.torchvision_instances import WHOLE_INSTANCES
from lensmith.models.adapters.torchvision_segmenters import SEGMENTERS
from lensmith.models.backbones import BACKBONES
from lensmith.study.inspect.layers import Inspection, inspect_network

COME_WHOLE = (*WHOLE, *WHOLE_INSTANCES, *SEGMENTERS)
SETTINGS = {"stack": ['layers=[{"conv" = 8}, "relu", {"globalpool" = "max"}, {"dense" = 10}]'],
            "darknet": None}    # which is a cfg of the user's own
FAST = ("lenet", "cnn3", "resnet18", "mobilenet_v3_small", "efficientnet_lite0")
TIMM = ("resnet10t", "resnext26ts", "mobilenetv3_small_050", "efficientnet_b0", "convnext_atto", "convnextv2_atto",
        "regnetx_002", "densenet121", "dla34", "hrnet_w18_small", "ghostnet_050",
        "vgg11_bn", "inception_v4", "repvgg_a0",
        "edgenext_xx_small", "nfnet_f0", "darknet53", "selecsls42", "skresnet18", "res2net50_14w_8s", "mixnet_s",
        "fastvit_t8", "mobileone_s0", "rexnetr_200", "lcnet_050", "tinynet_e", "xception41", "starnet_s1")


def check(found: Inspection) -> None:
    assert found.totals.problem == "" and not [fault for fault in found.faults if fault.grave], found.faults
    assert found.totals.multiply_adds > 0 and found.totals.parameters > 0


@pytest.mark.parametrize("name", FAST)
def test_networks_of_every_day(name: str) -> None:
    check(layers(name, size=64))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BACKBONES if SETTINGS.get(name, ()) is not None])
def test_every_network_of_the_list(name: str) -> None:
    check(layers(name, SETTINGS.get(name, ()), size=320 if name in COME_WHOLE else 96))


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCHVISION)
def test_networks_as_torchvision_has_them(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)    # of how googlenet and inception_v3 draw their weights
        network: nn.Module = models.get_model(name, weights=None)
    check(inspect_network(network, (3, 224, 224)))


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMM)
def test_networks_as_timm_has_them(name: str) -> None:
    check(inspect_network(timm.create_model(name, pretrained=False), (3, 224, 224)))
    check(layers(f"timm:{name}", size=128))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smp:Unet/resnet18", "smp:FPN/mobilenet_v2", "smp:DeepLabV3Plus/resnet18"])
def test_networks_as_segmentation_models_pytorch_has_them(name: str) -> None:
    check(layers(name, size=128))
