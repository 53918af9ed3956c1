"""Fully convolutional heads: scores at strides 32, 16 and 8, added up from coarse to fine, enlarged to the picture."""

from itertools import pairwise
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.models.heads.map_sizes import brought_to
from lensmith.models.neck import Levels


class _Levels(Protocol):
    channels: tuple[int, ...]    # of each map, finest first
    strides: tuple[int, ...]

    def __call__(self, maps: list[Tensor]) -> list[Tensor]: ...


class Pools(nn.Module):
    """What the third, fourth and fifth pool of a VGG network give, as the paper takes them, out of its maps, which
    are those before each pool and the last one."""

    def __init__(self, channels: tuple[int, ...]):
        super().__init__()
        self.channels, self.strides = (channels[-4], channels[-3], channels[-1]), (8, 16, 32)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [F.max_pool2d(maps[-4], 2), F.max_pool2d(maps[-3], 2), maps[-1]]


class FcnHead(nn.Module):
    """Long, Shelhamer and Darrell 2015, "Fully convolutional networks for semantic segmentation": FCN-32s, -16s or
    -8s, by the `finest` stride whose map is scored.

    The scores are enlarged by transposed convolutions that begin as bilinear interpolation, one kernel a class. The
    scores of finer maps begin at 0, so that learning begins from those of the coarsest. A backbone that has nothing
    as fine is taken from the finest stride it has.
    """

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...], classes: int, *, finest: int,
                 pooled: bool = False):
        """`pooled`: take the pools of a VGG network, not the last map of each stride."""
        super().__init__()
        levels = Pools(channels) if pooled else Levels(channels, strides)
        self.levels = levels
        own = list(zip(levels.strides, levels.channels, strict=True))
        chosen = [one for one in own if one[0] >= finest] or own[-1:]
        self.finest = chosen[0][0]
        self.scores = nn.ModuleList(nn.Conv2d(inputs, classes, 1) for _, inputs in chosen)    # finest first
        for layer in self.scores:
            score = cast(nn.Conv2d, layer)
            nn.init.zeros_(score.weight)
            nn.init.zeros_(score.bias)    # type: ignore[arg-type]
        nn.init.normal_(cast(nn.Conv2d, self.scores[-1]).weight, std=0.01)
        self.factors = tuple(round(coarse[0] / fine[0]) for fine, coarse in pairwise(chosen))
        self.enlarge = nn.ModuleList(bilinear(classes, factor) for factor in (self.finest, *self.factors))

    def forward(self, maps: list[Tensor], size: tuple[int, int]) -> Tensor:    # -> [batch, classes, *size]
        levels = cast(_Levels, self.levels)(maps)[-len(self.scores):]
        total = self.scores[-1](levels[-1])
        for number in range(len(levels) - 2, -1, -1):
            score = self.scores[number](levels[number])
            larger = self.enlarge[number + 1](total)
            total = score + brought_to(larger, score.shape[2:], within=self.factors[number])
        return brought_to(self.enlarge[0](total), size, within=self.finest)


def bilinear(channels: int, factor: int) -> nn.ConvTranspose2d:
    """A layer that enlarges each channel by a whole factor, at first bilinearly; beyond the border there are zeros."""
    kernel = 2 * factor - factor % 2
    layer = nn.ConvTranspose2d(channels, channels, kernel, factor, factor // 2, groups=channels, bias=False)
    slope = 1 - (torch.arange(kernel) - (kernel - 1) / 2).abs() / factor
    with torch.no_grad():
        layer.weight.copy_((slope[:, None] * slope).expand_as(layer.weight))
    return layer
