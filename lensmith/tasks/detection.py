"""Objects as boxes with a class each, found at points: the detector that is the default."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.models.backbone import Backbone
from lensmith.models.heads.points import Points, PointsHead, corners_of
from lensmith.tasks.losses.point_assignment import Assignment, in_crowds, pad, task_aligned
from lensmith.tasks.metrics.boxes import BoxMetrics
from lensmith.values.box_arithmetic import batched_nms, diou_nms, iou, soft_nms
from lensmith.values.value import Boxes, Value

_BEFORE = 1000    # boxes of a picture that come into the suppression
Found = TypeVar("Found", bound=Boxes)
Suppression = Literal["batched", "agnostic", "soft", "diou"]


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

    def __init__(self, classes: tuple[str, ...], *, targets: Value | None = None, width: int = 64, depth: int = 1,
                 threshold: float = 0.001, overlap: float = 0.6, most: int = 300,
                 suppression: Suppression = "batched", box_weight: float = 7.5, class_weight: float = 0.5,
                 side_weight: float = 1.5):
        """`width` and `depth` are channels and convolutions of the neck and the branches. Of the boxes found those
        below `threshold` are left out, of two of a class that overlap by more than `overlap` IoU the worse, and beyond
        the best `most` of a picture all; other ways of `suppression` are told at `suppressed`. The three weights are
        those of the parts of the loss."""
        check_settings(width=(width, width >= 1, "1 or more"), depth=(depth, depth >= 1, "1 or more"),
                       box_weight=(box_weight, box_weight >= 0, "0 or more"),
                       class_weight=(class_weight, class_weight >= 0, "0 or more"),
                       side_weight=(side_weight, side_weight >= 0, "0 or more"),
                       **decoding(threshold, overlap, most))
        self.classes, self.width, self.depth = classes, width, depth
        self.threshold, self.overlap, self.most, self.suppression = threshold, overlap, most, suppression
        self.box_weight, self.class_weight, self.side_weight = box_weight, class_weight, side_weight

    def head(self, backbone: Backbone) -> nn.Module:
        """`PointsHead`; or, for a detector of torchvision, itself. Raises UserError for one of a Darknet file."""
        detector: Callable[..., nn.Module] | None = getattr(backbone, "detector", None)
        if detector is not None:
            return self.whole_head(detector)
        if getattr(backbone, "outputs", ()):
            raise UserError("the network comes with yolo or region layers of its own, which task 'detection' does not "
                            "learn by: train it with --task yolov3, or take its first layers with backbone.layers")
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
            return {"boxes": suppressed(sure, len(self.classes), self.suppression, overlap=self.overlap,
                                        most=self.most, least=self.threshold)}
        scores = output.logits.float().sigmoid()
        return {"boxes": best_boxes(output.corners(), scores, self.suppression, threshold=self.threshold,
                                    overlap=self.overlap, most=self.most)}

    def evidence(self, output: Points, index: int) -> Tensor:
        return output.logits[:, :, index].amax(1)

    def metrics(self) -> BoxMetrics:
        return BoxMetrics(self.classes)


def check_settings(**settings: tuple[float, bool, str]) -> None:
    """Raises UserError for the first setting of task, each (value, whether it is right, what is accepted), that is not
    right."""
    for name, (value, right, accepted) in settings.items():
        if not right:
            raise UserError(f"task.{name}={value} cannot be: accepted is {accepted}")


def decoding(threshold: float, overlap: float, most: int) -> dict[str, tuple[float, bool, str]]:
    """The settings of decoding as `check_settings` takes them."""
    return {"threshold": (threshold, 0 <= threshold < 1, "0 <= threshold < 1"),
            "overlap": (overlap, 0 < overlap <= 1, "0 < overlap <= 1"), "most": (most, most >= 1, "1 or more")}


def side_costs(sides: Tensor, distances: Tensor) -> Tensor:
    """[n, 4]: the cross entropy of distributions [n, 4, bins] against distances [n, 4], each shared by the two bins
    beside it; what is beyond the last bin counts as that."""
    distances = distances.clamp(0, sides.shape[-1] - 1.01)
    below = distances.floor()
    share, lower = distances - below, below.long()
    log_chance = sides.log_softmax(-1)
    near, far = (log_chance.gather(2, bins[..., None])[..., 0] for bins in (lower, lower + 1))
    return -((1 - share) * near + share * far)


def best_boxes(corners: Tensor, scores: Tensor, suppression: Suppression = "batched", *, threshold: float,
               overlap: float, most: int) -> Boxes:
    """The stacked boxes that are kept of `corners` [batch, points, 4] with `scores` [batch, points, classes], best
    first in each picture: at or above `threshold`, not `suppressed`, the `most` best."""
    image, point, kind, score = best_points(scores, threshold)
    return suppressed(Boxes(corners[image, point], kind, score, image), scores.shape[2], suppression,
                      overlap=overlap, most=most, least=threshold)


def best_points(scores: Tensor, threshold: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The best of `scores` [batch, points, classes] at or above `threshold`, best first in each picture: the pictures,
    the points and the classes, int64 [k] each, and the scores, [k]."""
    # Most points say nothing: to sort their scores too would take longer than a small network does.
    speaking = (scores.amax(2) >= threshold).any(0).nonzero()[:, 0]
    scores = scores[:, speaking]
    _, points, classes = scores.shape
    best = scores.flatten(1).topk(min(_BEFORE, points * classes), 1)
    image, rank = (best.values >= threshold).nonzero(as_tuple=True)
    chosen = best.indices[image, rank]
    return image, speaking[chosen // classes], chosen % classes, best.values[image, rank]


def suppressed(found: Found, classes: int, suppression: Suppression = "batched", *, overlap: float, most: int,
               least: float = 0.0) -> Found:
    """The stacked boxes of `classes` kinds that are left, best first in each picture, of a picture the `most` best.

    Of two that overlap by more than `overlap` IoU the better is left: `batched` of two of a class, `agnostic` of any
    two, `diou` of two of a class by DIoU (`base.boxes.diou_nms`). With `soft` the worse one of a class has its score
    multiplied by 1 - IoU (`soft_nms`, linear), and is left out where that falls below `least`.
    """
    image, score = found.image, found.scores
    assert image is not None and score is not None
    groups = image if suppression == "agnostic" else image * classes + found.classes
    if suppression in ("batched", "agnostic"):
        kept = batched_nms(found.corners, score, groups, overlap)
    else:
        one = partial(soft_nms, kind="linear", threshold=overlap, least=least) if suppression == "soft" else \
            partial(_by_distance, threshold=overlap)
        kept, score = _in_groups(one, found.corners, score, groups)
    kept = kept[image[kept].argsort(stable=True)]
    counts = torch.bincount(image[kept])
    rank = torch.arange(len(kept), device=kept.device) - (counts.cumsum(0) - counts)[image[kept]]
    kept = kept[rank < most]
    return replace(found, scores=score)._rows(kept, image[kept])


def _by_distance(corners: Tensor, scores: Tensor, *, threshold: float) -> tuple[Tensor, Tensor]:
    kept = diou_nms(corners, scores, threshold=threshold)
    return kept, scores[kept]


def _in_groups(suppress: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], corners: Tensor, scores: Tensor,
               groups: Tensor) -> tuple[Tensor, Tensor]:
    """int64 [kept], best first, of what `suppress` leaves of each group, and all scores, [n], with those it gives."""
    scores, order = scores.clone(), groups.argsort(stable=True)
    kept = [order[:0]]
    for rows in order.split(torch.unique_consecutive(groups[order], return_counts=True)[1].tolist()):
        chosen, values = suppress(corners[rows], scores[rows])
        kept.append(rows[chosen])
        scores[rows[chosen]] = values
    left = torch.cat(kept).sort().values
    return left[scores[left].argsort(descending=True, stable=True)], scores
