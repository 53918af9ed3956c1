"""From truth and predictions, as arrays, lists or values, to the counts that metrics are functions of."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import UserError, described, nearest
from lensmith.tasks.metrics.box_precision import PrecisionRecall, precision_recall
from lensmith.tasks.metrics.boxes import BoxMetrics
from lensmith.tasks.metrics.error_sums import ErrorSums
from lensmith.tasks.metrics.instances import InstanceMetrics
from lensmith.tasks.metrics.labels import among_best
from lensmith.tasks.metrics.numbers import error_tables
from lensmith.tasks.metrics.pixel_metrics import MaskMetrics
from lensmith.tasks.metrics.rates import ClassCounts
from lensmith.tasks.metrics.tags import tag_counts
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks, pack_bits, pixel_counts
from lensmith.values.labels import UNKNOWN, Label, Numbers, Tags
from lensmith.values.semantic_mask import IGNORED, Mask
from lensmith.values.value import Value

_OBJECT_KEYS = ("boxes", "labels", "scores", "masks", "crowd", "area")


def label_counts(truth: Any, predicted: Any) -> ClassCounts:
    """Of one class a picture: numbers or names, [n] each, or `Label`; -1 in the truth is no label. Raises UserError."""
    true, guessed = _labels("truth", truth), _labels("predicted", predicted)
    _check_length(len(true), len(guessed))
    if (true.dtype.kind == "U") != (guessed.dtype.kind == "U"):
        raise UserError(f"truth has {_contents(true)} and predicted has {_contents(guessed)}: give class numbers in "
                        "both, or names in both")
    if true.dtype.kind != "U":
        known = true != UNKNOWN
        true, guessed = true[known], guessed[known]
        lowest = min(true.min(initial=0), guessed.min(initial=0))
        if lowest < 0:
            raise UserError(f"a class number is {lowest}: classes are numbered from 0 on, and {UNKNOWN} in the truth "
                            "stands for a picture without a label")
    if not len(true):
        raise UserError("nothing to measure: the truth has no picture with a label")
    names, numbers = np.unique(np.concatenate((true, guessed)), return_inverse=True)
    numbers = numbers.reshape(2, -1)
    hits = np.bincount(numbers[0][numbers[0] == numbers[1]], minlength=len(names))
    return ClassCounts(hits, *(np.bincount(side, minlength=len(names)) for side in numbers))


def ranked_label_counts(truth: Any, scores: Any) -> ClassCounts:
    """Of one class a picture, and the scores of all, float [n, classes], or `Label` with its scores; with `top5`."""
    stacked = _stacked(scores, Label)
    table = _table("scores", stacked.scores if stacked is not None else scores, "float [pictures, classes]")
    true = _labels("truth", truth)
    _check_length(len(true), len(table))
    beyond = _contents(true) if true.dtype.kind == "U" else f"the class {true.max()}" \
        if true.max(initial=0) >= table.shape[1] else ""
    if beyond:
        raise UserError(f"truth holds {beyond}, and scores have {table.shape[1]} columns: give class numbers from 0 to "
                        f"{table.shape[1] - 1}")
    counts = label_counts(true, table.argmax(1))
    known = true != UNKNOWN
    index, rows = torch.from_numpy(true[known]).long(), torch.from_numpy(table[known])
    top5 = int(((rows.argmax(1) == index) | among_best(rows, index, 5)).sum()) if table.shape[1] >= 5 else None
    return ClassCounts(counts.hits, counts.support, counts.predicted, top5=top5)


def class_or_tag_counts(truth: Any, predicted: Any) -> ClassCounts:
    """Of labels, [n] each, or of tags, [n, tags] each: as `label_counts` and `counts_of_tags`."""
    tags = _stacked(truth, Tags) is not None or (
        _stacked(truth, Label) is None and _plain("truth", truth).ndim == 2)
    return counts_of_tags(truth, predicted) if tags else label_counts(truth, predicted)


def counts_of_tags(truth: Any, predicted: Any, *, scores: bool = False) -> ClassCounts:
    """Of any number of tags a picture: [n, tags] each, 1 present, 0 absent, NaN in the truth not known, or `Tags`; with
    `scores` the predictions are float [n, tags], the higher the surer."""
    shape = "[pictures, tags], 1 present and 0 absent"
    stacked = _stacked(truth, Tags), _stacked(predicted, Tags)
    true = _table("truth", truth if stacked[0] is None else stacked[0].present, shape)
    if stacked[1] is not None:
        predicted = stacked[1].scores if scores else stacked[1].present
    guessed = _table("predicted", predicted, "float [pictures, tags], scores" if scores else shape)
    _check_shape(true, guessed)
    if not scores and not np.isin(guessed, (0, 1)).all():
        raise UserError(f"predicted holds {guessed[~np.isin(guessed, (0, 1))][0]:g}, and tags are 1 (present) or 0 "
                        "(absent): decide by a threshold first, as in scores >= 0.5")
    if np.isnan(true).all():
        raise UserError("nothing to measure: the truth has no picture with a known tag")
    return tag_counts(true, guessed, guessed)[0]


def error_sums(truth: Any, predicted: Any) -> ErrorSums:
    """Of numbers: [n] or [n, quantities] each, NaN in the truth not known, or `Numbers`. Raises UserError."""
    true, guessed = _numbers("truth", truth), _numbers("predicted", predicted)
    _check_shape(true, guessed)
    missing = np.isnan(true).all(0)
    if missing.any() or not true.size:
        raise UserError("nothing to measure: the truth has no known number"
                        + (f" of quantity {int(missing.argmax())}" if true.shape[1] > 1 else ""))
    return ErrorSums(*(table.sum(0) for table in error_tables(true, guessed)))


def pixel_counts_of(truth: Any, predicted: Any) -> ClassCounts:
    """Of masks: int [n, height, width] each, or one [height, width] a picture, or `Mask`; 255 in the truth is void."""
    true, guessed = _masks("truth", truth), _masks("predicted", predicted)
    _check_length(len(true), len(guessed))
    for number, (mask, guess) in enumerate(zip(true, guessed, strict=True)):
        if mask.shape != guess.shape:
            raise UserError(f"the masks of picture {number} differ in size: truth {tuple(mask.shape)}, predicted "
                            f"{tuple(guess.shape)}")
        if bool(((guess == IGNORED) & (mask != IGNORED)).any()):
            raise UserError(f"the predicted mask of picture {number} holds {IGNORED}, which stands for void: a "
                            "prediction has a class for each pixel that the truth knows")
    known = [int(mask[mask != IGNORED].max()) for mask in (*true, *guessed) if bool((mask != IGNORED).any())]
    metrics = MaskMetrics(tuple(map(str, range(max(known, default=0) + 1))))
    for mask, guess in zip(true, guessed, strict=True):
        metrics.update({"mask": Mask(guess[None])}, {"mask": Mask(mask[None])})
    return metrics.counts()


def object_tables(truth: Any, predicted: Any) -> PrecisionRecall:
    """Of objects: for each picture a dict of `boxes` [n, 4] (x0 y0 x1 y1, pixels) and `labels` [n], of predictions
    `scores` [n] too; or `Boxes`. With `masks`, bool [n, height, width], or `Masks`, it is the masks that have to meet.
    Raises UserError."""
    true, guessed = _objects("truth", truth), _objects("predicted", predicted)
    _check_length(len(true), len(guessed))
    sides = [*true, *guessed]
    masked = [isinstance(boxes, Masks) for boxes in sides]
    if any(masked) and not all(masked):
        raise UserError("some pictures have masks and others boxes alone: give masks in all of them, or in none")
    if any(boxes.scores is None for boxes in guessed):
        raise UserError("predicted has no scores, which rank the objects: give as many for each picture")
    if not any(len(boxes.classes) for boxes in true):
        raise UserError("nothing to measure: the truth has no object")
    names = tuple(map(str, range(1 + max(int(boxes.classes.max()) for boxes in sides if len(boxes.classes)))))
    metrics: Any = InstanceMetrics(names) if all(masked) else BoxMetrics(names)
    kind = "masks" if all(masked) else "boxes"
    for number, (boxes, guess) in enumerate(zip(true, guessed, strict=True)):
        sizes = {value.size for value in (boxes, guess) if isinstance(value, Masks) and len(value.bits)}
        if len(sizes) > 1:
            raise UserError(f"the masks of picture {number} differ in size between truth and predicted")
        metrics.update({kind: type(guess).stack([guess])}, {kind: type(boxes).stack([boxes])}, count=1)
    return precision_recall(metrics.matches())


def _stacked(values: Any, kind: type[Value]) -> Any:
    """A stacked value of that kind, as one or as a list with one a picture; None where it is something else."""
    if isinstance(values, kind):
        return values
    if isinstance(values, list | tuple) and values and all(isinstance(value, kind) for value in values):
        return kind.stack(list(values))
    return None


def _plain(side: str, values: Any) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return values.float().numpy() if values.dtype == torch.bfloat16 else values.numpy()
    if isinstance(values, Value):
        raise UserError(f"{side} is {type(values).__name__}, which this metric does not measure")
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise UserError(f"{side} is no array: {described(error)}") from error


def _labels(side: str, values: Any) -> np.ndarray:
    """int64 [n], or names [n]."""
    stacked = _stacked(values, Label)
    labels = _plain(side, values if stacked is None else stacked.index)
    if labels.ndim != 1:
        raise UserError(f"{side} has the shape {list(labels.shape)}, where one class a picture, [pictures], is "
                        "expected: class numbers or names")
    if labels.dtype.kind in "biu":
        return labels.astype(np.int64)
    if labels.dtype.kind == "U":
        return labels
    raise UserError(f"{side} holds {_contents(labels)}, where class numbers (whole) or names are expected")


def _table(side: str, values: Any, wanted: str) -> np.ndarray:
    """float64 [n, columns]."""
    table = _plain(side, values)
    if table.ndim != 2 or table.dtype.kind not in "biuf":
        raise UserError(f"{side} is {_contents(table)} of shape {list(table.shape)}, where {wanted} is expected")
    return table.astype(np.float64)


def _numbers(side: str, values: Any) -> np.ndarray:
    """float64 [n, quantities]."""
    stacked = _stacked(values, Numbers)
    array = _plain(side, values if stacked is None else stacked.values)
    return _table(side, array[:, None] if array.ndim == 1 else array, "[pictures] or [pictures, quantities]")


def _masks(side: str, values: Any) -> list[Tensor]:
    """One int64 [height, width] a picture."""
    masks = list(values) if isinstance(values, list | tuple) else [values]
    tensors = []
    for mask in masks:
        array = _plain(side, mask.classes if isinstance(mask, Mask) else mask)
        if array.ndim not in (2, 3) or array.dtype.kind not in "biu":
            raise UserError(f"{side} has a mask of {_contents(array)} and shape {list(array.shape)}, where class "
                            "numbers (whole), [height, width], are expected")
        classes = torch.from_numpy(array.astype(np.int64))
        tensors += [classes] if classes.ndim == 2 else list(classes)
    return tensors


def _objects(side: str, values: Any) -> list[Boxes]:
    """One single `Boxes` or `Masks` a picture."""
    if isinstance(values, Boxes):
        if values.image is None:
            return [values]
        raise UserError(f"{side} is one stacked {type(values).__name__}, which does not say how many pictures there "
                        "are: give a list with one a picture")
    if isinstance(values, Mapping) or not isinstance(values, Sequence):
        raise UserError(f"{side} is {type(values).__name__}, where a list with the objects of each picture is expected")
    return [picture if isinstance(picture, Boxes) else _from_dict(f"{side}[{number}]", picture)
            for number, picture in enumerate(values)]


def _from_dict(where: str, picture: Any) -> Boxes:
    if not isinstance(picture, Mapping):
        raise UserError(f"{where} is {type(picture).__name__}, where a dict of boxes and labels, or Boxes, is expected")
    for key in picture:
        if key not in _OBJECT_KEYS:
            raise UserError(f"{where} has {key!r}, which is unknown.{nearest(str(key), _OBJECT_KEYS)} Known: "
                            f"{', '.join(_OBJECT_KEYS)}.")
    if "labels" not in picture or ("boxes" not in picture and "masks" not in picture):
        raise UserError(f"{where} has {', '.join(picture) or 'nothing'}, and needs labels and either boxes or masks")
    columns = {key: _column(f"{where}[{key!r}]", values) for key, values in picture.items()}
    count = len(columns["labels"])
    for key, column in columns.items():
        if len(column) != count:
            raise UserError(f"{where} has {len(column)} {key} and {count} labels: give as many")
    if count and (columns["labels"].is_floating_point() or int(columns["labels"].min()) < 0):
        raise UserError(f"{where} has the labels {columns['labels'].tolist()[:5]}, where class numbers from 0 on are "
                        "expected")
    classes, scores = columns["labels"].long(), columns.get("scores")
    shared = {"scores": None if scores is None else scores.float(),
              "crowd": columns["crowd"].bool() if "crowd" in columns else torch.zeros(count, dtype=torch.bool)}
    area = columns["area"].float() if "area" in columns else None
    if "masks" not in columns:
        corners = columns["boxes"].reshape(count, -1) if count else torch.zeros(0, 4)
        if corners.shape[1] != 4:
            raise UserError(f"{where} has boxes of shape {list(columns['boxes'].shape)}, where [n, 4] is expected: "
                            "x0 y0 x1 y1")
        return Boxes(corners.float(), classes, area=torch.full((count,), torch.nan) if area is None else area, **shared)
    pixels = columns["masks"].bool() if count else torch.zeros(0, 1, 1, dtype=torch.bool)
    if pixels.ndim != 3:
        raise UserError(f"{where} has masks of shape {list(pixels.shape)}, where bool [n, height, width] is expected")
    bits = pack_bits(pixels)
    corners = columns["boxes"].float() if "boxes" in columns else _extents(pixels)
    return Masks(corners, classes, area=pixel_counts(bits) if area is None else area, bits=bits, **shared)


def _column(where: str, values: Any) -> Tensor:
    array = _plain(where, values)
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        raise UserError(f"{where} is {_contents(array)}, where an array of numbers is expected")
    return torch.from_numpy(np.array(array))


def _extents(pixels: Tensor) -> Tensor:
    """float32 [n, 4]: the box around the pixels of each mask, 0 for one without any."""
    corners = torch.zeros(len(pixels), 4)
    for number, mask in enumerate(pixels):
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        if len(rows):
            corners[number] = torch.stack((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)).float()
    return corners


def _check_length(truth: int, predicted: int) -> None:
    if truth != predicted:
        raise UserError(f"truth has {truth:,} pictures and predicted has {predicted:,}: give both for each picture")


def _check_shape(truth: np.ndarray, predicted: np.ndarray) -> None:
    if truth.shape != predicted.shape:
        raise UserError(f"truth has the shape {list(truth.shape)} and predicted has {list(predicted.shape)}: give both "
                        "for each picture")


def _contents(array: np.ndarray) -> str:
    return {"U": "names", "f": "numbers with a fraction", "O": "objects of several kinds"}.get(
        array.dtype.kind, str(array.dtype))
