"""Occlusion: what is missed where a patch is covered."""

from collections.abc import Iterator

import torch
from torch import Tensor

from lensmith.study.explain.subject import Subject


@torch.no_grad()
def occlusion(subject: Subject, picture: Tensor, *, patches: int = 8) -> Tensor:
    """What the score loses where a square patch is covered by the mean colour (Zeiler and Fergus 2013, arXiv
    1311.2901); of a pixel the mean over the patches that cover it, each half a patch from the next.

    patches: how many of them, side by side, fill the shorter edge.
    """
    height, width = picture.shape[1:]
    edge = max(1, min(height, width) // patches)
    places = [(top, left) for top in _starts(height, edge) for left in _starts(width, edge)]

    def covered() -> Iterator[Tensor]:
        for top, left in places:
            hidden = picture.clone()
            hidden[:, top : top + edge, left : left + edge] = subject.blank
            yield hidden

    whole = subject.scores([picture])[0]
    lost = whole - subject.scores(covered())
    total, times = torch.zeros(height, width), torch.zeros(height, width)
    for (top, left), loss in zip(places, lost, strict=True):
        total[top : top + edge, left : left + edge] += loss
        times[top : top + edge, left : left + edge] += 1
    return total / times


def _starts(length: int, edge: int) -> list[int]:
    """Where patches begin along an axis: half a patch apart, the last one at the end."""
    starts = list(range(0, length - edge + 1, max(1, edge // 2)))
    return starts if starts[-1] == length - edge else [*starts, length - edge]
