"""The verb `compress`: a run -> a run with a smaller network, and the table of what that cost and gained."""

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lensmith.base.errors import Disagreement, UserError
from lensmith.cli.options import Json, Quiet, Trust
from lensmith.cli.terminal import print_table, show, show_training, teller

if TYPE_CHECKING:
    from lensmith.training.exported import Exported


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
    int8: Annotated[bool, typer.Option("--int8", help="In INT8, by ranges measured on training pictures: alone, or the "
                                                      "smaller network too.")] = False,
    calibration: Annotated[int | None, typer.Option(help="With --int8: how many training pictures the ranges are "
                                                         "measured on; by itself 200.")] = None,
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
    if calibration is not None and not int8:
        raise UserError("export.calibration is of a file in INT8: add --int8, or leave it out")
    if int8 and not asked and (overrides or epochs is not None or name is not None or runs is not None):
        raise UserError("compress.int8 alone trains nothing and writes into the run folder: leave the settings of a "
                        "training and its folder out, or add compress.macs=0.5")
    from lensmith.recipe import schema as recipes
    from lensmith.recipe.sections import SECTIONS
    from lensmith.training.compressed import Compression
    from lensmith.training.compressed_int8 import compress_to_int8
    from lensmith.training.pruned import CompressionTarget
    from lensmith.training.quantised import Int8Settings

    given = {name: value for name, value in (("lose", lose), ("calibration", calibration)) if value is not None}
    in_int8 = Int8Settings(**given) if int8 else None    # type: ignore[arg-type]
    if in_int8 is not None and not asked:
        found = compress_to_int8(run, in_int8, trust=trust, tell=teller(quiet))
        _end(found.content, str(found.run), found.exported, as_json=as_json)
        return
    wanted = next((CompressionTarget(kind, value) for kind, value in asked.items()), None)
    changed = recipes.override({}, overrides or (), SECTIONS)
    settings = {f"{section}.{key}": value for section, values in changed.items() for key, value in values.items()}
    settings |= {"learner.epochs": epochs} if epochs is not None else {}
    compression = Compression(run, wanted, lose, in_int8, by, name, runs, settings,    # type: ignore[arg-type]
                              shlex.join(["lensmith", *sys.argv[1:]]), trust, teller(quiet))
    for session in compression:
        show_training(session, quiet=quiet)
    content = compression.finish()
    _end(content, str(compression.kept.run), compression.exported, as_json=as_json)


def _end(content: dict[str, Any], run: str, exported: "Exported | None", *, as_json: bool) -> None:
    """Show the table. Raises Disagreement where a file in INT8 loses more than was asked for."""
    if as_json:
        show(json.dumps(content | {"run": run, "file": str(exported.file) if exported else None}))
    else:
        _show(content, run)
        if exported is not None:
            show(f"file   {exported.file}")
    if exported is not None and not exported.agrees:
        raise Disagreement(f"{exported.file} loses more of the score by INT8 than "
                           f"{exported.report['int8']['score']['lose']:g}. Allow more with compress.lose, or use "
                           "the network in float32")


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
    tries = content.get("tries") or []
    if tries[1:]:
        for each in tries:
            show(f"tried {each['asked']['macs']:.3g} of the multiply-adds: {each['difference']['value']:+.4f}, "
                 f"{each['run']}")
    show(f"run    {run}")
    show(f"report {Path(run) / 'report.html'}")
