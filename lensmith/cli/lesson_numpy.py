"""The verb `lesson numpy`: a network in NumPy alone, beside PyTorch."""

from pathlib import Path
from typing import Annotated

import typer

from lensmith.cli.lesson import LessonOut, give_lesson
from lensmith.cli.options import Json, Trust
from lensmith.cli.terminal import teller


def lesson_numpy(
    data: Annotated[str | None, typer.Argument(help="A set with a class for each picture, by itself Fashion-MNIST; "
                                                    "with --run a picture.")] = None,
    run: Annotated[Path | None, typer.Option(help="A run folder: its network, computed in NumPy on its own pictures; "
                                                  "it is only read.")] = None,
    pictures: Annotated[int, typer.Option(help="Training pictures, at most.")] = 20_000,
    epochs: Annotated[int, typer.Option(help="Passes over them.")] = 4,
    seed: Annotated[int, typer.Option(help="Of first weights and order.")] = 0,
    out: LessonOut = None, as_json: Json = False, trust: Trust = False,
) -> None:
    """A convolutional network in NumPy alone: forward, backward, trained, each gradient beside PyTorch's, every value
    of a step on a page."""
    from lensmith.lessons.lesson import lesson_folder
    from lensmith.lessons.numpy_network.lesson import numpy_lesson
    from lensmith.lessons.numpy_network.measured import numpy_results, results_of_run

    folder, tell = lesson_folder("numpy", out), teller(as_json)
    if run is not None:
        picture = None if data is None else Path(data)
        results = results_of_run(run, picture=picture, trusted=trust, seed=seed, tell=tell)
    else:
        results = numpy_results(data, pictures=pictures, epochs=epochs, seed=seed, tell=tell)
    give_lesson(numpy_lesson(results), folder, as_json=as_json)
