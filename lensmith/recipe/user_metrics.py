"""The metrics of a user's own that a recipe names: where they stand, and whether their code may run."""

from collections.abc import Iterable
from pathlib import Path

from lensmith.recipe import schema as recipes
from lensmith.tasks.metrics.own import OwnMetrics, find_metric

METRIC_SETTINGS = ("task.metrics", "task.settings")    # the latter of the parts of several tasks


def check_metrics(recipe: recipes.Recipe, *, trusted: bool) -> None:
    """Import every metric that the task's settings name, so that a mistake is known before anything is trained.

    Raises UserError where there are some and their code is not trusted, or is no metric.
    """
    for section in _sections_with_metrics(recipe):
        for name in OwnMetrics(section["metrics"]).names.values():
            find_metric(name, trusted=trusted)


def anchor_metrics(recipe: recipes.Recipe) -> None:
    """Make the paths of their files absolute, so that the run folder's later commands work from anywhere."""
    for section in _sections_with_metrics(recipe):
        section["metrics"] = [_absolute(name) for name in section["metrics"]]


def names_metrics(settings: Iterable[str]) -> bool:
    """Whether one of the settings that a command gives names metrics: their code is then the user's own word."""
    return any(text.partition("=")[0].strip() in METRIC_SETTINGS for text in settings)


def _absolute(name: str) -> str:
    path, _, function = name.rpartition(":")
    return f"{Path(path).absolute()}:{function}" if path.endswith(".py") else name


def _sections_with_metrics(recipe: recipes.Recipe) -> list[recipes.Section]:
    task = recipe.get("task", {})
    return [section for section in (task, *task.get("settings", {}).values()) if section.get("metrics")]
