"""The metrics by the names that metrics.json has, each a plain function of counts with how it is shown.

A metric is a function, in `rates.py` or beside it, and a line here. Those of one kind of target stand in the order in
which they are shown. Of instances the same numbers as of boxes are measured twice, as `mask_...` and `box_...`.
"""

from functools import partial

from lensmith.tasks.metrics import headline_sentences as sentences
from lensmith.tasks.metrics.box_precision import mean_precision, mean_recall_of
from lensmith.tasks.metrics.error_sums import (
    coefficient_of_determination,
    mean_absolute_error,
    root_mean_square_error,
)
from lensmith.tasks.metrics.metric import Metric
from lensmith.tasks.metrics.rates import (
    fraction_among_five,
    fraction_exact,
    fraction_right,
    mean_dice,
    mean_edge_f1,
    mean_f1,
    mean_iou,
    mean_precision_of_tags,
    mean_recall,
    mean_score,
    pooled_f1,
)

METRICS: dict[str, Metric] = {
    # labels, from ClassCounts; macro_f1 of tags too
    "accuracy_top1": Metric(fraction_right, ("label",), shown="percent", sentence=sentences.on_labels),
    "accuracy_top5": Metric(fraction_among_five, ("label",), shown="percent", every_epoch=False),
    "macro_f1": Metric(mean_f1, ("label", "tags"), resampled=True, sentence=sentences.on_tags),
    "balanced_accuracy": Metric(mean_recall, ("label",), shown="percent", resampled=True),
    # tags, from ClassCounts
    "micro_f1": Metric(pooled_f1, ("tags",), resampled=True),
    "exact_match": Metric(fraction_exact, ("tags",), shown="percent"),
    "mAP": Metric(mean_precision_of_tags, ("tags",)),
    # numbers, from ErrorSums
    "MAE": Metric(mean_absolute_error, ("numbers",), better="less", resampled=True),
    "RMSE": Metric(root_mean_square_error, ("numbers",), better="less", resampled=True),
    "R2": Metric(coefficient_of_determination, ("numbers",), resampled=True, sentence=sentences.on_numbers),
    # masks, from ClassCounts of pixels
    "mIoU": Metric(mean_iou, ("mask",), resampled=True, sentence=sentences.on_pixels),
    "dice": Metric(mean_dice, ("mask",), resampled=True),
    "pixel_accuracy": Metric(fraction_right, ("mask",), shown="percent", resampled=True),
    "boundary_f1": Metric(mean_edge_f1, ("mask",)),
    # boxes, and instances by their masks and by their boxes, from PrecisionRecall
    "mAP50-95": Metric(mean_precision, ("boxes", "masks"), sentence=sentences.on_objects),
    "mAP50": Metric(partial(mean_precision, threshold=0), ("boxes", "masks")),
    "mAP75": Metric(partial(mean_precision, threshold=5), ("boxes", "masks")),
    "mAP-small": Metric(partial(mean_precision, size=1), ("boxes", "masks")),
    "mAP-medium": Metric(partial(mean_precision, size=2), ("boxes", "masks")),
    "mAP-large": Metric(partial(mean_precision, size=3), ("boxes", "masks")),
    "AR1": Metric(partial(mean_recall_of, most=1), ("boxes", "masks")),
    "AR10": Metric(partial(mean_recall_of, most=10), ("boxes", "masks")),
    "AR100": Metric(partial(mean_recall_of, most=100), ("boxes", "masks")),
    # several tasks at once, from the scores of their parts
    "joined": Metric(mean_score, ("parts",), sentence=sentences.on_several_tasks),
}


def metric_named(headline: str) -> Metric:
    """The metric of a headline, also of one part of several ("animal/macro_f1") and of instances ("mask_mAP50").

    A name that no metric has, as "loss", is shown as a plain number.
    """
    name = headline.rpartition("/")[2]
    plain = name.removeprefix("mask_").removeprefix("box_")
    return METRICS.get(name) or METRICS.get(plain) or Metric(float)
