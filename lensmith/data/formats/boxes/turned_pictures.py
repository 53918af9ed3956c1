"""Labels of pictures before their EXIF rotation: told by the size that is declared, and turned with the picture."""

from collections.abc import Mapping, Sequence

import numpy as np

from lensmith.base.orientation import TURNED, upright_points
from lensmith.base.picture_headers import Header

_SLACK = 2.0    # pixels that a box may leave its picture by and still be of it


def drawn_before_rotation(headers: Sequence[Header | None], declared: Mapping[int, tuple[float, float]],
                          corners: np.ndarray, image: np.ndarray) -> np.ndarray:
    """bool [pictures]: whose labels are of the picture as the file stores it, and not as it is shown.

    The declared size says so, where width and height are swapped, else boxes that only the stored picture holds. What
    neither tells follows the others of the set where all of these say the same; by itself labels are of the picture as
    it is shown.

    declared: (width, height) by the number of the picture, where a label file gives it.
    corners: float64 [boxes, 4], in pixels.
    image: int64 [boxes], the number of each box's picture.
    """
    orientation = np.array([1 if header is None else header.orientation for header in headers], dtype=np.int64)
    shown = np.array([(0, 0) if header is None else (header.width, header.height) for header in headers],
                     dtype=np.float64).reshape(-1, 2)
    size = np.full_like(shown, np.nan)
    if declared:
        size[list(declared)] = list(declared.values())
    undeclared = np.isnan(size[:, 0])
    reach = np.zeros_like(shown)    # the farthest right and bottom edge of a picture's boxes
    np.maximum.at(reach, image, np.nan_to_num(np.maximum(corners[:, :2], corners[:, 2:])))
    in_shown, in_stored = ((reach <= edges + _SLACK).all(1) for edges in (shown, shown[:, ::-1]))
    differs = np.isin(orientation, TURNED) & (shown[:, 0] != shown[:, 1])
    before = differs & ((size == shown[:, ::-1]).all(1) | (undeclared & in_stored & ~in_shown))
    after = differs & ((size == shown).all(1) | (undeclared & in_shown & ~in_stored))
    if before.any() and not after.any():
        before |= orientation != 1
    return before


def turned_corners(corners: np.ndarray, orientation: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """float64 [n, 4]: boxes of pictures as files store them, in the pixels of the pictures as they are shown.

    orientation: int64 [n], of each box's picture.
    edges: [n, 2], width and height of each box's picture as it is shown.
    """
    ends = np.stack([upright_points(corners[:, first : first + 2], orientation, edges) for first in (0, 2)])
    return np.concatenate((ends.min(0), ends.max(0)), 1)
