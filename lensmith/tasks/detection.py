"""Objects as boxes with a class each, found at points: the detector that is the default."""

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.base.pictures import Form
from lensmith.models.backbone import Backbone
from lensmith.models.heads.points import Points, PointsHead, corners_of
from lensmith.tasks.check_settings import check_augment, check_settings, decoding
from lensmith.tasks.losses.point_assignment import Assignment, in_crowds, pad, task_aligned
from lensmith.tasks.metrics.boxes import BoxMetrics
from lensmith.tasks.metrics.own import OwnMetrics
from lensmith.tasks.nms import SHOWN, Nms, nms_of_scores, stacked_nms
from lensmith.tasks.task import Metrics, Task
from lensmith.tasks.usual import Usual, usual_of_objects
from lensmith.values.box_arithmetic import iou
from lensmith.values.boxes import Boxes
from lensmith.values.value import Value


class AssignedLoss(NamedTuple):
    """What points are taught."""

    parts: dict[str, Tensor]
    found: Assignment
    total: Tensor        # float []: the sum of what the points are to score, at least 1


class Detection:
    """Which objects of `classes` a picture shows, and where. The output is `Points`; that of a detector of torchvision,
    which brings its own head and loss, is `Boxes`."""

    needs: tuple[str, ...] = ("boxes",)
    score: str = "mAP50-95"
    on_last_map = False
    of_kinds: Mapping[str, type[Task]] | None = None
    objects: tuple[str, ...] = ("boxes",)
    window: list[int] | None = None
    kept_per_pixel = 0

    def __init__(self, classes: tuple[str, ...], *, targets: Value | None = None, width: int = 64, depth: int = 1,
                 threshold: float = 0.001, overlap: float = 0.6, most: int = 300,
                 suppression: Nms = "batched", box_weight: float = 7.5, class_weight: float = 0.5,
                 side_weight: float = 1.5, metrics: list[str] | None = None):
        """`width` and `depth` are channels and convolutions of the neck and the branches. Of the boxes found those
        below `threshold` are left out, of two of a class that overlap by more than `overlap` IoU the worse, and beyond
        the best `most` of a picture all; other ways of `suppression` are told at `stacked_nms`. The three weights are
        those of the parts of the loss. `metrics` are of one's own (`tasks/metrics/own.py`)."""
        check_settings(width=(width, width >= 1, "1 or more"), depth=(depth, depth >= 1, "1 or more"),
                       box_weight=(box_weight, box_weight >= 0, "0 or more"),
                       class_weight=(class_weight, class_weight >= 0, "0 or more"),
                       side_weight=(side_weight, side_weight >= 0, "0 or more"),
                       **decoding(threshold, overlap, most))
        self.classes, self.width, self.depth, self.own_metrics = classes, width, depth, OwnMetrics(metrics)
        self.threshold, self.overlap, self.most, self.suppression = threshold, overlap, most, suppression
        self.box_weight, self.class_weight, self.side_weight = box_weight, class_weight, side_weight

    def head(self, backbone: Backbone) -> nn.Module:
        """`PointsHead`; or, for a detector of torchvision, itself. Raises UserError for one of a Darknet file."""
        if backbone.detector is not None:
            return self.whole_head(backbone.detector)
        if backbone.outputs:
            raise UserError("the network comes with yolo or region layers of its own, which task 'detection' does not "
                            "learn by: train it with task.name=yolov3, or take its first layers with backbone.layers")
        return PointsHead(backbone.channels, backbone.strides, len(self.classes), width=self.width, depth=self.depth)

    def whole_head(self, make: Callable[..., nn.Module]) -> nn.Module:
        """The head that a network of torchvision makes of itself, deciding by these settings."""
        own = self.overlap if self.suppression == "batched" else 1.0    # else it leaves all to `decode`
        return make(len(self.classes), threshold=self.threshold, overlap=own, most=self.most)

    def loss(self, output: Points | Boxes | dict[str, Tensor], targets: dict[str, Value]) -> dict[str, Tensor]:
        """`class`: cross entropy against how well each point places its object; `box`: 1 - CIoU; `side`: the
        distribution of each distance against the two bins beside the true one (Li et al. 2020, "Generalized focal
        loss"). Each is a sum over the points divided by the sum of what they are to score."""
        truth = targets["boxes"]
        assert isinstance(truth, Boxes)
        if isinstance(output, dict):    # a whole detector works its loss out by itself where it learns
            return output
        if isinstance(output, Boxes):
            return {}
        return self.assigned_loss(output, truth).parts

    def assigned_loss(self, output: Points, truth: Boxes) -> "AssignedLoss":
        """The parts of the loss, and which point answers for which object."""
        logits, sides = (part if part.dtype == torch.float64 else part.float() for part in output[:2])
        centres, strides = output.centres, output.strides
        objects = pad(truth, len(logits))
        found = task_aligned(logits.detach().sigmoid(), corners_of(sides.detach(), centres, strides), centres, strides,
                             objects)
        total = found.quality.sum().clamp(min=1)

        image, point = (found.quality > 0).nonzero(as_tuple=True)
        row, quality = found.row[image, point], found.quality[image, point]
        goal = torch.zeros_like(logits)
        goal[image, point, objects.classes[image, row]] = quality.to(goal.dtype)
        costs = F.binary_cross_entropy_with_logits(logits, goal, reduction="none").sum(2)
        free = in_crowds(truth, centres, len(logits)) & (found.quality == 0)

        own, wanted = sides[image, point], objects.corners[image, row]
        placed = corners_of(own, centres[point], strides[point])
        distances = torch.cat((centres[point] - wanted[:, :2], wanted[:, 2:] - centres[point]), 1)
        parts = {"class": self.class_weight * costs.masked_fill(free, 0.0).sum(),
                 "box": self.box_weight * ((1 - iou(placed, wanted, "ciou")) * quality).sum(),
                 "side": self.side_weight * (side_costs(own, distances / strides[point, None]).mean(1) * quality).sum()}
        return AssignedLoss({name: part / total for name, part in parts.items()}, found, total)

    def decode(self, output: Points | Boxes) -> dict[str, Value]:
        if isinstance(output, Boxes):    # decided by what held when the network was made, not by what holds now
            assert output.scores is not None and output.image is not None
            sure = output.chosen(output.scores >= self.threshold)
            return {"boxes": stacked_nms(sure, len(self.classes), self.suppression, overlap=self.overlap,
                                        most=self.most, least=self.threshold)}
        scores = output.logits.float().sigmoid()
        return {"boxes": nms_of_scores(output.corners(), scores, self.suppression, threshold=self.threshold,
                                    overlap=self.overlap, most=self.most)}

    def evidence(self, output: Points, index: int) -> Tensor:
        return output.logits[:, :, index].amax(1)

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


def side_costs(sides: Tensor, distances: Tensor) -> Tensor:
    """[n, 4]: the cross entropy of distributions [n, 4, bins] against distances [n, 4], each shared by the two bins
    beside it; what is beyond the last bin counts as that."""
    distances = distances.clamp(0, sides.shape[-1] - 1.01)
    below = distances.floor()
    share, lower = distances - below, below.long()
    log_chance = sides.log_softmax(-1)
    near, far = (log_chance.gather(2, bins[..., None])[..., 0] for bins in (lower, lower + 1))
    return -((1 - share) * near + share * far)
