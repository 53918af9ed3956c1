"""From the maps of layers and their weights to one map in the size of the picture."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.study.explain.subject import Subject


def interpolated(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """[maps, height, width] for [maps, rows, columns]: each interpolated bilinearly."""
    return F.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]


def joined(maps: list[Tensor], size: tuple[int, int]) -> Tensor:
    """[height, width] of one map a layer [rows, columns]: that of a single layer as it is; of several the mean, each
    divided by its largest value, since the numbers of two layers have different units."""
    if len(maps) == 1:
        return interpolated(maps[0][None], size)[0]
    return torch.stack([interpolated(one[None] / one.max().clamp(min=1e-12), size)[0] for one in maps]).mean(0)


def from_gradients(subject: Subject, picture: Tensor, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """[height, width]: relu of what `combine` makes of each layer's maps and their gradients, [channels, rows,
    columns] both. Layers that the number does not depend on are left out."""
    score, maps = subject.maps(picture[None].detach().clone().requires_grad_())
    gradients = torch.autograd.grad(score.sum(), maps, allow_unused=True)
    found = [combine(one[0].detach(), slope[0]).relu() for one, slope in zip(maps, gradients, strict=True)
             if slope is not None and bool((slope != 0).any())]
    size = (picture.shape[1], picture.shape[2])
    return joined(found, size) if found else torch.zeros(size)
