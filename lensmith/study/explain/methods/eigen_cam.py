"""Eigen-CAM."""

import torch
from torch import Tensor

from lensmith.study.explain.activation_map import joined
from lensmith.study.explain.subject import Subject


@torch.no_grad()
def eigen_cam(subject: Subject, picture: Tensor) -> Tensor:
    """Eigen-CAM (Muhammad and Yeasin 2020, arXiv 2008.00299): relu of the maps, with their mean taken off, along their
    first principal component. It takes no gradient and knows no class: what the layers react to most.

    The component has no sign of its own; it gets the one with which it grows with the sum of the maps."""
    _, maps = subject.maps(picture[None])
    return joined([_first_component(one[0]).relu() for one in maps], (picture.shape[1], picture.shape[2]))


def _first_component(maps: Tensor) -> Tensor:
    cells = maps.flatten(1).t().float()    # [cells, channels]
    centred = cells - cells.mean(0)
    along = centred @ torch.linalg.svd(centred, full_matrices=False)[2][0]
    total = cells.sum(1)
    sign = -1.0 if (along * (total - total.mean())).sum() < 0 else 1.0
    return (sign * along).view(maps.shape[1:])
