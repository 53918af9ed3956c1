"""The verb `lesson training`: what a step of training does, in numbers."""

from pathlib import Path
from typing import Annotated

import typer

from lensmith.base.errors import UserError
from lensmith.cli.lesson import LessonOut, give_lesson
from lensmith.cli.options import Json, Trust
from lensmith.cli.terminal import teller


def lesson_training(
    data: Annotated[str | None, typer.Argument(help="A set with a class for each picture; by itself Fashion-MNIST.")]
        = None,
    run: Annotated[Path | None, typer.Option(help="A run folder: the steps that it began with, taken again; it is only "
                                                  "read.")] = None,
    activation: Annotated[list[str] | None, typer.Option(help="An activation to compare, as relu or tanh; may be given "
                                                              "several times.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="sgd, adam, adamw or muon; by itself sgd.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of first weights and order; by itself 0.")] = None,
    out: LessonOut = None, as_json: Json = False, trust: Trust = False,
) -> None:
    """What training does, step by step: a real batch, its loss, its gradients, and one weight before and after;
    activations and losses beside each other."""
    from lensmith.lessons.lesson import lesson_folder
    from lensmith.lessons.training.lesson import training_lesson
    from lensmith.lessons.training.measured import training_results, training_results_of_run

    given = {"DATA": data, "--activation": activation, "--optimizer": optimizer, "--seed": seed}
    named = [name for name, value in given.items() if value not in (None, [])]
    if run is not None and named:
        raise UserError(f"--run {run} has data, network, optimizer and seed of its own; got {', '.join(named)} beside "
                        "it: leave one of the two out")
    folder, tell = lesson_folder("training", out), teller(as_json)
    results = training_results_of_run(run, trusted=trust, tell=tell) if run is not None else \
        training_results(data, activations=activation or (), optimizer=optimizer or "sgd", seed=seed or 0, tell=tell)
    give_lesson(training_lesson(results), folder, as_json=as_json)
