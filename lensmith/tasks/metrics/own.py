"""Metrics of a user's own: functions of the truth and the predictions of a whole split, named as `my_metrics.py:f2`.

What `function(truth, predicted)` gets, by the kind of the target; pictures without a known truth are left out:

    label      two int64 [n], class numbers
    tags       two float [n, tags], 1 present and 0 absent; NaN in the truth where a tag is not known
    numbers    two float [n, quantities], in the units of the file; NaN in the truth where a number is not known
    boxes      two lists of `Boxes`, one a picture, in the file's pixels; the predictions with `scores`
    masks      two lists of `Masks`, likewise, their bits in the network's pixels
    mask       two lists of `Mask`, one a picture, uint8 in the network's pixels, 255 where nothing is known

A function with a parameter `scores` gets those of labels and tags too, float [n, classes]; one with a parameter
`classes` gets their names. It gives a number. How that is shown is said by a `Metric` in the function's place. Where it
fails or gives no number, the metric is NaN, and the details say why: what was learned is worth more than one number.
"""

import inspect
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import UserError, described
from lensmith.base.user_code import CodeOf, find_attribute
from lensmith.tasks.metrics import METRICS
from lensmith.tasks.metrics.metric import Metric
from lensmith.values import KINDS
from lensmith.values.labels import UNKNOWN
from lensmith.values.value import Value

OWN_METRIC = CodeOf("metric", "The name of a metric of yours is FILE.py:FUNCTION", UserError)
_TAKEN = ("loss", "count", "split", "worst", "intervals", "details")    # what else stands beside the metrics
_FIELDS = {"label": "index", "tags": "present", "numbers": "values"}    # that is given as one tensor of all pictures


def find_metric(name: str, *, trusted: bool) -> Metric:
    """The metric that `my_metrics.py:f2` or `package.module:f2` names; a function is one that is shown as a number.

    Raises UserError where the code is not trusted, cannot be imported, or is no function of truth and predictions.
    """
    attribute = find_attribute(name, trusted=trusted, code=OWN_METRIC)[1]
    metric = attribute if isinstance(attribute, Metric) else Metric(attribute)
    if not callable(metric.function):
        raise UserError(f"metric {name!r} is {type(attribute).__name__}, where a function of truth and predictions, or "
                        "a lensmith.metrics.Metric with one, is expected")
    try:
        signature = inspect.signature(metric.function)
    except ValueError:    # some builtins have none
        return metric
    try:
        signature.bind(None, None, **dict.fromkeys(_asked(metric.function)))
    except TypeError as error:
        raise UserError(f"metric {name!r} takes {signature}, where (truth, predicted) is expected, and scores or "
                        "classes by their names where it wants them") from error
    return metric


def _asked(function: Callable[..., Any]) -> list[str]:
    """Which of `scores` and `classes` a function has among its parameters."""
    try:
        parameters = list(inspect.signature(function).parameters)
    except ValueError:
        return []
    return [name for name in ("scores", "classes") if name in parameters[2:]]


class OwnMetrics:
    """The metrics that a task's setting `metrics` names. Their code runs when something is measured, not before."""

    def __init__(self, names: Sequence[str] | None):
        """Raises UserError for a name that stands for no code, or that a metric has already."""
        self.names: dict[str, str] = {}    # of the metric -> where its code is
        for name in names or ():
            path, colon, key = name.rpartition(":")
            if not (path and colon and key):
                advice = " is measured by itself: leave it out" if name in METRICS else ""
                raise UserError(f"task.metrics names {name!r}, which{advice or ' is no metric of your own'}. "
                                f"{OWN_METRIC.example}")
            if key in METRICS or key in _TAKEN or key in self.names:
                raise UserError(f"task.metrics names {name!r}, and there is a {key!r} already: give the function "
                                "another name")
            self.names[key] = name

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        # Whoever let the recipe in has asked whether its code is trusted (recipe/own_metrics.py).
        return {key: find_metric(name, trusted=True) for key, name in self.names.items()}

    def beside(self, metrics: Any, kind: str, classes: tuple[str, ...]) -> Any:
        """A task's own count of a kind of target, with these metrics beside it where there are any."""
        return WithOwnMetrics(metrics, self, kind, classes) if self.names else metrics


class WithOwnMetrics:
    """A task's metrics, and beside them a user's own, for which every truth and prediction is kept."""

    def __init__(self, inner: Any, own: OwnMetrics, kind: str, classes: tuple[str, ...]):
        self.inner, self.own, self.kind, self.classes = inner, own, kind, classes
        self.scored = any("scores" in _asked(metric.function) for metric in own.metrics.values())
        if self.scored and kind not in ("label", "tags"):
            raise UserError(f"the metrics {', '.join(own.names.values())} ask for scores, which labels and tags alone "
                            f"have; of {kind} they are in the predictions")
        self.batches: list[tuple[Value, Value, int]] = []    # stacked truth and predictions, and their pictures

    def update(self, predictions: dict[str, Value], targets: dict[str, Value], *, count: int) -> None:
        """Count one batch, and keep it."""
        self.inner.update(predictions, targets, count=count)
        truth, predicted = (values[self.kind].compact(scores=self.scored) for values in (targets, predictions))
        self.batches.append((truth, predicted, count))

    def state(self) -> dict[str, Tensor]:
        """What was counted and every value kept, to be sent to another process."""
        kept = {f"own.{number}.{side}.{field.name}": tensor for number, batch in enumerate(self.batches)
                for side, value in zip(("truth", "predicted"), batch[:2], strict=True) for field in fields(value)
                if (tensor := getattr(value, field.name)) is not None}
        counts = torch.tensor([count for _, _, count in self.batches], dtype=torch.int64)
        return {**self.inner.state(), **kept, "own.counts": counts}

    def merge(self, state: dict[str, Tensor]) -> None:
        """Add another's, of the pictures that come after those counted here."""
        self.inner.merge({name: tensor for name, tensor in state.items() if not name.startswith("own.")})
        for number, count in enumerate(state["own.counts"].tolist()):
            sides = [f"own.{number}.{side}." for side in ("truth", "predicted")]
            truth, predicted = (KINDS[self.kind](**{name.removeprefix(side): tensor for name, tensor in state.items()
                                                      if name.startswith(side)}) for side in sides)
            self.batches.append((truth, predicted, count))

    def result(self) -> dict[str, Any]:
        """The task's own result with the user's metrics behind its headlines, and how these are shown among the
        details, as `metrics`; of one that is NaN since it could not be measured, with the `problem`."""
        result = self.inner.result()
        truth, predicted, scores = self._whole()
        extra = {"scores": scores, "classes": self.classes}
        values: dict[str, float] = {}
        shown: dict[str, dict[str, str]] = {}
        for key, metric in self.own.metrics.items():
            values[key], problem = self._value(key, metric, truth, predicted, extra)
            shown[key] = {"from": self.own.names[key], "shown": metric.shown, "better": metric.better,
                          **({"problem": problem} if problem else {})}
        headlines = {key: value for key, value in result.items() if key not in ("intervals", "details")}
        return {**headlines, **values, "intervals": result.get("intervals", {}),
                "details": result["details"] | {"metrics": shown}}

    def _whole(self) -> tuple[Any, Any, Tensor | None]:
        """Truth and predictions of all pictures as the functions get them, and the scores."""
        if self.kind not in _FIELDS:
            truths, predictions = ([batch[side][number] for batch in self.batches    # type: ignore[index]
                                    for number in range(batch[2])] for side in (0, 1))
            return truths, predictions, None
        truth, predicted = (self._column(side, _FIELDS[self.kind]) for side in (0, 1))
        known = truth != UNKNOWN if self.kind == "label" else ~truth.isnan().all(1)
        scores = self._column(1, "scores")[known] if self.scored else None
        return truth[known], predicted[known], scores

    def _column(self, side: int, field: str) -> Tensor:
        return torch.cat([getattr(batch[side], field) for batch in self.batches])

    def _value(self, key: str, metric: Metric, truth: Any, predicted: Any, extra: dict[str, Any]) -> tuple[float, str]:
        """The value of a metric, and why it is NaN where it could not be measured."""
        problem = f"metric {self.own.names[key]!r} is not measured: "
        try:
            value = metric.function(truth, predicted, **{asked: extra[asked] for asked in _asked(metric.function)})
            if isinstance(value, Tensor | np.ndarray | np.generic) and math.prod(value.shape) == 1:
                value = value.item()
            if not isinstance(value, bool) and isinstance(value, Real):
                return float(value), ""
        except Exception as error:    # whatever a stranger's function may raise
            return math.nan, f"{problem}{described(error)}{_line_of(error)}"
        shape = f" of shape {tuple(value.shape)}" if isinstance(value, Tensor | np.ndarray) else ""
        return math.nan, f"{problem}it gave {type(value).__name__}{shape}, where a number is expected"


def _line_of(error: Exception) -> str:
    """Where in the file of the user's function an error came about, as ` (line 7 of my_metrics.py)`."""
    frames = traceback.extract_tb(error.__traceback__)[1:]    # the first is the call of the function
    of_file = [frame for frame in frames if frame.filename == frames[0].filename]
    return f" (line {of_file[-1].lineno} of {of_file[-1].filename})" if of_file else ""


def not_measured(scores: Mapping[str, Any]) -> dict[str, str]:
    """Why metrics of a user's own could not be measured, a sentence each, by where their code is. `scores` are a
    measurement, or the details of one of its parts."""
    details = scores.get("details", scores)
    parts = [not_measured(part) for part in details.get("parts", {}).values()]
    own = {said["from"]: said["problem"] for said in details.get("metrics", {}).values() if "problem" in said}
    return {name: problem for problems in (*parts, own) for name, problem in problems.items()}
