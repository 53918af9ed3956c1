"""The anchor-free head: at every cell of three maps a score for each class and the distances to the sides of a box."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.models.backbone import Size
from lensmith.models.initialise import initialise
from lensmith.models.neck import PyramidNeck

BINS = 16       # of the distribution over a distance, at 0, 1, ... 15 strides
_PRIOR = 0.01   # score of a class in a cell before anything is learned (Lin et al. 2017, "Focal loss")


class Points(NamedTuple):
    """The output of the head at each of its points, the centres of the cells: all that a loss or a decision needs."""

    logits: Tensor     # float [batch, points, classes], before the sigmoid
    sides: Tensor      # float [batch, points, 4, BINS], before the softmax: distances to left, top, right, bottom
    centres: Tensor    # float32 [points, 2]: x y in pixels
    strides: Tensor    # float32 [points], pixels

    def corners(self) -> Tensor:
        """float32 [batch, points, 4]: the boxes in pixels, not clipped to the picture."""
        return corners_of(self.sides, self.centres, self.strides)


def corners_of(sides: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Boxes [..., 4] in pixels from distributions [..., 4, BINS] at points.

    A distance is the mean of its distribution times the stride s: d = s * sum_i i * softmax(sides)_i (Li et al. 2020,
    "Generalized focal loss").
    """
    sides = sides if sides.dtype == torch.float64 else sides.float()
    bins = torch.arange(BINS, dtype=sides.dtype, device=sides.device)
    distances = (sides.softmax(-1) @ bins) * strides[..., None]
    return torch.cat((centres - distances[..., :2], centres + distances[..., 2:]), -1)


class PointsHead(nn.Module):
    """A neck, then two branches of 3x3 convolutions, one for the classes and one for the sides.

    All levels share the weights of the branches and have norms of their own (Lyu et al. 2022, "RTMDet"): what is
    learned from objects of one size serves all sizes.
    """

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...], classes: int, *, width: int, depth: int):
        """
        channels, strides: of the backbone's maps, finest first.
        classes: the number of classes.
        width: channels of the neck and of the branches.
        depth: convolutions of a branch, and of each step of the neck.
        """
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
            # Each bin has e^-0.6 = 0.55 times the probability of the one before, so that boxes begin 2.4 strides wide.
            # With equal probabilities they would be 15 strides wide and overlap small objects so little that learning
            # those takes long to begin.
            self.measure.bias.copy_((-0.6 * torch.arange(BINS)).repeat(4))

    def forward(self, maps: list[Tensor], size: Size | None = None) -> Points:
        return self.of_levels(self.neck(maps))

    def of_levels(self, levels: list[Tensor]) -> Points:
        """The output for the maps of the neck, which has run already."""
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
