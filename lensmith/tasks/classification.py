"""One class per picture: its loss, its decision and its metrics."""

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field
from torch import Tensor, nn

from lensmith.base.errors import UserError
from lensmith.models.backbone import Backbone
from lensmith.models.rewrites.fully_convolutional import convolutional
from lensmith.tasks.check_settings import check_augment
from lensmith.tasks.losses.picture_losses import balanced_weights, check_focal, class_entropy, given_weights, unweighted
from lensmith.tasks.metrics.confusion import count_confusion
from lensmith.tasks.metrics.labels import LabelMetrics
from lensmith.tasks.metrics.own import OwnMetrics
from lensmith.tasks.task import Metrics, Task
from lensmith.tasks.usual_settings import Known, Usual, usual_of_pictures
from lensmith.values.labels import UNKNOWN, Label
from lensmith.values.value import Value


class Classification:
    """Which of `classes` a picture shows. The output is [batch, classes], before the softmax. Of a fully convolutional
    network it is [batch, classes, rows, columns], and the scores are averaged over rows and columns (Simonyan and
    Zisserman 2015)."""

    needs: tuple[str, ...] = ("label",)
    score: str = "accuracy_top1"
    on_last_map = True
    of_kinds: Mapping[str, type[Task]] | None = None
    objects: tuple[str, ...] = ()
    overlap: float | None = None
    kept_per_pixel = 0

    def __init__(self, classes: tuple[str, ...], *, targets: Value | None = None, smoothing: float = 0.0,
                 class_weights: Literal["balanced"] | list[float] | None = None, focal: float = 0.0,
                 window: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None,
                 metrics: list[str] | None = None):
        """
        classes: the names of the classes.
        targets: the stacked training labels, which class_weights="balanced" counts.
        smoothing: the part of the target that is spread evenly over all classes, from 0 to below 1.
        class_weights: a weight for each class in the loss, or "balanced": inversely to how often it occurs.
        focal: gamma of the focal loss; 0 is cross entropy.
        window: (height, width) in cells of the last map; the head is then fully convolutional and scores each such
            window. `lensmith convert --convolutional` sets it.
        metrics: metrics of one's own that are measured too (`tasks/metrics/own.py`).
        """
        if not 0 <= smoothing < 1:
            raise UserError(f"task.smoothing must lie in 0 <= smoothing < 1; got {smoothing}. Usual is 0.1")
        check_focal(focal)
        self.classes, self.smoothing, self.focal, self.window = classes, smoothing, focal, window
        self.own_metrics = OwnMetrics(metrics)
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

    def _of_picture(self, output: Tensor) -> Tensor:    # -> [batch, classes]
        return output if self.window is None else output.mean((2, 3))

    def loss(self, output: Tensor, targets: dict[str, Value]) -> dict[str, Tensor]:
        truth = targets["label"]
        assert isinstance(truth, Label)
        if self.balanced and self.weights is None:
            raise unweighted("labels")
        return {"label": class_entropy(self._of_picture(output), truth, weights=self.weights, smoothing=self.smoothing,
                                       focal=self.focal)}

    def decode(self, output: Tensor) -> dict[str, Value]:
        scores = self._of_picture(output).float().softmax(1)
        return {"label": Label(scores.argmax(1), scores)}

    def evidence(self, output: Tensor, index: int, of: Mapping[str, Value] | None = None) -> Tensor:
        return self._of_picture(output)[:, index]

    def class_logits(self, output: Tensor) -> dict[str, Tensor]:
        return {"label": self._of_picture(output)}

    def metrics(self) -> Metrics:
        return self.own_metrics.beside(LabelMetrics(self.classes), "label", self.classes)

    def with_thresholds(self, threshold: float | None, overlap: float | None) -> Self:
        return copy(self)

    def scoring_layers(self, network: nn.Module) -> list[tuple[nn.Module, int]]:
        return [(network, len(self.classes))]

    def notes(self, augment: Mapping[str, Any]) -> list[str]:
        return []

    @staticmethod
    def usual(section: Mapping[str, Any], known: Known) -> Usual:
        usual = usual_of_pictures(known)
        # Colour pictures are photographs nearly always; gray ones are often digits or letters, which do not mirror.
        if known.form.channels != 3:
            return usual
        moved = {"resized_crop": [0.6, 1.0]} if known.pretrained else \
            {"crop_padding": max(1, min(known.form.size) // 8)}
        return replace(usual, augment={"flip": True, **moved})

    @staticmethod
    def forbids(section: Mapping[str, Any], augment: Mapping[str, Any]) -> None:
        check_augment(augment, ("label",), task=section["name"])
