"""One or several numbers per picture, such as a count, an age or the corners of a box."""

from collections.abc import Mapping
from copy import copy
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from lensmith.base.errors import UserError
from lensmith.models.backbone import Backbone, Size
from lensmith.tasks.check_settings import check_augment
from lensmith.tasks.losses.picture_losses import Distance, distance
from lensmith.tasks.metrics.numbers import NumberMetrics, moments
from lensmith.tasks.metrics.own import OwnMetrics
from lensmith.tasks.task import Metrics, Task
from lensmith.tasks.usual_settings import Known, Usual, usual_of_pictures
from lensmith.values.labels import Numbers
from lensmith.values.value import Value

_MOVING = ("crop_padding", "resized_crop", "flip", "rotate")    # augmentations that move what the pictures show


class Standard(NamedTuple):
    """The output of a regression head: value = values * deviation + mean, in the units of the file."""

    values: Tensor       # [batch, quantities]: mean 0 and standard deviation 1 over the training set
    mean: Tensor         # float32 [quantities], in the units of the file
    deviation: Tensor    # float32 [quantities], in the units of the file: the standard deviation


class Standardised(nn.Module):
    """A head whose outputs are standardised. Mean and standard deviation are buffers, so they travel with the
    weights."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, inner: nn.Module, mean: Tensor, deviation: Tensor):
        super().__init__()
        self.inner = inner
        self.register_buffer("mean", mean.clone())
        self.register_buffer("deviation", deviation.clone())

    def forward(self, maps: list[Tensor], size: Size | None = None) -> Standard:
        return Standard(self.inner(maps), self.mean, self.deviation)


class Regression:
    """The quantities `classes` of a picture. The output is `Standard`."""

    needs: tuple[str, ...] = ("numbers",)
    score: str = "R2"
    on_last_map = True
    of_kinds: Mapping[str, type[Task]] | None = None
    objects: tuple[str, ...] = ()
    overlap: float | None = None
    window: list[int] | None = None
    kept_per_pixel = 0

    def __init__(self, classes: tuple[str, ...], *, targets: Value | None = None, loss: Distance = "squared",
                 delta: float = 1.0, metrics: list[str] | None = None):
        """
        classes: the names of the quantities.
        targets: the stacked training numbers, whose mean and standard deviation the head has; without them it has 0
            and 1 until trained weights are loaded.
        loss: the distance of outputs and targets, both standardised.
        delta: of the Huber loss, in standard deviations: the error from which the cost grows linearly.
        metrics: metrics of one's own that are measured too (`tasks/metrics/own.py`).
        """
        if loss not in ("squared", "absolute", "huber"):
            raise UserError(f"unknown task.loss {loss!r}. Known: squared, absolute, huber.")
        if not 0 < delta < float("inf"):
            raise UserError(f"task.delta must be above 0; got {delta}. It is where the Huber loss turns straight, in "
                            "standard deviations; usual is 1.0")
        if delta != 1.0 and loss != "huber":
            raise UserError(f"task.delta belongs to the Huber loss, and task.loss is {loss!r}: set "
                            "task.loss=\"huber\" or leave delta out")
        self.classes, self.kind, self.delta = classes, loss, delta
        self.own_metrics = OwnMetrics(metrics)
        self.mean, self.deviation = torch.zeros(len(classes)), torch.ones(len(classes))
        if targets is not None:
            assert isinstance(targets, Numbers)
            self.mean, self.deviation = moments(targets.values, classes)

    def head(self, backbone: Backbone) -> nn.Module:
        return Standardised(backbone.numbers(len(self.classes)), self.mean, self.deviation)

    def loss(self, output: Standard, targets: dict[str, Value]) -> dict[str, Tensor]:
        truth = targets["numbers"]
        assert isinstance(truth, Numbers)
        standardised = (truth.values - output.mean) / output.deviation
        return {"numbers": distance(output.values, standardised, kind=self.kind, delta=self.delta)}

    def decode(self, output: Standard) -> dict[str, Value]:
        return {"numbers": Numbers(output.values.float() * output.deviation + output.mean)}

    def evidence(self, output: Standard, index: int, of: Mapping[str, Value] | None = None) -> Tensor:
        return output.values[:, index]

    def class_logits(self, output: Any) -> dict[str, Tensor]:
        return {}

    def metrics(self) -> Metrics:
        return self.own_metrics.beside(NumberMetrics(self.classes), "numbers", self.classes)

    def with_thresholds(self, threshold: float | None, overlap: float | None) -> Self:
        return copy(self)

    def scoring_layers(self, network: nn.Module) -> list[tuple[nn.Module, int]]:
        return []

    def notes(self, augment: Mapping[str, Any]) -> list[str]:
        moving = [name for name in _MOVING if augment.get(name)]
        return [f"augment.{moving[0]} moves the pictures, and the numbers stay as they are: right for a count, wrong "
                "for a place in the picture"] if moving else []

    @staticmethod
    def usual(section: Mapping[str, Any], known: Known) -> Usual:
        return usual_of_pictures(known)

    @staticmethod
    def forbids(section: Mapping[str, Any], augment: Mapping[str, Any]) -> None:
        check_augment(augment, ("numbers",), task=section["name"])
