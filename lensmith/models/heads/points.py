"""The anchor-free head: at every cell of three maps a score for each class and the distances to an object's sides."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.models.backbone import Size
from lensmith.models.initialise import initialise
from lensmith.models.neck import PyramidNeck

BINS = 16       # of the distribution over a distance: 0 .. 15 strides
_PRIOR = 0.01   # of an object of a class in a cell, before anything is learned (Lin et al. 2017)


class Points(NamedTuple):
    """What the head says at each of its points, the cells' centres: all that a loss or a decision needs."""

    logits: Tensor     # float [batch, points, classes], before the sigmoid
    sides: Tensor      # float [batch, points, 4, BINS], before the softmax: distances to left, top, right, bottom
    centres: Tensor    # float32 [points, 2]: x y in pixels
    strides: Tensor    # float32 [points], pixels

    def corners(self) -> Tensor:
        """float32 [batch, points, 4]: the boxes in pixels, not clipped to the picture."""
        return corners_of(self.sides, self.centres, self.strides)


def corners_of(sides: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Boxes [..., 4] in pixels from distributions [..., 4, BINS] at points: the means, in strides."""
    sides = sides if sides.dtype == torch.float64 else sides.float()
    steps = torch.arange(BINS, dtype=sides.dtype, device=sides.device)
    distances = (sides.softmax(-1) @ steps) * strides[..., None]
    return torch.cat((centres - distances[..., :2], centres + distances[..., 2:]), -1)


class PointsHead(nn.Module):
    """The neck, then two branches of 3x3 convolutions, one for the classes and one for the sides.

    The branches' weights are shared by the levels, their norms are not (Lyu et al. 2022, "RTMDet"): few objects of one
    size then teach all sizes.
    """

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...], classes: int, *, width: int, depth: int):
        super().__init__()
        self.neck = PyramidNeck(channels, strides, width=width, depth=depth)
        levels = len(self.neck.strides)
        self.class_branch = Branch(width, depth, levels)
        self.side_branch = Branch(width, depth, levels)
        self.classify = nn.Conv2d(width, classes, 1)
        self.measure = nn.Conv2d(width, 4 * BINS, 1)
        for layer in (self.classify, self.measure):
            nn.init.normal_(layer.weight, std=0.01)
        assert self.classify.bias is not None and self.measure.bias is not None
        with torch.no_grad():
            self.classify.bias.fill_(-math.log((1 - _PRIOR) / _PRIOR))
            # Each bin is half as likely as the one before, so that boxes begin 2.4 strides wide: begun at the mean of
            # the bins, 15 strides, they overlap small objects so little that those are not learned for long.
            self.measure.bias.copy_((-0.6 * torch.arange(BINS)).repeat(4))

    def forward(self, maps: list[Tensor], size: Size | None = None) -> Points:
        return self.of_levels(self.neck(maps))

    def of_levels(self, levels: list[Tensor]) -> Points:
        """What is said at the points of the neck's maps."""
        logits, sides, centres, strides = [], [], [], []
        for number, (level, stride) in enumerate(zip(levels, self.neck.strides, strict=True)):
            logits.append(self.classify(self.class_branch(level, number)).flatten(2).transpose(1, 2))
            sides.append(self.measure(self.side_branch(level, number)).flatten(2).transpose(1, 2))
            middle = cell_centres(level, stride)
            centres.append(middle)
            strides.append(torch.full_like(middle[:, 0], stride))
        return Points(torch.cat(logits, 1), torch.cat(sides, 1).unflatten(2, (4, BINS)), torch.cat(centres),
                      torch.cat(strides))


def cell_centres(level: Tensor, stride: int) -> Tensor:
    """float32 [height * width, 2]: x y of the middle of each cell of a map, in pixels."""
    y, x = (torch.arange(edge, dtype=torch.float32, device=level.device) for edge in level.shape[2:])
    return (torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1) + 0.5) * stride


class Branch(nn.Module):
    """3x3 convolutions with norms of their own for each level."""

    def __init__(self, width: int, depth: int, levels: int):
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(depth))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(levels * depth))    # level after level
        initialise(self, "silu")

    def forward(self, level: Tensor, number: int) -> Tensor:
        depth = len(self.convolutions)
        for convolution, norm in zip(self.convolutions, self.norms[number * depth : (number + 1) * depth], strict=True):
            level = F.silu(norm(convolution(level)))
        return level
