"""The table of backbones, and how a name in a recipe becomes one."""

from collections.abc import Callable
from functools import partial

from lensmith.base.errors import ModelError, nearest
from lensmith.base.user_code import names_in_file
from lensmith.models.adapters.smp_segmenters import PREFIX, find_smp
from lensmith.models.adapters.timm_backbones import find_timm
from lensmith.models.adapters.torchvision_classifiers import TORCHVISION, torchvision_network
from lensmith.models.adapters.torchvision_detectors import WHOLE
from lensmith.models.adapters.torchvision_instances import WHOLE_INSTANCES
from lensmith.models.adapters.torchvision_segmenters import SEGMENTERS
from lensmith.models.adapters.user_code import find_outside
from lensmith.models.backbone import Backbone
from lensmith.models.backbones.csp import csp
from lensmith.models.backbones.efficientnet_lite import efficientnet_lite0, efficientnet_lite1, efficientnet_lite2
from lensmith.models.backbones.lenet import conv10_20, lenet, lenet3x3
from lensmith.models.backbones.simple import cnn3, simple, simple2
from lensmith.models.backbones.stack import stack
from lensmith.models.darknet.named import darknet_network
from lensmith.models.darknet.network import darknet53

BACKBONES: dict[str, Callable[..., Backbone]] = {
    "lenet": lenet,
    "lenet3x3": lenet3x3,
    "conv10_20": conv10_20,
    "simple": simple,
    "simple2": simple2,
    "cnn3": cnn3,
    "stack": stack,
    "csp": csp,
    "efficientnet_lite0": efficientnet_lite0,
    "efficientnet_lite1": efficientnet_lite1,
    "efficientnet_lite2": efficientnet_lite2,
    "darknet53": darknet53,
    "darknet": darknet_network,
    **{name: partial(torchvision_network, name) for name in TORCHVISION},
    **WHOLE,
    **WHOLE_INSTANCES,
    **SEGMENTERS,
}


def find_backbone(name: str, *, trusted: bool) -> Callable[..., Backbone]:
    """The constructor that a name stands for: one of BACKBONES, `timm:NAME`, `smp:ARCHITECTURE/ENCODER`,
    `my_net.py:Net` or `package.module:Net`.

    Code from outside runs only where it is trusted. Raises ModelError for what is unknown, absent or not trusted.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    if name.startswith("timm:"):
        return find_timm(name.removeprefix("timm:"))
    if name.startswith(PREFIX):
        return find_smp(name.removeprefix(PREFIX))
    if ":" in name:
        return find_outside(name, trusted=trusted)
    if name.endswith(".py"):
        raise ModelError(names_in_file(name))
    raise ModelError(f"unknown backbone {name!r}.{nearest(name, BACKBONES)} `lensmith list backbones` shows all; "
                     "timm:NAME, smp:ARCHITECTURE/ENCODER, FILE.py:CLASS and PACKAGE.MODULE:CLASS are accepted too.")
