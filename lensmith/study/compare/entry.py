"""What a run folder tells about its run, without its network."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError, UserError
from lensmith.engine.kept_answers import SplitAnswers, read_answers
from lensmith.engine.run_folder import Run
from lensmith.recipe.play_sections import plays
from lensmith.recipe.schema import Recipe, read_recipe
from lensmith.recipe.sections import learned_targets, named_entry
from lensmith.study.report.metric_words import own_metrics
from lensmith.study.report.picture_sets import PictureSet
from lensmith.tasks.metrics import metric_named
from lensmith.tasks.metrics.metric import Metric

_SPLITS = ("test", "valid")    # the first of these splits that a run was measured on is compared
_OTHER = ("loss", "joined")    # numbers of a whole run, which belong to no part


@dataclass(frozen=True)
class Entry:
    """What a run folder tells about its run."""

    run: str                      # its folder
    data: str                     # the name of its data set
    backbone: str
    epochs: int
    seconds: float                # of training
    split: str                    # the split that the run was measured on
    scores: dict[str, str]        # the metric that ranks each part
    kinds: dict[str, str]         # the kind of each part: label, tags, numbers, boxes, mask or masks
    metrics: dict[str, float]     # "part/metric" -> value
    measured: PictureSet          # the pictures of that split
    pictures: PictureSet          # the pictures of all splits
    user_metrics: dict[str, Metric]    # how the user's own metrics are shown, by name without the part
    parameters: int | None        # of its network
    file_bytes: int | None        # of its best weights
    recipe: Recipe = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    learned_from: int | None = None          # pictures of the training split
    answers: SplitAnswers | None = None      # of the split that it was measured on
    multiply_adds: int | None = None         # for one picture
    milliseconds: float | None = None        # for one picture on the machine that trained it
    memory_bytes: int | None = None          # at most, of the process that trained it

    def as_json(self) -> dict[str, Any]:
        """What `--json` says of it."""
        names = ("run", "data", "backbone", "epochs", "seconds", "split", "scores", "kinds", "metrics", "parameters",
                 "file_bytes", "multiply_adds", "milliseconds", "memory_bytes")
        return {name: getattr(self, name) for name in names}


def read_entry(folder: Path) -> Entry:
    """Raises DataError for a run that was not measured, and ModelError for no run or a damaged one."""
    run = Run.open(folder)
    if plays(folder):
        raise UserError(f"{folder} has learned to play, and what is compared is what runs answer of pictures: measure "
                        f"it with lensmith val {folder}, and leave it out")
    metrics = run.facts("metrics.json")
    split = next((name for name in _SPLITS if metrics.get(name)), None)
    if split is None and run.read_json("run.json").get("status") == "converted":
        raise DataError(f"{folder} was converted from elsewhere and has measured nothing: lensmith val {folder} --data "
                        "DATA measures it; leave it out here")
    if split is None:
        raise DataError(f"{folder} has no metrics.json with a test or valid split: train it to its end with lensmith "
                        f"train --resume {folder}, or leave it out")
    recipe = read_recipe(folder / "recipe.toml")
    facts, data, measured = run.read_json("run.json"), run.read_json("data.json"), metrics[split]
    numbers = {name: value for name, value in measured.items() if isinstance(value, float) and name not in _OTHER}
    parts = measured.get("details", {}).get("parts")
    if parts is None:    # a run of one task, whose target has the name of its kind
        name = _target(recipe, data)
        parts, numbers = {name: {"kind": name, "score": facts.get("score_name") or ""}}, \
            {f"{name}/{key}": value for key, value in numbers.items()}
    pictures = {name: PictureSet.of(files) for name, files in data.get("files", {}).items()}
    weights, cost = folder / "best.safetensors", run.facts("cost.json")
    return Entry(str(folder), str(data.get("name", "")), str(recipe.get("backbone", {}).get("name", "")),
                 int(facts.get("epochs") or 0), float(facts.get("seconds") or 0.0), split,
                 {part: details.get("score", "") for part, details in parts.items()},
                 {part: details.get("kind", part) for part, details in parts.items()}, numbers,
                 pictures.get(split, PictureSet()), reduce(or_, pictures.values(), PictureSet()),
                 {name.rpartition("/")[2]: metric for name, metric in own_metrics(measured.get("details", {})).items()},
                 facts.get("parameters"), weights.stat().st_size if weights.is_file() else None, recipe,
                 run.read_history(), data.get("splits", {}).get("train", {}).get("count"),
                 read_answers(run).get(split), cost.get("multiply_adds"), cost.get("milliseconds"),
                 cost.get("memory_bytes"))


@dataclass(frozen=True)
class MeasuredAgain:
    """What a run scores on other data than its own."""

    split: str
    scores: Mapping[str, Any]
    answers: SplitAnswers


def measured_again(entry: Entry, again: MeasuredAgain | None) -> Entry:
    """The entry with what it was measured at on other data, where it was."""
    if again is None:
        return entry
    numbers = {name: value for name, value in again.scores.items() if isinstance(value, float) and name not in _OTHER}
    if "parts" not in again.scores.get("details", {}):
        numbers = {f"{next(iter(entry.scores))}/{name}": value for name, value in numbers.items()}
    pictures = PictureSet.of(again.answers.files)
    return replace(entry, split=again.split, metrics=numbers, measured=pictures, answers=again.answers)


def metric_of(name: str, own: Mapping[str, Metric]) -> Metric:
    """How a metric is shown, and which way is better."""
    return own.get(name) or metric_named(name)


def _target(recipe: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """The target that a run of one task learned."""
    task = {"task": named_entry("task", recipe["task"], trusted=False)} if recipe.get("task") else {}
    return next(iter(learned_targets(dict(recipe) | task, data.get("classes", {}))), "")
