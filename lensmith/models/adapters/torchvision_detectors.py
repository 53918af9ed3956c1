"""The detectors of torchvision, each whole, with its own regions, anchors and losses."""

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
LEAST = 32    # pixels of an edge: below, the last maps of these networks are empty
_LEAST = {"ssd300_vgg16": 272, "ssdlite320_mobilenet_v3_large": 192}    # networks that need larger pictures


class WholeDetector(Backbone):
    """Stands in the place of a backbone: it hands the pictures on, padded to the least edge where their own padding was
    cut off for measuring, and `detector` gives the head, which is the whole network."""

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
        return DetectorHead(whole_model(self.name, classes, threshold=threshold, overlap=overlap, most=most))


def check_pictures(name: str, *, inputs: int, size: tuple[int, int], least: int = 1) -> None:
    """Raises ModelError where a network of torchvision cannot take pictures of `inputs` channels and `size` (height,
    width)."""
    if inputs != 3:
        raise ModelError(f"{name} takes pictures of 3 channels; these have {inputs}: set pictures.channels=3")
    if min(size) < least:
        raise ModelError(f"{name} cannot take pictures of {size[0]} x {size[1]} pixels: take larger ones with "
                         f"pictures.size={least} or more")


def whole_model(name: str, classes: int, *, threshold: float, overlap: float, most: int) -> Any:
    """A detector of torchvision for so many classes, freshly drawn, that takes the pictures as Lensmith makes them."""
    # Here, because the import takes 1.7 s, which nobody else should wait for.
    from torchvision.models import get_model

    settings: dict[str, Any] = {"weights": None, "num_classes": classes + 1}    # class 0 is the background
    if not name.startswith("ssd"):
        settings["min_size"], settings["max_size"] = 1, 1    # never used, since `AsTheyAre` resizes nothing
    model: Any = get_model(name, **settings, weights_backbone=None)
    model.transform = AsTheyAre()
    owner = model.roi_heads if hasattr(model, "roi_heads") else model
    owner.score_thresh, owner.nms_thresh = threshold, overlap
    for limit in ("detections_per_img", "detections_per_image"):
        if hasattr(owner, limit):
            setattr(owner, limit, most)
    return model


class DetectorHead(LossHead):
    """A detector of torchvision as a head: from the pictures to its boxes, or, with the truth, to its losses."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def _get_name(self) -> str:
        return "WholeHead"    # in the text of a network, by which plans are kept in the user's cache

    def forward(self, maps: list[Tensor], size: Size | None = None) -> Boxes:
        """The boxes of each picture, best first. In training mode there are none: torchvision's networks give losses
        then."""
        images = maps[0]
        if self.training:
            nothing = torch.zeros(0, device=images.device)
            return Boxes(nothing.view(0, 4), nothing.long(), nothing, nothing.long())
        pictures = self.model(list(images))
        return Boxes.stack([Boxes(boxes["boxes"].float(), boxes["labels"] - 1, boxes["scores"].float())
                            for boxes in pictures])

    def loss(self, maps: list[Tensor], targets: dict[str, Value]) -> dict[str, Tensor]:
        """The terms of the network's own loss."""
        truth = targets["boxes"]
        assert isinstance(truth, Boxes)
        objects = torchvision_targets(truth.chosen(learnable(truth)), len(maps[0]))
        return {name.removeprefix("loss_"): term for name, term in self.model(list(maps[0]), objects).items()}


def learnable(truth: Boxes) -> Tensor:
    """bool [n]: the objects that are learned, which are neither crowds nor without an area."""
    has_area = area(truth.corners) > 0
    return has_area if truth.crowd is None else ~truth.crowd & has_area


def torchvision_targets(truth: Boxes, pictures: int) -> list[dict[str, Tensor]]:
    """The boxes and labels of each picture as torchvision's networks take them, with class 0 for the background."""
    return [{"boxes": truth.corners[truth.image == number], "labels": truth.classes[truth.image == number] + 1}
            for number in range(pictures)]


class AsTheyAre(nn.Module):
    """Stands in the place of torchvision's resizing and standardising, which Lensmith has done already."""

    def forward(self, images: list[Tensor], targets: Any = None) -> tuple[Any, Any]:
        from torchvision.models.detection.image_list import ImageList

        return ImageList(torch.stack(images), [(image.shape[1], image.shape[2]) for image in images]), targets

    def postprocess(self, result: list[dict[str, Tensor]], *sizes: Any) -> list[dict[str, Tensor]]:
        return result


def whole_detector(name: str, *, inputs: int, size: tuple[int, int]) -> WholeDetector:
    """A detector of torchvision, without weights from elsewhere. Raises ModelError for pictures that it cannot take."""
    return WholeDetector(name, inputs=inputs, size=size)


WHOLE: dict[str, Callable[..., Backbone]] = {name: partial(whole_detector, name) for name in DETECTORS}
