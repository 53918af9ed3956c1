"""Objects as boxes with a class each, found at points: the default detector, without anchors."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.models.backbone import Backbone
from lensmith.models.heads.points import Points, PointsHead, corners_of
from lensmith.tasks.check_settings import check_augment, check_settings, decoding
from lensmith.tasks.evidence import best_score, evidence_of_object
from lensmith.tasks.losses.object_weights import ObjectWeights, Weighing
from lensmith.tasks.losses.point_assignment import Assignment, in_crowds, pad, task_aligned
from lensmith.tasks.metrics.boxes import BoxMetrics
from lensmith.tasks.metrics.own import OwnMetrics
from lensmith.tasks.nms import Nms, decided_by, nms_of_scores, stacked_nms
from lensmith.tasks.task import Metrics, Task
from lensmith.tasks.usual_settings import Known, Usual, usual_of_objects
from lensmith.values.box_arithmetic import iou
from lensmith.values.boxes import Boxes
from lensmith.values.value import Value


class AssignedLoss(NamedTuple):
    """The loss terms of a batch, and what they were computed from."""

    terms: dict[str, Tensor]
    assignment: Assignment
    total: Tensor    # float []: the sum of the qualities of all points, at least 1


class Detection:
    """Which objects of `classes` a picture shows, and where. The output is `Points`; that of a detector of torchvision,
    which brings its own head and loss, is `Boxes`."""

    needs: tuple[str, ...] = ("boxes",)
    score: str = "mAP50-95"
    on_last_map = False
    of_kinds: Mapping[str, type[Task]] | None = None
    objects: tuple[str, ...] = ("boxes",)
    window: list[int] | None = None
    stable: bool = False
    kept_per_pixel = 0

    def __init__(self, classes: tuple[str, ...], *, targets: Value | None = None, width: int = 64, depth: int = 1,
                 threshold: float = 0.001, overlap: float = 0.6, most: int = 300,
                 suppression: Nms = "batched", box_weight: float = 7.5, class_weight: float = 0.5,
                 side_weight: float = 1.5, class_weights: Weighing | None = None, metrics: list[str] | None = None):
        """
        classes: the names of the classes.
        targets: the stacked training boxes, which class_weights="balanced" counts.
        width: channels of the neck and the branches.
        depth: convolutions of the branches and of each step of the neck.
        threshold: objects with a lower score are left out.
        overlap: the IoU above which the worse of two objects is left out.
        most: objects of a picture that are kept at most, the best ones.
        suppression: which objects are compared by `overlap` (`tasks.nms.stacked_nms`).
        box_weight: the factor on the loss term "box".
        class_weight: the factor on the loss term "class".
        side_weight: the factor on the loss term "side".
        class_weights: a factor for each class on the loss term "class" of points with an object, or "balanced":
            inversely to how many objects it has.
        metrics: metrics of one's own that are measured too (`tasks/metrics/own.py`).
        """
        check_settings(width=(width, width >= 1, "1 or more"), depth=(depth, depth >= 1, "1 or more"),
                       box_weight=(box_weight, box_weight >= 0, "0 or more"),
                       class_weight=(class_weight, class_weight >= 0, "0 or more"),
                       side_weight=(side_weight, side_weight >= 0, "0 or more"),
                       **decoding(threshold, overlap, most))
        self.classes, self.width, self.depth, self.own_metrics = classes, width, depth, OwnMetrics(metrics)
        self.threshold, self.overlap, self.most, self.suppression = threshold, overlap, most, suppression
        self.box_weight, self.class_weight, self.side_weight = box_weight, class_weight, side_weight
        self.class_weights = ObjectWeights(class_weights, classes, targets)

    def head(self, backbone: Backbone) -> nn.Module:
        """`PointsHead`; or, for a detector of torchvision, itself. Raises UserError for one of a Darknet file."""
        if backbone.detector is not None:
            return self.whole_head(backbone.detector)
        if backbone.outputs:
            raise UserError("the network comes with yolo or region layers of its own, which task 'detection' does not "
                            "learn by: train it with task.name=yolov3, or take its first layers with backbone.layers")
        return PointsHead(backbone.channels, backbone.strides, len(self.classes), width=self.width, depth=self.depth)

    def whole_head(self, make: Callable[..., nn.Module]) -> nn.Module:
        """The head that a network of torchvision makes of itself, with these thresholds."""
        self.class_weights.refuse_whole("a detector in two stages")
        # Its own NMS is that of one class; of the other kinds it keeps all boxes, and `decode` does the rest.
        overlap = self.overlap if self.suppression == "batched" else 1.0
        return make(len(self.classes), threshold=self.threshold, overlap=overlap, most=self.most)

    def loss(self, output: Points | Boxes | dict[str, Tensor], targets: dict[str, Value]) -> dict[str, Tensor]:
        """Three terms, each a sum over points divided by Q = sum_i q_i, the sum of the qualities of the assignment:

            class = class_weight / Q * sum_i sum_k v_ik BCE(score_ik, q_i if k is the class of the object of i else 0)
            box   = box_weight / Q * sum_i q_i (1 - CIoU(box_i, object_i))
            side  = side_weight / Q * sum_i q_i * mean over the four sides of `side_costs`

        v_ik is the class weight where k is the class of the object of i, else 1.
        """
        truth = targets["boxes"]
        assert isinstance(truth, Boxes)
        if isinstance(output, dict):    # a detector of torchvision computes its loss by itself while it trains
            return output
        if isinstance(output, Boxes):
            return {}
        return self.assigned_loss(output, truth).terms

    def assigned_loss(self, output: Points, truth: Boxes) -> AssignedLoss:
        """The loss terms, and the assignment of points to objects that they come of."""
        logits, sides = (part if part.dtype == torch.float64 else part.float() for part in output[:2])
        centres, strides = output.centres, output.strides
        objects = pad(truth, len(logits))
        assignment = task_aligned(logits.detach().sigmoid(), corners_of(sides.detach(), centres, strides), centres,
                                  strides, objects)
        total = assignment.quality.sum().clamp(min=1)

        image, point = (assignment.quality > 0).nonzero(as_tuple=True)
        row, quality = assignment.row[image, point], assignment.quality[image, point]
        scores = torch.zeros_like(logits)    # the targets of the class branch
        classes = objects.classes[image, row]
        scores[image, point, classes] = quality.to(scores.dtype)
        of_classes = F.binary_cross_entropy_with_logits(logits, scores, reduction="none")
        factors = self.class_weights.of(classes, logits)
        if factors is not None:
            of_classes = of_classes * torch.ones_like(of_classes).index_put((image, point, classes), factors)
        class_costs = of_classes.sum(2)
        # What lies in a crowd region may be an object or not, so a point there costs nothing unless it has one.
        ignored = in_crowds(truth, centres, len(logits)) & (assignment.quality == 0)

        sides, corners = sides[image, point], objects.corners[image, row]
        predicted = corners_of(sides, centres[point], strides[point])
        distances = torch.cat((centres[point] - corners[:, :2], corners[:, 2:] - centres[point]), 1)
        of_sides = side_costs(sides, distances / strides[point, None]).mean(1)
        terms = {"class": self.class_weight * class_costs.masked_fill(ignored, 0.0).sum(),
                 "box": self.box_weight * ((1 - iou(predicted, corners, "ciou")) * quality).sum(),
                 "side": self.side_weight * (of_sides * quality).sum()}
        return AssignedLoss({name: term / total for name, term in terms.items()}, assignment, total)

    def decode(self, output: Points | Boxes) -> dict[str, Value]:
        # A detector of torchvision has left out boxes by the thresholds that held when it was made. Those may have
        # changed since, so both are applied again.
        if isinstance(output, Boxes):
            assert output.scores is not None and output.image is not None
            boxes = output.chosen(output.scores >= self.threshold)
            return {"boxes": stacked_nms(boxes, len(self.classes), self.suppression, overlap=self.overlap,
                                         most=self.most, least=self.threshold)}
        scores = output.logits.float().sigmoid()
        return {"boxes": nms_of_scores(output.corners(), scores, self.suppression, threshold=self.threshold,
                                       overlap=self.overlap, most=self.most, stable=self.stable)}

    def evidence(self, output: Points | Boxes, index: int, of: Mapping[str, Value] | None = None) -> Tensor:
        if isinstance(output, Boxes):
            return best_score(output, index, of)
        return evidence_of_object(output.logits[:, :, index], output.corners(), of)

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


def side_costs(sides: Tensor, distances: Tensor) -> Tensor:
    """[n, 4]: the cross entropy of distributions [n, 4, bins] against distances d [n, 4] in strides, each between the
    two bins beside it (Li et al. 2020, "Generalized focal loss"):

        - (1 - f) log p_b - f log p_(b+1),    b = floor(d), f = d - b

    A distance beyond the last bin counts as just below it.
    """
    distances = distances.clamp(0, sides.shape[-1] - 1.01)
    below = distances.floor()
    fraction, lower = distances - below, below.long()
    log_probabilities = sides.log_softmax(-1)
    at_lower, at_upper = (log_probabilities.gather(2, bins[..., None])[..., 0] for bins in (lower, lower + 1))
    return -((1 - fraction) * at_lower + fraction * at_upper)
