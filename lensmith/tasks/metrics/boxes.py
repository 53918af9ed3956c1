"""How well boxes are found: COCO's average precision and recall, and what a report shows of them."""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import DataError
from lensmith.tasks.metrics.box_matching import (
    MOST_FOUND,
    SIZES,
    THRESHOLDS,
    Matches,
    Truth,
    confusion,
    found_of,
    match,
    truth_of,
)
from lensmith.tasks.metrics.confusion import nothing_to_measure
from lensmith.tasks.metrics.intervals import around, resampled_rows
from lensmith.values.boxes import Boxes
from lensmith.values.value import Value

_RECALLS = np.linspace(0, 1, 101)      # where the precision is read off
_SCORES = np.linspace(0, 1, 1001)      # thresholds among which the best F1 is looked for
_TOGETHER = 1 << 20                    # counts of boxes in bootstrap samples at once, 4 MB
_CURVES_UP_TO = 20                     # classes whose own curves go into the details
_CONFUSION_UP_TO = 1000                # classes whose confusion matrix does
CONFUSION_SCORE, CONFUSION_IOU = 0.25, 0.5
_KINDS = {"corners": torch.float32, "classes": torch.int64, "image": torch.int64, "scores": torch.float32,
          "crowd": torch.bool, "area": torch.float32}
_FOUND, _TRUE = ("corners", "classes", "image", "scores"), ("corners", "classes", "image", "crowd", "area")


class BoxMetrics:
    """mAP50-95, mAP50, mAP75, by size, and average recall: the numbers of `pycocotools` for the same boxes."""

    def __init__(self, classes: tuple[str, ...]):
        self.classes = classes
        self.pictures = 0
        self.parts: dict[str, list[Tensor]] = {
            f"{side}_{name}": [] for side, names in (("found", _FOUND), ("true", _TRUE)) for name in names}

    def update(self, predictions: dict[str, Value], targets: dict[str, Value], *, count: int | None = None) -> None:
        """Count the `count` pictures of a batch: stacked `Boxes` under `boxes`, both in the file's pixels.

        Without `count` there are as many pictures as the boxes name; empty ones at the end are then not counted.

        Raises DataError for a class that the task does not know.
        """
        found, true = predictions["boxes"], targets["boxes"]
        assert isinstance(found, Boxes) and isinstance(true, Boxes)
        assert found.image is not None and true.image is not None and found.scores is not None
        if len(true.classes) and not 0 <= int(true.classes.min()) <= int(true.classes.max()) < len(self.classes):
            wrong = int(true.classes.min()) if int(true.classes.min()) < 0 else int(true.classes.max())
            raise DataError(f"class {wrong} of a box is outside the {len(self.classes)} classes of this task, numbered "
                            f"0 to {len(self.classes) - 1}: test on a data set with the classes of the training set")
        area = torch.full_like(true.corners[:, 0], torch.nan) if true.area is None else true.area
        crowd = torch.zeros_like(true.classes, dtype=torch.bool) if true.crowd is None else true.crowd
        self._append({"found_corners": found.corners, "found_classes": found.classes, "found_scores": found.scores,
                      "found_image": found.image + self.pictures, "true_corners": true.corners, "true_crowd": crowd,
                      "true_classes": true.classes, "true_image": true.image + self.pictures, "true_area": area})
        named = torch.cat((found.image, true.image)).max().item() + 1 if len(found.image) + len(true.image) else 0
        self.pictures += int(named) if count is None else count

    def _append(self, columns: dict[str, Tensor]) -> None:
        for name, column in columns.items():
            self.parts[name].append(column)

    def _column(self, name: str) -> Tensor:
        kind = name.partition("_")[2]
        return torch.cat([torch.zeros((0, 4) if kind == "corners" else 0, dtype=_KINDS[kind]),
                          *(part.to(_KINDS[kind]) for part in self.parts[name])])

    def _boxes(self, side: str) -> Boxes:
        return Boxes(**{name: self._column(f"{side}_{name}") for name in (_FOUND if side == "found" else _TRUE)})

    def state(self) -> dict[str, Tensor]:
        """Every box that was counted, and how many pictures there were."""
        return {"pictures": torch.tensor(self.pictures), **{name: self._column(name) for name in self.parts}}

    def merge(self, state: dict[str, Tensor]) -> None:
        """Add another's boxes, of the pictures that come after those counted here."""
        self._append({name: column + self.pictures if name.endswith("_image") else column
                      for name, column in state.items() if name != "pictures"})
        self.pictures += int(state["pictures"])

    def result(self) -> dict[str, Any]:
        """The headlines, of which those without a true box (of that size) are left out, intervals, and details.

        The details: `count` pictures, `boxes` of the truth, `per_class` rows, `best_threshold`, the `curves`, and a
        `confusion` matrix with the background last, up to 1,000 classes. Raises DataError where no picture has a box.
        """
        truth = truth_of(self._boxes("true"))
        matches = match(found_of(self._boxes("found")), truth, len(self.classes))
        result = measured(self.classes, matches, truth, self.pictures)
        if len(self.classes) <= _CONFUSION_UP_TO:
            shown = found_of(self._boxes("found"), CONFUSION_SCORE)
            result["details"]["confusion"] = confusion(shown, truth, len(self.classes),
                                                       threshold=CONFUSION_IOU).tolist()
            result["details"]["confusion_names"] = [*self.classes, "background"]
        return result


def measured(names: tuple[str, ...], matches: Matches, truth: Truth, pictures: int) -> dict[str, Any]:
    """What a task's metrics give, from the matches of all found ones with the truth of so many pictures. Raises
    DataError where there is no truth."""
    counted = matches.positives[:, 0]
    if not counted.any():
        raise nothing_to_measure("box")
    precision = average_precision(matches)
    headlines = _headlines(precision, _recalls(matches))
    intervals = {"mAP50": around(headlines["mAP50"], _resampled(matches, truth, pictures))}
    details = {"count": pictures, "boxes": int(counted.sum()), **_at_best_threshold(names, matches, precision)}
    return {**headlines, "intervals": intervals, "details": details}


def average_precision(matches: Matches) -> np.ndarray:
    """float64 [thresholds, recalls, classes, sizes]: the best precision at no less than each recall.

    NaN where a class has no true box of that size.
    """
    classes, sizes = matches.positives.shape
    precision = np.where(matches.positives > 0, 0, np.full((len(THRESHOLDS), len(_RECALLS), classes, sizes), np.nan))
    for number, rows in enumerate(_by_class(matches, classes)):
        # One box after another in memory: counted through faster than with the thresholds between them.
        right, wrong = (np.ascontiguousarray(one[rows].transpose(1, 2, 0)) for one in (matches.right, matches.wrong))
        for threshold, size in np.argwhere(right.any(2)).tolist():
            hits = np.flatnonzero(right[threshold, size])
            missed = wrong[threshold, size].cumsum(dtype=np.int32)[hits]
            precision[threshold, :, number, size] = _interpolated(missed, int(matches.positives[number, size]))
    return precision


def _by_class(matches: Matches, classes: int) -> list[np.ndarray]:
    """For each class its rows by falling score; equal scores in the order of the pictures."""
    cuts = np.searchsorted(matches.classes, np.arange(classes + 1))
    return [first + np.argsort(-matches.scores[first:last], kind="stable")
            for first, last in pairwise(cuts)]


def _interpolated(wrong: np.ndarray, positives: int) -> np.ndarray:
    """float64 [recalls] from the wrong boxes that come before each right one, int [right]."""
    order = np.arange(1, len(wrong) + 1, dtype=np.float64)
    # Only a right box can raise the precision, so those alone are looked at.
    best = np.maximum.accumulate((order / (wrong + order))[::-1])[::-1]
    place = np.searchsorted(order / positives, _RECALLS, side="left")
    return np.append(best, 0.0)[place]


def _recalls(matches: Matches) -> dict[int, np.ndarray]:
    """For each number of boxes a picture may have found of a class: the recall, float64 [thresholds, classes, sizes].

    NaN where a class has no true box of that size.
    """
    classes, sizes = matches.positives.shape
    found = {}
    for most in (1, 10, MOST_FOUND):
        allowed = matches.rank < most
        hits = np.zeros((classes, len(THRESHOLDS), sizes))
        cuts = np.searchsorted(matches.classes[allowed], np.arange(classes + 1))
        right = matches.right[allowed]
        for number in range(classes):
            hits[number] = right[cuts[number]: cuts[number + 1]].sum(0)
        positives = np.where(matches.positives > 0, matches.positives, np.nan)
        found[most] = (hits / positives[:, None]).swapaxes(0, 1)
    return found


def _headlines(precision: np.ndarray, recall: dict[int, np.ndarray]) -> dict[str, float]:
    numbers = {"mAP50-95": precision[..., 0], "mAP50": precision[0, ..., 0], "mAP75": precision[5, ..., 0],
               **{f"mAP-{name}": precision[..., size] for size, name in enumerate(SIZES) if size},
               **{f"AR{most}": values[..., 0] for most, values in recall.items()}}
    return {name: float(np.nanmean(values)) for name, values in numbers.items() if not np.isnan(values).all()}


def _resampled(matches: Matches, truth: Truth, pictures: int) -> np.ndarray:
    """float [samples]: mAP50 of bootstrap samples of the pictures, whose boxes come and go together.

    It is higher than of the pictures themselves where classes have few boxes: a picture drawn twice has each box twice.
    """
    classes = len(matches.positives)
    hits, misses, places, there = [], [], [], []
    for number, rows in enumerate(_by_class(matches, classes)):
        right, wrong = np.flatnonzero(matches.right[rows, 0, 0]), np.flatnonzero(matches.wrong[rows, 0, 0])
        wrong = wrong[: np.searchsorted(wrong, right[-1])] if len(right) else wrong[:0]    # no later one counts
        hits.append(matches.image[rows[right]])
        misses.append(matches.image[rows[wrong]])
        places.append(np.searchsorted(wrong, right))
        there.append(truth.image[(truth.classes == number) & ~truth.crowd])
    draws = []
    size = sum(map(len, hits)) + sum(map(len, misses))
    together = max(1, _TOGETHER // max(1, *map(len, hits), *map(len, misses)))
    for drawn in resampled_rows(pictures, -(-size // pictures) or 1):
        for weights in np.array_split(drawn.astype(np.float32), -(-len(drawn) // together)):
            times = np.ascontiguousarray(weights.T)    # [pictures, chunk]: how often each was drawn
            means = np.stack([_weighted(times[hits[number]], times[misses[number]], places[number],
                                        times[there[number]].sum(0)) for number in range(classes)])
            met = ~np.isnan(means)
            some = met.any(0)    # a sample without any true box has no average precision
            draws.append(np.where(met, means, 0).sum(0)[some] / met.sum(0)[some])
    return np.concatenate(draws)


def _weighted(hits: np.ndarray, misses: np.ndarray, places: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """float [chunk]: a class's average precision where each box counts several times; NaN without a true one.

    By falling score: `hits` [right, chunk], `misses` [wrong, chunk], of which `places` [right] come before each hit.
    """
    found = hits.cumsum(0)
    before = np.concatenate((np.zeros_like(positives)[None], misses.cumsum(0)))[places]
    precision = np.divide(found, found + before, out=np.zeros_like(found), where=found > 0)
    best = np.maximum.accumulate(precision[::-1], 0)[::-1]
    recall = np.divide(found, positives, out=np.zeros_like(found), where=positives > 0)
    # Of the points where the precision is read off, those that each hit is the first to reach.
    reached = np.where(found > 0, np.floor((len(_RECALLS) - 1) * recall + 1e-3) + 1, 0)
    total = (best * np.diff(reached, axis=0, prepend=0)).sum(0) / len(_RECALLS)
    return np.where(positives > 0, total, np.nan)


def _at_best_threshold(names: tuple[str, ...], matches: Matches, precision: np.ndarray) -> dict[str, Any]:
    """The score from which on boxes are best shown: where the mean F1 of the classes is highest, at IoU 0.5.

    With the rows of the classes there, and the curves; classes without a true box are left out.
    """
    positives = matches.positives[:, 0]
    kept = np.flatnonzero(positives)
    rows_of = _by_class(matches, len(names))
    right, said = np.zeros((len(kept), len(_SCORES))), np.zeros((len(kept), len(_SCORES)))
    for row, number in enumerate(kept):
        rows = rows_of[number]
        reached = np.searchsorted(-matches.scores[rows], -_SCORES, side="right")    # boxes with at least each score
        hits = np.append(0, matches.right[rows, 0, 0].cumsum())
        misses = np.append(0, matches.wrong[rows, 0, 0].cumsum())
        right[row], said[row] = hits[reached], (hits + misses)[reached]
    f1 = 2 * right / (said + positives[kept, None])
    mean = f1.mean(0)
    best = int(np.flatnonzero(mean == mean.max()).mean().round())    # the middle of where it is highest
    exact = np.divide(right, said, out=np.zeros_like(right), where=said > 0)[:, best]
    per_class = [{"class": names[number], "AP50-95": float(precision[:, :, number, 0].mean()),
                  "AP50": float(precision[0, :, number, 0].mean()), "precision": float(exact[row]),
                  "recall": float(right[row, best] / positives[number]), "f1": float(f1[row, best]),
                  "boxes": int(positives[number])} for row, number in enumerate(kept)]
    shown = range(len(kept)) if 1 < len(kept) <= _CURVES_UP_TO else ()
    at_half = precision[0, :, kept, 0]    # [classes, recalls]
    curves = {"recall": _rounded(_RECALLS), "precision": _rounded(at_half.mean(0)),
              "precision_of": {names[kept[row]]: _rounded(at_half[row]) for row in shown},
              "score": _rounded(_SCORES[::10]), "f1": _rounded(mean[::10]),
              "f1_of": {names[kept[row]]: _rounded(f1[row, ::10]) for row in shown}}
    return {"best_threshold": float(_SCORES[best]), "best_f1": float(mean[best]), "per_class": per_class,
            "curves": curves}


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]
