"""The first convolution of a user's own network: its kernels, and what they make of a picture."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lensmith.base.errors import DataError, ModelError
from lensmith.base.picture_errors import BadPicture
from lensmith.base.pictures import bring, decode
from lensmith.base.viewing import viewable
from lensmith.lessons.convolution.arithmetic import Geometry, OutputValue, output_value
from lensmith.lessons.convolution.colours import plane_picture
from lensmith.lessons.convolution.picture import drawn_picture
from lensmith.lessons.convolution.words import plain_number, product_of
from lensmith.study.explain.views.filters import in_colours
from lensmith.training.trained import Trained

MOST_SHOWN = 32    # filters
_MOST_EDGE = 256   # pixels: of the picture on the page


@dataclass(frozen=True)
class FirstConvolution:
    """The first convolution of a network at work on one picture."""

    run: str
    layer: str               # its name in the network
    picture: Tensor          # uint8 or uint16 [channels, height, width], at the run's form
    weight: Tensor           # float [filters, channels / groups, rows, columns]
    bias: Tensor             # float [filters], zeros where the layer has none
    geometry: Geometry
    groups: int
    inputs: Tensor           # float [channels, height, width], what came into the layer
    maps: Tensor             # float [filters, rows, columns], what it gave

    def by_hand(self) -> OutputValue:
        """The value in the middle of the first map by the loops of this lesson, without the bias."""
        row, column = self.maps.shape[1] // 2, self.maps.shape[2] // 2
        seen = self.inputs[: self.weight.shape[1]]    # the channels of the first group
        return output_value(seen.tolist(), self.weight[0].tolist(), self.geometry, row, column)

    def lines(self) -> list[str]:
        """What the terminal shows."""
        value, bias = self.by_hand(), float(self.bias[0])
        given = float(self.maps[0, value.row, value.column])
        return [f"the first convolution of {self.run} is {self.layer}: weight {product_of(self.weight.shape)}, "
                f"{product_of(self.inputs.shape)} in, {product_of(self.maps.shape)} out",
                f"  map 0 at ({value.row}, {value.column}): sum of products {plain_number(value.total, digits=6)}, "
                f"bias {plain_number(bias, digits=6)}: {plain_number(value.total + bias, digits=6)}; the network gave "
                f"{plain_number(given, digits=6)}"]

    def kernel_pictures(self) -> list[Image.Image]:
        """Each filter as a picture, a pixel a number: its three slices as red, green and blue, or its first one."""
        return [in_colours(filter_, float(filter_.abs().max().clamp(min=1e-12))) if len(filter_) == 3 else
                plane_picture(filter_[0].tolist()) for filter_ in self.weight[:MOST_SHOWN]]

    def map_pictures(self) -> list[Image.Image]:
        """Each map as a picture, white at 0."""
        return [plane_picture(map_.tolist()) for map_ in self.maps[:MOST_SHOWN]]

    def seen_picture(self) -> Image.Image:
        """The picture as the network gets it."""
        return viewable(self.picture, least=1, most=_MOST_EDGE)


def first_convolution(trained: Trained, path: Path | None) -> FirstConvolution:
    """The first convolution that runs when a network sees a picture; without a path the drawn one.

    Raises ModelError for a network that is a file or has no convolution, and DataError for a picture that cannot be
    read.
    """
    network, picture = trained.network, _picture(trained, path)
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)} \
        if isinstance(network, nn.Module) else {}
    called: list[str] = []
    hooks = [layer.register_forward_pre_hook(partial(_note, called, name)) for name, layer in layers.items()]
    try:
        # Not inference_mode: there the operator is dispatched under another name.
        with torch.no_grad(), _Watched() as watched:
            network.eval()(picture[None].to(trained.plan.device))
    finally:
        for hook in hooks:
            hook.remove()
    if not called or watched.arguments is None or watched.output is None:
        raise ModelError(f"{trained.folder} has no convolution that can be looked into: name the run folder of a "
                         "convolutional network")
    inputs, weight, bias, stride, padding, dilation, _, _, groups = watched.arguments
    weight, zeros = _without_zeros(weight, layers[called[0]].weight)
    if stride[0] != stride[1] or dilation[0] != dilation[1]:
        raise ModelError(f"{called[0]} of {trained.folder} moves {stride} pixels with dilation {dilation}, and the "
                         "lesson knows convolutions that do the same both ways")
    before = (padding[0] - zeros[0] * dilation[0], padding[1] - zeros[1] * dilation[1])
    geometry = Geometry((weight.shape[2], weight.shape[3]), before, stride[0], dilation[0])
    return FirstConvolution(trained.folder.name, called[0], picture, weight.float().cpu(),
                            torch.zeros(len(weight)) if bias is None else bias.detach().float().cpu(), geometry, groups,
                            inputs[0].float().cpu(), watched.output[0].float().cpu())


class _Watched(TorchDispatchMode):
    """While it is entered, keeps what the first convolution of two axes was given and what it gave: a layer may pad
    before it, or its kernel, so that its own settings do not tell."""

    def __init__(self) -> None:
        super().__init__()
        self.arguments: tuple[Any, ...] | None = None
        self.output: Tensor | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.arguments is None and func.overloadpacket is torch.ops.aten.convolution and args[1].dim() == 4:
            self.arguments, self.output = args, result
        return result


def _note(called: list[str], name: str, layer: nn.Module, inputs: Any) -> None:
    called.append(name)


def _without_zeros(used: Tensor, own: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """The kernels of a layer, and how many rows and columns of zeros were put before them when they were used."""
    above, left = (used.shape[axis] - own.shape[axis] for axis in (2, 3))
    if min(above, left) >= 0 and torch.equal(used[:, :, above:, left:], own):
        return own.detach(), (above, left)
    return used.detach(), (0, 0)


def _picture(trained: Trained, path: Path | None) -> Tensor:
    if path is None:
        return bring(drawn_picture(max(trained.form.size)), trained.form)[0]
    try:
        return decode(path, trained.form)[0]
    except BadPicture as error:
        raise DataError(f"{path} {error}: name another picture") from error
