"""Jobs of lessons: a small one on a set, or the beginning of a run, whose folder is only read."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError, ModelError
from lensmith.engine.plan.plan import exact
from lensmith.engine.run_folder import Run
from lensmith.lessons.lesson_data import check_labelled, lesson_recipe
from lensmith.recipe import schema as recipes
from lensmith.recipe.assemble import Assembled, assemble
from lensmith.recipe.open_data import Data, open_data
from lensmith.recipe.run_recipe import recipe_of_run
from lensmith.recipe.sections import resolve
from lensmith.recipe.user_metrics import check_metrics

Tell = Callable[[str], object]
EXACT = {"mode": "exact", "device": "cpu"}    # float32 and deterministic, so that the numbers are those of any machine
_RATE = 0.02    # of sgd: at 0.05 a network of ELUs blew up on Fashion-MNIST (seed 0)
# Of these sets a part suffices: about 3,000 pictures to learn from and 1,200 to measure on.
_FRACTIONS = {"fashion-mnist": {"loading.fraction": 0.05, "split.valid": 0.02},
              "mnist": {"loading.fraction": 0.05, "split.valid": 0.02},
              "cifar10": {"loading.fraction": 0.06, "split.valid": 0.024},
              "cifar100": {"loading.fraction": 0.06, "split.valid": 0.024}}


def small_layers(activation: str) -> list[Any]:
    """LeNet's layers, a third narrower, with this activation behind each, for a stack."""
    layers: list[Any] = []
    for channels in (6, 12):
        layers += [{"conv": channels, "kernel": 5}, activation, {"maxpool": 2}]
    return [*layers, {"dense": 64}, activation]


def lesson_settings(source: str, *, optimizer: str, seed: int) -> recipes.Recipe:
    """The resolved recipe of a lesson on a set: a small network with relu, at a rate that stays as it is."""
    rate = {"optimizer.rate": _RATE} if optimizer == "sgd" else {}
    settings = {**_FRACTIONS.get(source, {}), **rate, "run.seed": seed, "loading.batch": 32, "learner.epochs": 4,
                "backbone.name": "stack", "backbone.layers": small_layers("relu"), "optimizer.name": optimizer,
                "schedule.name": "constant", "plan.mode": EXACT["mode"], "plan.device": EXACT["device"]}
    return resolve(lesson_recipe(source, settings), trusted=False)


def open_labelled(recipe: recipes.Recipe, source: str, tell: Tell) -> Data:
    """The pictures of a lesson's recipe. Raises DataError where they have no labels."""
    data = open_data(recipe, tell=tell)
    check_labelled(data, source)
    if "valid" not in data.splits:
        raise DataError(f"{source} has too few pictures to set some aside: name a larger set")
    return data


def job_with(recipe: recipes.Recipe, data: Data, settings: Mapping[str, Any]) -> Assembled:
    """The job of a lesson's recipe with other settings, on data that were opened before."""
    return assemble(resolve(recipes.put(recipe, settings), trusted=False), data, resumed_plan=exact(device="cpu"))


def job_of_run(folder: str | Path, *, trusted: bool, tell: Tell) -> Assembled:
    """The job that a run began with: its data, its network as it was drawn, its optimizer; in float32 on the CPU.

    Nothing is written into the folder. Raises ModelError for a run that never began.
    """
    run = Run.open(folder)
    if not run.has_begun:
        raise ModelError(f"{run} never began to learn, so it has no step to look at: train it with lensmith train "
                         f"--resume {run}")
    recipe = recipe_of_run(run, module=None, data=None, trusted=trusted)
    check_metrics(recipe, trusted=trusted)
    recipe["learner"].pop("minutes", None)    # which only a training that is timed can keep to
    # Fitting a head first would take as long as its training did; the steps are then those of the drawn head.
    recipe = recipe | {"plan": EXACT, "learner": recipe["learner"] | {"head_first": 0}}
    settled = resolve(recipe, trusted=trusted)
    return assemble(settled, open_data(settled, tell=tell), trusted=trusted, resumed_plan=exact(device="cpu"),
                    begun=True)
