"""The detectors of torchvision, each whole: its own regions, anchors and losses, used as every other network."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lensmith.base.errors import ModelError
from lensmith.models.backbone import Backbone, LossHead, Size
from lensmith.models.neck import padded
from lensmith.values.box_arithmetic import area
from lensmith.values.boxes import Boxes
from lensmith.values.value import Value

DETECTORS = ("fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2", "fasterrcnn_mobilenet_v3_large_fpn",
             "fasterrcnn_mobilenet_v3_large_320_fpn", "retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2",
             "fcos_resnet50_fpn", "ssd300_vgg16", "ssdlite320_mobilenet_v3_large")
LEAST = 32    # pixels: below, the last maps of these networks are empty
_LEAST = {"ssd300_vgg16": 272, "ssdlite320_mobilenet_v3_large": 192}    # those that take more


class WholeDetector(Backbone):
    """Stands where the backbone of a detector of torchvision would: the pictures go on as they are, those from which
    the ground was cut away filled up to the least edge, and `detector` gives the head that is the whole network."""

    def __init__(self, name: str, *, inputs: int, size: tuple[int, int]):
        super().__init__()
        self.least = _LEAST.get(name, LEAST)
        check_pictures(name, inputs=inputs, size=size, least=self.least)
        self.name, self.channels, self.strides = name, (inputs,), (1,)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        return [padded(pictures, [max(edge, self.least) for edge in pictures.shape[2:]])]

    def classifier(self, outputs: int) -> nn.Module:
        raise ModelError(f"{self.name} looks for objects and has no scores for whole pictures: train it with "
                         "task.name=detection")

    def detector(self, classes: int, *, threshold: float, overlap: float, most: int) -> nn.Module:
        """The head: the network itself for so many classes, freshly drawn."""
        return WholeHead(whole_model(self.name, classes, threshold=threshold, overlap=overlap, most=most))


def check_pictures(name: str, *, inputs: int, size: tuple[int, int], least: int = 1) -> None:
    """Raises ModelError where a network of torchvision cannot take pictures of `inputs` channels and `size` (height,
    width)."""
    if inputs != 3:
        raise ModelError(f"{name} takes pictures of 3 channels; these have {inputs}: set pictures.channels=3")
    if min(size) < least:
        raise ModelError(f"{name} cannot take pictures of {size[0]} x {size[1]} pixels: take larger ones with "
                         f"pictures.size={least} or more")


def whole_model(name: str, classes: int, *, threshold: float, overlap: float, most: int) -> Any:
    """A detector of torchvision for so many classes, freshly drawn, that takes the pictures as they come."""
    # Here, because the import takes 1.7 s, which nobody else should wait for.
    from torchvision.models import get_model

    given: dict[str, Any] = {"weights": None, "num_classes": classes + 1}    # class 0 is the ground
    if not name.startswith("ssd"):
        given["min_size"], given["max_size"] = 1, 1    # unused: the pictures come as they are to be taken
    model: Any = get_model(name, **given, weights_backbone=None)
    model.transform = AsTheyAre()
    owner = model.roi_heads if hasattr(model, "roi_heads") else model
    owner.score_thresh, owner.nms_thresh = threshold, overlap
    for limit in ("detections_per_img", "detections_per_image"):
        if hasattr(owner, limit):
            setattr(owner, limit, most)
    return model


class WholeHead(LossHead):
    """A detector of torchvision as a head: from the pictures to its boxes, or, with the truth, to its losses."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, maps: list[Tensor], size: Size | None = None) -> Boxes:
        """The boxes of each picture, best first; while the network is in training mode there are none to be had."""
        images = maps[0]
        if self.training:
            nothing = torch.zeros(0, device=images.device)
            return Boxes(nothing.view(0, 4), nothing.long(), nothing, nothing.long())
        found = self.model(list(images))
        return Boxes.stack([Boxes(one["boxes"].float(), one["labels"] - 1, one["scores"].float()) for one in found])

    def loss(self, maps: list[Tensor], targets: dict[str, Value]) -> dict[str, Tensor]:
        """The parts of the network's own loss."""
        truth = targets["boxes"]
        assert isinstance(truth, Boxes)
        rows = taught(truth.chosen(counted(truth)), len(maps[0]))
        return {name.removeprefix("loss_"): part for name, part in self.model(list(maps[0]), rows).items()}


def counted(truth: Boxes) -> Tensor:
    """bool [n]: the objects that are learned: not those that are crowds or without an area."""
    there = area(truth.corners) > 0
    return there if truth.crowd is None else ~truth.crowd & there


def taught(truth: Boxes, pictures: int) -> list[dict[str, Tensor]]:
    """The boxes and labels of each picture as torchvision's networks take them, of objects that are `counted`."""
    return [{"boxes": truth.corners[truth.image == number], "labels": truth.classes[truth.image == number] + 1}
            for number in range(pictures)]


class AsTheyAre(nn.Module):
    """In the place of torchvision's own resizing and standardising, which Lensmith has done already."""

    def forward(self, images: list[Tensor], targets: Any = None) -> tuple[Any, Any]:
        from torchvision.models.detection.image_list import ImageList

        return ImageList(torch.stack(images), [(image.shape[1], image.shape[2]) for image in images]), targets

    def postprocess(self, found: list[dict[str, Tensor]], *sizes: Any) -> list[dict[str, Tensor]]:
        return found


def whole_detector(name: str, *, inputs: int, size: tuple[int, int]) -> WholeDetector:
    """A detector of torchvision, without weights from elsewhere. Raises ModelError for pictures that it cannot take."""
    return WholeDetector(name, inputs=inputs, size=size)


WHOLE: dict[str, Callable[..., Backbone]] = {name: partial(whole_detector, name) for name in DETECTORS}
