"""The head for objects with a mask each: the anchor-free head, and masks as weighted sums of prototypes."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.models.heads.points import Branch, Points, PointsHead, corners_of
from lensmith.models.initialise import initialise
from lensmith.models.neck import Convolution

CELL = 4    # pixels: the edge of a cell of the prototypes


class MaskedPoints(NamedTuple):
    """The output of the head at each of its points, as `Points`, and what masks are made of.

    The margin of a mask is m(y, x) = sum_k coefficients_k * prototypes_k(y, x); a pixel is inside where m > 0.
    """

    logits: Tensor          # float [batch, points, classes], before the sigmoid
    sides: Tensor           # float [batch, points, 4, BINS], before the softmax
    centres: Tensor         # float32 [points, 2]: x y in pixels
    strides: Tensor         # float32 [points], pixels
    coefficients: Tensor    # float [batch, points, prototypes], in -1..1
    prototypes: Tensor      # float [batch, prototypes, rows, columns], over the whole picture
    size: Tensor            # int64 [2]: height and width of the pictures

    def points(self) -> Points:
        """The output of the anchor-free head alone."""
        return Points(self.logits, self.sides, self.centres, self.strides)

    def corners(self) -> Tensor:
        """float32 [batch, points, 4]: the boxes in pixels, not clipped to the picture."""
        return corners_of(self.sides, self.centres, self.strides)


class PrototypesHead(nn.Module):
    """`PointsHead`, a third branch for the coefficient that each prototype has in an object's mask, and the prototypes,
    made of the neck's finest map at twice its resolution (Bolya et al. 2019, "YOLACT")."""

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...], classes: int, *, width: int, depth: int,
                 prototypes: int):
        """
        channels, strides: of the backbone's maps, finest first.
        classes: the number of classes.
        width: channels of the neck, the branches and the layers before the prototypes.
        depth: convolutions of a branch, of each step of the neck, and before the prototypes.
        prototypes: the number of maps that masks are sums of.
        """
        super().__init__()
        self.points = PointsHead(channels, strides, classes, width=width, depth=depth)
        self.branch = Branch(width, depth, len(self.points.neck.strides))
        self.weigh = nn.Conv2d(width, prototypes, 1)
        self.before = nn.Sequential(*(Convolution(width, width, 3) for _ in range(depth)))
        self.after = nn.Sequential(Convolution(width, width, 3), nn.Conv2d(width, prototypes, 1))
        initialise(self.weigh, None)
        initialise(self.after[1], None)

    def forward(self, maps: list[Tensor], size: tuple[int, int]) -> MaskedPoints:
        levels = self.points.neck(maps)
        points = self.points.of_levels(levels)
        coefficients = [self.weigh(self.branch(level, number)).flatten(2).transpose(1, 2)
                        for number, level in enumerate(levels)]
        # The cells cover the picture exactly; strides may have rounded, so a factor of two would not.
        cells = [-(-edge // CELL) for edge in size]
        finer = F.interpolate(self.before(levels[0]), cells, mode="bilinear", align_corners=False)
        return MaskedPoints(*points, torch.cat(coefficients, 1).tanh(), self.after(finer),
                            torch.tensor(size, device=finer.device))
