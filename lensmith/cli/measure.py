"""The verbs that measure: `val` a trained network on a split, `compare` runs with each other."""

import json
from pathlib import Path
from typing import Annotated

import typer

from lensmith.base.errors import UserError
from lensmith.cli.options import Device, FormOf, Json, Quiet, Runtime, Trust
from lensmith.cli.terminal import baseline_line, in_one_line, show, show_classes, show_comparison, teller


def val(
    run: Annotated[str, typer.Argument(help="A run folder; with --data an ONNX file, or imagenet.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[DATA.KEY=VALUE]...",
                                                          help="How --data is read.")] = None,
    split: Annotated[str | None, typer.Option(help="train, valid or test; by itself test where there is one.")] = None,
    data: Annotated[str | None, typer.Option(help="Other data to measure on than the run's own.")] = None,
    episodes: Annotated[int | None, typer.Option(help="Of a run that plays: fresh ones that are played; by itself 100.",
                                                 min=1)] = None,
    runtime: Runtime = None, form: FormOf = None, device: Device = None, as_json: Json = False, quiet: Quiet = False,
    trust: Trust = False,
) -> None:
    """Measure a trained network on a split of its data. (Also: validate, test.)"""
    from lensmith.engine.run_folder import finite
    from lensmith.recipe.play_sections import plays
    from lensmith.training.from_file import opened

    if plays(run):
        _measure_play(run, episodes, trust=trust, as_json=as_json)
        return
    if episodes is not None:
        raise UserError(f"--episodes is of runs that have learned to play; {run} is measured on pictures: leave it out")
    if overrides and data is None:
        raise UserError(f"settings say how --data is read, and it is not given; got {' '.join(overrides)}")
    trained = opened(run, runtime=runtime, device=device, form=form, trust=trust, tell=teller(quiet))
    scores = trained.validate(split, data=data, settings=overrides or (), tell=teller(quiet))
    if as_json:
        show(json.dumps(finite(scores)))
        return
    show(f"{scores['split']:<5} {in_one_line(scores)}")
    show_classes(scores)


def _measure_play(run: str, episodes: int | None, *, trust: bool, as_json: bool) -> None:
    from lensmith.engine.run_folder import finite
    from lensmith.training.played import load_player

    scores = load_player(run, trusted=trust).measure(episodes or 100)
    if as_json:
        show(json.dumps(finite(scores)))
        return
    show(in_one_line(scores))
    show(f"      {baseline_line(scores)}")


def compare(
    runs: Annotated[list[str], typer.Argument(help="Run folders, and patterns of them as 'runs/cifar-*'.")],
    metric: Annotated[str | None, typer.Option(help="By which to judge; by itself the one that ranks.")] = None,
    data: Annotated[str | None, typer.Option(help="Data to measure all runs on, in place of their own.")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Measure runs again that keep no answers.")] = False,
    out: Annotated[Path | None, typer.Option(help="A file for the page with it, HTML.")] = None,
    device: Device = None, as_json: Json = False, quiet: Quiet = False, trust: Trust = False,
) -> None:
    """Runs side by side: what differs, which is better, and whether that is more than noise."""
    from lensmith.engine.run_folder import finite
    from lensmith.study.compare.comparison import compared
    from lensmith.study.compare.page import write_page
    from lensmith.study.compare.run_folders import run_folders

    folders, notes = run_folders(runs)
    again = {}
    if data is not None or measure:    # only these need the networks
        from lensmith.training.answered import keep_answers, measured_on, without_answers

        tell = teller(quiet)
        if data is not None:
            again = measured_on(folders, data, device=device, trust=trust, tell=tell)
        else:
            keep_answers(without_answers(folders), device=device, trust=trust, tell=tell)
    comparison = compared(folders, metric=metric, again=again, notes=notes)
    if out is not None:
        write_page(comparison, out)
    if as_json:
        show(json.dumps(finite(comparison.as_json())))
    else:
        show_comparison(comparison)
