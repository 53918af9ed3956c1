"""The verb `compress`: a run -> a run with a smaller network, and the table of what that cost and gained."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from lensmith.base.errors import UserError
from lensmith.cli.options import Json, Quiet, Trust
from lensmith.cli.terminal import print_table, show, show_training, teller


def compress(
    run: Annotated[str, typer.Argument(help="A run folder.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]...",
                                                          help="Settings of the recipe that the smaller network learns "
                                                               "by, in the places of the run's own.")] = None,
    speed: Annotated[float | None, typer.Option(help="Times as fast for one picture, measured here.")] = None,
    macs: Annotated[float | None, typer.Option(help="The fraction of the multiply-adds that stays.")] = None,
    size: Annotated[float | None, typer.Option(help="The fraction of the weights' bytes that stays.")] = None,
    lose: Annotated[float | None, typer.Option(help="How much of the score may be lost; alone: the smallest network "
                                                    "that keeps it is looked for, in at most four tries.")] = None,
    by: Annotated[str, typer.Option(help="How channels are ranked: taylor, norm or scale.")] = "taylor",
    epochs: Annotated[int | None, typer.Option(help="Epochs to learn after the cut; by itself a third of the "
                                                    "run's.")] = None,
    name: Annotated[str | None, typer.Option(help="The new run folder's name; by itself that of the run with "
                                                  "-pruned.")] = None,
    runs: Annotated[Path | None, typer.Option(help="Where it is made; by itself beside the run.")] = None,
    as_json: Json = False, quiet: Quiet = False, trust: Trust = False,
) -> None:
    """Leave out the channels of a network that matter least, train on, and measure what that cost and gained."""
    asked = {kind: value for kind, value in (("speed", speed), ("macs", macs), ("size", size)) if value is not None}
    if len(asked) > 1:
        raise UserError(f"compress.{' and compress.'.join(asked)} both say how small: give one of them")
    from lensmith.recipe import schema as recipes
    from lensmith.recipe.sections import SECTIONS
    from lensmith.training.compressed import Compression
    from lensmith.training.pruned import CompressionTarget

    wanted = next((CompressionTarget(kind, value) for kind, value in asked.items()), None)
    changed = recipes.override({}, overrides or (), SECTIONS)
    settings = {f"{section}.{key}": value for section, values in changed.items() for key, value in values.items()}
    settings |= {"learner.epochs": epochs} if epochs is not None else {}
    compression = Compression(run, wanted, lose, by, name, runs, settings,    # type: ignore[arg-type]
                              shlex.join(["lensmith", *sys.argv[1:]]), trust, teller(quiet))
    for session in compression:
        show_training(session, quiet=quiet)
    content = compression.finish()
    if as_json:
        show(json.dumps(content | {"run": str(compression.kept.run)}))
    else:
        _show(content, str(compression.kept.run))


def _show(content: dict[str, Any], run: str) -> None:
    from lensmith.study.report.compression_table import compression

    shown = compression(content)
    assert shown is not None
    show(shown["title"])
    for columns, rows in shown["tables"]:
        print_table(columns, rows)
        show("")
    for remark in shown["remarks"]:
        show(remark)
    if content["tries"][1:]:
        for each in content["tries"]:
            show(f"tried {each['asked']['macs']:.3g} of the multiply-adds: {each['difference']['value']:+.4f}, "
                 f"{each['run']}")
    show(f"run    {run}")
    show(f"report {Path(run) / 'report.html'}")
