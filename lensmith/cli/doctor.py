"""The verb `doctor`: why a run does not learn, the rate that a recipe can bear, and a run that is mended."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from lensmith.base.errors import ModelError, UserError
from lensmith.cli.options import Json, Quiet, Trust
from lensmith.cli.terminal import print_table, show, show_training, teller

_LINES = 14    # of the curve of a range test on a terminal
_WIDE = 40     # letters of its longest bar


def doctor(
    run: Annotated[str, typer.Argument(help="A run folder; with --rates a recipe or data, as for train.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]...",
                                                          help="With --rates, settings of the recipe.")] = None,
    rates: Annotated[bool, typer.Option("--rates", help="Steps at growing rates: which rate the recipe can bear.")]
    = False,
    steps: Annotated[int | None, typer.Option(help="With --rates, how many: 100 by itself.", min=20)] = None,
    out: Annotated[Path | None, typer.Option(help="With --rates, a new file for the curve, SVG.")] = None,
    mend: Annotated[bool, typer.Option("--mend", help="Train again with the mend of what was found.")] = False,
    as_json: Json = False, quiet: Quiet = False, trust: Trust = False,
) -> None:
    """Why a run does not learn: what was measured, the cause and the mend, the most certain first."""
    _check_arguments(overrides, steps, out, rates=rates, mend=mend)
    if rates:
        _test_rates(run, overrides or [], steps=steps or 100, out=out, as_json=as_json, quiet=quiet, trust=trust)
        return
    from lensmith.study.doctor import diagnose
    from lensmith.study.doctor.facts import facts_of

    opened = _opened(run)
    found = diagnose(facts_of(opened))
    mended = _mend(opened, found, quiet=quiet, trust=trust) if mend else {}
    if as_json:
        show(json.dumps({"run": run, "faults": [diagnosis.as_json() for diagnosis in found], **mended}))
        return
    for diagnosis in found if not mend else ():
        show(diagnosis.sentence())
    if mend:
        show(mended["outcome"])
    elif not found:
        show("nothing found: the run shows no sign of a fault that is known here")


def _check_arguments(overrides: list[str] | None, steps: int | None, out: Path | None, *, rates: bool,
                     mend: bool) -> None:
    if rates and mend:
        raise UserError("--rates is of a recipe and --mend of a run: leave one of the two out")
    given = [*(overrides or ()), *([] if steps is None else [f"--steps {steps}"]),
             *([] if out is None else [f"--out {out}"])]
    if given and not rates:
        raise UserError(f"settings, --steps and --out go with --rates; got {' '.join(given)}. To train with other "
                        "settings: lensmith train RUN section.key=value")
    if out is not None and (out.exists() or out.suffix != ".svg"):
        raise UserError(f"{out} is {'there already' if out.exists() else 'no .svg'}: name a new file, as --out "
                        "rates.svg")


def _opened(run: str) -> Any:
    """The run folder. Raises ModelError, which names --rates where this is a recipe, a folder or a known data set."""
    from lensmith.data.formats import FORMATS
    from lensmith.engine.run_folder import Run

    try:
        return Run.open(run)
    except ModelError as error:
        if not (run in FORMATS or Path(run).is_dir() or (Path(run).suffix == ".toml" and Path(run).is_file())):
            raise
        raise ModelError(f"{str(error).rstrip('.')}. To find a rate for a recipe or data: lensmith doctor {run} "
                         "--rates") from error


def _mend(opened: Any, found: Any, *, quiet: bool, trust: bool) -> dict[str, Any]:
    """Train the run again with the mend; -> what became of it."""
    from lensmith.training.mend import begin_mended, mending, outcome

    tell, before = teller(quiet), opened.facts("run.json")
    diagnosis = mending(opened, found)
    tell(diagnosis.sentence())
    tell("training again with " + ", ".join(f"{place}={value}" for place, value in diagnosis.settings.items()))
    session = begin_mended(opened, diagnosis, trusted=trust, command=shlex.join(["lensmith", *sys.argv[1:]]), tell=tell)
    show_training(session, quiet=quiet)
    return {"mended": str(session.run), "outcome": outcome(before, session)}


def _test_rates(source: str, overrides: list[str], *, steps: int, out: Path | None, as_json: bool, quiet: bool,
                trust: bool) -> None:
    """The range test of a recipe, as text, as JSON, and as a curve in a file."""
    from lensmith.base.atomic_files import write_text
    from lensmith.recipe import schema as recipes
    from lensmith.recipe.from_source import recipe_for
    from lensmith.recipe.sections import SECTIONS
    from lensmith.study.report.rate_chart import rate_chart
    from lensmith.training.rate_range import rate_range

    recipe = recipes.override(recipe_for(source, name=recipes.data_name_in(overrides)), overrides, SECTIONS)
    named = any(text.startswith("backbone.name=") for text in overrides)    # code named here is the user's own word
    found = rate_range(recipe, steps=steps, trusted=trust or named, tell=teller(quiet))
    if out is not None:
        write_text(out, rate_chart(found.rates, found.losses, suggestion=found.suggestion) + "\n",
                   advice="name another file with --out")
    if as_json:
        show(json.dumps({"rates": found.rates, "losses": found.losses, "rate": found.recipe_rate,
                         "suggestion": found.suggestion}))
        return
    shown = [round(number * (len(found.rates) - 1) / (_LINES - 1)) for number in range(min(_LINES, len(found.rates)))]
    most = max(found.losses[number] for number in shown)
    print_table(("rate", "loss", ""), [(f"{found.rates[number]:.1e}", f"{found.losses[number]:.4f}",
                                        "#" * round(_WIDE * found.losses[number] / most)) for number in shown])
    show(found.in_words())
    if out is not None:
        show(f"curve {out}")
