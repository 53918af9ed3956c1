"""Any number of tags per picture, each predicted by itself as present or absent."""

from collections.abc import Mapping
from copy import copy
from typing import Any, Literal, Self

from torch import Tensor, nn

from lensmith.base.errors import UserError
from lensmith.models.backbone import Backbone
from lensmith.tasks.check_settings import check_augment
from lensmith.tasks.losses.picture_losses import check_focal, given_weights, tag_entropy, unweighted
from lensmith.tasks.metrics.own import OwnMetrics
from lensmith.tasks.metrics.tags import TagMetrics, absent_by_present
from lensmith.tasks.task import Metrics, Task
from lensmith.tasks.usual_settings import Known, Usual, usual_of_pictures
from lensmith.values.labels import Tags
from lensmith.values.value import Value


class Tagging:
    """Which of `classes` a picture has. The output is [batch, tags], before the sigmoid."""

    needs: tuple[str, ...] = ("tags",)
    score: str = "macro_f1"
    on_last_map = True
    of_kinds: Mapping[str, type[Task]] | None = None
    objects: tuple[str, ...] = ()
    overlap: float | None = None
    window: list[int] | None = None
    kept_per_pixel = 0

    def __init__(self, classes: tuple[str, ...], *, targets: Value | None = None, threshold: float = 0.5,
                 class_weights: Literal["balanced"] | list[float] | None = None, focal: float = 0.0,
                 metrics: list[str] | None = None):
        """
        classes: the names of the tags.
        targets: the stacked training tags, which class_weights="balanced" counts.
        threshold: the probability from which a tag is predicted as present.
        class_weights: factors on the cost of a present tag, one for each tag, or "balanced": absent / present in the
            training set, so that present and absent pictures of a tag have the same cost in all.
        focal: gamma of the focal loss; 0 is cross entropy.
        metrics: metrics of one's own that are measured too (`tasks/metrics/own.py`).
        """
        if not 0 < threshold < 1:
            raise UserError(f"task.threshold must lie between 0 and 1, both excluded; got {threshold}. Usual is 0.5")
        check_focal(focal)
        self.classes, self.threshold, self.focal = classes, threshold, focal
        self.own_metrics = OwnMetrics(metrics)
        self.balanced = class_weights == "balanced"
        self.weights = given_weights(class_weights, classes, "tag")
        if targets is not None and self.balanced:
            assert isinstance(targets, Tags)
            self.weights = absent_by_present(targets.present)

    def head(self, backbone: Backbone) -> nn.Module:
        return backbone.numbers(len(self.classes))

    def loss(self, output: Tensor, targets: dict[str, Value]) -> dict[str, Tensor]:
        truth = targets["tags"]
        assert isinstance(truth, Tags)
        if self.balanced and self.weights is None:
            raise unweighted("tags")
        return {"tags": tag_entropy(output, truth.present, weights=self.weights, focal=self.focal)}

    def decode(self, output: Tensor) -> dict[str, Value]:
        scores = output.float().sigmoid()
        return {"tags": Tags((scores >= self.threshold).float(), scores)}

    def evidence(self, output: Tensor, index: int, of: Mapping[str, Value] | None = None) -> Tensor:
        return output[:, index]

    def class_logits(self, output: Any) -> dict[str, Tensor]:
        return {}

    def metrics(self) -> Metrics:
        return self.own_metrics.beside(TagMetrics(self.classes), "tags", self.classes)

    def with_thresholds(self, threshold: float | None, overlap: float | None) -> Self:
        return copy(self)

    def scoring_layers(self, network: nn.Module) -> list[tuple[nn.Module, int]]:
        return [(network, len(self.classes))]

    def notes(self, augment: Mapping[str, Any]) -> list[str]:
        return []

    @staticmethod
    def usual(section: Mapping[str, Any], known: Known) -> Usual:
        return usual_of_pictures(known)

    @staticmethod
    def forbids(section: Mapping[str, Any], augment: Mapping[str, Any]) -> None:
        check_augment(augment, ("tags",), task=section["name"])
