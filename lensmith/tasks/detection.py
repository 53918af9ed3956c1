"""Objects as boxes with a class each, found at points: the detector that is the default."""



import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.base.boxes import batched_nms, iou
from lensmith.base.errors import UserError
from lensmith.base.values import Boxes, Value
from lensmith.models.backbone import Backbone
from lensmith.models.points import BINS, Points, PointsHead, corners_of
from lensmith.tasks.assignment import in_crowds, pad, task_aligned
from lensmith.tasks.average_precision import BoxMetrics

_BEFORE = 1000    # boxes of a picture that come into the suppression


class Detection:
    """Which objects of `classes` a picture shows, and where. The output is `Points`."""

    needs: tuple[str, ...] = ("boxes",)
    score: str = "mAP50-95"

    def __init__(self, classes: tuple[str, ...], *, targets: Value | None = None, width: int = 64, depth: int = 1,
                 threshold: float = 0.001, overlap: float = 0.6, most: int = 300, box_weight: float = 7.5,
                 class_weight: float = 0.5, side_weight: float = 1.5, bins: int = BINS, alpha: float = 0.5, beta: float = 6.0, topk: int = 10, kind: str = "ciou", floor: float = 0.0):
        """`width` and `depth` are channels and convolutions of the neck and the branches. Of the boxes found those
        below `threshold` are left out, of two of a class that overlap by more than `overlap` IoU the worse, and beyond
        the best `most` of a picture all. The three weights are those of the parts of the loss."""
        for name, value, right, accepted in (
                ("threshold", threshold, 0 <= threshold < 1, "0 <= threshold < 1"),
                ("overlap", overlap, 0 < overlap <= 1, "0 < overlap <= 1"), ("most", most, most >= 1, "1 or more"),
                ("width", width, width >= 1, "1 or more"), ("depth", depth, depth >= 1, "1 or more"),
                *((f"{part}_weight", value, value >= 0, "0 or more") for part, value in
                  (("box", box_weight), ("class", class_weight), ("side", side_weight)))):
            if not right:
                raise UserError(f"task.{name}={value} cannot be: accepted is {accepted}")
        self.classes, self.width, self.depth = classes, width, depth
        self.threshold, self.overlap, self.most = threshold, overlap, most
        self.box_weight, self.class_weight, self.side_weight = box_weight, class_weight, side_weight
        self.bins, self.alpha, self.beta, self.topk, self.kind, self.floor = bins, alpha, beta, topk, kind, floor

    def head(self, backbone: Backbone) -> nn.Module:
        """`PointsHead`; or, for a detector of torchvision, that detector. Raises UserError for one of a Darknet file."""
        if hasattr(backbone, "detector"):
            whole: nn.Module = backbone.detector(len(self.classes), threshold=self.threshold, overlap=self.overlap,
                                                 most=self.most)
            return whole
        if getattr(backbone, "outputs", ()):
            raise UserError("the network comes with yolo or region layers of its own, which task 'detection' does not "
                            "learn by: train it with --task yolov3, or take its first layers with backbone.layers")
        return PointsHead(backbone.channels, backbone.strides, len(self.classes), width=self.width, depth=self.depth, bins=self.bins)

    def loss(self, output: Points | Boxes, targets: dict[str, Value]) -> dict[str, Tensor]:
        """`class`: cross entropy against how well each point places its object; `box`: 1 - CIoU; `side`: the
        distribution of each distance against the two bins beside the true one (Li et al. 2020, "Generalized focal
        loss"). Each is a sum over the points divided by the sum of what they are to score."""
        truth = targets["boxes"]
        assert isinstance(truth, Boxes)
        if isinstance(output, Boxes):    # a whole detector's, which works its loss out by itself where it learns
            return {}
        logits, sides = (part if part.dtype == torch.float64 else part.float() for part in output[:2])
        centres, strides = output.centres, output.strides
        objects = pad(truth, len(logits))
        found = task_aligned(logits.detach().sigmoid(), corners_of(sides.detach(), centres, strides), centres, strides,
                             objects, most=self.topk, alpha=self.alpha, beta=self.beta, floor=self.floor)
        total = found.quality.sum().clamp(min=1)

        image, point = (found.quality > 0).nonzero(as_tuple=True)
        row, quality = found.row[image, point], found.quality[image, point]
        goal = torch.zeros_like(logits)
        goal[image, point, objects.classes[image, row]] = quality.to(goal.dtype)
        costs = F.binary_cross_entropy_with_logits(logits, goal, reduction="none").sum(2)
        class_loss = costs.masked_fill(in_crowds(truth, centres, len(logits)) & (found.quality == 0), 0.0).sum() / total

        own, wanted = sides[image, point], objects.corners[image, row]
        placed = corners_of(own, centres[point], strides[point])
        box_loss = ((1 - iou(placed, wanted, self.kind)) * quality).sum() / total
        if self.bins == 1:
            return {"class": self.class_weight * class_loss, "box": self.box_weight * box_loss}
        distances = torch.cat((centres[point] - wanted[:, :2], wanted[:, 2:] - centres[point]), 1)
        side_loss = (side_costs(own, distances / strides[point, None]).mean(1) * quality).sum() / total
        return {"class": self.class_weight * class_loss, "box": self.box_weight * box_loss,
                "side": self.side_weight * side_loss}

    def decode(self, output: Points | Boxes) -> dict[str, Value]:
        if isinstance(output, Boxes):
            return {"boxes": output}
        corners, scores = output.corners(), output.logits.float().sigmoid()
        return {"boxes": best_boxes(corners, scores, threshold=self.threshold, overlap=self.overlap, most=self.most)}

    def evidence(self, output: Points, index: int) -> Tensor:
        return output.logits[:, :, index].amax(1)

    def metrics(self) -> BoxMetrics:
        return BoxMetrics(self.classes)


def side_costs(sides: Tensor, distances: Tensor) -> Tensor:
    """[n, 4]: the cross entropy of distributions [n, 4, bins] against distances [n, 4], each shared by the two bins
    beside it; what is beyond the last bin counts as that."""
    distances = distances.clamp(0, sides.shape[-1] - 1.01)
    below = distances.floor()
    share, below = distances - below, below.long()
    log_chance = sides.log_softmax(-1)
    near, far = (log_chance.gather(2, bin[..., None])[..., 0] for bin in (below, below + 1))
    return -((1 - share) * near + share * far)


def best_boxes(corners: Tensor, scores: Tensor, *, threshold: float, overlap: float, most: int) -> Boxes:
    """The stacked boxes that are kept of `corners` [batch, points, 4] with `scores` [batch, points, classes], best first
    in each picture: at or above `threshold`, not suppressed in their class by `overlap`, the `most` best."""
    batch, points, classes = scores.shape
    best = scores.flatten(1).topk(min(_BEFORE, points * classes), 1)
    image, rank = (best.values >= threshold).nonzero(as_tuple=True)
    chosen, score = best.indices[image, rank], best.values[image, rank]
    box, kind = corners[image, chosen // classes], chosen % classes
    kept = batched_nms(box, score, image * classes + kind, overlap)
    kept = kept[image[kept].argsort(stable=True)]
    counts = torch.bincount(image[kept], minlength=batch)
    rank = torch.arange(len(kept), device=kept.device) - (counts.cumsum(0) - counts)[image[kept]]
    kept = kept[rank < most]
    return Boxes(box[kept], kind[kept], score[kept], image[kept])
