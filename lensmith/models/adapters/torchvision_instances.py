"""Mask R-CNN of torchvision, whole: its own regions, anchors and losses, used as every other network."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from lensmith.base.errors import ModelError
from lensmith.models.adapters.torchvision_detectors import LEAST, check_pictures, counted, taught, whole_model
from lensmith.models.backbone import Backbone, LossHead, Size
from lensmith.models.neck import padded
from lensmith.values.instance_masks import Masks, pack_bits
from lensmith.values.value import Value

INSTANCE_DETECTORS = ("maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2")
_INSIDE = 0.5    # the chance from which on a pixel is the object's


class WholeInstanceDetector(Backbone):
    """Stands where the backbone of Mask R-CNN would: the pictures go on as they are, and `instance_detector` gives the
    head that is the whole network."""

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
        """The objects of each picture, best first; while the network is in training mode there are none to be had."""
        from torchvision.models.detection.roi_heads import paste_masks_in_image

        images = maps[0]
        height, width = images.shape[2:]
        if self.training:
            nothing = torch.zeros(0, device=images.device)
            return Masks(nothing.view(0, 4), nothing.long(), nothing, nothing.long(),
                         bits=nothing.view(0, height, 0).to(torch.uint8), margins=nothing.view(0, height, width))
        found = []
        for one in self.model(list(images)):
            corners = one["boxes"].float()
            margins = paste_masks_in_image(one["masks"].float(), corners, (height, width))[:, 0] - _INSIDE
            found.append(Masks(corners, one["labels"] - 1, one["scores"].float(), bits=pack_bits(margins > 0),
                               margins=margins))
        return Masks.stack(found)

    def loss(self, maps: list[Tensor], targets: dict[str, Value]) -> dict[str, Tensor]:
        """The parts of the network's own loss."""
        truth, (height, width) = targets["masks"], maps[0].shape[2:]
        assert isinstance(truth, Masks)
        left = truth.chosen(counted(truth))
        assert left.image is not None
        rows = taught(left, len(maps[0]))
        for number, row in enumerate(rows):
            own = (left.image == number).nonzero()[:, 0]
            pixels = left.pixels(own)[:, :height, :width]
            missing = (0, width - pixels.shape[2], 0, height - pixels.shape[1])    # of pictures that were filled up
            row["masks"] = nn.functional.pad(pixels.to(torch.uint8), missing)
        return {name.removeprefix("loss_"): part for name, part in self.model(list(maps[0]), rows).items()}


def whole_instance_detector(name: str, *, inputs: int, size: tuple[int, int]) -> WholeInstanceDetector:
    """A network of torchvision, without weights from elsewhere. Raises ModelError for pictures that it cannot take."""
    return WholeInstanceDetector(name, inputs=inputs, size=size)


WHOLE_INSTANCES: dict[str, Callable[..., Backbone]] = {
    name: partial(whole_instance_detector, name) for name in INSTANCE_DETECTORS}
