"""What the boxes of a data set are like: how many, how large, and where in their pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from lensmith.values.box_arithmetic import area
from lensmith.values.boxes import Boxes

GRID = 16              # fields of the picture each way, in which centres are counted
_BINS = 20             # of a histogram
_DECADES = 5           # the histogram of areas begins at 10^-5 of the picture
_MOST_IN_PICTURE = 20    # boxes; pictures with more are counted together
_SMALL, _LARGE = 32**2, 96**2    # square pixels, as COCO divides them


def box_statistics(boxes: Boxes, sizes: Tensor, names: Sequence[str]) -> dict[str, Any]:
    """Plain data on stacked `boxes`; `sizes` [pictures, 2] are the height and width of each picture, in their pixels.

    - `pictures`, `boxes`, `crowd`, `background` (pictures without a box) and `per_class` {name: boxes};
    - `sizes`: how many are small, medium and large, as COCO divides them, by the annotation's own area where given;
    - `width`, `height`, `area`: histograms {low, high, counts} of fractions of the picture, that of the area over
      log10;
    - `centres`: [16][16] counts, rows from the top, and `per_picture`: how many pictures have 0, 1, ... 20 or more.

    What is a crowd is counted as such and in nothing else.
    """
    assert boxes.image is not None
    extents = sizes.double().numpy()
    crowd = np.zeros(len(boxes.classes), bool) if boxes.crowd is None else boxes.crowd.numpy()
    tensors = boxes.corners.double(), boxes.image, boxes.classes
    corners, image, classes = (tensor.numpy()[~crowd] for tensor in tensors)
    height, width = extents[image].T
    wide, high = (corners[:, 2] - corners[:, 0]) / width, (corners[:, 3] - corners[:, 1]) / height
    areas = area(boxes.corners).double().numpy()
    if boxes.area is not None:
        annotated = boxes.area.double().numpy()
        areas = np.where(np.isnan(annotated), areas, annotated)
    areas = areas[~crowd]
    across, down = ((corners[:, side] + corners[:, side + 2]) / 2 / edge for side, edge in ((0, width), (1, height)))
    column, row = (np.clip(centre * GRID, 0, GRID - 1).astype(np.int64) for centre in (across, down))
    centres = np.bincount(row * GRID + column, minlength=GRID * GRID).reshape(GRID, GRID)
    in_picture = np.bincount(image, minlength=len(extents))
    covered = np.log10(np.maximum(wide * high, 10.0**-_DECADES))
    return {
        "pictures": len(extents), "boxes": len(classes), "crowd": int(crowd.sum()),
        "background": int((in_picture == 0).sum()),
        "per_class": dict(zip(names, np.bincount(classes, minlength=len(names)).tolist(), strict=True)),
        "sizes": {"small": int((areas < _SMALL).sum()), "medium": int(((areas >= _SMALL) & (areas < _LARGE)).sum()),
                  "large": int((areas >= _LARGE).sum())},
        "width": _histogram(wide, 0, 1), "height": _histogram(high, 0, 1), "area": _histogram(covered, -_DECADES, 0),
        "centres": centres.tolist(),
        "per_picture": np.bincount(np.minimum(in_picture, _MOST_IN_PICTURE)).tolist(),
    }


def _histogram(values: np.ndarray, low: float, high: float) -> dict[str, Any]:
    """Counts in equal steps from `low` to `high`; what lies beyond is counted at the end."""
    counts = np.histogram(np.clip(values, low, high), _BINS, (low, high))[0]
    return {"low": low, "high": high, "counts": counts.tolist()}
