"""The facts of a run that faults are looked for in, from the files of its folder alone."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lensmith.base.errors import ModelError
from lensmith.engine.run_folder import Run
from lensmith.engine.teacher import TERM
from lensmith.recipe.schema import Recipe, read_recipe

_SETTLED = 200    # steps after which a loss tells something before the first epoch has ended: some begin slowly
_BEGUN = 20       # the same after whole epochs: of fewer any network has learned little
_ORDER = ("valid", "test")    # the first of these splits that was measured at the end stands for what was held out


@dataclass(frozen=True)
class Facts:
    """What is known of a run: any of it may be missing, as in a run that was killed or that is still learning."""

    recipe: Recipe
    history: Sequence[Mapping[str, float]] = ()    # a row an epoch, as history.csv
    run: Mapping[str, Any] = field(default_factory=dict)        # run.json
    metrics: Mapping[str, Any] = field(default_factory=dict)    # metrics.json: by split
    data: Mapping[str, Any] = field(default_factory=dict)       # data.json
    vitals: Mapping[str, Any] = field(default_factory=dict)     # vitals.json
    folder: str = "RUN"                                         # as commands name it

    def setting(self, place: str) -> Any:
        """The value of `section.key` in the recipe; None where it is not there."""
        section, _, key = place.partition(".")
        values = self.recipe.get(section)
        return values.get(key) if isinstance(values, Mapping) else None

    def number(self, place: str) -> float | None:
        """As `setting`, where it is a finite number; a recipe that somebody has edited may hold anything."""
        value = self.setting(place)
        usable = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e100
        return float(value) if usable else None

    def entries(self, place: str) -> list[Mapping[str, Any]]:
        """As `setting`, the tables of a list."""
        value = self.setting(place)
        return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []

    @property
    def task(self) -> str:
        """The name of the task."""
        return str(self.setting("task.name") or "")

    @property
    def rows(self) -> list[Mapping[str, float]]:
        """The epochs that were learned; epoch 0, in which a head is measured that learned first, is none."""
        return [row for row in self.history if row["epoch"] > 0]

    def column(self, name: str) -> list[float]:
        """A column of the history, without the epochs that have nothing in it. The training loss is that of the truth,
        which the held-out loss and guessing are compared with, and not what was learned from a teacher."""
        weight = self.number("learner.teacher_weight") if name == "train/loss" else None
        if weight is None:
            return [row[name] for row in self.rows if name in row]
        if weight == 1:    # the truth was not looked at
            return []
        return [sum(value for key, value in row.items() if key.startswith("train/") and key != name
                    and not key.endswith(TERM)) / (1 - weight) for row in self.rows]

    @property
    def score(self) -> str:
        """The metric that ranks epochs."""
        return str(self.run.get("score_name") or "")

    @property
    def scores(self) -> list[float]:
        """The score on the valid split after each epoch."""
        return self.column(f"valid/{self.score}")

    @property
    def measured(self) -> Mapping[str, Any]:
        """What was measured at the end on the pictures that were held out; nothing where it has not ended."""
        return next((self.metrics[split] for split in _ORDER if self.metrics.get(split)), {})

    def parts(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """(name, details) of each target that was measured at the end; the name of a single one is its kind's."""
        details = self.measured.get("details") or {}
        if details.get("parts"):
            yield from details["parts"].items()
        elif details:
            yield self.target, details

    @property
    def target(self) -> str:
        """What a task of one target learns from."""
        return {"classification": "label", "segmentation": "mask", "tagging": "tags", "regression": "numbers"}.get(
            self.task, "boxes")

    def class_counts(self, split: str = "train") -> dict[str, int]:
        """The pictures of each class in a split, where one label is learned; else nothing."""
        if self.task != "classification":
            return {}
        counts = ((self.data.get("splits") or {}).get(split) or {}).get("per_class") or {}
        return {name: number for name, number in counts.items() if number}

    @property
    def chance(self) -> float | None:
        """The cross entropy of an answer that knows how often each class occurs and does not look at the picture; None
        where the loss is another one."""
        counts = self.class_counts()
        if len(counts) < 2 or self.number("task.focal") or self.setting("task.class_weights"):
            return None
        total = sum(counts.values())
        return -sum(number / total * math.log(number / total) for number in counts.values())

    @property
    def commonest(self) -> tuple[str, float] | None:
        """The class that most training pictures have, and the fraction of the valid pictures that have it."""
        trained, held_out = self.class_counts(), self.class_counts("valid")
        if not trained or not held_out:
            return None
        name = max(trained, key=lambda key: trained[key])
        return name, held_out.get(name, 0) / sum(held_out.values())

    @property
    def loss(self) -> float | None:
        """The newest training loss: of the last epoch, or as watched within the first one."""
        watched = [row["loss"] for row in self.watched if row.get("loss") is not None]
        losses = self.column("train/loss")
        return losses[-1] if losses else sum(watched[-3:]) / len(watched[-3:]) if watched else None

    @property
    def watched(self) -> list[Mapping[str, Any]]:
        """What was read of the network while it learned, a row for each time."""
        return list(self.vitals.get("rows") or ())

    def stays_at_chance(self, near: float = 0.02) -> bool:
        """Whether the training loss is that of guessing, after an epoch or, as watched, for some time of the first."""
        if self.chance is None or self.loss is None or not self._enough:
            return False
        return abs(self.loss - self.chance) <= near * self.chance

    @property
    def _enough(self) -> bool:
        if self.rows:
            return self.rows[-1].get("step", 0) >= _BEGUN
        return len(self.watched) >= 4 and self.watched[-1].get("step", 0) >= _SETTLED


def facts_of(run: Run) -> Facts:
    """The facts of a run folder. Raises ModelError where a file is damaged, and where there is nothing to judge yet."""
    facts = Facts(read_recipe(run.folder / "recipe.toml"), run.read_history(), run.facts("run.json"),
                  run.facts("metrics.json"), run.facts("data.json"), run.facts("vitals.json"), str(run))
    if not facts.rows and not facts.watched and facts.run.get("status") != "stopped":
        raise ModelError(f"{run} has not finished its first epoch, and nothing was measured within it: go on with "
                         f"lensmith train --resume {run}, then ask again")
    return facts
