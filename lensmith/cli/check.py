"""The verb `check`: what may be wrong with a data set, before anything is trained on it."""

import json
from typing import Annotated

import typer

from lensmith.base.errors import DataError, UserError, choose
from lensmith.cli.options import Json, Quiet, Trust
from lensmith.cli.terminal import show, show_findings, teller


def check_data(
    source: Annotated[str, typer.Argument(help="A data set's name, a folder, a table, a recipe or a run folder.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]...")] = None,
    fail_on: Annotated[str | None, typer.Option(help="End with exit code 3 where this was found: note, warning, error, "
                                                     "a check, or a kind of finding as leak.")] = None,
    budget: Annotated[float, typer.Option(help="Seconds for a quick probe that looks for suspicious labels; 0: none.",
                                          min=0)] = 300,
    run: Annotated[str | None, typer.Option(help="A run folder: suspicious labels, boxes and masks are told by what it "
                                                 "says of pictures that it never learned from.")] = None,
    every_file: Annotated[bool, typer.Option("--all", help="Every picture of every finding.")] = False,
    as_json: Json = False, quiet: Quiet = False, trust: Trust = False,
) -> None:
    """What may be wrong with a data set: damaged files, duplicates, leaks between splits, odd pictures and targets.

    No file of the set is changed.
    """
    from lensmith.recipe import schema as recipes
    from lensmith.recipe.from_source import recipe_for
    from lensmith.recipe.sections import SECTIONS, resolve
    from lensmith.study.check import CHECKS, KINDS
    from lensmith.study.check.finding import SEVERITIES, by_gravity
    from lensmith.study.check.known_set import know

    if fail_on is not None:
        choose(dict.fromkeys((*SEVERITIES, *CHECKS, *KINDS)), fail_on, "--fail-on", error=UserError)
    about_pictures = ("run", "data", "split", "pictures", "loading", "task")
    sections = {name: section for name, section in recipe_for(source).items() if name in about_pictures}
    recipe = resolve(recipes.override(sections, overrides or (), SECTIONS), trusted=False)
    held_out = None
    if run is not None:
        from lensmith.training.trained import load

        held_out = load(run, trust=trust).held_out(source, recipe["data"], tell=teller(quiet))
    known = know(recipe, source=source, budget=budget, held_out=held_out, tell=teller(quiet))
    findings = by_gravity([finding for check in CHECKS.values() for finding in check.find(known)])
    if as_json:
        show(json.dumps({"source": source, "pictures": len(known.pictures),
                         "findings": [finding.as_json() for finding in findings]}))
    else:
        show_findings(findings, every_file=every_file)
    failing = [finding for finding in findings if fail_on in (finding.check, finding.kind) or
               (fail_on in SEVERITIES and SEVERITIES.index(finding.severity) >= SEVERITIES.index(fail_on))]
    if failing:
        raise DataError(f"--fail-on {fail_on}: {failing[0].sentence}")
