"""Fully convolutional heads: scores at strides 32, 16 and 8, summed from coarse to fine, upsampled to the picture."""

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
    """The outputs of the third, fourth and fifth pool of a VGG network, which the paper takes. The maps of the backbone
    are those before each pool, and the last one."""

    def __init__(self, channels: tuple[int, ...]):
        super().__init__()
        self.channels, self.strides = (channels[-4], channels[-3], channels[-1]), (8, 16, 32)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [F.max_pool2d(maps[-4], 2), F.max_pool2d(maps[-3], 2), maps[-1]]


class FcnHead(nn.Module):
    """FCN-32s, FCN-16s or FCN-8s (Long, Shelhamer and Darrell 2015, "Fully convolutional networks for semantic
    segmentation"), by the `finest` stride whose map is scored.

    Scores are upsampled by transposed convolutions that begin as bilinear interpolation, one kernel a class. The scores
    of the finer maps begin at 0, so that learning begins with those of the coarsest.
    """

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...], classes: int, *, finest: int,
                 pooled: bool = False):
        """
        channels, strides: of the backbone's maps, finest first.
        classes: the number of classes.
        finest: the finest stride whose map is scored; where no map is as fine, it is the backbone's finest.
        pooled: take the outputs of the pools of a VGG network instead of the last map of each stride.
        """
        super().__init__()
        levels = Pools(channels) if pooled else Levels(channels, strides)
        self.levels = levels
        pairs = list(zip(levels.strides, levels.channels, strict=True))
        scored = [(stride, inputs) for stride, inputs in pairs if stride >= finest] or pairs[-1:]
        self.finest = scored[0][0]
        self.scores = nn.ModuleList(nn.Conv2d(inputs, classes, 1) for _, inputs in scored)    # finest first
        for layer in self.scores:
            score = cast(nn.Conv2d, layer)
            nn.init.zeros_(score.weight)
            nn.init.zeros_(score.bias)    # type: ignore[arg-type]
        nn.init.normal_(cast(nn.Conv2d, self.scores[-1]).weight, std=0.01)
        self.factors = tuple(round(coarse[0] / fine[0]) for fine, coarse in pairwise(scored))
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
    """A transposed convolution that upsamples each channel by a whole factor. Its weights are those of bilinear
    interpolation; beyond the border there are zeros."""
    kernel = 2 * factor - factor % 2
    layer = nn.ConvTranspose2d(channels, channels, kernel, factor, factor // 2, groups=channels, bias=False)
    slope = 1 - (torch.arange(kernel) - (kernel - 1) / 2).abs() / factor
    with torch.no_grad():
        layer.weight.copy_((slope[:, None] * slope).expand_as(layer.weight))
    return layer
