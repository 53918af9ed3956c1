"""One class per picture: its loss, its decision, and how often it is right."""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from lensmith.base.errors import UserError
from lensmith.models.backbone import Backbone
from lensmith.models.rewrites.fully_convolutional import convolutional
from lensmith.tasks.losses.picture_losses import balanced_weights, check_focal, class_entropy, given_weights, unweighted
from lensmith.tasks.metrics.confusion import (
    count_confusion,
)
from lensmith.tasks.metrics.labels import LabelMetrics
from lensmith.values.labels import UNKNOWN, Label
from lensmith.values.value import Value


class Classification:
    """Which of `classes` a picture shows. The output is [batch, classes], before the softmax; of a fully convolutional
    network [batch, classes, rows, columns], over whose places the scores are averaged (Simonyan and Zisserman 2015)."""

    needs: tuple[str, ...] = ("label",)
    score: str = "accuracy_top1"

    def __init__(self, classes: tuple[str, ...], *, targets: Value | None = None, smoothing: float = 0.0,
                 class_weights: Literal["balanced"] | list[float] | None = None, focal: float = 0.0,
                 window: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None):
        """`targets`, the stacked training labels, are needed by the loss where `class_weights` is "balanced". With
        `window`, (height, width) in cells of the last map, the head is fully convolutional and scores each such
        window: `lensmith convert --convolutional` sets it."""
        if not 0 <= smoothing < 1:
            raise UserError(f"task.smoothing must lie in 0 <= smoothing < 1; got {smoothing}. Usual is 0.1")
        check_focal(focal)
        self.classes, self.smoothing, self.focal, self.window = classes, smoothing, focal, window
        self.balanced = class_weights == "balanced"
        self.weights = given_weights(class_weights, classes, "class")
        if targets is not None:
            assert isinstance(targets, Label)
            labels = targets.index[targets.index != UNKNOWN]
            counts = count_confusion(labels, labels, len(classes)).diagonal()
            if self.balanced:
                self.weights = balanced_weights(counts)

    def head(self, backbone: Backbone) -> nn.Module:
        head = backbone.classifier(len(self.classes))
        if self.window is None:
            return head
        return convolutional(head, backbone.channels[-1], (self.window[0], self.window[1]))

    def _whole(self, output: Tensor) -> Tensor:    # -> [batch, classes]
        return output if self.window is None else output.mean((2, 3))

    def loss(self, output: Tensor, targets: dict[str, Value]) -> dict[str, Tensor]:
        truth = targets["label"]
        assert isinstance(truth, Label)
        if self.balanced and self.weights is None:
            raise unweighted("labels")
        return {"label": class_entropy(self._whole(output), truth, weights=self.weights, smoothing=self.smoothing,
                                       focal=self.focal)}

    def decode(self, output: Tensor) -> dict[str, Value]:
        scores = self._whole(output).float().softmax(1)
        return {"label": Label(scores.argmax(1), scores)}

    def evidence(self, output: Tensor, index: int) -> Tensor:
        return self._whole(output)[:, index]

    def metrics(self) -> "LabelMetrics":
        return LabelMetrics(self.classes)


