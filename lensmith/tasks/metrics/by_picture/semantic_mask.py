"""Masks: the pixels of each class, those that were answered, those that are right, and the same of their edges."""

from collections.abc import Sequence

import numpy as np
import torch

from lensmith.tasks.metrics import METRICS
from lensmith.tasks.metrics.by_picture.picture_counts import CLASSES, PICTURES, Column, Columns
from lensmith.tasks.metrics.pixel_metrics import edge_hits_by_picture
from lensmith.tasks.metrics.rates import ClassCounts, iou_by_class, ratio
from lensmith.values.semantic_mask import IGNORED, Mask

_COUNTS = ("hits", "support", "answered")
COLUMNS = {**{name: Column("int32", (PICTURES, CLASSES)) for name in _COUNTS},
           "edges": Column("int32", (PICTURES, 4, CLASSES))}    # as of `edge_hits`


def keep(truth: Mask, predicted: Mask, pictures: int, classes: int) -> dict[str, np.ndarray]:
    """Pixels, a row a picture, a column a class; void pixels of the truth are not counted."""
    true_classes, answers = truth.classes.long(), predicted.classes.long()
    known = true_classes != IGNORED
    picture = torch.arange(pictures).view(-1, 1, 1) * classes
    tables = [torch.bincount((picture + of)[chosen], minlength=pictures * classes).view(pictures, classes)
              for of, chosen in ((true_classes, known & (true_classes == answers)), (true_classes, known),
                                 (answers, known))]
    edges = edge_hits_by_picture(true_classes, answers.where(known, IGNORED), classes)
    return {**{name: table.numpy().astype(np.int32) for name, table in zip(_COUNTS, tables, strict=True)},
            "edges": edges.numpy().astype(np.int32)}


def measure(metric: str, columns: Columns, weights: np.ndarray, classes: int) -> np.ndarray | None:
    """The metrics of masks."""
    if metric == "boundary_f1":
        return _mean_edge_f1(columns, weights)
    if metric not in METRICS or "mask" not in METRICS[metric].kinds:
        return None
    counts = _counts(columns, weights)
    return np.where(counts.support.sum(-1) > 0, METRICS[metric].function(counts), np.nan)


def by_class(columns: Columns, weights: np.ndarray, classes: int) -> np.ndarray:
    """IoU by class."""
    counts = _counts(columns, weights)
    return np.where(counts.support > 0, iou_by_class(counts), np.nan)


def quality(columns: Columns, pictures: int, classes: int) -> np.ndarray:
    """The fraction of the known pixels that are right."""
    known = columns["support"].sum(1)
    return np.where(known > 0, ratio(columns["hits"].sum(1), known), np.nan)


def say(columns: Columns, picture: int, names: Sequence[str]) -> tuple[str, str]:
    """`grass 60%, cat 40%`, `grass 55%, cat 45%`"""
    texts = []
    for name in ("support", "answered"):
        pixels = columns[name][picture].astype(np.float64)
        largest = [number for number in np.argsort(-pixels, kind="stable")[:3] if pixels[number]]
        texts.append(", ".join(f"{names[number]} {pixels[number] / pixels.sum():.0%}" for number in largest) or "none")
    return texts[0], texts[1]


def _counts(columns: Columns, weights: np.ndarray) -> ClassCounts:
    return ClassCounts(*(weights @ columns[name].astype(np.float64) for name in _COUNTS))


def _mean_edge_f1(columns: Columns, weights: np.ndarray) -> np.ndarray:
    recalled, true, right, found = (weights @ columns["edges"][:, number].astype(np.float64) for number in range(4))
    recall, precision = ratio(recalled, true), ratio(right, found)
    f1, met = ratio(2 * precision * recall, precision + recall) * (true > 0), (true > 0).sum(-1)
    return np.where(met > 0, ratio(f1.sum(-1), met), np.nan)
