"""Mask R-CNN of torchvision, whole, with its own regions, anchors and losses."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from lensmith.base.errors import ModelError
from lensmith.models.adapters.torchvision_detectors import (
    LEAST,
    check_pictures,
    learnable,
    torchvision_targets,
    whole_model,
)
from lensmith.models.backbone import Backbone, LossHead, Size
from lensmith.models.neck import padded
from lensmith.values.instance_masks import Masks, pack_bits
from lensmith.values.value import Value

INSTANCE_DETECTORS = ("maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2")
_INSIDE = 0.5    # the probability above which a pixel is the object's


class WholeInstanceDetector(Backbone):
    """Stands in the place of a backbone: it hands the pictures on as they are, and `instance_detector` gives the head,
    which is the whole network."""

    def __init__(self, name: str, *, inputs: int, size: tuple[int, int]):
        super().__init__()
        check_pictures(name, inputs=inputs, size=size, least=LEAST)
        self.name, self.channels, self.strides = name, (inputs,), (1,)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        return [padded(pictures, [max(edge, LEAST) for edge in pictures.shape[2:]])]

    def classifier(self, outputs: int) -> nn.Module:
        raise ModelError(f"{self.name} looks for objects and has no scores for whole pictures: train it with "
                         "task.name=instances")

    def instance_detector(self, classes: int, *, threshold: float, overlap: float, most: int) -> nn.Module:
        """The head: the network itself for so many classes, freshly drawn."""
        return WholeInstanceHead(whole_model(self.name, classes, threshold=threshold, overlap=overlap, most=most))


class WholeInstanceHead(LossHead):
    """Mask R-CNN as a head: from the pictures to its objects, or, with the truth, to its losses."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, maps: list[Tensor], size: Size | None = None) -> Masks:
        """The objects of each picture, best first. In training mode there are none: torchvision's networks give losses
        then."""
        from torchvision.models.detection.roi_heads import paste_masks_in_image

        images = maps[0]
        height, width = images.shape[2:]
        if self.training:
            nothing = torch.zeros(0, device=images.device)
            return Masks(nothing.view(0, 4), nothing.long(), nothing, nothing.long(),
                         bits=nothing.view(0, height, 0).to(torch.uint8), margins=nothing.view(0, height, width))
        pictures = []
        for objects in self.model(list(images)):
            corners = objects["boxes"].float()
            margins = paste_masks_in_image(objects["masks"].float(), corners, (height, width))[:, 0] - _INSIDE
            pictures.append(Masks(corners, objects["labels"] - 1, objects["scores"].float(),
                                  bits=pack_bits(margins > 0), margins=margins))
        return Masks.stack(pictures)

    def loss(self, maps: list[Tensor], targets: dict[str, Value]) -> dict[str, Tensor]:
        """The terms of the network's own loss."""
        truth, (height, width) = targets["masks"], maps[0].shape[2:]
        assert isinstance(truth, Masks)
        truth = truth.chosen(learnable(truth))
        assert truth.image is not None
        pictures = torchvision_targets(truth, len(maps[0]))
        for number, objects in enumerate(pictures):
            rows = (truth.image == number).nonzero()[:, 0]
            pixels = truth.pixels(rows)[:, :height, :width]
            missing = (0, width - pixels.shape[2], 0, height - pixels.shape[1])    # where the picture was padded
            objects["masks"] = nn.functional.pad(pixels.to(torch.uint8), missing)
        return {name.removeprefix("loss_"): term for name, term in self.model(list(maps[0]), pictures).items()}


def whole_instance_detector(name: str, *, inputs: int, size: tuple[int, int]) -> WholeInstanceDetector:
    """A network of torchvision, without weights from elsewhere. Raises ModelError for pictures that it cannot take."""
    return WholeInstanceDetector(name, inputs=inputs, size=size)


WHOLE_INSTANCES: dict[str, Callable[..., Backbone]] = {
    name: partial(whole_instance_detector, name) for name in INSTANCE_DETECTORS}
