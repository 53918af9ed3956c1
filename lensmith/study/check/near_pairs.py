"""Which candidates are near duplicates: the two thumbnails are laid over each other as well as they can be, and their
details are compared.

A window of one thumbnail, that of the candidate, is moved and stretched until it fits the other (Lucas and Kanade 1981,
four parameters: a shift and a scale along each axis, by Gauss-Newton). The similarity is then

    the sum of a b over both gradient fields / sqrt(the sum of a^2 times the sum of b^2)

of the smoothed pictures: pictures of one kind have the same light and shade, but only copies have the same details.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.study.check.near_candidates import WINDOWS, Candidates

_LIGHT, _COLOURS = 0.8, 40.0    # of pairs that are alike in details; 255: red and blue copies of one picture are two
_STEPS = 4            # of Gauss-Newton
_BLOCK = 2_048        # pairs at a time, each of some 60 KB
_MARGIN = 2           # pixels at the edge that do not count: the filters reach beyond the picture there
_DAMPING = 1e-3       # of the mean of the diagonal: a picture without edges along an axis says nothing of it
_STRIDE = 0.1         # of half the edge: a step is no longer, since the slopes tell nothing from farther away
_FARTHEST = 0.2       # of half the edge, or of the scale: a window that left its place by more is none of a crop


@dataclass(frozen=True)
class Similarity:
    """How alike the pictures of each pair are."""

    details: np.ndarray    # float32 [k]: correlation of the gradients, -1 to 1
    light: np.ndarray      # float32 [k]: correlation of the luma
    colours: np.ndarray    # float32 [k]: mean absolute difference of the colours, of 255


def fitted_details(alike: Similarity) -> np.ndarray:
    """float32 [k]: the similarity of each pair by its details; 0 where light or colours say that they are two."""
    return np.where(_fits(alike), alike.details, 0).astype(np.float32)


def _fits(alike: Similarity) -> np.ndarray:
    return (alike.light >= _LIGHT) & (alike.colours <= _COLOURS)


def similarity(light: np.ndarray, colours: np.ndarray, candidates: Candidates) -> Similarity:
    """`light` uint8 [n, edge, edge] and `colours` uint8 [n, 2, c, c] of all pictures -> the similarity of each pair."""
    windows = torch.tensor([[*window.across, *window.down, window.mirrored] for window in WINDOWS])
    parts = []
    for start in range(0, len(candidates.first), _BLOCK):
        chosen = slice(start, start + _BLOCK)
        first, second = candidates.first[chosen], candidates.second[chosen]
        window = windows[torch.from_numpy(candidates.windows[chosen])]
        moving, still = (torch.from_numpy(light[rows]).float() for rows in (first, second))
        mirrored = window[:, 4].bool()
        moving = torch.where(mirrored[:, None, None], moving.flip(2), moving)
        seen = torch.from_numpy(colours[first]).float()
        seen = torch.where(mirrored[:, None, None, None], seen.flip(3), seen)
        parts.append(_compare(moving, still, window, seen, torch.from_numpy(colours[second]).float()))
    joined = [torch.cat(values).numpy() if parts else np.zeros(0, np.float32) for values in
              (zip(*parts, strict=True) if parts else [()] * 3)]
    return Similarity(*joined)


def _compare(moving: Tensor, still: Tensor, window: Tensor, moving_colours: Tensor,
             still_colours: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The similarity of [k, edge, edge] pictures, the first ones mirrored already."""
    mirrored = window[:, 4].bool()
    # The window of a picture that was mirrored after it was cut out, in the mirrored picture.
    left = torch.where(mirrored, 1 - window[:, 1], window[:, 0])
    right = torch.where(mirrored, 1 - window[:, 0], window[:, 1])
    top, bottom = window[:, 2], window[:, 3]
    begun = torch.stack((right - left, bottom - top, left + right - 1, top + bottom - 1), 1)
    smooth, target = _smoothed(moving), _smoothed(still)
    placed = begun
    for _ in range(_STEPS):
        placed = _step(smooth, target, placed)
    far = ((placed - begun).abs() > _FARTHEST).any(1) | placed.isnan().any(1)
    placed = torch.where(far[:, None], begun, placed)
    fitted = _sampled(smooth, placed)
    gradients, wanted = _gradients(fitted), _gradients(target)
    products = [(a * b).flatten(1).sum(1) for a, b in ((gradients, wanted), (gradients, gradients), (wanted, wanted))]
    details = products[0] / (products[1] * products[2]).sqrt().clamp(min=1e-6)
    centred, other = (_inner(picture) - _inner(picture).mean((1, 2), keepdim=True) for picture in (fitted, target))
    luma = (centred * other).sum((1, 2)) / (centred.square().sum((1, 2)) * other.square().sum((1, 2))).sqrt().clamp(
        min=1e-6)
    seen = F.grid_sample(moving_colours, _grid(placed, moving_colours.shape[2]), align_corners=False,
                         padding_mode="border")
    difference = (seen - still_colours).abs().mean((1, 2, 3))
    return details, luma, difference


def _step(moving: Tensor, still: Tensor, placed: Tensor) -> Tensor:
    """One step of Gauss-Newton on the window of each pair, with brightness and contrast fitted along."""
    fitted = _sampled(moving, placed)
    edge = moving.shape[1]
    slopes = _gradients(fitted) * (edge / 2)    # [k, 2, rows, columns]: by the grid's unit
    places = (torch.arange(edge) + 0.5) / edge * 2 - 1
    inner = places[_MARGIN:-_MARGIN]
    a, b = _inner(fitted), _inner(still)
    # d picture / d (scale across, scale down, shift across, shift down)
    columns = torch.stack((slopes[:, 0] * inner[None, None, :], slopes[:, 1] * inner[None, :, None], slopes[:, 0],
                           slopes[:, 1], a, torch.ones_like(a)), 1).flatten(2)    # [k, 6, pixels]
    # What is left of the still picture after the best brightness and contrast of the other is explained by the slopes.
    normal = columns @ columns.transpose(1, 2)
    scale = normal.diagonal(dim1=1, dim2=2)
    normal = normal + torch.diag_embed(_DAMPING * scale + 1e-3)
    solved = torch.linalg.solve(normal, columns @ b.flatten(1)[:, :, None])[:, :, 0]
    gain = solved[:, 4:5].clamp(min=0.2)
    # The slopes are those of the window, which is stretched by its scale already.
    return placed + (solved[:, :4] / gain).clamp(-_STRIDE, _STRIDE) * placed[:, :2].repeat(1, 2)


def _grid(placed: Tensor, edge: int) -> Tensor:
    """float [k, edge, edge, 2]: where a window (scale across, scale down, shift across, shift down) is sampled."""
    theta = torch.zeros(len(placed), 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = placed[:, 0], placed[:, 1]
    theta[:, 0, 2], theta[:, 1, 2] = placed[:, 2], placed[:, 3]
    return F.affine_grid(theta, [len(placed), 1, edge, edge], align_corners=False)


def _sampled(pictures: Tensor, placed: Tensor) -> Tensor:
    """[k, edge, edge]: the window of each picture."""
    return F.grid_sample(pictures[:, None], _grid(placed, pictures.shape[1]), align_corners=False,
                         padding_mode="border")[:, 0]


def _smoothed(pictures: Tensor) -> Tensor:
    """Without the finest details, which re-encoding and another size change."""
    kernel = torch.tensor([1.0, 2.0, 1.0]) / 4
    padded = F.pad(pictures[:, None], (1, 1, 1, 1), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, 3)), kernel.view(1, 1, 3, 1))[:, 0]


def _gradients(pictures: Tensor) -> Tensor:
    """[k, 2, rows, columns]: the slopes across and down by the pixel, without the margin."""
    across = (pictures[:, :, 2:] - pictures[:, :, :-2]) / 2
    down = (pictures[:, 2:] - pictures[:, :-2]) / 2
    cut = _MARGIN - 1
    return torch.stack((across[:, _MARGIN:-_MARGIN, cut:-cut], down[:, cut:-cut, _MARGIN:-_MARGIN]), 1)


def _inner(pictures: Tensor) -> Tensor:
    return pictures[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
