"""The networks of torchvision that come whole for masks: DeepLabV3 and LR-ASPP."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from torch import Tensor, nn

from lensmith.base.errors import ModelError
from lensmith.models.adapters.torchvision_classifiers import IMAGENET
from lensmith.models.adapters.torchvision_detectors import check_pictures
from lensmith.models.backbone import Backbone, Size

NAMES = ("deeplabv3_mobilenet_v3_large", "deeplabv3_resnet101", "deeplabv3_resnet50", "lraspp_mobilenet_v3_large")


class WholeSegmenter(Backbone):
    """Stands in the place of a backbone: it hands the pictures on as they are, and `segmenter` gives the head, which is
    the whole network."""

    standard = IMAGENET

    def __init__(self, name: str, *, inputs: int, size: tuple[int, int]):
        super().__init__()
        check_pictures(name, inputs=inputs, size=size)
        self.name, self.channels, self.strides = name, (inputs,), (1,)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        return [pictures]

    def classifier(self, outputs: int) -> nn.Module:
        raise self._for_masks("scores for whole pictures")

    def detector(self, classes: int, **settings: Any) -> nn.Module:
        raise self._for_masks("boxes")

    def segmenter(self, classes: int) -> nn.Module:
        """The head: the network itself for so many classes, freshly drawn."""
        # Here, because the import takes 1.7 s, which nobody else should wait for.
        from torchvision.models import get_model

        return SegmenterHead(get_model(self.name, weights=None, weights_backbone=None, num_classes=classes))

    def _for_masks(self, asked: str) -> ModelError:
        return ModelError(f"{self.name} makes masks and has no {asked}: train it with task.name=segmentation")


class SegmenterHead(nn.Module):
    """Such a network as a head: from the pictures to the scores of every pixel."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def _get_name(self) -> str:
        return "WholeHead"    # in the text of a network, by which plans are kept in the user's cache

    def forward(self, maps: list[Tensor], size: Size | None = None) -> Tensor:    # -> [batch, classes, height, width]
        return cast(Tensor, self.model(maps[0])["out"])


def whole_segmenter(name: str, *, inputs: int, size: tuple[int, int]) -> WholeSegmenter:
    """A network of torchvision for masks, without weights from elsewhere. Raises ModelError for pictures that it cannot
    take."""
    return WholeSegmenter(name, inputs=inputs, size=size)


SEGMENTERS: dict[str, Callable[..., Backbone]] = {name: partial(whole_segmenter, name) for name in NAMES}
