"""The convolutional networks of timm, as backbones with their own classification heads."""

from collections.abc import Callable
from functools import partial
from itertools import chain
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lensmith.base.errors import ModelError, nearest
from lensmith.models.backbone import Backbone, Size
from lensmith.models.trial_forward import LARGE, REFUSALS, in_evaluation_mode, least_edge, map_shapes, strides_of


class TimmBackbone(Backbone):
    """The part of a timm network that works on maps. It gives those that timm itself gives as features, the last of
    which is the one that the network's own head takes.

    Raises ModelError for a network that gives no maps, as a transformer, and for pictures that are too small, with the
    smallest size that works.
    """

    def __init__(self, name: str, *, inputs: int, size: tuple[int, int]):
        super().__init__()
        self.name = name
        self.network = _timm().create_model(name, pretrained=False, in_chans=inputs, num_classes=1)
        published = self.network.pretrained_cfg or {}
        if inputs == 3 and "mean" in published and "std" in published:
            self.standard = tuple(published["mean"]), tuple(published["std"])
        self.taps: tuple[int, ...] | None = None    # all, until the strides are known
        unfit = ModelError(f"timm:{name} is not a convolutional network that gives maps for pictures of any size, and "
                           "no other kind is accepted. `timm.list_models()` lists all; resnet18, efficientnet_b0 and "
                           "convnext_tiny are such networks")
        if not hasattr(self.network, "forward_intermediates"):
            raise unfit
        try:
            maps = map_shapes(self, inputs, (LARGE, LARGE))
        except REFUSALS as error:
            raise unfit from error
        if any(len(shape) != 4 for shape in maps) or maps[-1][1] != self.network.num_features:
            raise unfit
        strides = strides_of(maps)
        self.taps = tuple(i for i in range(len(maps) - 1) if strides[i] < strides[i + 1])
        self.channels = tuple(maps[i][1] for i in (*self.taps, -1))
        self.strides = tuple(strides[i] for i in (*self.taps, -1))
        _strip(self.network, self, torch.empty(2, inputs, LARGE, LARGE, device="meta"))
        try:
            map_shapes(self, inputs, size)
        except REFUSALS as error:
            least = least_edge(self, inputs)
            raise ModelError(f"timm:{name} cannot take pictures of {size[0]} x {size[1]} pixels, of which it would "
                             f"leave nothing. Take larger pictures with pictures.size={least} or more.") from error

    def forward(self, pictures: Tensor) -> list[Tensor]:
        last, maps = cast(Any, self.network).forward_intermediates(pictures)
        return [*(maps if self.taps is None else [maps[i] for i in self.taps]), last]

    def classifier(self, outputs: int) -> nn.Module:
        """The network's own head for this many outputs, freshly drawn. -> [batch, outputs]"""
        head = TimmHead(_timm().create_model(self.name, pretrained=False, num_classes=outputs))
        _strip(head.network, head, [torch.empty(2, self.channels[-1], 7, 7, device="meta")])
        return head


class TimmHead(nn.Module):
    """What a timm network does behind its last map."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, maps: list[Tensor], size: Size | None = None) -> Tensor:    # -> [batch, outputs]
        return cast(Tensor, cast(Any, self.network).forward_head(maps[-1]))


def timm_network(name: str, *, inputs: int, size: tuple[int, int]) -> TimmBackbone:
    """The network `name` of timm without weights from elsewhere, in its own initialisation; see TimmBackbone."""
    return TimmBackbone(name, inputs=inputs, size=size)


def find_timm(name: str) -> Callable[..., Backbone]:
    """The constructor of timm's `name`; ModelError where timm is not installed or has no such network."""
    timm = _timm()
    if not timm.is_model(name):
        raise ModelError(f"timm has no network {name!r}.{nearest(name, timm.list_models())} "
                         "`timm.list_models()` lists all.")
    return partial(timm_network, name)


def _timm() -> ModuleType:
    try:
        # Here, because timm is an extra, and its import takes 2 s.
        import timm
    except ImportError as error:
        raise ModelError('networks of timm need the package timm: pip install "lensmith[timm]"') from error
    return timm


def _strip(network: nn.Module, whole: nn.Module, argument: Any) -> None:
    """Take those children out of `network` that `whole(argument)` does not call, so that no weight exists twice."""
    used: set[nn.Module] = set()
    hooks = [module.register_forward_pre_hook(lambda module, _: used.add(module)) for module in network.modules()]
    empty = {name: torch.empty_like(tensor, device="meta")
             for name, tensor in chain(whole.named_parameters(), whole.named_buffers())}
    with in_evaluation_mode(whole):
        functional_call(whole, empty, (argument,))
    for hook in hooks:
        hook.remove()
    for name, child in list(network.named_children()):
        if used.isdisjoint(child.modules()):
            setattr(network, name, nn.Identity())
