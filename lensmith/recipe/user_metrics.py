"""The user's own metrics that a recipe names: which sections name them, and whether their code may run."""

from collections.abc import Iterable
from pathlib import Path

from lensmith.recipe import schema as recipes
from lensmith.tasks.metrics.own import OwnMetrics, find_metric

METRIC_SETTINGS = ("task.metrics", "task.settings")    # the latter has the settings of each of several tasks


def check_metrics(recipe: recipes.Recipe, *, trusted: bool) -> None:
    """Import every metric that the task's settings name, so that a mistake shows before anything is trained.

    Raises UserError if one is named and the code is not trusted, or is no metric.
    """
    for section in _sections_with_metrics(recipe):
        for name in OwnMetrics(section["metrics"]).names.values():
            find_metric(name, trusted=trusted)


def anchor_metrics(recipe: recipes.Recipe) -> None:
    """Make the paths of their files absolute, so that later commands on the run folder work in any directory."""
    for section in _sections_with_metrics(recipe):
        section["metrics"] = [_absolute(name) for name in section["metrics"]]


def names_metrics(settings: Iterable[str]) -> bool:
    """Whether a setting of the command line names metrics. The user then trusts their code."""
    return any(text.partition("=")[0].strip() in METRIC_SETTINGS for text in settings)


def _absolute(name: str) -> str:
    path, _, function = name.rpartition(":")
    return f"{Path(path).absolute()}:{function}" if path.endswith(".py") else name


def _sections_with_metrics(recipe: recipes.Recipe) -> list[recipes.Section]:
    task = recipe.get("task", {})
    return [section for section in (task, *task.get("settings", {}).values()) if section.get("metrics")]
