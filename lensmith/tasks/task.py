"""The seam between a problem and the engine. A task holds settings, never weights."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from lensmith.models.backbone import Backbone
from lensmith.tasks.usual_settings import Known, Usual
from lensmith.values.value import Value


class Metrics(Protocol):
    """Counts over a split, then numbers."""

    def update(self, predictions: dict[str, Value], targets: dict[str, Value], *, count: int) -> None:
        """Count one batch. Both hold stacked values under the same names, on the CPU, in the pixels of the files.
        `count` is the number of its pictures, which stacked boxes do not tell."""

    def state(self) -> dict[str, Tensor]:
        """What was counted, to be sent to another process."""

    def merge(self, state: dict[str, Tensor]) -> None:
        """Add what another process counted, of the samples that come after those counted here."""

    def result(self) -> dict[str, Any]:
        """The headline numbers as floats by the names users know, and under `details` whatever a report can show.

        `intervals`, where present, holds {headline: [low, high]}, 95 % confidence.
        """


class Task(Protocol):
    """A problem: what it reads of the data, how an output is judged, and what it means.

    A class is the entry of the table. It says of itself, before a task is made, what it `needs`, whether it is
    `on_last_map`, `of_kinds`, what is `usual` and what it `forbids`.
    """

    needs: tuple[str, ...]    # the targets it reads, which are also the predictions it gives; () where it reads any
    score: str                # the metric that ranks checkpoints; more is better
    on_last_map: bool         # whether its head takes the last map alone, as a linear probe asks
    of_kinds: Mapping[str, "type[Task]"] | None    # where it learns any targets together, the task of each kind

    def __init__(self, classes: Any, *, targets: Any = None, **settings: Any):
        """`classes` are the names of its target's classes, or, where it has `of_kinds`, of each target's. The stacked
        training `targets` come likewise. The settings are those of a recipe: this signature is the schema of [task]."""

    @staticmethod
    def usual(section: Mapping[str, Any], known: Known) -> Usual:
        """The defaults of a recipe whose section [task] this is, by what is known of the pictures and the recipe."""

    @staticmethod
    def forbids(section: Mapping[str, Any], augment: Mapping[str, Any]) -> None:
        """Raises UserError for settings that do not go together: those of the section [task], and those of [augment]
        that its kind of truth cannot follow."""

    @property
    def objects(self) -> tuple[str, ...]:
        """Those of `needs` that are objects, shown from a threshold on; none of a task that looks for none."""

    @property
    def overlap(self) -> float | None:
        """The IoU from which the worse of two objects is left out; None of a task that looks for none."""

    @property
    def window(self) -> list[int] | None:
        """(height, width), in cells of the last map, of what a fully convolutional classifier scores; None of every
        other task."""

    @property
    def kept_per_pixel(self) -> int:
        """Numbers that a prediction holds for each pixel beside its answer; 0 of most tasks."""

    def head(self, backbone: Backbone) -> nn.Module:
        """The part from feature maps to this task's output: `forward(maps, size)`, with the (height, width) of the
        pictures. Raises UserError or ModelError for a backbone that cannot serve this task."""

    def loss(self, output: Any, targets: dict[str, Value]) -> dict[str, Tensor]:
        """The loss terms by name, each a scalar. Training minimises their sum."""

    def decode(self, output: Any) -> dict[str, Value]:
        """Stacked predictions, in the same form as the targets."""

    def evidence(self, output: Any, index: int, of: Mapping[str, Value] | None = None) -> Tensor:
        """[batch]: how strongly the output speaks for `index`. Explanations differentiate it.

        `of` is one single answer by its target, in the pixels of the network: one object, or a mask whose pixels of the
        class count alone. It also says which target of several is meant."""

    def class_logits(self, output: Any) -> dict[str, Tensor]:
        """Float [batch, classes, ...], before the softmax, of each target that is one class of several: what another
        network can learn from this one. Empty of a task that has none."""

    def metrics(self) -> Metrics:
        """A fresh count."""

    def with_thresholds(self, threshold: float | None, overlap: float | None) -> "Task":
        """A copy that decides as predictions are shown: by these thresholds of its `objects`, or else by the usual
        ones, and keeps per pixel what bringing an answer to the size of its file needs."""

    def scoring_layers(self, network: nn.Module) -> list[tuple[nn.Module, int]]:
        """The modules of a network, or of this task's head alone, that score classes or tags of whole pictures, each
        with its number of outputs: their last dense layers begin at zero where the backbone has learned already."""

    def notes(self, augment: Mapping[str, Any]) -> list[str]:
        """What a user should know of this task trained with the section [augment]."""

