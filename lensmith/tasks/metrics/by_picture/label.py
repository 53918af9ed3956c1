"""Labels: the class of each picture, that which was answered, and whether the true one is among the five likeliest."""

from collections.abc import Sequence

import numpy as np

from lensmith.tasks.metrics import METRICS
from lensmith.tasks.metrics.by_picture.picture_counts import CLASSES, PICTURES, Column, Columns
from lensmith.tasks.metrics.labels import among_best
from lensmith.tasks.metrics.rates import ClassCounts, f1_by_class, ratio
from lensmith.values.labels import UNKNOWN, Label

COLUMNS = {"truth": Column("int32", (PICTURES,), below=CLASSES, least=UNKNOWN),
           "answer": Column("int32", (PICTURES,), below=CLASSES),
           "among_five": Column("uint8", (PICTURES,)),
           "probability": Column("float32", (PICTURES,))}    # of the answer


def keep(truth: Label, predicted: Label, pictures: int, classes: int) -> dict[str, np.ndarray]:
    """A row a picture."""
    among_five, probability = truth.index == predicted.index, predicted.index.new_ones(pictures).float()
    if predicted.scores is not None:
        among_five = among_five | among_best(predicted.scores, truth.index.clamp(min=0), 5)
        probability = predicted.scores.float().amax(1)
    return {"truth": truth.index.numpy().astype(np.int32), "answer": predicted.index.numpy().astype(np.int32),
            "among_five": among_five.numpy().astype(np.uint8), "probability": probability.numpy()}


def measure(metric: str, columns: Columns, weights: np.ndarray, classes: int) -> np.ndarray | None:
    """The metrics of labels."""
    known = columns["truth"] != UNKNOWN
    if metric in ("accuracy_top1", "accuracy_top5"):
        hits = columns["truth"] == columns["answer"] if metric == "accuracy_top1" else columns["among_five"] > 0
        total = weights @ known.astype(np.float64)
        return np.where(total > 0, ratio(weights @ (hits & known).astype(np.float64), total), np.nan)
    if metric not in METRICS or "label" not in METRICS[metric].kinds:
        return None
    counts = _counts(columns, weights, classes)
    return np.where(counts.support.sum(-1) > 0, METRICS[metric].function(counts), np.nan)


def by_class(columns: Columns, weights: np.ndarray, classes: int) -> np.ndarray:
    """F1 by class."""
    counts = _counts(columns, weights, classes)
    return np.where(counts.support > 0, f1_by_class(counts), np.nan)


def quality(columns: Columns, pictures: int, classes: int) -> np.ndarray:
    """1 where the answer is right, 0 where it is wrong."""
    return np.where(columns["truth"] == UNKNOWN, np.nan, columns["truth"] == columns["answer"])


def say(columns: Columns, picture: int, names: Sequence[str]) -> tuple[str, str]:
    """`cat`, `dog (93%)`"""
    truth = int(columns["truth"][picture])
    return (names[truth] if truth != UNKNOWN else "not known",
            f"{names[int(columns['answer'][picture])]} ({float(columns['probability'][picture]):.0%})")


def _counts(columns: Columns, weights: np.ndarray, classes: int) -> ClassCounts:
    known = np.flatnonzero(columns["truth"] != UNKNOWN)
    truth, answer = columns["truth"][known], columns["answer"][known]
    right = truth == answer
    tables = np.zeros((3, len(weights), classes))
    for sample, row in enumerate(weights[:, known]):    # a matrix product needs a column a class, gigabytes of 1,000
        tables[0, sample] = np.bincount(truth[right], row[right], minlength=classes)
        tables[1, sample] = np.bincount(truth, row, minlength=classes)
        tables[2, sample] = np.bincount(answer, row, minlength=classes)
    return ClassCounts(*tables)
