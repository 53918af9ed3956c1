"""How well boxes are found: COCO's average precision and recall, and what a report shows of them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import DataError
from lensmith.tasks.metrics.box_matching import (
    Matches,
    TrueBoxes,
    box_confusion,
    match,
    predicted_boxes,
    true_boxes,
)
from lensmith.tasks.metrics.box_precision import RECALLS, PrecisionRecall, precision_recall, rows_by_class
from lensmith.tasks.metrics.confusion import nothing_to_measure
from lensmith.tasks.metrics.from_counts import headlines_of
from lensmith.tasks.metrics.intervals import around, resampled_rows
from lensmith.tasks.metrics.sampled_precision import mean_over_classes, precision_by_class, ranked_by_class
from lensmith.values.boxes import Boxes
from lensmith.values.value import Value

_SCORES = np.linspace(0, 1, 1001)      # thresholds among which the best F1 is looked for
_CURVES_UP_TO = 20                     # classes whose own curves go into the details
_CONFUSION_UP_TO = 1000                # classes whose confusion matrix does
CONFUSION_SCORE, CONFUSION_IOU = 0.25, 0.5
_DTYPES = {"corners": torch.float32, "classes": torch.int64, "image": torch.int64, "scores": torch.float32,
           "crowd": torch.bool, "area": torch.float32}
_PREDICTED, _TRUE = ("corners", "classes", "image", "scores"), ("corners", "classes", "image", "crowd", "area")


class BoxMetrics:
    """mAP50-95, mAP50, mAP75, by size, and average recall: the numbers of `pycocotools` for the same boxes."""

    def __init__(self, classes: tuple[str, ...]):
        self.classes = classes
        self.pictures = 0
        self.columns: dict[str, list[Tensor]] = {
            f"{side}_{name}": [] for side, names in (("predicted", _PREDICTED), ("true", _TRUE)) for name in names}

    def update(self, predictions: dict[str, Value], targets: dict[str, Value], *, count: int | None = None) -> None:
        """Count the `count` pictures of a batch: stacked `Boxes` under `boxes`, both in the file's pixels.

        Without `count` there are as many pictures as the boxes name; empty ones at the end are then not counted.

        Raises DataError for a class that the task does not know.
        """
        predicted, truth = predictions["boxes"], targets["boxes"]
        assert isinstance(predicted, Boxes) and isinstance(truth, Boxes)
        assert predicted.image is not None and truth.image is not None and predicted.scores is not None
        if len(truth.classes) and not 0 <= int(truth.classes.min()) <= int(truth.classes.max()) < len(self.classes):
            wrong = int(truth.classes.min()) if int(truth.classes.min()) < 0 else int(truth.classes.max())
            raise DataError(f"class {wrong} of a box is outside the {len(self.classes)} classes of this task, numbered "
                            f"0 to {len(self.classes) - 1}: test on a data set with the classes of the training set")
        area = torch.full_like(truth.corners[:, 0], torch.nan) if truth.area is None else truth.area
        crowd = torch.zeros_like(truth.classes, dtype=torch.bool) if truth.crowd is None else truth.crowd
        self._append({"predicted_corners": predicted.corners, "predicted_classes": predicted.classes,
                      "predicted_scores": predicted.scores, "predicted_image": predicted.image + self.pictures,
                      "true_corners": truth.corners, "true_crowd": crowd, "true_classes": truth.classes,
                      "true_image": truth.image + self.pictures, "true_area": area})
        images = torch.cat((predicted.image, truth.image))
        named = images.max().item() + 1 if len(images) else 0
        self.pictures += int(named) if count is None else count

    def _append(self, columns: dict[str, Tensor]) -> None:
        for name, column in columns.items():
            self.columns[name].append(column)

    def _column(self, name: str) -> Tensor:
        field = name.partition("_")[2]
        return torch.cat([torch.zeros((0, 4) if field == "corners" else 0, dtype=_DTYPES[field]),
                          *(column.to(_DTYPES[field]) for column in self.columns[name])])

    def boxes(self, side: str) -> Boxes:
        """Every box that was counted, stacked: the "predicted" or the "true" ones."""
        names = _PREDICTED if side == "predicted" else _TRUE
        return Boxes(**{name: self._column(f"{side}_{name}") for name in names})

    def state(self) -> dict[str, Tensor]:
        """Every box that was counted, and how many pictures there were."""
        return {"pictures": torch.tensor(self.pictures), **{name: self._column(name) for name in self.columns}}

    def merge(self, state: dict[str, Tensor]) -> None:
        """Add another's boxes, of the pictures that come after those counted here."""
        self._append({name: column + self.pictures if name.endswith("_image") else column
                      for name, column in state.items() if name != "pictures"})
        self.pictures += int(state["pictures"])

    def matches(self) -> Matches:
        """Which predicted box met which true one, of all that were counted."""
        return match(predicted_boxes(self.boxes("predicted")), true_boxes(self.boxes("true")), len(self.classes))

    def result(self) -> dict[str, Any]:
        """The metrics of boxes, of which those without a true box (of that size) are left out, intervals, and details.

        The details: `count` pictures, `boxes` of the truth, `per_class` rows, `best_threshold`, the `curves`, and a
        `confusion` matrix with the background last, up to 1,000 classes. Raises DataError where no picture has a box.
        """
        truth = true_boxes(self.boxes("true"))
        result = measured_matches(self.classes, self.matches(), truth, self.pictures)
        if len(self.classes) <= _CONFUSION_UP_TO:
            shown = predicted_boxes(self.boxes("predicted"), CONFUSION_SCORE)
            result["details"]["confusion"] = box_confusion(shown, truth, len(self.classes),
                                                           threshold=CONFUSION_IOU).tolist()
            result["details"]["confusion_names"] = [*self.classes, "background"]
        return result


def measured_matches(names: tuple[str, ...], matches: Matches, truth: TrueBoxes, pictures: int) -> dict[str, Any]:
    """What a task's metrics give, from the matches of all predictions with the truth of so many pictures. Raises
    DataError where there is no truth."""
    positives = matches.positives[:, 0]
    if not positives.any():
        raise nothing_to_measure("box")
    tables = precision_recall(matches)
    headlines = headlines_of("boxes", tables)
    intervals = {"mAP50": around(headlines["mAP50"], _resampled(matches, truth, pictures))}
    details = {"count": pictures, "boxes": int(positives.sum()), **_at_best_threshold(names, matches, tables)}
    return {**headlines, "intervals": intervals, "details": details}


def _resampled(matches: Matches, truth: TrueBoxes, pictures: int) -> np.ndarray:
    """float [samples]: mAP50 of bootstrap samples of the pictures, whose boxes come and go together.

    It is higher than of the pictures themselves where classes have few boxes: a picture drawn twice has each box twice.
    """
    true_rows = [truth.image[(truth.classes == number) & ~truth.crowd] for number in range(len(matches.positives))]
    ranked = ranked_by_class(matches, len(true_rows))
    values = np.concatenate([mean_over_classes(precision_by_class(ranked, true_rows, drawn.astype(np.float32)))
                             for drawn in resampled_rows(pictures, -(-sum(map(len, ranked)) // pictures) or 1)])
    return values[~np.isnan(values)]    # a sample without any true box has no average precision


def _at_best_threshold(names: tuple[str, ...], matches: Matches, tables: PrecisionRecall) -> dict[str, Any]:
    """The score from which on boxes are best shown: where the mean F1 of the classes is highest, at IoU 0.5.

    With the rows of the classes there, and the curves; classes without a true box are left out.
    """
    precision, positives = tables.precision, matches.positives[:, 0]
    kept = np.flatnonzero(positives)
    rows_of = rows_by_class(matches, len(names))
    right, shown = np.zeros((len(kept), len(_SCORES))), np.zeros((len(kept), len(_SCORES)))
    for row, number in enumerate(kept):
        rows = rows_of[number]
        reached = np.searchsorted(-matches.scores[rows], -_SCORES, side="right")    # boxes with at least each score
        hits = np.append(0, matches.right[rows, 0, 0].cumsum())
        misses = np.append(0, matches.wrong[rows, 0, 0].cumsum())
        right[row], shown[row] = hits[reached], (hits + misses)[reached]
    f1 = 2 * right / (shown + positives[kept, None])
    mean = f1.mean(0)
    best = int(np.flatnonzero(mean == mean.max()).mean().round())    # the middle of where it is highest
    exact = np.divide(right, shown, out=np.zeros_like(right), where=shown > 0)[:, best]
    per_class = [{"class": names[number], "AP50-95": float(precision[:, :, number, 0].mean()),
                  "AP50": float(precision[0, :, number, 0].mean()), "precision": float(exact[row]),
                  "recall": float(right[row, best] / positives[number]), "f1": float(f1[row, best]),
                  "boxes": int(positives[number])} for row, number in enumerate(kept)]
    drawn = range(len(kept)) if 1 < len(kept) <= _CURVES_UP_TO else ()
    at_half = precision[0, :, kept, 0]    # [classes, recalls]
    curves = {"recall": _rounded(RECALLS), "precision": _rounded(at_half.mean(0)),
              "precision_of": {names[kept[row]]: _rounded(at_half[row]) for row in drawn},
              "score": _rounded(_SCORES[::10]), "f1": _rounded(mean[::10]),
              "f1_of": {names[kept[row]]: _rounded(f1[row, ::10]) for row in drawn}}
    return {"best_threshold": float(_SCORES[best]), "best_f1": float(mean[best]), "per_class": per_class,
            "curves": curves}


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]
