"""The plan that a trained network was trained in, as it computes by it on this machine."""

import os
from dataclasses import replace
from pathlib import Path

from lensmith.engine.plan.plan import Plan, make_plan, plan_from_json
from lensmith.engine.run_folder import Run, about_best_file
from lensmith.models.adapters.embedded_weights import IMAGENET
from lensmith.recipe.model_file import is_model_file


def plan_of(name: str | Path) -> Plan:
    """The plan that a run, or the run of a file of weights, was trained in, as it predicts by it on this machine."""
    if name == IMAGENET:
        return make_plan(device="cpu")
    plan = plan_from_json(about_best_file(Path(name))["model"]["plan"] if is_model_file(name) else
                          Run.open(name).read_json("plan.json"))
    # Compiling takes longer than most predictions do, and the machine of the training may have had more cores.
    return replace(plan, compiled=False, threads=min(plan.threads, os.cpu_count() or 1))
