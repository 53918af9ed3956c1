"""The networks of segmentation_models_pytorch, each whole, with its encoder and decoder."""

from collections.abc import Callable
from functools import partial
from inspect import isclass
from itertools import chain
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lensmith.base.errors import ModelError, described, nearest
from lensmith.models.adapters.timm_backbones import find_timm
from lensmith.models.adapters.torchvision_classifiers import IMAGENET
from lensmith.models.backbone import Backbone
from lensmith.models.neck import padded
from lensmith.models.trial_forward import REFUSALS, in_evaluation_mode

PREFIX = "smp:"
_STRIDE = 32             # pixels: these networks take pictures whose edges are multiples of it
_OTHER_TERMS = "mit_"    # begins the names of encoders whose code in that package may be used for research alone
_LEFT_OUT = ("DPT",)     # a decoder for transformers alone


class SmpSegmenter(Backbone):
    """Stands in the place of a backbone: it hands the pictures on as they are, and `segmenter` gives the head, which is
    the whole network."""

    def __init__(self, name: str, *, inputs: int, size: tuple[int, int]):
        """`name` is ARCHITECTURE/ENCODER, such as Unet/resnet18 or Unet/tu-tf_efficientnet_lite0. Raises ModelError for
        names that the package does not know."""
        super().__init__()
        self.name, self.inputs, self.size = name, inputs, size
        self.channels, self.strides = (inputs,), (1,)
        self.architecture, self.encoder = _named(name)
        self.standard = _standard(self.encoder) if inputs == 3 else None

    def forward(self, pictures: Tensor) -> list[Tensor]:
        return [pictures]

    def classifier(self, outputs: int) -> nn.Module:
        raise self._for_masks("scores for whole pictures")

    def detector(self, classes: int, **settings: Any) -> nn.Module:
        raise self._for_masks("boxes")

    def segmenter(self, classes: int) -> nn.Module:
        """The head: the network itself for so many classes, freshly drawn. Raises ModelError where it cannot be built,
        or not for pictures of this size."""
        try:
            model = getattr(_smp(), self.architecture)(self.encoder, encoder_weights=None, in_channels=self.inputs,
                                                       classes=classes)
        except Exception as error:    # an encoder that does not go with this decoder: each raises errors of its own
            raise ModelError(f"{PREFIX}{self.name} cannot be built: {described(error)}") from error
        head = SmpHead(model)
        empty = {name: torch.empty_like(tensor, device="meta")
                 for name, tensor in chain(head.named_parameters(), head.named_buffers())}
        pictures = torch.empty(2, self.inputs, *self.size, device="meta")
        try:
            with in_evaluation_mode(head):
                functional_call(head, empty, ([pictures], self.size))
        except REFUSALS as error:
            raise ModelError(f"{PREFIX}{self.name} cannot take pictures of {self.size[0]} x {self.size[1]} pixels "
                             f"({described(error)}): take larger ones with pictures.size") from error
        return head

    def _for_masks(self, asked: str) -> ModelError:
        return ModelError(f"{PREFIX}{self.name} makes masks and has no {asked}: train it with task.name=segmentation")


class SmpHead(nn.Module):
    """Such a network as a head: from the pictures, padded to multiples of 32 pixels, to every pixel's scores."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def _get_name(self) -> str:
        return "WholeHead"    # in the text of a network, by which plans are kept in the user's cache

    def forward(self, maps: list[Tensor], size: tuple[int, int]) -> Tensor:    # -> [batch, classes, *size]
        pictures = padded(maps[0], [-(-edge // _STRIDE) * _STRIDE for edge in size])
        return cast(Tensor, self.model(pictures))[:, :, : size[0], : size[1]]


def smp_segmenter(name: str, *, inputs: int, size: tuple[int, int]) -> SmpSegmenter:
    """The network `name` of segmentation_models_pytorch without weights from elsewhere; see SmpSegmenter."""
    return SmpSegmenter(name, inputs=inputs, size=size)


def find_smp(name: str) -> Callable[..., Backbone]:
    """The constructor of the package's ARCHITECTURE/ENCODER; ModelError where it is not installed or has none."""
    _named(name)
    return partial(smp_segmenter, name)


def _named(name: str) -> tuple[str, str]:
    smp = _smp()
    architecture, _, encoder = name.partition("/")
    known = [key for key, value in vars(smp).items() if isclass(value) and issubclass(value, nn.Module)
             and key not in _LEFT_OUT]
    if architecture not in known:
        raise ModelError(f"segmentation_models_pytorch has no network {architecture!r}.{nearest(architecture, known)} "
                         f"Known: {', '.join(known)}.")
    if not encoder:
        raise ModelError(f"{PREFIX}{name} names no encoder: write {PREFIX}{architecture}/resnet18, or "
                         f"{PREFIX}{architecture}/tu-NAME with a network of timm")
    if encoder.startswith(_OTHER_TERMS):
        raise ModelError(f"{PREFIX}{name}: its encoder is a transformer whose code is licensed for research alone: "
                         "take a convolutional one, such as resnet18")
    if encoder.startswith("tu-"):
        find_timm(encoder.removeprefix("tu-"))    # raises for a name that timm does not know
        return architecture, encoder
    names = [name for name in smp.encoders.get_encoder_names() if not name.startswith(_OTHER_TERMS)]
    if encoder not in names:
        raise ModelError(f"segmentation_models_pytorch has no encoder {encoder!r}.{nearest(encoder, names)} "
                         "`segmentation_models_pytorch.encoders.get_encoder_names()` lists all; tu-NAME is a network "
                         "of timm.")
    return architecture, encoder


def _standard(encoder: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and standard deviation that the encoder's published weights are used to."""
    if encoder.startswith("tu-"):
        import timm

        entry = timm.get_pretrained_cfg(encoder.removeprefix("tu-"))
        if entry is not None:
            return tuple(entry.mean), tuple(entry.std)
    return IMAGENET


def _smp() -> ModuleType:
    try:
        # Here, because the package is an extra, and its import takes 3 s.
        import segmentation_models_pytorch
    except ImportError as error:
        raise ModelError("networks of segmentation_models_pytorch need that package: pip install "
                         '"lensmith[smp]"') from error
    return segmentation_models_pytorch
