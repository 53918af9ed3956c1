"""Non-maximum suppression (NMS) as an operator that ONNX has too: `lensmith::best_of_overlapping`."""

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from lensmith.values.box_arithmetic import nms


@custom_op("lensmith::best_of_overlapping", mutates_args=(), device_types="cpu")
def best_of_overlapping(corners: Tensor, scores: Tensor, overlap: float) -> Tensor:
    """bool [batch, boxes]: which boxes are kept. No kept box overlaps one of the same group with a higher score by more
    than `overlap` IoU.

    `corners` float [batch, boxes, 4]; `scores` float [batch, groups, boxes], above 0 in the group of the box alone. A
    box whose scores are all 0 or less is not kept.
    """
    kept = torch.zeros(scores.shape[0], scores.shape[2], dtype=torch.bool)
    for picture, of_picture in enumerate(scores):
        for of_group in of_picture:
            rows = (of_group > 0).nonzero()[:, 0]
            kept[picture, rows[nms(corners[picture, rows], of_group[rows], threshold=overlap)]] = True
    return kept


@best_of_overlapping.register_fake
def _(corners: Tensor, scores: Tensor, overlap: float) -> Tensor:
    return scores.new_empty((scores.shape[0], scores.shape[2]), dtype=torch.bool)


def in_onnx(corners: Any, scores: Any, overlap: float) -> Any:
    """The same by ONNX's operators: NonMaxSuppression gives (picture, group, box) of each that is kept."""
    # Here, because the package is for export alone.
    from onnxscript import opset18 as op

    shape = op.Shape(corners, start=0, end=2)
    most = op.Gather(shape, op.Constant(value_ints=[1]), axis=0)
    chosen = op.NonMaxSuppression(corners, scores, most, op.Constant(value_floats=[overlap]),
                                  op.Constant(value_floats=[0.0]))
    places = op.Gather(chosen, op.Constant(value_ints=[0, 2]), axis=1)
    ones = op.Expand(op.Constant(value_float=1.0), op.Shape(places, start=0, end=1))
    zeros = op.Expand(op.Constant(value_float=0.0), shape)
    return op.Cast(op.ScatterND(zeros, places, ones), to=9)    # 9 is bool
