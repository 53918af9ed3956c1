"""RISE: random masks, weighed by what is still seen through them."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.study.explain.subject import Subject

_CELLS = 7    # of a mask's coarse grid, a side; masks are interpolated from it, and shifted by up to one cell


@torch.no_grad()
def rise(subject: Subject, picture: Tensor, *, masks: int = 1000, shown: float = 0.5) -> Tensor:
    """RISE (Petsiuk, Das and Saenko 2018, arXiv 1806.07421): of a pixel the mean score of the masked pictures in which
    it is seen, less the mean over all; a hidden pixel has the mean colour.

    The paper divides by the expected visibility of a pixel, this by what the masks gave it, which does not depend on
    where the score is zero.

    masks: how many pictures are looked at.
    shown: the fraction of a mask's cells that is seen.
    """
    size = (picture.shape[1], picture.shape[2])
    scores = subject.scores(torch.lerp(subject.blank, picture, mask.to(picture.device))
                            for mask in _masks(size, masks, shown, subject.seed))
    total, visible = torch.zeros(size), torch.zeros(size)
    for mask, score in zip(_masks(size, masks, shown, subject.seed), scores - scores.mean(), strict=True):
        total += score * mask    # drawn again: a thousand masks take 200 MB at 224 pixels
        visible += mask
    return total / visible.clamp(min=1e-6)


def _masks(size: tuple[int, int], count: int, shown: float, seed: int) -> Iterator[Tensor]:
    """float [height, width] each, from 0 hidden to 1 seen."""
    drawn = torch.Generator().manual_seed(seed)
    height, width = size
    cell = (-(-height // _CELLS), -(-width // _CELLS))
    for _ in range(count):
        grid = (torch.rand(1, 1, _CELLS + 1, _CELLS + 1, generator=drawn) < shown).float()
        top, left = (int(torch.randint(0, edge, (), generator=drawn)) for edge in cell)
        whole = F.interpolate(grid, ((_CELLS + 1) * cell[0], (_CELLS + 1) * cell[1]), mode="bilinear",
                              align_corners=False)[0, 0]
        yield whole[top : top + height, left : left + width]
