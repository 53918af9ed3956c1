"""The first convolution of a user's own network: its kernels, and what they make of a picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from lensmith.base.errors import DataError, ModelError
from lensmith.base.picture_errors import BadPicture
from lensmith.base.pictures import bring, decode
from lensmith.base.viewing import viewable
from lensmith.lessons.convolution.arithmetic import Geometry, OutputValue, output_value
from lensmith.lessons.convolution.colours import plane_picture
from lensmith.lessons.convolution.picture import drawn_picture
from lensmith.lessons.convolution.words import plain_number, product_of
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
        return [_colours_of(filter_) if len(filter_) == 3 else plane_picture(filter_[0].tolist())
                for filter_ in self.weight[:MOST_SHOWN]]

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
    network = trained.network
    if not isinstance(network, nn.Module) or not any(_is_plain(module) for module in network.modules()):
        raise ModelError(f"{trained.folder} has no convolution that can be looked into: name the run folder of a "
                         "convolutional network")
    picture = _picture(trained, path)
    calls: list[tuple[str, nn.Conv2d, Tensor, Tensor]] = []
    hooks = [module.register_forward_hook(_keeping(name, calls)) for name, module in network.named_modules()
             if _is_plain(module)]
    try:
        with torch.inference_mode():
            network.eval()(picture[None].to(trained.plan.device))
    finally:
        for hook in hooks:
            hook.remove()
    name, layer, inputs, maps = calls[0]
    rows, columns = layer.kernel_size
    geometry = Geometry((rows, columns), _padding(layer), layer.stride[0], layer.dilation[0])
    bias = torch.zeros(layer.out_channels) if layer.bias is None else layer.bias.detach().cpu()
    return FirstConvolution(trained.folder.name, name, picture, layer.weight.detach().float().cpu(), bias, geometry,
                            layer.groups, inputs[0].float().cpu(), maps[0].float().cpu())


def _keeping(name: str, calls: list[tuple[str, nn.Conv2d, Tensor, Tensor]]) -> Callable[..., None]:
    """A hook that notes what a layer got and gave, of the first call alone."""
    def keep(layer: nn.Conv2d, inputs: Sequence[Tensor], output: Tensor) -> None:
        if not calls:
            calls.append((name, layer, inputs[0], output))

    return keep


def _picture(trained: Trained, path: Path | None) -> Tensor:
    if path is None:
        return bring(drawn_picture(max(trained.form.size)), trained.form)[0]
    try:
        return decode(path, trained.form)[0]
    except BadPicture as error:
        raise DataError(f"{path} {error}: name another picture") from error


def _is_plain(module: nn.Module) -> bool:
    """Whether the loops of this lesson compute what a layer does."""
    return isinstance(module, nn.Conv2d) and module.padding_mode == "zeros" and not isinstance(module.padding, str) \
        and module.stride[0] == module.stride[1] and module.dilation[0] == module.dilation[1]


def _padding(layer: nn.Conv2d) -> tuple[int, int]:
    assert not isinstance(layer.padding, str)
    return layer.padding[0], layer.padding[1]


def _colours_of(filter_: Tensor) -> Image.Image:
    """[3, rows, columns] as colours, gray at 0."""
    shades = (127.5 + 127.5 * filter_ / filter_.abs().max().clamp(min=1e-12)).round().to(torch.uint8)
    return Image.fromarray(shades.permute(1, 2, 0).contiguous().numpy())
