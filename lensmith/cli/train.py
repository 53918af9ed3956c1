"""The verb `train`: a recipe, data or a run folder -> a trained network and its run folder."""

import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lensmith.base.errors import UserError
from lensmith.base.process_clock import process_age
from lensmith.cli.options import Device, Json, Quiet, Trust, settings_of
from lensmith.cli.terminal import baseline_line, headline_numbers, in_one_line, show, show_training, teller
from lensmith.engine.distributed.launch import is_distributed, launch, processes_of, wanted_processes

if TYPE_CHECKING:
    from lensmith.recipe.schema import Recipe
    from lensmith.training.session import Session


def train(
    context: typer.Context,
    source: Annotated[str | None, typer.Argument(help="A recipe (.toml), a data set's name, a folder of pictures, a "
                                                      "table (.csv, .tsv), or a run folder to train again.")] = None,
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]...",
                                                          help="Any other setting of the recipe.")] = None,
    backbone: Annotated[str | None, typer.Option(help="A network of `lensmith list backbones`, timm:NAME, "
                                                      "my_net.py:Net, or a run folder's.")] = None,
    task: Annotated[str | None, typer.Option(help="By itself the one that the data can feed.")] = None,
    world: Annotated[str | None, typer.Option(help="Learn by playing in it: one of `lensmith list worlds`, gym:NAME or "
                                                   "my_world.py:World.")] = None,
    algorithm: Annotated[str | None, typer.Option(help="By which it learns to play: dqn, ppo, a2c or "
                                                        "reinforce.")] = None,
    steps: Annotated[int | None, typer.Option(help="Of the world, all copies together.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training pictures.")] = None,
    minutes: Annotated[float | None, typer.Option(help="In the place of epochs: as many as end within so many minutes "
                                                       "of the whole process.")] = None,
    batch: Annotated[int | None, typer.Option(help="Pictures a step.")] = None,
    rate: Annotated[float | None, typer.Option(help="The optimizer's peak rate.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="sgd, adam, adamw or muon.")] = None,
    size: Annotated[int | None, typer.Option(help="Edge of the network's pictures, pixels.")] = None,
    device: Device = None,
    plan: Annotated[str | None, typer.Option(help="auto times how to run here, exact is deterministic float32, or the "
                                                  "plan.json of a run.")] = None,
    processes: Annotated[int | None, typer.Option(help="Processes that train together, one a GPU or sharing the cores.",
                                                  min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="The seed of weights, order and augmentation.")] = None,
    language: Annotated[str | None, typer.Option(help="Of the report: en or zh.")] = None,
    name: Annotated[str | None, typer.Option(help="The run folder's name; by itself the next free number.")] = None,
    weights: Annotated[str | None, typer.Option(help="A file of weights to begin with, .safetensors or .pth, a "
                                                     "run folder, imagenet for those that are installed, or "
                                                     "download:NAME of published ones.")] = None,
    scratch: Annotated[bool, typer.Option("--scratch", help="Begin from nothing, where ImageNet weights are the "
                                                            "default.")] = False,
    teacher: Annotated[str | None, typer.Option(help="A run folder: its answers are learned beside the truth.")] = None,
    freeze: Annotated[str | None, typer.Option(help="What is frozen: backbone, the number of its first blocks, or a "
                                                    "pattern of names.")] = None,
    probe: Annotated[bool, typer.Option("--probe", help="The head alone learns, from maps computed once.")] = False,
    runs: Annotated[Path | None, typer.Option(help="Where run folders lie; by itself runs.")] = None,
    on_bad: Annotated[str | None, typer.Option(help="skip or refuse files that cannot be read.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with a run folder, to the same bits.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved recipe and stop.")] = False,
    as_json: Json = False, quiet: Quiet = False, trust: Trust = False,
) -> None:
    """Train a network, test it and write its run folder with a report."""
    settings = settings_of(context.params)    # of the parameters that are flags, by name
    alone = not (is_distributed() or dry_run)
    count = processes_of(resume) if resume is not None else \
        wanted_processes({"processes": processes, "device": device})
    if alone:
        _launch_several(count)
    quiet = quiet or not _leads()
    if resume is not None:
        from lensmith.training.begin_or_resume import resume_session

        _refuse_changes(resume, settings, source, overrides, runs=runs, dry_run=dry_run)
        session = resume_session(resume, trusted=trust, tell=teller(quiet))
    else:
        recipe, trusted = _recipe_of(source, settings, overrides or (), trust=trust)
        _tell_of_yaml(source, quiet=quiet)
        trusted_metrics = trust or _names_metrics(overrides or ())
        if dry_run:
            _print_resolved(recipe, trusted=trusted, trusted_metrics=trusted_metrics, runs=runs or Path("runs"))
            return
        if alone:
            _launch_several(wanted_processes(recipe.get("plan", {})))
        from lensmith.training.begin_or_resume import Allowed, begin_session

        session = begin_session(recipe, runs=runs or Path("runs"), command=shlex.join(["lensmith", *sys.argv[1:]]),
                                allowed=Allowed(trusted, trusted_metrics, downloads=weights is not None),
                                began=time.monotonic() - process_age(), tell=teller(quiet))
    show_training(session, quiet=quiet)
    if session.run.writes:
        _show_end(session, as_json=as_json)
        if session.warning:
            teller(quiet)(session.warning)


def _launch_several(count: int) -> None:
    """Train in `count` processes started here and end with their exit code; nothing where one is enough."""
    if count > 1:
        raise typer.Exit(launch(count, sys.argv[1:]))


def _leads() -> bool:
    """Whether this process is the only one, or the first of several: the one that shows what is done."""
    if not is_distributed():
        return True
    from lensmith.engine.distributed.rendezvous import join

    return join().is_rank_zero


def _refuse_changes(run: Path, settings: dict[str, Any], source: str | None, overrides: Sequence[str] | None, *,
                    runs: Path | None, dry_run: bool) -> None:
    """Raise UserError where --resume is given together with anything that would change the run."""
    changes = [*(place for place, value in settings.items() if value is not None), *(overrides or ()),
               *([source] if source else ()), *(["--dry-run"] if dry_run else ()),
               *([f"--runs {runs}"] if runs is not None else ())]
    if changes:
        raise UserError(f"--resume goes on with the run as it was and takes no other setting; got "
                        f"{', '.join(changes)}. To change things begin a new run: lensmith train {run} ...")


def _recipe_of(source: str | None, settings: dict[str, Any], overrides: Sequence[str], *,
               trust: bool) -> tuple["Recipe", bool]:
    """The recipe that the arguments ask for, not yet complete, and whether code that it names may run."""
    from lensmith.recipe import play_sections
    from lensmith.recipe import schema as recipes
    from lensmith.recipe.from_source import is_run, recipe_for
    from lensmith.recipe.sections import SECTIONS, switch, without_other_length

    beginning: Recipe | None = None
    if settings["world.name"] is not None and (source is None or "=" in source):    # the world is all that it needs
        beginning, overrides = {"world": {"name": settings["world.name"]}}, [*([source] if source else []), *overrides]
    elif source is None:
        raise UserError("nothing to train on: name a recipe, a data set, a folder or a table, as in "
                        "`lensmith train fashion-mnist`, or --resume RUN")
    elif "=" in source and not os.path.exists(source):    # of a name that is too long Path raises
        raise UserError(f"the first argument names the data or the recipe; got the setting {source!r}")
    places = {place for place, value in settings.items() if value is not None} | \
        {text.partition("=")[0].strip() for text in overrides}
    if beginning is None:
        beginning = recipe_for(str(source), name=recipes.data_name_in(overrides))
    recipe = without_other_length(beginning, places)
    plays = play_sections.is_play(recipe)
    recipe = recipes.override(switch(recipe, settings), overrides, play_sections.SECTIONS if plays else SECTIONS)
    # Code that is named in this command is the user's own word; code that a file names needs --trust.
    if plays:
        return recipe, trust or recipe["world"]["name"] in (source, settings["world.name"])
    named_here = settings["backbone.name"] is not None or any(text.startswith("backbone.name=") for text in overrides)
    return recipe, trust or (named_here and not is_run(recipe["backbone"]["name"]))


def _tell_of_yaml(source: str | None, *, quiet: bool) -> None:
    """Tell what of a file with other programs' arguments is otherwise here."""
    from lensmith.recipe.yaml_recipes import read_yaml_recipe

    of_yaml = read_yaml_recipe(Path(source)) if source is not None else None
    for note in of_yaml.notes if of_yaml is not None else ():
        teller(quiet)(note)


def _names_metrics(overrides: Sequence[str]) -> bool:
    """Whether this command names metrics of the user's own, whose code may then run."""
    from lensmith.recipe.user_metrics import names_metrics

    return names_metrics(overrides)


def _print_resolved(recipe: "Recipe", *, trusted: bool, trusted_metrics: bool, runs: Path) -> None:
    from lensmith.recipe import schema as recipes
    from lensmith.training.begin_or_resume import resolve_recipe

    text = recipes.as_toml(resolve_recipe(recipe, trusted=trusted, trusted_metrics=trusted_metrics, runs=runs))
    for line in text.removesuffix("\n").split("\n"):
        show(line)


def _show_end(session: "Session", *, as_json: bool) -> None:
    """What the best weights scored on each split that was held out, and where the run and its report lie."""
    from lensmith.engine.run_folder import finite

    report = session.run.folder / "report.html"
    if as_json:
        show(json.dumps(finite({"run": str(session.run), "report": str(report),
                                 **{split: headline_numbers(scores) for split, scores in session.metrics.items()}})))
        return
    for split, scores in session.metrics.items():
        show(f"{split:<5} {in_one_line(scores)}")
        if (line := baseline_line(scores)) and split == list(session.metrics)[-1]:
            show(f"      {line}")
    show(f"run    {session.run}")
    show(f"report {report}")
