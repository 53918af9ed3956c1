"""What the lesson `training` measures: steps of a learner, and small trainings that differ in one thing."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lensmith.base.errors import UserError
from lensmith.lessons.lesson_data import how_to_get, set_in_words, usual_set
from lensmith.lessons.training.activations import (
    USUAL,
    ActivationCurves,
    activation_curves,
    check_activations,
)
from lensmith.lessons.training.jobs import (
    Tell,
    job_of_run,
    job_with,
    lesson_settings,
    open_labelled,
    small_layers,
)
from lensmith.lessons.training.losses import CLASS_LOSSES
from lensmith.lessons.training.watched_steps import WatchedTraining, watch_steps
from lensmith.recipe.assemble import Assembled
from lensmith.recipe.open_data import Data
from lensmith.recipe.schema import Recipe

STEPS = 8    # of the learner that are looked into


@dataclass(frozen=True)
class SmallTraining:
    """The same small network on the same pictures, with one thing changed."""

    name: str
    losses: tuple[float, ...]        # of the training pictures, an epoch each
    accuracies: tuple[float, ...]    # of the held-out ones


@dataclass(frozen=True)
class TrainingResults:
    """What the lesson has to show."""

    about: str                                   # Fashion-MNIST, or the run
    job: Assembled                                     # whose first steps were taken
    watched: WatchedTraining
    seed: int
    curves: Mapping[str, ActivationCurves]       # by activation; none of a run
    by_activation: tuple[SmallTraining, ...]
    by_loss: tuple[SmallTraining, ...]
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        watched = self.watched
        return {"about": self.about, "seed": self.seed, "note": self.note, "batch": len(watched.batch),
                "loss_terms": watched.terms, "losses": watched.losses, "gradient_norms": watched.gradients,
                "optimizer": watched.optimizer, "weight": watched.weight,
                "steps": [asdict(step) for step in watched.steps], "largest_error": watched.largest_error,
                "activations": {name: {"through_10_layers": curves.plain, "fitted": curves.fitted}
                                for name, curves in self.curves.items()},
                "by_activation": [asdict(training) for training in self.by_activation],
                "by_loss": [asdict(training) for training in self.by_loss]}


def training_results(source: str | None, *, activations: Sequence[str] = (), optimizer: str = "sgd", seed: int = 0,
                     tell: Tell = lambda text: None) -> TrainingResults:
    """Watch the first steps on a set, or on the usual one, and train small networks that differ in the activation, and
    in the loss. Raises UserError for an activation or an optimizer that is not known, DataError for a set without
    labels."""
    names = check_activations(activations or USUAL)
    if seed < 0:
        raise UserError(f"--seed is 0 or more; got {seed}")
    name = source if source is not None else usual_set()
    note = how_to_get(name) if source is None else ""
    if note:
        tell(note)
    recipe = lesson_settings(name, optimizer=optimizer, seed=seed)
    data = open_labelled(recipe, name, tell)
    job = job_with(recipe, data, {})
    watched = watch_steps(job, STEPS)
    by_activation = tuple(_trained(activation, recipe, data, {"backbone.layers": small_layers(activation)}, tell)
                          for activation in names)
    by_loss = tuple(_trained(loss, recipe, data, settings, tell) for loss, (_, settings) in CLASS_LOSSES.items()
                    if settings is not None)
    return TrainingResults(set_in_words(name), job, watched, seed, activation_curves(names, seed), by_activation,
                           by_loss, note)


def training_results_of_run(folder: str | Path, *, trusted: bool = False,
                            tell: Tell = lambda text: None) -> TrainingResults:
    """Watch the steps that a run began with, taken again. The run is only read. Raises ModelError for a run that never
    began."""
    job = job_of_run(folder, trusted=trusted, tell=tell)
    watched = watch_steps(job, STEPS)
    about, seed = f"the run {Path(folder).absolute().name}", job.recipe["run"]["seed"]
    return TrainingResults(about, job, watched, seed, {}, (), ())


def _trained(name: str, recipe: Recipe, data: Data, settings: Mapping[str, Any], tell: Tell) -> SmallTraining:
    # By the usual schedule: at a rate that stays, chance in the last steps is larger than what is compared.
    job = job_with(recipe, data, {"schedule.name": "cosine", **settings})
    rows = [report.row for report in job.learner if report.row is not None]
    accuracies = tuple(row[f"valid/{job.task.score}"] for row in rows)
    tell(f"{name}: loss {rows[-1]['train/loss']:.4f}, accuracy {accuracies[-1]:.4f} after {len(rows)} epochs")
    return SmallTraining(name, tuple(row["train/loss"] for row in rows), accuracies)
