"""Objects with a class, a box and a mask each."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.models.backbone import Backbone
from lensmith.models.heads.prototypes import MaskedPoints, PrototypesHead
from lensmith.tasks.check_settings import check_augment, check_settings
from lensmith.tasks.detection import Detection
from lensmith.tasks.evidence import best_score, evidence_of_object
from lensmith.tasks.losses.object_weights import Weighing
from lensmith.tasks.losses.point_assignment import Assignment
from lensmith.tasks.metrics.instances import InstanceMetrics
from lensmith.tasks.metrics.own import OwnMetrics
from lensmith.tasks.nms import Nms, best_points, decided_by, stacked_nms
from lensmith.tasks.task import Metrics, Task
from lensmith.tasks.usual_settings import Known, Usual, usual_of_objects
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks, in_boxes
from lensmith.values.value import Value

_MARGINS = 32          # numbers per pixel: of a hundred objects, each with a sixteenth of its cells, and their bits
_MOST_LEARNED = 100    # points of a picture whose masks are learned, those with the best quality


@dataclass(frozen=True)
class _WithCoefficients(Boxes):
    """Boxes, each with the coefficients of the prototypes in its mask."""

    coefficients: Tensor = field(kw_only=True)    # float [n, prototypes]


class Instances:
    """Which objects of `classes` a picture shows, and which pixels are whose. The output is `MaskedPoints`; that of a
    network of torchvision, which brings its own head and loss, is `Masks`."""

    needs: tuple[str, ...] = ("masks",)
    score: str = "mask_mAP50-95"
    on_last_map = False
    of_kinds: Mapping[str, type[Task]] | None = None
    objects: tuple[str, ...] = ("masks",)
    window: list[int] | None = None
    stable: bool = False

    def __init__(self, classes: tuple[str, ...], *, targets: Value | None = None, width: int = 64, depth: int = 1,
                 prototypes: int = 32, threshold: float = 0.001, overlap: float = 0.6, most: int = 100,
                 suppression: Nms = "batched", mask_weight: float = 0.5, box_weight: float = 7.5,
                 class_weight: float = 0.5, side_weight: float = 1.5, class_weights: Weighing | None = None,
                 metrics: list[str] | None = None):
        """
        prototypes: the number of maps that masks are weighted sums of.
        mask_weight: the factor on the loss term "mask".

        The other settings are those of `Detection`.
        """
        self.own_metrics = OwnMetrics(metrics)
        check_settings(prototypes=(prototypes, prototypes >= 1, "1 or more"),
                       mask_weight=(mask_weight, mask_weight >= 0, "0 or more"))
        self.detection = Detection(classes, width=width, depth=depth, threshold=threshold, overlap=overlap, most=most,
                                   suppression=suppression, box_weight=box_weight, class_weight=class_weight,
                                   side_weight=side_weight, class_weights=class_weights, targets=targets)
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
        return PrototypesHead(backbone.channels, backbone.strides, len(self.classes), width=self.detection.width,
                              depth=self.detection.depth, prototypes=self.prototypes)

    def loss(self, output: MaskedPoints | Masks | dict[str, Tensor], targets: dict[str, Value]) -> dict[str, Tensor]:
        """The terms of `Detection`, and a fourth, with q_i the quality of point i and Q the sum of all qualities:

            mask = mask_weight / Q * sum_i q_i * mean over the cells in the true box of BCE(margin, true)
        """
        truth = targets["masks"]
        assert isinstance(truth, Masks)
        if isinstance(output, dict):    # a network of torchvision computes its loss by itself while it trains
            return output
        if isinstance(output, Masks):
            return {}
        boxes = self.detection.assigned_loss(output.points(), truth)
        costs = self._mask_costs(output, truth, boxes.assignment)
        return {**boxes.terms, "mask": self.mask_weight * costs / boxes.total}

    def _mask_costs(self, output: MaskedPoints, truth: Masks, assignment: Assignment) -> Tensor:
        """The sum of the costs of all masks, each times the quality of its point."""
        if truth.crowd is not None:
            truth = truth.chosen(~truth.crowd)
        assert truth.image is not None
        batch = len(output.logits)
        first = torch.searchsorted(truth.image, torch.arange(batch, device=truth.image.device))
        rows, columns = output.prototypes.shape[2:]
        middles = [(torch.arange(cells, device=first.device) + 0.5) * (edge / cells)
                   for cells, edge in ((rows, output.size[0]), (columns, output.size[1]))]
        height, width = output.size.tolist()
        # Where there is no object the cost is 0 and still has a graph, which DDP waits for.
        total = output.prototypes.sum() * 0 + output.coefficients.sum() * 0
        best = assignment.quality.topk(min(_MOST_LEARNED, assignment.quality.shape[1]), 1)
        for image, (qualities, points) in enumerate(zip(best.values, best.indices, strict=True)):
            points = points[qualities > 0]
            if not len(points):
                continue
            objects, object_of = (assignment.row[image, points] + first[image]).unique(return_inverse=True)
            # float64 where the network is, as in tests of gradients; otherwise sums over many pixels need float32.
            dtype = torch.float64 if output.prototypes.dtype == torch.float64 else torch.float32
            true = F.interpolate(truth.pixels(objects)[:, None, :height, :width].to(dtype), (rows, columns),
                                 mode="area")
            x0, y0, x1, y1 = truth.corners[objects].unbind(1)
            inside = ((middles[1] > x0[:, None]) & (middles[1] < x1[:, None]))[:, None] & \
                ((middles[0] > y0[:, None]) & (middles[0] < y1[:, None]))[:, :, None]
            inside = (inside | (true[:, 0] > 0.5)).to(dtype)
            margins = torch.einsum("np,phw->nhw", output.coefficients[image, points].to(dtype),
                                   output.prototypes[image].to(dtype))
            costs = F.binary_cross_entropy_with_logits(margins, true[object_of, 0], reduction="none")
            weights = inside / inside.sum((1, 2), keepdim=True).clamp(min=1)
            total = total + ((costs * weights[object_of]).sum((1, 2)) * qualities[qualities > 0]).sum()
        return total

    def decode(self, output: MaskedPoints | Masks) -> dict[str, Value]:
        if isinstance(output, Masks):    # thresholds may have changed since the network was made, as in `Detection`
            assert output.scores is not None
            masks = stacked_nms(output.chosen(output.scores >= self.threshold), len(self.classes), self.suppression,
                                overlap=self.overlap, most=self.most, least=self.threshold)
            return {"masks": masks if self.keeps_margins else replace(masks, margins=None)}
        image, point, number, score = best_points(output.logits.float().sigmoid(), self.threshold, stable=self.stable)
        boxes = stacked_nms(_WithCoefficients(output.corners()[image, point], number, score, image,
                                              coefficients=output.coefficients[image, point].float()),
                            len(self.classes), self.suppression, overlap=self.overlap, most=self.most,
                            least=self.threshold)
        assert boxes.image is not None
        height, width = output.size.tolist()
        bits, margins = [], []
        for picture, prototypes in enumerate(output.prototypes.float()):
            of_picture = boxes.chosen(boxes.image == picture)
            margins.append(torch.einsum("np,phw->nhw", of_picture.coefficients, prototypes))
            bits.append(in_boxes(margins[-1], of_picture.corners, (height, width)))
        masks = Masks(boxes.corners, boxes.classes, boxes.scores, boxes.image, bits=torch.cat(bits),
                      margins=torch.cat(margins) if self.keeps_margins else None)
        return {"masks": masks}

    def evidence(self, output: MaskedPoints | Masks, index: int, of: Mapping[str, Value] | None = None) -> Tensor:
        if isinstance(output, Masks):
            return best_score(output, index, of)
        return evidence_of_object(output.logits[:, :, index], output.corners(), of)

    def class_logits(self, output: Any) -> dict[str, Tensor]:
        return {}

    def metrics(self) -> Metrics:
        return self.own_metrics.beside(InstanceMetrics(self.classes), "masks", self.classes)

    @property
    def kept_per_pixel(self) -> int:
        return _MARGINS if self.keeps_margins else 0

    def with_thresholds(self, threshold: float | None, overlap: float | None) -> Self:
        decided = decided_by(self, threshold, overlap)
        decided.keeps_margins = True    # outlines at the size of the files come from the margins
        return decided

    def scoring_layers(self, network: nn.Module) -> list[tuple[nn.Module, int]]:
        return []

    def notes(self, augment: Mapping[str, Any]) -> list[str]:
        return []

    @staticmethod
    def usual(section: Mapping[str, Any], known: Known) -> Usual:
        return usual_of_objects(known)

    @staticmethod
    def forbids(section: Mapping[str, Any], augment: Mapping[str, Any]) -> None:
        check_augment(augment, ("masks",), task=section["name"])
