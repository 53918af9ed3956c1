"""The seam between a problem and the engine. A task holds settings, never weights."""

from typing import Any, Protocol

from torch import Tensor, nn

from lensmith.models.backbone import Backbone
from lensmith.values.value import Value


class Metrics(Protocol):
    """Counts over a split, then numbers."""

    def update(self, predictions: dict[str, Value], targets: dict[str, Value], *, count: int) -> None:
        """Count one batch; both hold stacked values under the same names, on the CPU, in the pixels of the files.
        `count` are its pictures, which stacked boxes do not tell."""

    def state(self) -> dict[str, Tensor]:
        """What was counted, to be sent to another process."""

    def merge(self, state: dict[str, Tensor]) -> None:
        """Add what another counted, of the samples that come after those counted here."""

    def result(self) -> dict[str, Any]:
        """The headline numbers as floats by the names users know, and under `details` whatever a report can show.

        `intervals`, where present, holds {headline: [low, high]}, 95 % confidence.
        """


class Task(Protocol):
    """A problem: what it reads of the data, how an output is judged, and what it means."""

    needs: tuple[str, ...]    # the targets it reads, which are also the predictions it gives
    score: str                # the metric that ranks checkpoints; more is better

    def head(self, backbone: Backbone) -> nn.Module:
        """The part from feature maps to this task's output."""

    def loss(self, output: Any, targets: dict[str, Value]) -> dict[str, Tensor]:
        """Named parts, each a scalar; training minimises their sum."""

    def decode(self, output: Any) -> dict[str, Value]:
        """Stacked predictions, in the same form as the targets."""

    def evidence(self, output: Any, index: int) -> Tensor:
        """[batch]: how strongly the output speaks for `index`; explanations differentiate it."""

    def metrics(self) -> Metrics:
        """A fresh count."""
