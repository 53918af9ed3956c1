"""Objects as boxes with a class each, found at anchors: YOLOv3, for any backbone and for networks of Darknet files."""

from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.models.backbone import Backbone
from lensmith.models.heads.yolo import EXCLUSIVE, SQUARED, Anchored, DarknetHead, YoloHead
from lensmith.tasks.check_settings import check_augment, check_settings, decoding
from lensmith.tasks.evidence import evidence_of_object
from lensmith.tasks.losses.anchor_sizes import cluster
from lensmith.tasks.losses.object_weights import ObjectWeights, Weighing
from lensmith.tasks.losses.point_assignment import Padded, best_anchors, in_crowds, pad
from lensmith.tasks.metrics.boxes import BoxMetrics
from lensmith.tasks.metrics.own import OwnMetrics
from lensmith.tasks.nms import Nms, decided_by, nms_of_scores
from lensmith.tasks.task import Metrics, Task
from lensmith.tasks.usual_settings import Known, Usual, usual_of_objects
from lensmith.values.box_arithmetic import iou
from lensmith.values.boxes import Boxes
from lensmith.values.value import Value

_AT_ONCE = 1 << 22    # IoUs of boxes with objects that are held in memory at a time, 16 MB
_LEAST = 1e-4         # of the ratio of an object's size to its anchor's: keeps the logarithm finite


class Yolo:
    """Which objects of `classes` a picture shows, and where (Redmon and Farhadi 2018, "YOLOv3"). The output is
    `Anchored`."""

    needs: tuple[str, ...] = ("boxes",)
    score: str = "mAP50-95"
    on_last_map = False
    of_kinds: Mapping[str, type[Task]] | None = None
    objects: tuple[str, ...] = ("boxes",)
    window: list[int] | None = None
    stable: bool = False
    kept_per_pixel = 0

    def __init__(self, classes: tuple[str, ...], *, targets: Value | None = None, anchors: int = 9,
                 box: Literal["giou", "paper"] = "giou", ignore: float = 0.5, threshold: float = 0.001,
                 overlap: float = 0.45, most: int = 300, suppression: Nms = "batched",
                 box_weight: float = 2.0, class_weights: Weighing | None = None, metrics: list[str] | None = None):
        """
        classes: the names of the classes.
        targets: the stacked training boxes, whose sizes are clustered into anchors; without them those of COCO are
            taken.
        anchors: their number, as many for each of the three scales.
        box: the loss on a box: "giou" is 1 - GIoU, "paper" the squared error of the paper.
        ignore: an anchor whose box has a larger IoU with an object that is not its own costs no objectness.
        threshold: objects with a lower score are left out.
        overlap: the IoU above which the worse of two objects is left out.
        most: objects of a picture that are kept at most, the best ones.
        suppression: which objects are compared by `overlap` (`tasks.nms.stacked_nms`).
        box_weight: the factor on the loss term "box".
        class_weights: a factor for each class on the loss term "class", or "balanced": inversely to how many objects it
            has.
        metrics: metrics of one's own that are measured too (`tasks/metrics/own.py`).
        """
        check_settings(
            anchors=(anchors, anchors >= 3 and anchors % 3 == 0, "3, 6, 9, ...: as many for each of three scales"),
            ignore=(ignore, 0 < ignore <= 1, "0 < ignore <= 1"),
            box_weight=(box_weight, box_weight >= 0, "0 or more"), **decoding(threshold, overlap, most))
        self.classes, self.box, self.ignore = classes, box, ignore
        self.threshold, self.overlap, self.most, self.box_weight = threshold, overlap, most, box_weight
        self.suppression: Nms = suppression
        self.own_metrics = OwnMetrics(metrics)
        assert targets is None or isinstance(targets, Boxes)
        extents = torch.empty(0, 2) if targets is None else _extents(targets)
        self.extents = cluster(extents, anchors)
        self.class_weights = ObjectWeights(class_weights, classes, targets)

    def head(self, backbone: Backbone) -> nn.Module:
        """`YoloHead`, or for a network that comes whole, with its yolo or region layers, `DarknetHead`. Raises
        UserError where these are for another number of classes."""
        layers = backbone.outputs
        if not layers:
            return YoloHead(backbone.channels, backbone.strides, len(self.classes), self.extents)
        wrong = next((layer for layer in layers if layer.classes != len(self.classes)), None)
        if wrong is not None:
            names = ", ".join(self.classes[:3]) + (", ..." if len(self.classes) > 3 else "")
            raise UserError(f"the network's cfg is for {wrong.classes} classes, and the data set has "
                            f"{len(self.classes)} ({names}): give its layers as many, with `lensmith convert` and the "
                            "other class list")
        return DarknetHead(layers)

    def loss(self, output: Anchored, targets: dict[str, Value]) -> dict[str, Tensor]:
        """Three terms, each a sum divided by the number of objects: `object`, the binary cross entropy of the
        objectness over all anchors that are not ignored; `class` and `box` over the anchors that have an object."""
        truth = targets["boxes"]
        assert isinstance(truth, Boxes)
        raw = output.raw if output.raw.dtype == torch.float64 else output.raw.float()
        output = output._replace(raw=raw)
        objects = pad(truth, len(raw))
        with torch.no_grad():
            ignored = largest_overlap(output.corners(), objects) > self.ignore
            ignored |= in_crowds(truth, output.cells + output.strides / 2, len(raw))
            owner = best_anchors(objects, output.cells, output.strides, output.extents)
        image, anchor = (owner >= 0).nonzero(as_tuple=True)
        row = owner[image, anchor]
        total = max(1, len(row))

        is_owner = torch.zeros_like(raw[..., 4])    # the targets of the objectness
        is_owner[image, anchor] = 1.0
        object_costs = F.binary_cross_entropy_with_logits(raw[..., 4], is_owner, reduction="none")
        object_term = object_costs.masked_fill(ignored & (is_owner == 0), 0.0).sum() / total

        index, corners = objects.classes[image, row], objects.corners[image, row]
        logits, forms = raw[image, anchor, 5:], output.forms[anchor]
        by_sigmoid = F.binary_cross_entropy_with_logits(logits, F.one_hot(index, len(self.classes)).to(logits.dtype),
                                                        reduction="none").sum(1)
        by_softmax = F.cross_entropy(logits, index, reduction="none")
        class_costs = torch.where(forms == EXCLUSIVE, by_softmax, by_sigmoid)
        factors = self.class_weights.of(index, raw)
        class_term = (class_costs if factors is None else class_costs * factors).sum() / total
        owners = Anchored(raw[image, anchor], *(column[anchor] for column in output[1:]))
        box_costs = _squared(owners, corners, output) if self.box == "paper" else \
            1 - iou(owners.corners(), corners, "giou")
        return {"object": object_term, "class": class_term, "box": self.box_weight * box_costs.sum() / total}

    def decode(self, output: Anchored) -> dict[str, Value]:
        candidates = output.above(self.threshold)
        return {"boxes": nms_of_scores(candidates.corners(), candidates.scores(), self.suppression,
                                       threshold=self.threshold, overlap=self.overlap, most=self.most,
                                       stable=self.stable)}

    def evidence(self, output: Anchored, index: int, of: Mapping[str, Value] | None = None) -> Tensor:
        return evidence_of_object(output.raw[..., 4] + output.raw[..., 5 + index], output.corners(), of)

    def class_logits(self, output: Any) -> dict[str, Tensor]:
        return {}

    def metrics(self) -> Metrics:
        return self.own_metrics.beside(BoxMetrics(self.classes), "boxes", self.classes)

    def with_thresholds(self, threshold: float | None, overlap: float | None) -> Self:
        return decided_by(self, threshold, overlap)

    def scoring_layers(self, network: nn.Module) -> list[tuple[nn.Module, int]]:
        return []

    def notes(self, augment: Mapping[str, Any]) -> list[str]:
        return []

    @staticmethod
    def usual(section: Mapping[str, Any], known: Known) -> Usual:
        return usual_of_objects(known)

    @staticmethod
    def forbids(section: Mapping[str, Any], augment: Mapping[str, Any]) -> None:
        check_augment(augment, ("boxes",), task=section["name"])


def _extents(truth: Boxes) -> Tensor:
    """float [n, 2]: width and height of the objects, without crowd regions."""
    corners = truth.corners if truth.crowd is None else truth.corners[~truth.crowd]
    return corners[:, 2:] - corners[:, :2]


def largest_overlap(corners: Tensor, truth: Padded) -> Tensor:
    """float [batch, anchors]: the largest IoU of each box with an object of its picture, 0 where there is none."""
    largest = corners.new_zeros(corners.shape[:2])
    step = max(1, _AT_ONCE // max(1, largest.numel()))
    for objects, there in zip(truth.corners.split(step, 1), truth.there.split(step, 1), strict=True):
        if objects.shape[1]:
            overlap = iou(corners[:, :, None], objects[:, None]) * there[:, None]
            largest = torch.maximum(largest, overlap.amax(2))
    return largest


def _squared(owners: Anchored, corners: Tensor, output: Anchored) -> Tensor:
    """[n]: the squared errors of the four numbers of the boxes `owners` [n, ...] against objects with `corners` [n, 4].

    As YOLOv3's authors do, each is weighed by 2 - a with a the fraction of the picture's area that the object covers.
    """
    middle, extent = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    inside = (owners.raw[:, :2].sigmoid() - 0.5) * owners.spread[:, None] + 0.5
    of_centres = (inside - (middle - owners.cells) / owners.strides).square().sum(1)
    ratio = (extent / owners.extents).clamp(min=_LEAST)
    # With new_coords the network predicts sqrt(ratio) / 2, otherwise log(ratio).
    of_sizes = torch.where(owners.forms[:, None] == SQUARED, owners.raw[:, 2:4].sigmoid() - ratio.sqrt() / 2,
                           owners.raw[:, 2:4] - ratio.log()).square().sum(1)
    picture = (output.cells + output.strides).amax(0)
    return (2 - extent.prod(1) / picture.prod()) * (of_centres + of_sizes)
