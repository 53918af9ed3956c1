"""Every metric as a function of truth and predictions: `lensmith.metrics.macro_f1(truth, predicted)`.

Truth and predictions are arrays, tensors, lists, or the values that data sets and predictions are made of (`Label`,
`Tags`, `Numbers`, `Boxes`, `Mask`, `Masks`). The numbers are those of a run's metrics.json, where a metric has the same
name in its usual letters: `map50_95` is mAP50-95 there, `mae` is MAE. A number that there is nothing to measure for, as
the average precision of small boxes where none is small, is NaN.

`Metric` says how a metric of one's own is shown (`task.metrics` in a recipe); `METRICS` is the table of all.
"""

import math
from typing import Any

import numpy as np

from lensmith.tasks.metrics import METRICS
from lensmith.tasks.metrics.from_arrays import (
    class_or_tag_counts,
    counts_of_tags,
    error_sums,
    label_counts,
    object_tables,
    pixel_counts_of,
    ranked_label_counts,
)
from lensmith.tasks.metrics.metric import Metric

__all__ = ["METRICS", "Metric", "accuracy_top1", "accuracy_top5", "ar1", "ar10", "ar100", "balanced_accuracy",
           "boundary_f1", "dice", "exact_match", "macro_f1", "mae", "map50", "map50_95", "map75", "map_large",
           "map_medium", "map_small", "mean_average_precision", "micro_f1", "miou", "pixel_accuracy", "r2", "rmse"]


def accuracy_top1(truth: Any, predicted: Any) -> float:
    """The fraction of the pictures whose class is right.

    Both are [n], class numbers or names; -1 in the truth is a picture without a label, which is not counted.
    """
    return _value("accuracy_top1", label_counts(truth, predicted))


def accuracy_top5(truth: Any, scores: Any) -> float:
    """The fraction of the pictures whose class is among the five with the highest scores; NaN below five classes.

    `truth` is [n], class numbers; `scores` float [n, classes].
    """
    return _value("accuracy_top5", ranked_label_counts(truth, scores))


def macro_f1(truth: Any, predicted: Any) -> float:
    """The mean over the classes of F1 = 2 hits / (pictures of the class + pictures taken for it).

    Of the classes met in the truth or in the predictions. Both are labels [n], numbers or names; or tags [n, tags],
    1 present and 0 absent, NaN in the truth where not known.
    """
    return _value("macro_f1", class_or_tag_counts(truth, predicted))


def balanced_accuracy(truth: Any, predicted: Any) -> float:
    """The mean over the classes met in the truth of their recall, hits / pictures of the class; labels as of
    `accuracy_top1`."""
    return _value("balanced_accuracy", label_counts(truth, predicted))


def micro_f1(truth: Any, predicted: Any) -> float:
    """F1 = 2 hits / (present + predicted) of all tags counted together; tags as of `macro_f1`."""
    return _value("micro_f1", counts_of_tags(truth, predicted))


def exact_match(truth: Any, predicted: Any) -> float:
    """The fraction of the pictures whose every tag is right, of those with every tag known; tags as of `macro_f1`."""
    return _value("exact_match", counts_of_tags(truth, predicted))


def mean_average_precision(truth: Any, scores: Any) -> float:
    """mAP of tags: the mean over the tags met in the truth of the sum of precision times the step in recall.

    `truth` is tags [n, tags] as of `macro_f1`; `scores` float [n, tags], the higher the surer.
    """
    return _value("mAP", counts_of_tags(truth, scores, scores=True))


def mae(truth: Any, predicted: Any) -> float:
    """The mean over the quantities of the mean of |predicted - truth|.

    Both are [n] or [n, quantities]; NaN in the truth is not known and not counted.
    """
    return _value("MAE", error_sums(truth, predicted))


def rmse(truth: Any, predicted: Any) -> float:
    """The mean over the quantities of the root of the mean of (predicted - truth)^2; numbers as of `mae`."""
    return _value("RMSE", error_sums(truth, predicted))


def r2(truth: Any, predicted: Any) -> float:
    """The mean over the quantities of 1 - sum (predicted - truth)^2 / sum (truth - mean truth)^2; numbers as of `mae`.

    Of a quantity whose truth is constant it is 1 where every prediction is exact, else 0.
    """
    return _value("R2", error_sums(truth, predicted))


def miou(truth: Any, predicted: Any) -> float:
    """The mean over the classes of intersection / union of their pixels, of all pictures together.

    Of the classes met in the truth or in the predictions. Both are int [n, height, width], or a list of [height,
    width], class numbers; 255 in the truth is void and not counted.
    """
    return _value("mIoU", pixel_counts_of(truth, predicted))


def dice(truth: Any, predicted: Any) -> float:
    """The mean over the classes of 2 intersection / (true + predicted pixels); masks as of `miou`."""
    return _value("dice", pixel_counts_of(truth, predicted))


def pixel_accuracy(truth: Any, predicted: Any) -> float:
    """The fraction of the known pixels whose class is right; masks as of `miou`."""
    return _value("pixel_accuracy", pixel_counts_of(truth, predicted))


def boundary_f1(truth: Any, predicted: Any) -> float:
    """The mean over the classes with an edge in the truth of the F1 of their edge pixels; masks as of `miou`.

    An edge pixel is found where the other mask has one of its class within 2 pixels, or within 0.75 % of the diagonal
    where that is more (Csurka et al. 2013, "What is a good evaluation measure for semantic segmentation?").
    """
    return _value("boundary_f1", pixel_counts_of(truth, predicted))


def map50_95(truth: Any, predicted: Any) -> float:
    """COCO's average precision: the mean over classes, 101 recalls and IoU thresholds 0.5, 0.55, ..., 0.95.

    Both are lists with the objects of each picture: a dict of `boxes` float [n, 4], x0 y0 x1 y1 in pixels, and `labels`
    int [n], in the predictions also `scores` [n], in the truth also `crowd` bool [n] and `area` [n] where there are
    any; or `Boxes`. With `masks`, bool [n, height, width], or `Masks`, it is the masks that have to overlap.
    """
    return _value("mAP50-95", object_tables(truth, predicted))


def map50(truth: Any, predicted: Any) -> float:
    """COCO's average precision at an IoU of 0.5; objects as of `map50_95`."""
    return _value("mAP50", object_tables(truth, predicted))


def map75(truth: Any, predicted: Any) -> float:
    """COCO's average precision at an IoU of 0.75; objects as of `map50_95`."""
    return _value("mAP75", object_tables(truth, predicted))


def map_small(truth: Any, predicted: Any) -> float:
    """`map50_95` of objects of up to 32 x 32 pixels."""
    return _value("mAP-small", object_tables(truth, predicted))


def map_medium(truth: Any, predicted: Any) -> float:
    """`map50_95` of objects of 32 x 32 to 96 x 96 pixels."""
    return _value("mAP-medium", object_tables(truth, predicted))


def map_large(truth: Any, predicted: Any) -> float:
    """`map50_95` of objects of 96 x 96 pixels or more."""
    return _value("mAP-large", object_tables(truth, predicted))


def ar1(truth: Any, predicted: Any) -> float:
    """COCO's average recall with one object of a class in each picture: the mean over classes and IoU thresholds;
    objects as of `map50_95`."""
    return _value("AR1", object_tables(truth, predicted))


def ar10(truth: Any, predicted: Any) -> float:
    """COCO's average recall with up to 10 objects of a class in each picture; objects as of `map50_95`."""
    return _value("AR10", object_tables(truth, predicted))


def ar100(truth: Any, predicted: Any) -> float:
    """COCO's average recall with up to 100 objects of a class in each picture; objects as of `map50_95`."""
    return _value("AR100", object_tables(truth, predicted))


def _value(name: str, counts: Any) -> float:
    with np.errstate(invalid="ignore"):    # a prediction may be infinite; then so is its error, or NaN
        value = METRICS[name].function(counts)
    return math.nan if value is None else float(value)
