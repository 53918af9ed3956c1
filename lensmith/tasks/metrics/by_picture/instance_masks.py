"""Objects with their pixels: what is kept of boxes, once by the masks and once by the boxes around them."""

from collections.abc import Sequence

import numpy as np

from lensmith.tasks.metrics.box_matching import mask_overlaps, match, predicted_boxes, true_boxes
from lensmith.tasks.metrics.by_picture import boxes
from lensmith.tasks.metrics.by_picture.picture_counts import Column, Columns
from lensmith.values.instance_masks import Masks

_BOX = "box_"    # before the names of the columns of the boxes
COLUMNS = {**boxes.COLUMNS, **{f"{_BOX}{name}": Column(column.dtype, ("box_found", *column.shape[1:]),
                                                       below=column.below) for name, column in boxes.FOUND.items()}}


def keep(truth: Masks, predicted: Masks, pictures: int, classes: int) -> dict[str, np.ndarray]:
    """A row for each object that was found, by its mask and by its box, and one for each true object."""
    true, found = true_boxes(truth), predicted_boxes(predicted)
    by_mask = match(found, true, classes, overlap=mask_overlaps(predicted, truth))
    by_box = match(predicted_boxes(predicted.boxes()), true_boxes(truth.boxes()), classes)
    return {**boxes.found_columns(by_mask), **boxes.true_columns(true),
            **{f"{_BOX}{name}": column for name, column in boxes.found_columns(by_box).items()}}


def measure(metric: str, columns: Columns, weights: np.ndarray, classes: int) -> np.ndarray | None:
    """The metrics of instances: `mask_...` and `box_...`."""
    side, _, name = metric.partition("_")
    if side not in ("mask", "box"):
        return None
    return boxes.measure(name, columns if side == "mask" else _of_boxes(columns), weights, classes)


def by_class(columns: Columns, weights: np.ndarray, classes: int) -> np.ndarray:
    """Average precision of the masks at an IoU of 0.5, by class."""
    return boxes.by_class(columns, weights, classes)


def quality(columns: Columns, pictures: int, classes: int) -> np.ndarray:
    """As of boxes, by the masks."""
    return boxes.quality(columns, pictures, classes)


def say(columns: Columns, picture: int, names: Sequence[str]) -> tuple[str, str]:
    """As of boxes, by the masks."""
    return boxes.say(columns, picture, names)


def _of_boxes(columns: Columns) -> dict[str, np.ndarray]:
    own = {name.removeprefix(_BOX): column for name, column in columns.items() if name.startswith(_BOX)}
    return {**columns, **own}
