"""Objects with a class, a box and their own pixels each."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.base.pictures import Form
from lensmith.models.backbone import Backbone
from lensmith.models.heads.prototypes import MaskedPoints, PrototypesHead
from lensmith.tasks.check_settings import check_augment, check_settings
from lensmith.tasks.detection import Detection
from lensmith.tasks.losses.point_assignment import Assignment
from lensmith.tasks.metrics.instances import InstanceMetrics
from lensmith.tasks.metrics.own import OwnMetrics
from lensmith.tasks.nms import SHOWN, Nms, best_points, stacked_nms
from lensmith.tasks.task import Metrics, Task
from lensmith.tasks.usual import Usual, usual_of_objects
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks, in_boxes
from lensmith.values.value import Value

_MARGINS = 32          # numbers per pixel: of a hundred objects, each with a sixteenth of its cells, and their bits
_MOST_LEARNED = 100    # points of a picture whose masks are learned, those that are to score most


@dataclass(frozen=True)
class _Sketched(Boxes):
    """Boxes, each with the shares of the prototypes in its mask."""

    shares: Tensor = field(kw_only=True)    # float [n, prototypes]


class Instances:
    """Which objects of `classes` a picture shows, and which pixels are whose. The output is `MaskedPoints`; that of a
    network of torchvision, which brings its own head and loss, is `Masks`."""

    needs: tuple[str, ...] = ("masks",)
    score: str = "mask_mAP50-95"
    on_last_map = False
    of_kinds: Mapping[str, type[Task]] | None = None
    objects: tuple[str, ...] = ("masks",)
    window: list[int] | None = None

    def __init__(self, classes: tuple[str, ...], *, targets: Value | None = None, width: int = 64, depth: int = 1,
                 prototypes: int = 32, threshold: float = 0.001, overlap: float = 0.6, most: int = 100,
                 suppression: Nms = "batched", mask_weight: float = 0.5, box_weight: float = 7.5,
                 class_weight: float = 0.5, side_weight: float = 1.5, metrics: list[str] | None = None):
        """`prototypes` are the maps that masks are sums of, `mask_weight` is that of their part of the loss; the other
        settings are those of `Detection`."""
        self.own_metrics = OwnMetrics(metrics)
        check_settings(prototypes=(prototypes, prototypes >= 1, "1 or more"),
                       mask_weight=(mask_weight, mask_weight >= 0, "0 or more"))
        self.detection = Detection(classes, width=width, depth=depth, threshold=threshold, overlap=overlap, most=most,
                                 suppression=suppression, box_weight=box_weight, class_weight=class_weight,
                                 side_weight=side_weight)
        self.classes, self.prototypes, self.mask_weight = classes, prototypes, mask_weight
        self.threshold, self.overlap, self.most, self.suppression = threshold, overlap, most, suppression
        self.keeps_margins = False    # whether `decode` keeps how far each pixel is inside of its object

    def head(self, backbone: Backbone) -> nn.Module:
        """`PrototypesHead`; or, for a network of torchvision that gives masks, itself. Raises UserError for one that
        gives boxes alone."""
        if backbone.instance_detector is not None:
            return self.detection.whole_head(backbone.instance_detector)
        if backbone.detector is not None or backbone.segmenter is not None or backbone.outputs:
            raise UserError("the network comes whole and gives no masks of objects: take a backbone for task "
                            "'instances', as in backbone.name=csp, or maskrcnn_resnet50_fpn")
        settings = self.detection
        return PrototypesHead(backbone.channels, backbone.strides, len(self.classes), width=settings.width,
                              depth=settings.depth, prototypes=self.prototypes)

    def loss(self, output: MaskedPoints | Masks | dict[str, Tensor], targets: dict[str, Value]) -> dict[str, Tensor]:
        """The parts of `Detection`, and `mask`: the mean cross entropy of the pixels in the true box, for the points
        that answer for an object, by what they are to score."""
        truth = targets["masks"]
        assert isinstance(truth, Masks)
        if isinstance(output, dict):    # a whole network works its loss out by itself where it learns
            return output
        if isinstance(output, Masks):
            return {}
        learned = self.detection.assigned_loss(output.points(), truth)
        costs = self._mask_costs(output, truth, learned.found)
        return {**learned.parts, "mask": self.mask_weight * costs / learned.total}

    def _mask_costs(self, output: MaskedPoints, truth: Masks, found: Assignment) -> Tensor:
        """The costs of all masks, each by the quality of its point."""
        if truth.crowd is not None:
            truth = truth.chosen(~truth.crowd)
        assert truth.image is not None
        batch = len(output.logits)
        first = torch.searchsorted(truth.image, torch.arange(batch, device=truth.image.device))
        rows, columns = output.prototypes.shape[2:]
        middles = [(torch.arange(cells, device=first.device) + 0.5) * (edge / cells)
                   for cells, edge in ((rows, output.size[0]), (columns, output.size[1]))]
        height, width = output.size.tolist()
        total = output.prototypes.sum() * 0 + output.coefficients.sum() * 0    # the graph, where there is no object
        best = found.quality.topk(min(_MOST_LEARNED, found.quality.shape[1]), 1)
        for image, (qualities, points) in enumerate(zip(best.values, best.indices, strict=True)):
            points = points[qualities > 0]
            if not len(points):
                continue
            own, which = (found.row[image, points] + first[image]).unique(return_inverse=True)
            # float64 where the network is, as in tests of gradients; else sums over many pixels take float32.
            kind = torch.float64 if output.prototypes.dtype == torch.float64 else torch.float32
            true = F.interpolate(truth.pixels(own)[:, None, :height, :width].to(kind), (rows, columns), mode="area")
            x0, y0, x1, y1 = truth.corners[own].unbind(1)
            inside = ((middles[1] > x0[:, None]) & (middles[1] < x1[:, None]))[:, None] & \
                ((middles[0] > y0[:, None]) & (middles[0] < y1[:, None]))[:, :, None]
            inside = (inside | (true[:, 0] > 0.5)).to(kind)
            margins = torch.einsum("np,phw->nhw", output.coefficients[image, points].to(kind),
                                   output.prototypes[image].to(kind))
            costs = F.binary_cross_entropy_with_logits(margins, true[which, 0], reduction="none")
            share = inside / inside.sum((1, 2), keepdim=True).clamp(min=1)
            total = total + ((costs * share[which]).sum((1, 2)) * qualities[qualities > 0]).sum()
        return total

    def decode(self, output: MaskedPoints | Masks) -> dict[str, Value]:
        if isinstance(output, Masks):    # decided by what held when the network was made, not by what holds now
            assert output.scores is not None
            sure = stacked_nms(output.chosen(output.scores >= self.threshold), len(self.classes), self.suppression,
                              overlap=self.overlap, most=self.most, least=self.threshold)
            return {"masks": sure if self.keeps_margins else replace(sure, margins=None)}
        scores = output.logits.float().sigmoid()
        image, point, kind, score = best_points(scores, self.threshold)
        found = stacked_nms(_Sketched(output.corners()[image, point], kind, score, image,
                                     shares=output.coefficients[image, point].float()),
                           len(self.classes), self.suppression, overlap=self.overlap, most=self.most,
                           least=self.threshold)
        assert found.image is not None
        height, width = output.size.tolist()
        prototypes = output.prototypes.float()
        parts, margins = [], []
        for number in range(len(prototypes)):
            one = found.chosen(found.image == number)
            heights = torch.einsum("np,phw->nhw", one.shares, prototypes[number])
            parts.append(in_boxes(heights, one.corners, (height, width)))
            margins.append(heights)
        masks = Masks(found.corners, found.classes, found.scores, found.image, bits=torch.cat(parts),
                      margins=torch.cat(margins) if self.keeps_margins else None)
        return {"masks": masks}

    def evidence(self, output: MaskedPoints, index: int) -> Tensor:
        return output.logits[:, :, index].amax(1)

    def metrics(self) -> Metrics:
        return self.own_metrics.beside(InstanceMetrics(self.classes), "masks", self.classes)

    @property
    def kept_per_pixel(self) -> int:
        return _MARGINS if self.keeps_margins else 0

    def with_thresholds(self, threshold: float | None, overlap: float | None) -> Self:
        decided = copy(self)
        decided.threshold = SHOWN if threshold is None else threshold
        decided.overlap = self.overlap if overlap is None else overlap
        decided.keeps_margins = True    # outlines at the size of the files come from the margins
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
        check_augment(augment, ("masks",), task=section["name"])
