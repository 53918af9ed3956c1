"""Objects as boxes with a class each, found at anchors: YOLOv3, for any backbone and for networks of Darknet files."""

from collections.abc import Mapping
from copy import copy
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.base.pictures import Form
from lensmith.models.backbone import Backbone
from lensmith.models.heads.yolo import EXCLUSIVE, SQUARED, Anchored, DarknetHead, YoloHead
from lensmith.tasks.check_settings import check_augment, check_settings, decoding
from lensmith.tasks.losses.anchor_sizes import cluster
from lensmith.tasks.losses.point_assignment import Padded, best_anchors, in_crowds, pad
from lensmith.tasks.metrics.boxes import BoxMetrics
from lensmith.tasks.metrics.own import OwnMetrics
from lensmith.tasks.nms import SHOWN, Nms, nms_of_scores
from lensmith.tasks.task import Metrics, Task
from lensmith.tasks.usual import Usual, usual_of_objects
from lensmith.values.box_arithmetic import iou
from lensmith.values.boxes import Boxes
from lensmith.values.value import Value

_AT_ONCE = 1 << 22    # overlaps of boxes with objects that are held in memory at a time
_LEAST = 1e-4         # of a stretch or a share: keeps its logarithm finite


class Yolo:
    """Which objects of `classes` a picture shows, and where (Redmon and Farhadi 2018, "YOLOv3"). The output is
    `Anchored`."""

    needs: tuple[str, ...] = ("boxes",)
    score: str = "mAP50-95"
    on_last_map = False
    of_kinds: Mapping[str, type[Task]] | None = None
    objects: tuple[str, ...] = ("boxes",)
    window: list[int] | None = None
    kept_per_pixel = 0

    def __init__(self, classes: tuple[str, ...], *, targets: Value | None = None, anchors: int = 9,
                 box: Literal["giou", "paper"] = "giou", ignore: float = 0.5, threshold: float = 0.001,
                 overlap: float = 0.45, most: int = 300, suppression: Nms = "batched",
                 box_weight: float = 2.0, metrics: list[str] | None = None):
        """The extents of the `anchors` are clustered from `targets`, the stacked training boxes; without them those of
        COCO stand in. `box` is the loss on a box: 1 - GIoU, or the squared error of the paper. An anchor that finds an
        object by more than `ignore` IoU, and does not answer for it, is not taught that there is none. `threshold`,
        `overlap` and `most` are of decoding: the least score, the IoU from which the worse of two of a class is left
        out, and the boxes of a picture; `suppression` is told at `tasks.nms.stacked_nms`. `metrics` are
        of one's own (`tasks/metrics/own.py`)."""
        check_settings(
            anchors=(anchors, anchors >= 3 and anchors % 3 == 0, "3, 6, 9, ...: as many for each of three scales"),
            ignore=(ignore, 0 < ignore <= 1, "0 < ignore <= 1"),
            box_weight=(box_weight, box_weight >= 0, "0 or more"), **decoding(threshold, overlap, most))
        self.classes, self.box, self.ignore = classes, box, ignore
        self.threshold, self.overlap, self.most, self.box_weight = threshold, overlap, most, box_weight
        self.suppression: Nms = suppression
        self.own_metrics = OwnMetrics(metrics)
        assert targets is None or isinstance(targets, Boxes)
        known = torch.empty(0, 2) if targets is None else _extents(targets)
        self.extents = cluster(known, anchors)

    def head(self, backbone: Backbone) -> nn.Module:
        """The three scales; or, for a network that comes whole with its yolo or region layers, what reads these."""
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
        """`object`: cross entropy of the objectness over all anchors but the ignored; `class` and `box`: over those
        that answer for an object. Sums, divided by the number of objects."""
        truth = targets["boxes"]
        assert isinstance(truth, Boxes)
        raw = output.raw if output.raw.dtype == torch.float64 else output.raw.float()
        output = output._replace(raw=raw)
        objects = pad(truth, len(raw))
        with torch.no_grad():
            found = output.corners().detach()
            ignored = nearest_overlap(found, objects) > self.ignore
            ignored |= in_crowds(truth, output.cells + output.strides / 2, len(raw))
            owner = best_anchors(objects, output.cells, output.strides, output.extents)
        image, anchor = (owner >= 0).nonzero(as_tuple=True)
        row = owner[image, anchor]
        total = max(1, len(row))

        answers = torch.zeros_like(raw[..., 4])
        answers[image, anchor] = 1.0
        costs = F.binary_cross_entropy_with_logits(raw[..., 4], answers, reduction="none")
        object_loss = costs.masked_fill(ignored & (answers == 0), 0.0).sum() / total

        index, wanted = objects.classes[image, row], objects.corners[image, row]
        logits, forms = raw[image, anchor, 5:], output.forms[anchor]
        yes_no = F.binary_cross_entropy_with_logits(logits, F.one_hot(index, len(self.classes)).to(logits.dtype),
                                                    reduction="none").sum(1)
        one_of = F.cross_entropy(logits, index, reduction="none")
        class_loss = torch.where(forms == EXCLUSIVE, one_of, yes_no).sum() / total
        own = Anchored(raw[image, anchor], *(part[anchor] for part in output[1:]))
        costs = _squared(own, wanted, output) if self.box == "paper" else 1 - iou(own.corners(), wanted, "giou")
        return {"object": object_loss, "class": class_loss, "box": self.box_weight * costs.sum() / total}

    def decode(self, output: Anchored) -> dict[str, Value]:
        sure = output.above(self.threshold)
        return {"boxes": nms_of_scores(sure.corners(), sure.scores(), self.suppression, threshold=self.threshold,
                                    overlap=self.overlap, most=self.most)}

    def evidence(self, output: Anchored, index: int) -> Tensor:
        return (output.raw[..., 4] + output.raw[..., 5 + index]).amax(1)

    def metrics(self) -> Metrics:
        return self.own_metrics.beside(BoxMetrics(self.classes), "boxes", self.classes)

    def with_thresholds(self, threshold: float | None, overlap: float | None) -> Self:
        decided = copy(self)
        decided.threshold = SHOWN if threshold is None else threshold
        decided.overlap = self.overlap if overlap is None else overlap
        return decided

    def scoring_layers(self, network: nn.Module) -> list[tuple[nn.Module, int]]:
        return []

    def notes(self, augment: Mapping[str, Any]) -> list[str]:
        return []

    @staticmethod
    def usual(section: Mapping[str, Any], form: Form, *, epochs: int | None) -> Usual:
        return usual_of_objects(form, epochs=epochs)

    @staticmethod
    def forbids(section: Mapping[str, Any], augment: Mapping[str, Any]) -> None:
        check_augment(augment, ("boxes",), task=section["name"])


def _extents(truth: Boxes) -> Tensor:
    """float [n, 2]: width and height of the objects that count."""
    corners = truth.corners if truth.crowd is None else truth.corners[~truth.crowd]
    return corners[:, 2:] - corners[:, :2]


def nearest_overlap(corners: Tensor, truth: Padded) -> Tensor:
    """float [batch, anchors]: the greatest IoU of each box with an object of its picture, 0 where there is none."""
    best = corners.new_zeros(corners.shape[:2])
    step = max(1, _AT_ONCE // max(1, best.numel()))
    for own, there in zip(truth.corners.split(step, 1), truth.there.split(step, 1), strict=True):
        if own.shape[1]:
            overlap = iou(corners[:, :, None], own[:, None]) * there[:, None]
            best = torch.maximum(best, overlap.amax(2))
    return best


def _squared(own: Anchored, wanted: Tensor, output: Anchored) -> Tensor:
    """[n]: the squared errors of the four numbers of boxes `own` [n, ...], half as much for large objects (YOLOv3's
    authors weigh them by 2 - their share of the picture)."""
    middle, extent = (wanted[:, :2] + wanted[:, 2:]) / 2, wanted[:, 2:] - wanted[:, :2]
    inside = (own.raw[:, :2].sigmoid() - 0.5) * own.spread[:, None] + 0.5
    places = (inside - (middle - own.cells) / own.strides).square().sum(1)
    stretch = (extent / own.extents).clamp(min=_LEAST)
    # Of new_coords the network gives the root of the stretch, halved, and not its logarithm.
    sizes = torch.where(own.forms[:, None] == SQUARED, own.raw[:, 2:4].sigmoid() - stretch.sqrt() / 2,
                        own.raw[:, 2:4] - stretch.log()).square().sum(1)
    picture = (output.cells + output.strides).amax(0)
    return (2 - extent.prod(1) / picture.prod()) * (places + sizes)
