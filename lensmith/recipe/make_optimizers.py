"""Makes the optimizers and the stepper of a network from a recipe."""

from collections.abc import Sequence

import torch
from torch import nn

from lensmith.base.errors import UserError
from lensmith.engine.optimize import OPTIMIZERS, Leaf, leaves
from lensmith.engine.plan.plan import Plan
from lensmith.engine.schedule import SCHEDULES
from lensmith.engine.stepper import Stepper
from lensmith.models.freeze import depth_rates
from lensmith.recipe import schema as recipes
from lensmith.recipe.sections import arguments_of


def make_stepper(recipe: recipes.Recipe, network: nn.Module, plan: Plan) -> Stepper:
    """The stepper of a network that is already on its final device: the optimizers refer to its tensors."""
    settings = recipe["learner"]
    rates = depth_rates(network, settings["depth_decay"])
    parameters = leaves(network, settings.get("groups") or (), rates=rates)
    schedule = recipes.call(arguments_of(recipe["schedule"]), SCHEDULES[recipe["schedule"]["name"]])
    return Stepper(network, parameters, make_optimizers(recipe, parameters), schedule=schedule, clip=settings["clip"],
                   average=settings["average"], scaled=plan.precision == "float16")


def make_optimizers(recipe: recipes.Recipe, parameters: Sequence[Leaf]) -> list[torch.optim.Optimizer]:
    """The recipe's optimizers on these parameters. Raises UserError for a value that PyTorch refuses."""
    section = recipe["optimizer"]
    try:
        optimizers: list[torch.optim.Optimizer] = recipes.call(arguments_of(section), OPTIMIZERS[section["name"]],
                                                               chosen=parameters)
        return optimizers
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"optimizer {section['name']!r} does not take these settings: {error}") from error
