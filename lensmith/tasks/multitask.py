"""Several tasks on one backbone, learned together: each part has its own head, loss and metrics."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Literal, Self, cast

import torch
from torch import Tensor, nn

from lensmith.base.errors import UserError
from lensmith.models.backbone import Backbone
from lensmith.models.heads.several_heads import Answers, SeveralHeads
from lensmith.tasks.check_settings import check_augment
from lensmith.tasks.classification import Classification
from lensmith.tasks.detection import Detection
from lensmith.tasks.instances import Instances
from lensmith.tasks.metrics import METRICS
from lensmith.tasks.metrics.confusion import NothingToMeasure, nothing_to_measure
from lensmith.tasks.parts import check_named, check_parts, kinds_of_parts
from lensmith.tasks.regression import Regression
from lensmith.tasks.segmentation import Segmentation
from lensmith.tasks.tagging import Tagging
from lensmith.tasks.task import Metrics, Task
from lensmith.tasks.usual_settings import Known, Usual
from lensmith.values import KINDS, kinds_of
from lensmith.values.value import Value

Balance = Literal["fixed", "uncertainty", "gradients"]
# The task of a part, by the kind of its value.
OF_KIND: dict[str, type[Task]] = {"label": Classification, "tags": Tagging, "numbers": Regression,
                                 "boxes": Detection, "mask": Segmentation, "masks": Instances}


class Multitask:
    """Every part of the data its own task, all on one backbone. The output is `Answers`. Values, loss terms and metrics
    have the names of the parts.

    The losses L_i of the parts are added up, weighed as `balance` says:

    - "fixed": sum_i w_i L_i, with w the `weights`, 1 where none is given.
    - "uncertainty": sum_i exp(-s_i) L_i + s_i / 2, with the log-variances s learned (Kendall, Gal and Cipolla 2018,
      "Multi-task learning using uncertainty to weigh losses").
    - "gradients": as "fixed"; moreover the gradients of the parts at the shared maps are scaled in each step to lengths
      in the proportions of the weights (`models.heads.several_heads.Evened`), so that no part drowns the others in the
      backbone. Each of several processes does so for its own pictures.
    """

    score: str = "joined"
    needs: tuple[str, ...] = ()    # of an instance the names of its parts; of the class, everything that the data give
    on_last_map = False
    of_kinds: Mapping[str, type[Task]] | None = OF_KIND
    overlap: float | None = None    # each part has its own
    window: list[int] | None = None

    def __init__(self, classes: Mapping[str, tuple[str, ...]], *, targets: Mapping[str, Value] | None = None,
                 parts: list[str] | None = None, kinds: dict[str, str] | None = None,
                 weights: dict[str, float] | None = None, balance: Balance = "fixed",
                 settings: dict[str, dict[str, Any]] | None = None):
        """
        classes: the names of the classes of each target.
        targets: the stacked training targets, by name.
        parts: the targets that are learned; by itself all.
        kinds: the kind of each target (`values.kinds_of`); by itself that of its value, or its name where that is a
            kind.
        weights: the weight of the loss of each part, above 0; by itself 1.
        balance: how the losses are weighed against each other.
        settings: the settings of the task of each part.

        Weights and settings of targets that are not learned are accepted and have no effect, so that `parts` alone can
        be changed.
        """
        self.needs = tuple(parts) if parts is not None else tuple(classes)
        check_parts(self.needs, classes)
        weights, settings = weights or {}, settings or {}
        check_named("weights", weights, classes)
        check_named("settings", settings, classes)
        for name, weight in weights.items():
            if not 0 < weight < float("inf"):
                raise UserError(f"task.weights: the weight of {name!r} must be above 0; got {weight}. To leave the "
                                "part out, name the others in task.parts")
        if balance not in ("fixed", "uncertainty", "gradients"):
            raise UserError(f"unknown task.balance {balance!r}. Known: fixed, uncertainty, gradients.")
        if balance == "uncertainty" and weights:
            raise UserError(f"task.weights ({', '.join(weights)}) are not for task.balance = \"uncertainty\", which "
                            "learns the weights: leave one of the two out")
        self.balance, self.weights = balance, {name: weights.get(name, 1.0) for name in self.needs}
        self.tasks: dict[str, Task] = {}
        kind_of = kinds or kinds_of(targets or {})
        for name in self.needs:
            kind = kind_of.get(name, name)
            if kind not in OF_KIND:
                raise UserError(f"task.kinds does not say what {name!r} is: give one of {', '.join(OF_KIND)}"
                                + (f"; got {kind!r}" if kind != name else ""))
            self.tasks[name] = OF_KIND[kind](classes[name], targets=None if targets is None else targets[name],
                                             **settings.get(name, {}))

    def head(self, backbone: Backbone) -> nn.Module:
        """A head for each part. Raises UserError for a network that comes whole."""
        whole = any((backbone.detector, backbone.instance_detector, backbone.segmenter, backbone.outputs,
                     backbone.scores))
        if whole and len(self.needs) > 1:
            raise UserError(f"the network comes whole, with an answer for one task, and {len(self.needs)} are to "
                            f"share it ({', '.join(self.needs)}): take a backbone that gives maps, as in "
                            "backbone.name=resnet18, or one of them with task.parts")
        if backbone.detector is not None or backbone.instance_detector is not None:
            raise UserError("a detector that comes whole works its loss out by itself, which task 'multitask' cannot "
                            "weigh: train it with task.name=detection or task.name=instances")
        return SeveralHeads({name: task.head(backbone) for name, task in self.tasks.items()},
                            uncertain=self.balance == "uncertainty",
                            lengths=self.weights if self.balance == "gradients" else None)

    def loss(self, output: Answers, targets: dict[str, Value]) -> dict[str, Tensor]:
        """The loss terms of each part, weighed, as "part", or as "part/term" where it has several. Where no target of a
        part is known they are 0, with their graph kept."""
        losses = {name: task.loss(output.parts[name], {task.needs[0]: targets[name]})
                  for name, task in self.tasks.items()}
        factors: dict[str, Tensor | float] = dict(self.weights)
        weighed: dict[str, Tensor] = {}
        if output.log_variances is not None:
            factors = dict(zip(self.needs, torch.exp(-output.log_variances), strict=True))
        for number, (name, terms) in enumerate(losses.items()):
            for key, term in terms.items():
                weighed[name if len(terms) == 1 else f"{name}/{key}"] = factors[name] * term
            if output.log_variances is not None:
                # A batch without a known target of a part costs exactly 0 and must not move its log-variance either.
                total = torch.stack([term.detach().float() for term in terms.values()]).sum()
                known = (total != 0).to(output.log_variances.dtype)
                weighed[f"{name}/log_variance"] = known * output.log_variances[number] / 2
        return weighed

    def decode(self, output: Answers) -> dict[str, Value]:
        return {name: task.decode(output.parts[name])[task.needs[0]] for name, task in self.tasks.items()}

    def evidence(self, output: Answers, index: int, of: Mapping[str, Value] | None = None) -> Tensor:
        """The evidence of the part that `of` names; by itself of the first that is a label, else of the first."""
        if of is not None:
            ((name, value),) = of.items()
            task = self.tasks[name]
            return task.evidence(output.parts[name], index, {task.needs[0]: value})
        name = next((name for name, task in self.tasks.items() if task.needs == ("label",)), self.needs[0])
        return self.tasks[name].evidence(output.parts[name], index)

    def class_logits(self, output: Answers) -> dict[str, Tensor]:
        return {name: logits for name, task in self.tasks.items()
                for logits in task.class_logits(output.parts[name]).values()}

    def metrics(self) -> "SeveralMetrics":
        return SeveralMetrics(self.tasks)

    @property
    def objects(self) -> tuple[str, ...]:
        return tuple(name for name, task in self.tasks.items() if task.objects)

    @property
    def kept_per_pixel(self) -> int:
        return sum(task.kept_per_pixel for task in self.tasks.values())

    def with_thresholds(self, threshold: float | None, overlap: float | None) -> Self:
        decided = copy(self)
        decided.tasks = {name: task.with_thresholds(threshold, overlap) for name, task in self.tasks.items()}
        return decided

    def scoring_layers(self, network: nn.Module) -> list[tuple[nn.Module, int]]:
        head = cast(SeveralHeads, network.head)
        return [layer for name, task in self.tasks.items() for layer in task.scoring_layers(head.of(name))]

    def notes(self, augment: Mapping[str, Any]) -> list[str]:
        return list(dict.fromkeys(note for task in self.tasks.values() for note in task.notes(augment)))

    @staticmethod
    def usual(section: Mapping[str, Any], known: Known) -> Usual:
        """The defaults of the part that takes most epochs, the smallest batch of any part, and the augmentations that
        all parts can follow."""
        kinds = kinds_of_parts(section)
        parts = [OF_KIND[kind].usual(section, known) for kind in kinds]
        longest = max(parts, key=lambda part: part.epochs)
        return replace(longest, batch=min(part.batch for part in parts), augment=_usual_augment(kinds, known))

    @staticmethod
    def forbids(section: Mapping[str, Any], augment: Mapping[str, Any]) -> None:
        check_augment(augment, kinds_of_parts(section), task=section["name"])


def _usual_augment(kinds: Sequence[str], known: Known) -> dict[str, Any]:
    """The usual augmentations of several parts. Labels alone have those of classification. Otherwise colour pictures
    are flipped where a target has a place in them, and no numbers, which cannot be flipped along."""
    if set(kinds) == {"label"}:
        return dict(Classification.usual({}, known).augment)
    placed = any(KINDS[kind].spatial for kind in kinds) and "numbers" not in kinds
    return {"flip": True} if known.form.channels == 3 and placed else {}


class SeveralMetrics:
    """The metrics of each part, by its name."""

    def __init__(self, tasks: Mapping[str, Task]):
        self.tasks = tasks
        self.parts: dict[str, Metrics] = {name: task.metrics() for name, task in tasks.items()}

    def update(self, predictions: dict[str, Value], targets: dict[str, Value], *, count: int) -> None:
        for name, task in self.tasks.items():
            target = task.needs[0]
            self.parts[name].update({target: predictions[name]}, {target: targets[name]}, count=count)

    def state(self) -> dict[str, Tensor]:
        """What every part counted, to be sent to another process."""
        return {f"{name}/{key}": value for name, part in self.parts.items() for key, value in part.state().items()}

    def merge(self, state: dict[str, Tensor]) -> None:
        """Add what another process counted."""
        for name, part in self.parts.items():
            part.merge({key.rpartition("/")[2]: value for key, value in state.items()
                        if key.rpartition("/")[0] == name})

    def result(self) -> dict[str, Any]:
        """`joined`, the mean of the scores of the parts, the headlines of each part as "part/metric", and their
        intervals under the same names. The details are those of each part under `parts`, with its `kind`, and the names
        of the parts without any known target under `unknown`, which are left out of all else. Raises DataError where
        every part is one of them."""
        scores: list[float] = []
        headlines: dict[str, float] = {}
        intervals: dict[str, list[float]] = {}
        details: dict[str, Any] = {}
        unknown: list[str] = []
        for name, task in self.tasks.items():
            try:
                result = self.parts[name].result()
            except NothingToMeasure:
                unknown.append(name)
                continue
            scores.append(result[task.score])
            headlines |= {f"{name}/{key}": value for key, value in result.items() if isinstance(value, float)}
            intervals |= {f"{name}/{key}": ends for key, ends in result.get("intervals", {}).items()}
            details[name] = {"kind": task.needs[0], "score": task.score, **result["details"]}
        if not scores:
            raise nothing_to_measure(f"known target of {', '.join(self.tasks)}")
        return {Multitask.score: METRICS[Multitask.score].function(scores), **headlines, "intervals": intervals,
                "details": {"parts": details, "unknown": unknown}}
