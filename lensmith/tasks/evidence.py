"""What of a detector's output speaks for one object."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lensmith.values.box_arithmetic import iou
from lensmith.values.boxes import Boxes
from lensmith.values.value import Value


def evidence_of_object(logits: Tensor, corners: Tensor, of: Mapping[str, Value] | None) -> Tensor:
    """[batch]: the largest of a class's `logits` [batch, points], or, for an object, that of the point whose box is
    likest to it, argmax_i sigmoid(logit_i) IoU(box_i, object). `corners` [batch, points, 4] are the points' boxes."""
    box = _corners_of(of)
    if box is None:
        return logits.amax(1)
    likeness = logits.detach().sigmoid() * iou(corners.detach(), box.to(corners))
    return logits.gather(1, likeness.argmax(1, keepdim=True))[:, 0]


def best_score(found: Boxes, index: int, of: Mapping[str, Value] | None) -> Tensor:
    """[batch]: the largest score of a class among boxes that were found, each times its IoU with an object where there
    is one; 0 where none was found. The number of pictures is that of the last one with a box."""
    assert found.scores is not None and found.image is not None
    box = _corners_of(of)
    scores = found.scores if box is None else found.scores * iou(found.corners, box.to(found.corners)).detach()
    scores = torch.where(found.classes == index, scores, torch.zeros_like(scores))
    pictures = int(found.image.max()) + 1 if len(found.image) else 1
    return scores.new_zeros(pictures).scatter_reduce(0, found.image, scores, "amax")


def _corners_of(of: Mapping[str, Value] | None) -> Tensor | None:
    """float [4]: the corners of the one object; None where it is not one."""
    if of is None:
        return None
    (value,) = of.values()
    assert isinstance(value, Boxes)
    return value.corners[0]
