"""A Darknet network as a list of plain calls, for inference: calling its modules takes as long as computing them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.models.darknet.build import PICTURE, Layer
from lensmith.models.darknet.layers import Shortcut
from lensmith.models.darknet.network import Darknet, Step, no_longer_needed

Call = Callable[..., Tensor]


class Straight(nn.Module):
    """Gives what the `network` gives, with the weights that it has now. It learns nothing.

    With `pack` each convolution's weights are laid out once as oneDNN reads them, for pictures of the network's size;
    else oneDNN does it at every call. That is for float32 on the CPU alone.
    """

    def __init__(self, network: Darknet, *, pack: bool):
        super().__init__()
        self.network = network
        plan = network.plan
        same = dict[int, int]()    # a layer that changes nothing -> the layer whose map it hands on
        self.calls: list[Call] = []
        self.steps: list[Step] = []
        for number, sources in network.steps:
            sources = tuple(same.get(source, source) for source in sources)
            call = _call(network.layers[number], plan[number], plan, pack=pack)
            if call is None and number not in network.taps:
                same[number] = sources[0]
            else:
                self.calls.append(call or network.layers[number])
                self.steps.append((number, sources))
        self.done_with = no_longer_needed(self.steps, network.taps)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        return self.network.run(self.calls, self.steps, self.done_with, pictures)


def _call(layer: nn.Module, planned: Layer, plan: list[Layer], *, pack: bool) -> Call | None:
    """What computes the layer; None where it changes nothing."""
    if isinstance(layer, nn.Dropout | nn.Identity):
        return None
    if isinstance(layer, Shortcut) and isinstance(layer.activation, nn.Identity) and len(planned.sources) == 2:
        shapes = {plan[source].shape for source in planned.sources if source != PICTURE}
        return torch.add if len(shapes) == 1 and PICTURE not in planned.sources else layer
    if not isinstance(layer, nn.Sequential):
        return layer
    calls = [_convolution(part, planned, plan, pack=pack) if type(part) is nn.Conv2d else
             partial(F.leaky_relu_, negative_slope=part.negative_slope)
             if isinstance(part, nn.LeakyReLU) and part.inplace else part
             for part in layer if not isinstance(part, nn.Identity)]
    return calls[0] if len(calls) == 1 else partial(_one_by_one, calls)


def _one_by_one(calls: list[Call], maps: Tensor) -> Tensor:
    for call in calls:
        maps = call(maps)
    return maps


def _convolution(layer: nn.Conv2d, planned: Layer, plan: list[Layer], *, pack: bool) -> Call:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return layer
    weight, bias, padding = layer.weight.detach(), layer.bias, list(layer.padding)
    stride, dilation = list(layer.stride), list(layer.dilation)
    source = planned.sources[0]
    if not pack or source == PICTURE or weight.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return partial(torch.conv2d, weight=weight, bias=bias, stride=stride, padding=padding, dilation=dilation,
                       groups=layer.groups)
    shape = plan[source].shape
    operators: Any = torch.ops.mkldnn
    packed = operators._reorder_convolution_weight(weight, padding, stride, dilation, layer.groups,
                                                   [1, shape.channels, shape.height, shape.width])
    # The operator can apply an activation too, given by name. That takes longer than calling the activation itself.
    convolution: Call = operators._convolution_pointwise.default
    settings = bias, padding, stride, dilation, layer.groups, "none", list[float](), ""
    return lambda maps: convolution(maps, packed, *settings)
