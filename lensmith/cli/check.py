"""The verb `check`: what may be wrong with a data set, before anything is trained on it."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lensmith.base.errors import DataError, choose, count
from lensmith.cli.options import Json, Quiet, Trust
from lensmith.cli.terminal import show, show_findings, teller

if TYPE_CHECKING:
    from lensmith.recipe.schema import Recipe
    from lensmith.study.check.finding import Finding

_ABOUT_PICTURES = ("run", "data", "split", "pictures", "loading", "task")    # sections that say how a set is opened


def check_data(
    source: Annotated[str, typer.Argument(help="A data set's name, a folder, a table, a recipe or a run folder.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]...")] = None,
    fail_on: Annotated[str | None, typer.Option(help="Exit with code 3 where there is such a finding: error, warning "
                                                     "(or worse), note (any), or a check or kind, as leak.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder for the page with the pictures side by side; by itself "
                                                  "checks/ and the set's name, with --json none.")] = None,
    write_list: Annotated[Path | None, typer.Option(help="A new file for the list of pictures to leave out, which "
                                                         "`lensmith train` takes as data.leave_out=FILE.")] = None,
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
    from lensmith.base.output_folder import check_output, folder_name
    from lensmith.data.sources.leave_out import check_new_list
    from lensmith.study.check import CHECKS, KINDS
    from lensmith.study.check.finding import SEVERITIES, by_gravity, failing
    from lensmith.study.check.known_set import know
    from lensmith.study.check.page import ADVICE, write_check

    if fail_on is not None:
        choose(dict.fromkeys((*SEVERITIES, *CHECKS, *KINDS)), fail_on, "finding for --fail-on")
    if out is None and not as_json:
        out = Path("checks") / folder_name(Path(source).absolute().name, "set")
    if out is not None:
        check_output(out, advice=ADVICE)
    if write_list is not None:
        check_new_list(write_list)
    tell = teller(quiet)
    recipe, held_out = _recipe(source, overrides or ()), None
    if run is not None:
        from lensmith.training.trained import load

        held_out = load(run, trust=trust).held_out(source, recipe["data"], tell=tell)
    known = know(recipe, source=source, budget=budget, held_out=held_out, tell=tell)
    findings = by_gravity([finding for check in CHECKS.values() for finding in check.find(known)])
    page = None if out is None else write_check(known, findings, out)
    if as_json:
        show(json.dumps({"source": source, "pictures": len(known.pictures), "page": None if page is None else str(page),
                         "splits": {split: len(rows) for split, rows in known.splits.items()},
                         "findings": [finding.as_json() for finding in findings]}))
    else:
        command = shlex.join(["lensmith", "check", source, *(overrides or ()), "--all"])
        show_findings(findings, pictures=len(known.pictures), command=command, every_file=every_file)
        show(f"the page with the pictures: {page}")
    if write_list is not None:
        tell(_written(write_list, findings, source))
    failed = failing(findings, fail_on)
    if failed:
        raise DataError(f"--fail-on {fail_on}: {failed[0].sentence}")


def _recipe(source: str, overrides: Sequence[str]) -> "Recipe":
    """The sections of a source that say how its pictures are opened, with these settings, resolved."""
    from lensmith.recipe import schema
    from lensmith.recipe.from_source import recipe_for
    from lensmith.recipe.sections import SECTIONS, resolve

    sections = {name: section for name, section in recipe_for(source, name=schema.data_name_in(overrides)).items()
                if name in _ABOUT_PICTURES}
    return resolve(schema.override(sections, overrides, SECTIONS), trusted=False)


def _written(file: Path, findings: "Sequence[Finding]", source: str) -> str:
    """Write the list of pictures to leave out -> how many they are, and the command that takes it."""
    from lensmith.data.sources.leave_out import write_leave_out

    rows = [(picture.path, f"{finding.severity}: {finding.kind}") for finding in findings
            for picture in finding.leave_out]
    write_leave_out(file, rows)
    command = shlex.join(["lensmith", "train", source, f"data.leave_out={file}"])
    pictures = count(len({path for path, _ in rows}), "picture")
    return f"{pictures} to leave out written to {file}: look through it, then `{command}`"
