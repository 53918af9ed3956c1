"""The command line. Results go to stdout, progress to stderr; nothing heavy is imported before a command needs it."""

import json
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lensmith.base.errors import ModelError, UserError
from lensmith.cli.terminal import (
    cell,
    follow,
    headlines,
    in_words,
    show_account,
    show_classes,
    show_comparison,
    show_layers,
    show_operator,
    table,
    teller,
    wrong_argument,
)
from lensmith.engine.distributed.launch import is_distributed, launch, processes_of, wanted_processes

app = typer.Typer(name="lensmith", no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False,
                  rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]},
                  help="From pictures to a convolutional network that works: train, test, predict, inspect.")
data_app = typer.Typer(no_args_is_help=True, help="Data sets: what is known, what is here, and getting one.")
app.add_typer(data_app, name="data")

# What click raises for wrong arguments; typer brings click along under a name of its own that has changed before.
_REFUSED: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
Json = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]
Trust = Annotated[bool, typer.Option("--trust", help="Run the user's own code that the run folder names.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps; train: cuda:0,1 too.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]


@app.command()
def train(
    source: Annotated[str | None, typer.Argument(help="A recipe (.toml), a data set's name, a folder of pictures, a "
                                                      "table (.csv, .tsv), or a run folder to train again.")] = None,
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]...",
                                                          help="Any other setting of the recipe.")] = None,
    backbone: Annotated[str | None, typer.Option(help="A network of `lensmith list backbones`, timm:NAME, "
                                                      "my_net.py:Net, or a run folder's.")] = None,
    task: Annotated[str | None, typer.Option(help="By itself the one that the data can feed.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training pictures.")] = None,
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
    name: Annotated[str | None, typer.Option(help="The run folder's name; by itself the next free number.")] = None,
    weights: Annotated[str | None, typer.Option(help="A file of weights to begin with, .safetensors or .pth, a "
                                                     "run folder, or download:NAME of published ones.")] = None,
    freeze: Annotated[str | None, typer.Option(help="What stands still: backbone, the number of its first blocks, or a "
                                                    "pattern of names.")] = None,
    probe: Annotated[bool, typer.Option("--probe", help="The head alone learns, from maps computed once.")] = False,
    runs: Annotated[Path | None, typer.Option(help="Where run folders lie; by itself runs.")] = None,
    on_bad: Annotated[str | None, typer.Option(help="skip or refuse files that cannot be read.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with a run folder, to the same bits.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved recipe and stop.")] = False,
    as_json: Json = False, quiet: Quiet = False, trust: Trust = False,
) -> None:
    """Train a network, test it and write its run folder with a report."""
    alone = not (is_distributed() or dry_run)
    wanted_here = processes_of(resume) if resume is not None else \
        wanted_processes({"processes": processes, "device": device})
    if alone and wanted_here > 1:
        raise typer.Exit(launch(wanted_here, sys.argv[1:]))
    if is_distributed():
        from lensmith.engine.distributed.rendezvous import join

        quiet = quiet or not join().is_rank_zero
    from lensmith.recipe import schema as recipes
    from lensmith.recipe.from_source import is_run, recipe_for
    from lensmith.recipe.sections import SECTIONS, switch
    from lensmith.training.begin_or_resume import begin, resolved
    from lensmith.training.begin_or_resume import resume as resumed

    flags = {"backbone.name": backbone, "task.name": task, "learner.epochs": epochs, "loading.batch": batch,
             "optimizer.rate": rate, "optimizer.name": optimizer, "pictures.size": size, "plan.device": device,
             "plan.mode": plan, "plan.processes": processes, "run.seed": seed, "run.name": name,
             "pictures.on_bad": on_bad, "learner.weights": weights, "learner.freeze": freeze,
             "learner.probe": probe or None}
    if resume is not None:
        changed = [*(key for key, value in flags.items() if value is not None), *(overrides or ()),
                   *([source] if source else ()), *(["--dry-run"] if dry_run else ()),
                   *([f"--runs {runs}"] if runs is not None else ())]
        if changed:
            raise UserError(f"--resume goes on with the run as it was and takes no other setting; got "
                            f"{', '.join(changed)}. To change things begin a new run: lensmith train {resume} ...")
        session = resumed(resume, trusted=trust, tell=teller(quiet))
    else:
        if source is None:
            raise UserError("nothing to train on: name a recipe, a data set, a folder or a table, as in "
                            "`lensmith train fashion-mnist`, or --resume RUN")
        if "=" in source and not Path(source).exists():
            raise UserError(f"the first argument names the data or the recipe; got the setting {source!r}")
        wanted = recipes.override(switch(recipe_for(source), flags), overrides or (), SECTIONS)
        # Code that is named in this command is the user's own word; code that a file names needs --trust.
        said = backbone is not None or any(one.startswith("backbone.name=") for one in overrides or ())
        trusted = trust or (said and not is_run(wanted["backbone"]["name"]))
        if dry_run:
            print(recipes.write(resolved(wanted, trusted=trusted)), end="")
            return
        if alone and (asked := wanted_processes(wanted.get("plan", {}))) > 1:
            raise typer.Exit(launch(asked, sys.argv[1:]))
        session = begin(wanted, runs=runs or Path("runs"), command=shlex.join(["lensmith", *sys.argv[1:]]),
                        trusted=trusted, downloads=weights is not None, tell=teller(quiet))
    follow(session, quiet=quiet)
    if not session.run.writes:
        return
    if as_json:
        from lensmith.engine.run_folder import finite

        print(json.dumps(finite({"run": str(session.run), "report": str(session.run.folder / "report.html"),
                                 **{part: headlines(found) for part, found in session.metrics.items()}})))
        return
    for part, found in session.metrics.items():
        print(f"{part:<5} {in_words(found)}")
    print(f"run    {session.run}")
    print(f"report {session.run.folder / 'report.html'}")


@app.command()
def val(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    split: Annotated[str | None, typer.Option(help="train, valid or test; by itself test where there is one.")] = None,
    data: Annotated[str | None, typer.Option(help="Other data to measure on than the run's own.")] = None,
    device: Device = None, as_json: Json = False, quiet: Quiet = False, trust: Trust = False,
) -> None:
    """Measure a trained network on a split of its data. (Also: validate, test.)"""
    from lensmith.engine.run_folder import finite
    from lensmith.training.trained import load

    found = load(run, device=device, trust=trust).validate(split, data=data, tell=teller(quiet))
    if as_json:
        print(json.dumps(finite(found)))
        return
    print(f"{found['split']:<5} {in_words(found)}")
    show_classes(found)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders: one of several tasks, and each task's own.")],
    out: Annotated[Path | None, typer.Option(help="A file for the page with it, HTML.")] = None,
    as_json: Json = False,
) -> None:
    """Runs side by side, and what several tasks gained or lost by sharing one network."""
    from lensmith.study.report.compare import compared, write_page

    found = compared(runs)
    if out is not None:
        write_page(found, out)
    if as_json:
        print(json.dumps(found.as_json()))
    else:
        show_comparison(found)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="A run folder; left out with --cfg.")],
    sources: Annotated[list[str] | None, typer.Argument(help="Files, folders, patterns such as 'photos/*.jpg', films, "
                                                             "or camera:0.")] = None,
    top: Annotated[int, typer.Option(help="How many classes or objects to print.", min=1)] = 3,
    out: Annotated[Path | None, typer.Option(help="A folder for the pictures and films with what was found, "
                                                  "predictions.json, predictions.csv and frames.jsonl.")] = None,
    every: Annotated[int, typer.Option(help="Films: look at each so many-th frame only.", min=1)] = 1,
    threshold: Annotated[float | None, typer.Option(help="Objects: the least score that is shown, by itself "
                                                         "0.25.")] = None,
    iou: Annotated[float | None, typer.Option(help="Objects: of two that overlap more the surer one is shown.")] = None,
    classes: Annotated[str | None, typer.Option(help="Objects: the classes to show, with commas between.")] = None,
    tiles: Annotated[float | None, typer.Option(metavar="SCALE", help="Objects and masks of large pictures by tiles "
                                                "that overlap: 1 at their own pixels, 0.5 made half as large.")] = None,
    cfg: Annotated[Path | None, typer.Option(help="A Darknet cfg in the place of RUN; with --weights.")] = None,
    weights: Annotated[Path | None, typer.Option(help="The Darknet weights of --cfg.")] = None,
    names: Annotated[Path | None, typer.Option(help="The class names of --cfg, one a line.")] = None,
    device: Device = None, as_json: Json = False, trust: Trust = False,
) -> None:
    """Say what pictures show, and films: a line a second, with --json one a frame."""
    from lensmith.ship.predict.video import divided
    from lensmith.ship.predict.write_files import write_predictions
    from lensmith.training.trained import darknet, load

    if (cfg is None) != (weights is None):
        raise UserError("--cfg and --weights go together: give both files of the network")
    if cfg is not None and weights is not None:
        trained, sources = darknet(cfg, weights, names), [str(run), *(sources or [])]
    else:
        trained = load(run, device=device, trust=trust)
    if not sources:
        raise UserError("nothing to predict: name files, folders or patterns such as 'photos/*.jpg'")
    pictures, films = divided(sources)
    if every > 1 and not films:
        raise UserError(f"--every={every} is for films and cameras, and none is named")
    if tiles is not None and films:
        raise UserError(f"--tiles={tiles:g} is for pictures, and {films[0]} is a film: leave one of the two out")
    only = None if classes is None else [one.strip() for one in classes.split(",")]
    found = trained.predict(pictures, threshold=threshold, overlap=iou, classes=only, tiles=tiles)
    if out is not None and pictures:
        write_predictions(found, out, top=top, category_ids=trained.category_ids)
    if as_json and pictures:
        print(json.dumps([one.as_json(top) for one in found]))
    elif not as_json:
        for one in found:
            if one.error is None:
                print(f"{one.file}: {one.text(top)}")
    bad = [one for one in found if one.error is not None]
    for frame in trained.watch(films, out=out, every=every, top=top, threshold=threshold, overlap=iou,
                               classes=only) if films else ():
        if frame.said.error is not None:
            bad.append(frame.said)
        elif as_json or frame.begins:
            print(json.dumps(frame.as_json(top)) if as_json else frame.text(top), flush=True)
    for one in bad:
        print(f"lensmith: {one.file} {one.error}", file=sys.stderr)
    if bad:
        raise typer.Exit(3)


@app.command()
def convert(
    sources: Annotated[list[str], typer.Argument(help="CFG WEIGHTS RUN: Darknet's files to a run folder. RUN CFG "
                                                      "WEIGHTS: back. DATA FOLDER: boxes of one format to another. "
                                                      "RUN NEW with --convolutional.")],
    to: Annotated[str | None, typer.Option(help="The format of FOLDER: yolo, coco, voc, csv or labelme.")] = None,
    names: Annotated[Path | None, typer.Option(help="The class names of a CFG, one a line.")] = None,
    images: Annotated[str, typer.Option(help="Pictures of FOLDER: link, copy or none.")] = "link",
    convolutional: Annotated[bool, typer.Option("--convolutional", help="A classifier in its fully convolutional form, "
                                                "for pictures of any size.")] = False,
    as_json: Json = False, trust: Trust = False,
) -> None:
    """Read and write other programs' files, Darknet's networks and data sets with boxes; change a network's form."""
    from lensmith.cli import convert as conversion

    told = conversion.converted(sources, to=to, names=names, images=images, trust=trust, convolutional=convolutional,
                                command=shlex.join(["lensmith", *sys.argv[1:]]))
    print(json.dumps(told) if as_json else "  ".join(f"{name} {value}" for name, value in told.items()))


@app.command()
def inspect(
    network: Annotated[str, typer.Argument(help="A network's name, my_net.py:Net, a run folder, or my_op.py:op.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...",
                                                          help="Settings of the network.")] = None,
    size: Annotated[int | None, typer.Option(help="Edge of the picture, pixels; by itself 224, or the run's.",
                                             min=1)] = None,
    channels: Annotated[int | None, typer.Option(help="Channels of the picture; by itself 3, or the run's.",
                                                 min=1)] = None,
    classes: Annotated[int, typer.Option(help="Outputs of the last layer.", min=1)] = 10,
    as_json: Json = False, trust: Trust = False,
) -> None:
    """A network's layers: output shape, parameters, multiply-adds, memory, receptive field. (Also: summary.)

    Of an operator of torch.library: whether it is whole, on the `examples` that its file gives.
    """
    from lensmith.cli import lists as catalogue

    found = catalogue.inspected(network, overrides or (), size=size, channels=channels, classes=classes, trusted=trust)
    if isinstance(found, catalogue.Operator):
        show, told, problem = show_operator, {**asdict(found), "problem": found.problem}, found.problem
    else:
        show, problem = show_layers, found.totals.problem
        told = {"layers": [asdict(row) for row in found.rows], **asdict(found.totals)}
    print(json.dumps(told)) if as_json else show(found)
    if problem:
        raise ModelError(problem)


@app.command(name="list")
def list_(
    what: Annotated[str, typer.Argument(help="backbones, tasks, data, optimizers, schedules or runs.")] = "backbones",
    runs: Annotated[Path, typer.Option(help="Where run folders lie.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """Show what there is to choose from, or the runs there are."""
    from lensmith.cli import lists as catalogue

    rows = catalogue.entries(what, runs=runs)
    if as_json:
        print(json.dumps(rows))
    elif rows:
        table(list(rows[0]), [[cell(value) for value in row.values()] for row in rows])


@data_app.command(name="list")
def data_list(as_json: Json = False) -> None:
    """The data sets known by name, and where they lie on this machine."""
    list_("data", as_json=as_json)


@data_app.command(name="get")
def data_get(name: Annotated[str, typer.Argument(help="fashion-mnist, mnist, cifar10 or cifar100.")]) -> None:
    """Download a data set into the user's cache; the only command that uses the network."""
    from lensmith.data.formats.download import get

    def tell(file: str, done: int, total: int) -> None:
        if done == total:
            print(f"{file}: {done:,} bytes", file=sys.stderr, flush=True)

    print(get(name, progress=tell))


@data_app.command(name="show")
def data_show(
    source: Annotated[str, typer.Argument(help="A data set's name, a folder, a table or a recipe.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]...")] = None,
    as_json: Json = False,
) -> None:
    """What a data set holds: splits, classes, the form of its pictures, and what cannot be read."""
    from lensmith.recipe import schema as recipes
    from lensmith.recipe.from_source import recipe_for
    from lensmith.recipe.open_data import open_data
    from lensmith.recipe.sections import SECTIONS, resolve

    about_pictures = ("data", "split", "pictures", "loading")
    named = {key: section for key, section in recipe_for(source).items() if key in about_pictures}
    wanted = recipes.override(named, overrides or (), SECTIONS)
    account = open_data(resolve(wanted, trusted=False), tell=teller(False), whole=True).account
    if as_json:
        print(json.dumps({key: value for key, value in account.items() if key != "files"}))
        return
    show_account(account)


for _name, _command in (("validate", val), ("test", val), ("summary", inspect)):
    app.command(name=_name, hidden=True)(_command)


def _is_for_this_process(error: UserError) -> bool:
    """Whether this process says what ended it: of several, each sentence is said by one."""
    if not is_distributed():
        return True
    from lensmith.engine.distributed.rendezvous import should_report

    return should_report(error)


def main() -> None:
    """Run a command; a user's mistake is one line on stderr and its exit code."""
    try:
        code = app(standalone_mode=False, prog_name="lensmith")
    except UserError as error:
        if _is_for_this_process(error):
            print(f"lensmith: {error}", file=sys.stderr)
        if error.at_once:
            sys.stdout.flush()
            os._exit(error.code)
        sys.exit(error.code)
    except typer.Abort:
        sys.exit(130)
    except _REFUSED as error:
        print(f"lensmith: {wrong_argument(error, sys.argv[1:])}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()    # the reader of our output has gone, as `| head` does; nothing is wrong
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)
