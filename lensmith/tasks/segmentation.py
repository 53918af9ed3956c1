"""One class per pixel: U-Net and fully convolutional networks on any backbone, their losses and their decision."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from lensmith.base.errors import DataError, UserError
from lensmith.models.backbone import Backbone
from lensmith.models.heads.fcn import FcnHead
from lensmith.models.heads.unet import UNetHead
from lensmith.tasks.check_settings import check_augment
from lensmith.tasks.losses.picture_losses import balanced_weights, given_weights, root_weights, unweighted
from lensmith.tasks.losses.pixel_losses import dice_loss, lovasz_loss, pixel_entropy
from lensmith.tasks.metrics.own import OwnMetrics
from lensmith.tasks.metrics.pixel_metrics import MaskMetrics
from lensmith.tasks.task import Metrics, Task
from lensmith.tasks.usual_settings import Known, Usual, usual_of_masks
from lensmith.values.semantic_mask import IGNORED, Mask
from lensmith.values.value import Value

Weighing = Literal["none", "root", "balanced"]
Term = Literal["cross_entropy", "focal", "dice", "lovasz"]
_USUAL: list[Term] = ["cross_entropy", "dice"]    # with cross entropy alone, small classes are learned late
_WIDTH = 16                                       # of U-Net where the recipe does not say
_FINEST = {"fcn32": 32, "fcn16": 16, "fcn8": 8}   # the finest stride whose map is scored
_COUNTED = {"root": root_weights, "balanced": balanced_weights}
_WEIGHED = ("cross_entropy", "focal")             # the terms that class_weights are for


class Segmentation:
    """Which of `classes` each pixel shows. The output is [batch, classes, height, width], before the softmax, of the
    pictures' own height and width."""

    needs: tuple[str, ...] = ("mask",)
    score: str = "mIoU"
    on_last_map = False
    of_kinds: Mapping[str, type[Task]] | None = None
    objects: tuple[str, ...] = ()
    overlap: float | None = None
    window: list[int] | None = None

    def __init__(self, classes: tuple[str, ...], *, targets: Value | None = None,
                 network: Literal["unet", "fcn32", "fcn16", "fcn8"] = "unet", width: int = _WIDTH,
                 kernel: Literal[1, 3] = 3, loss: Term | list[Term] = _USUAL,
                 class_weights: Weighing | list[float] | None = None, gamma: float = 2.0,
                 metrics: list[str] | None = None):
        """
        classes: the names of the classes.
        targets: the stacked training masks, whose pixels are counted for class_weights.
        network: the decoder: U-Net, or the fully convolutional head whose finest map has stride 32, 16 or 8.
        width: channels of the last step of U-Net.
        kernel: edge of U-Net's last convolution, which scores the classes.
        loss: the loss terms, which are added up.
        class_weights: a weight for each class in cross entropy and focal loss; or "balanced": inversely to its pixels;
            "root": to the square root of these; "none": alike. None is "root" where `targets` are there and a loss
            term takes weights: with equal ones thin and rare classes are found late or never.
        gamma: of the focal loss.
        metrics: metrics of one's own that are measured too (`tasks/metrics/own.py`).
        """
        terms = [loss] if isinstance(loss, str) else list(loss)
        _check(classes, terms, network, width=width, gamma=gamma, weighed=class_weights not in (None, "none"))
        self.classes, self.network, self.terms, self.gamma = classes, network, terms, gamma
        self.width, self.kernel = width, kernel
        self.own_metrics = OwnMetrics(metrics)
        if class_weights is None and targets is not None and set(terms) & set(_WEIGHED):
            class_weights = "root"
        self.counted = isinstance(class_weights, str) and class_weights in _COUNTED
        self.weights = given_weights(class_weights, classes, "class", ("none", *_COUNTED))
        self.keeps_scores = False    # whether `decode` keeps the probability of every class of each pixel
        if targets is not None:
            assert isinstance(targets, Mask)
            counts = count_pixels(targets, len(classes))
            if isinstance(class_weights, str) and self.counted:
                self.weights = _COUNTED[class_weights](counts)

    def head(self, backbone: Backbone) -> nn.Module:
        """The decoder; or, for a network of torchvision that comes whole, itself. Raises UserError for a detector."""
        if backbone.segmenter is not None:
            if self.network != "unet" or self.width != _WIDTH:
                raise UserError(f"the network comes whole, with a decoder of its own: leave out task.network="
                                f"{self.network} and task.width={self.width}")
            return backbone.segmenter(len(self.classes))
        if backbone.detector is not None or backbone.outputs:
            raise UserError("the network is a whole detector, which gives boxes and no maps to make masks of: take a "
                            "backbone for task 'segmentation', as in backbone.name=resnet18")
        if self.network == "unet":
            return UNetHead(backbone.channels, backbone.strides, len(self.classes), width=self.width,
                            kernel=self.kernel)
        # The network of the paper: it scores what the pools of VGG give.
        pooled = backbone.name.startswith("vgg") and backbone.strides[-4:] == (4, 8, 16, 32)
        return FcnHead(backbone.channels, backbone.strides, len(self.classes), finest=_FINEST[self.network],
                       pooled=pooled)

    def loss(self, output: Tensor, targets: dict[str, Value]) -> dict[str, Tensor]:
        """The loss terms by name, over the pixels that are not void; 0 where all are."""
        truth = targets["mask"]
        assert isinstance(truth, Mask)
        if self.counted and self.weights is None:
            raise unweighted("masks")
        logits = output if output.dtype == torch.float64 else output.float()
        terms: dict[str, Tensor] = {}
        for name in self.terms:
            if name == "dice":
                terms[name] = dice_loss(logits, truth.classes)
            elif name == "lovasz":
                terms[name] = lovasz_loss(logits, truth.classes)
            else:
                terms[name] = pixel_entropy(logits, truth.classes, weights=self.weights,
                                            focal=self.gamma if name == "focal" else 0.0)
        return terms

    def decode(self, output: Tensor) -> dict[str, Value]:
        scores = output.float().softmax(1) if self.keeps_scores else None
        return {"mask": Mask(output.argmax(1).to(torch.uint8), scores)}

    def evidence(self, output: Tensor, index: int, of: Mapping[str, Value] | None = None) -> Tensor:
        """The mean score of the class over the pixels that a mask gives to it; over the picture where it gives none."""
        mask = None if of is None else of["mask"]
        assert mask is None or isinstance(mask, Mask)
        pixels = None if mask is None else mask.classes.to(output.device) == index
        scores = output[:, index]
        return scores.mean((1, 2)) if pixels is None or not bool(pixels.any()) else scores[:, pixels].mean(1)

    def class_logits(self, output: Tensor) -> dict[str, Tensor]:
        return {"mask": output}

    def metrics(self) -> Metrics:
        return self.own_metrics.beside(MaskMetrics(self.classes), "mask", self.classes)

    @property
    def kept_per_pixel(self) -> int:
        return len(self.classes) if self.keeps_scores else 0

    def with_thresholds(self, threshold: float | None, overlap: float | None) -> Self:
        decided = copy(self)
        decided.keeps_scores = True    # outlines at the size of the files come from the scores
        return decided

    def scoring_layers(self, network: nn.Module) -> list[tuple[nn.Module, int]]:
        return []

    def notes(self, augment: Mapping[str, Any]) -> list[str]:
        return []

    @staticmethod
    def usual(section: Mapping[str, Any], known: Known) -> Usual:
        return usual_of_masks(known)

    @staticmethod
    def forbids(section: Mapping[str, Any], augment: Mapping[str, Any]) -> None:
        check_augment(augment, ("mask",), task=section["name"])


def _check(classes: Sequence[str], terms: Sequence[str], network: str, *, width: int, gamma: float,
           weighed: bool) -> None:
    """Raises UserError for settings that are out of their range or do not go together."""
    if not 2 <= len(classes) <= IGNORED:
        raise UserError(f"masks have 2 to {IGNORED} classes; these have {len(classes)}. Of one kind of object, the "
                        "background is the other class")
    if network != "unet" and width != _WIDTH:
        raise UserError(f"task.width belongs to U-Net, and task.network is {network!r}: leave width out")
    if width < 1:
        raise UserError(f"task.width={width} cannot be: accepted is 1 or more")
    if not terms or len(set(terms)) < len(terms):
        raise UserError(f"task.loss names one or several losses, each once: cross_entropy, focal, dice, lovasz; got "
                        f"{list(terms)}")
    if not 0 < gamma < float("inf"):
        raise UserError(f"task.gamma must be above 0; got {gamma}. It is of the focal loss; usual is 2.0")
    if gamma != 2.0 and "focal" not in terms:
        raise UserError(f"task.gamma belongs to the focal loss, and task.loss is {', '.join(terms)}: add \"focal\", or "
                        "leave gamma out")
    if weighed and not set(terms) & set(_WEIGHED):
        raise UserError(f"task.class_weights belong to {' and '.join(_WEIGHED)}, and task.loss is {', '.join(terms)}: "
                        "add one of them, or leave class_weights out")


def count_pixels(masks: Mask, classes: int) -> Tensor:
    """int64 [classes]: the pixels of each class in stacked masks, without void. Raises DataError for another class."""
    counts = torch.zeros(IGNORED + 1, dtype=torch.int64)
    for number, mask in enumerate(masks.classes):    # one by one: bincount copies to int64, eight bytes a pixel
        of_mask = torch.bincount(mask.flatten(), minlength=IGNORED + 1)
        beyond = of_mask[classes:].nonzero()[:, 0] + classes
        wrong = beyond[beyond != IGNORED]
        if len(wrong):
            raise DataError(f"the mask of training picture {number} holds the class {int(wrong[0])}, and there are "
                            f"{classes}, numbered 0 to {classes - 1}: mend the mask or the list of classes; "
                            f"{IGNORED} is void")
        counts += of_mask[: IGNORED + 1]
    return counts[:classes]
