"""Boxes: which of those that were found met a true one, at each IoU and size, and which were there."""

from collections.abc import Sequence

import numpy as np

from lensmith.tasks.metrics import METRICS
from lensmith.tasks.metrics.box_matching import (
    LIMITS,
    MOST_FOUND,
    SIZES,
    THRESHOLDS,
    Matches,
    TrueBoxes,
    match,
    predicted_boxes,
    true_boxes,
)
from lensmith.tasks.metrics.by_picture.picture_counts import CLASSES, PICTURES, Column, Columns
from lensmith.tasks.metrics.rates import ratio
from lensmith.tasks.metrics.sampled_precision import (
    mean_over_classes,
    precision_by_class,
    ranked_by_class,
    recall_by_class,
)
from lensmith.values.boxes import Boxes

_SHOWN = 0.25    # the least score of a box that counts as found in one picture, as it is shown
_TABLE = (len(THRESHOLDS), len(SIZES))
_BYTES = -(-_TABLE[0] * _TABLE[1] // 8)
FOUND = {"found_image": Column("int32", ("found",), below=PICTURES), "score": Column("float32", ("found",)),
         "found_class": Column("int32", ("found",), below=CLASSES), "rank": Column("uint8", ("found",)),
         "right": Column("uint8", ("found", _BYTES)), "wrong": Column("uint8", ("found", _BYTES))}    # as bits
COLUMNS = {**FOUND, "true_image": Column("int32", ("true",), below=PICTURES),
           "true_class": Column("int32", ("true",), below=CLASSES),
           "counts": Column("uint8", ("true",))}    # a bit for each of SIZES, the first the lowest


def keep(truth: Boxes, predicted: Boxes, pictures: int, classes: int) -> dict[str, np.ndarray]:
    """A row for each box that was found and that counts, and one for each true box."""
    true = true_boxes(truth)
    return found_columns(match(predicted_boxes(predicted), true, classes)) | true_columns(true)


def found_columns(matches: Matches) -> dict[str, np.ndarray]:
    """What is kept of boxes or masks that were found; those that count nowhere are left out."""
    counts = (matches.right | matches.wrong).any((1, 2))
    right, wrong = (np.packbits(table[counts].reshape(-1, _TABLE[0] * _TABLE[1]), axis=1)
                    for table in (matches.right, matches.wrong))
    return {"found_image": matches.image[counts].astype(np.int32), "score": matches.scores[counts].astype(np.float32),
            "found_class": matches.classes[counts].astype(np.int32), "rank": matches.rank[counts].astype(np.uint8),
            "right": right, "wrong": wrong}


def true_columns(truth: TrueBoxes) -> dict[str, np.ndarray]:
    """What is kept of true boxes."""
    area = truth.area[:, None]
    counts = ~truth.crowd[:, None] & (area >= LIMITS[:, 0]) & (area <= LIMITS[:, 1])
    return {"true_image": truth.image.astype(np.int32), "true_class": truth.classes.astype(np.int32),
            "counts": (counts << np.arange(len(SIZES))).sum(1).astype(np.uint8)}


def measure(metric: str, columns: Columns, weights: np.ndarray, classes: int) -> np.ndarray | None:
    """The metrics of boxes."""
    if metric not in METRICS or "boxes" not in METRICS[metric].kinds:
        return None
    matches = _matches(columns, classes)
    if metric.startswith("AR"):
        return mean_over_classes(recall_by_class(matches, _true_rows(columns, classes), weights, most=int(metric[2:])))
    name, _, size = metric.partition("-")
    of_size = SIZES.index(size) if size in SIZES else 0
    thresholds = [round((int(name[3:]) - 50) / 5)] if name[3:] and size != "95" else range(len(THRESHOLDS))
    true_rows = _true_rows(columns, classes, of_size)
    each = [mean_over_classes(precision_by_class(ranked_by_class(matches, classes, threshold=threshold, size=of_size),
                                                 true_rows, weights)) for threshold in thresholds]
    return np.asarray(sum(each) / len(each))


def by_class(columns: Columns, weights: np.ndarray, classes: int) -> np.ndarray:
    """Average precision at an IoU of 0.5, by class."""
    return precision_by_class(ranked_by_class(_matches(columns, classes), classes), _true_rows(columns, classes),
                              weights)


def quality(columns: Columns, pictures: int, classes: int) -> np.ndarray:
    """2 right / (true + found), of what was found with a score of 0.25 or more at an IoU of 0.5; 1 where there is
    nothing and nothing was found."""
    shown, (right, wrong) = columns["score"] >= _SHOWN, _tables(columns)
    hits = np.bincount(columns["found_image"][shown & right[:, 0, 0]], minlength=pictures)
    misses = np.bincount(columns["found_image"][shown & wrong[:, 0, 0]], minlength=pictures)
    true = np.bincount(columns["true_image"][columns["counts"] & 1 > 0], minlength=pictures)
    return np.where(true + hits + misses > 0, ratio(2 * hits, true + hits + misses), 1.0)


def say(columns: Columns, picture: int, names: Sequence[str]) -> tuple[str, str]:
    """`3 there`, `2 found, 1 missed, 1 in vain`"""
    (right, wrong), chosen = _tables(columns), (columns["found_image"] == picture) & (columns["score"] >= _SHOWN)
    true = int(((columns["true_image"] == picture) & (columns["counts"] & 1 > 0)).sum())
    hits, vain = int((chosen & right[:, 0, 0]).sum()), int((chosen & wrong[:, 0, 0]).sum())
    return f"{true} there", f"{hits} found, {true - hits} missed, {vain} in vain"


def _tables(columns: Columns) -> list[np.ndarray]:
    """bool [found, thresholds, sizes] each: right and wrong."""
    cells = _TABLE[0] * _TABLE[1]
    return [np.unpackbits(columns[name], axis=1, count=cells).astype(bool).reshape(-1, *_TABLE)
            for name in ("right", "wrong")]


def _matches(columns: Columns, classes: int) -> Matches:
    order = np.lexsort((columns["rank"], columns["found_image"], columns["found_class"]))
    right, wrong = _tables(columns)
    sizes = (columns["counts"][:, None] >> np.arange(len(SIZES))) & 1
    positives = np.stack([np.bincount(columns["true_class"], sizes[:, size], minlength=classes)
                          for size in range(len(SIZES))], 1).astype(np.int64)
    return Matches(columns["found_class"][order], columns["score"][order],
                   np.minimum(columns["rank"][order], MOST_FOUND), columns["found_image"][order], right[order],
                   wrong[order], positives)


def _true_rows(columns: Columns, classes: int, size: int = 0) -> list[np.ndarray]:
    """The pictures of the true boxes of each class that count for a size."""
    counts = (columns["counts"] >> size) & 1 > 0
    return [columns["true_image"][counts & (columns["true_class"] == number)] for number in range(classes)]
