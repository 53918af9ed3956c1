"""The verb `explain`: what a network looked at for its answers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lensmith.base.errors import UserError
from lensmith.cli.options import Device, Json, Trust
from lensmith.cli.terminal import show, tell_error

if TYPE_CHECKING:
    from lensmith.study.explain.explained_picture import ExplainedPicture


def explain(
    run: Annotated[str, typer.Argument(help="A run folder, or imagenet.")],
    sources: Annotated[list[str] | None, typer.Argument(help="Files, folders or patterns; by itself the worst errors "
                                                             "of the run's report.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="How; may be given several times, or all. By itself "
                                                          "grad_cam.")] = None,
    class_: Annotated[str | None, typer.Option("--class", help="The class, tag or quantity to explain; by itself what "
                                                               "the network says.")] = None,
    layer: Annotated[list[str] | None, typer.Option(help="The layer whose maps are shown, by its name in `lensmith "
                                                         "inspect`; may be given several times.")] = None,
    view: Annotated[list[str] | None, typer.Option(help="What is in the network, in the place of maps: "
                                                        "filters, neighbours, ...; several times.")] = None,
    split: Annotated[str | None, typer.Option(help="Which of the run's own pictures a view looks at; by itself "
                                                   "train.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of a method or a "
                                                       "view, as masks=1000 of rise.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Take pixels away by each map, and of objects look whether the "
                                                        "strongest lies in the box.")] = False,
    out: Annotated[Path | None, typer.Option(help="The folder for the page and the pictures; by itself explained/ and "
                                                  "the run's name, and of the worst errors explained/ in the run "
                                                  "folder, from where they are added to its report.")] = None,
    device: Device = None, as_json: Json = False, trust: Trust = False,
) -> None:
    """What a network looked at: maps over pictures of what speaks for its answers, each with how far it can be
    believed; with --view what is in it."""
    if view:
        _view(ViewCommand(run, tuple(dict.fromkeys(view)), sources or [], tuple(layer or ()), class_, split,
                          _numbers(settings or [], zero=True), out, device, as_json, trust), method, check)
        return
    if split is not None:
        raise UserError("--split is of the pictures that views look at: name one with --view")
    from lensmith.recipe.play_sections import plays

    if plays(run):
        _explain_play(run, method, out, trust=trust)
        return
    from lensmith.base.output_folder import check_output, folder_name
    from lensmith.study.explain.explained_picture import USUAL, ToExplain, check_asked
    from lensmith.study.explain.methods import METHODS
    from lensmith.study.explain.page import ADVICE, write_explanations
    from lensmith.study.report.page import report
    from lensmith.training.explained import best_epoch, worst_pictures
    from lensmith.training.trained import load

    methods = tuple(METHODS) if method == ["all"] else tuple(dict.fromkeys(method or USUAL))
    given = _numbers(settings or [])
    check_asked(ToExplain(methods, given, class_, tuple(layer or ()), check))
    trained = load(run, device=device, trust=trust)
    pictures = sources or worst_pictures(trained.run, Path(str(trained.recipe["data"].get("path", ""))))
    into_report = not sources and out is None
    if out is None:
        out = Path("explained") / folder_name(Path(run).absolute().name, "run") if sources else \
            trained.run.explained_folder()
    check_output(out, advice=ADVICE)
    unread: list[str] = []
    found = trained.explain(pictures, method=methods, wanted=class_, layers=layer or (), check=check,
                            tell=unread.append, **given)
    page = write_explanations(trained.folder.name or run, found, out, best_epoch=best_epoch(trained.run)) \
        if found else None
    reported = report(trained.folder) if into_report and page is not None else None
    if as_json:
        show(json.dumps({"page": None if page is None else str(page), "report": None if reported is None else
                         str(reported), "pictures": [
            {"file": one.file, "explanations": [each.as_json() for each in one.explanations]} for one in found]}))
    else:
        _show(found, page)
        if reported is not None:
            show(f"they stand in the report too: {reported}")
    for line in unread:
        tell_error(line)
    if unread:
        raise typer.Exit(3)


def _explain_play(run: str, method: Sequence[str] | None, out: Path | None, *, trust: bool) -> None:
    """Of a run that plays: moments of an episode with maps over them, in `looked-at.png` of the folder `out`."""
    from lensmith.base.output_folder import folder_name
    from lensmith.training.played import load_player
    from lensmith.training.played_explained import explained_moments, write_moments

    found = explained_moments(load_player(run, trusted=trust), method=(method or ["saliency"])[0])
    path = (out or Path("explained") / folder_name(Path(run).absolute().name, "run")) / "looked-at.png"
    if path.exists():
        raise UserError(f"{path} is there already, and nothing of yours is written over: name another folder with "
                        "--out")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_moments(found, path)
    for moment in found:
        show(f"step {moment.step}: {moment.action}")
    show(f"pictures {path}")


def _show(found: "Sequence[ExplainedPicture]", page: Path | None) -> None:
    """Print a line for each explanation, and where the page is."""
    for one in found:
        for each in one.explanations:
            warning = f"  not to be believed: {each.problem}" if each.problem else ""
            show(f"{one.file}: {each.answer.in_words()}  {each.method}{warning}")
        if not one.explanations:
            show(f"{one.file}: nothing was found to explain")
    if page is not None:
        show(f"the page with the maps: {page}")


@dataclass(frozen=True)
class ViewCommand:
    """What the command line says of views."""

    run: str
    views: tuple[str, ...]
    sources: list[str]
    layers: tuple[str, ...]
    wanted: str | None
    split: str | None
    settings: dict[str, Any]
    out: Path | None
    device: str | None
    as_json: bool
    trust: bool


def _view(asked: ViewCommand, method: list[str] | None, check: bool) -> None:
    """Make the views and their page."""
    from lensmith.base.output_folder import check_output, folder_name
    from lensmith.study.explain.page import ADVICE
    from lensmith.study.explain.views import VIEWS, check_views, settings_of_view
    from lensmith.study.explain.views.page import write_views
    from lensmith.training.trained import load

    if method or check:
        raise UserError(f"--view shows what is in the network, and {'--method' if method else '--check'} is of "
                        "explanations: give two commands")
    check_views(asked.views, asked.settings, layers=asked.layers, wanted=asked.wanted, pictures=bool(asked.sources))
    trained = load(asked.run, device=asked.device, trust=asked.trust)
    out = asked.out if asked.out is not None else \
        Path("explained") / folder_name(Path(asked.run).absolute().name, "run")
    check_output(out, advice=ADVICE)
    unread: list[str] = []
    results = {}
    for name in asked.views:
        view = VIEWS[name]
        results[name] = trained.view(
            name, asked.sources if view.needs != "nothing" else (), layers=asked.layers if view.layers else (),
            wanted=asked.wanted if view.of_class else None, split=asked.split or "train", tell=unread.append,
            **{key: value for key, value in asked.settings.items() if key in settings_of_view(name)})
    page = write_views(trained.folder.name or asked.run, results, out, advice=ADVICE)
    if asked.as_json:
        show(json.dumps({"page": str(page), "views": {name: result.as_json() for name, result in results.items()}}))
    else:
        for name, result in results.items():
            for line in result.in_words():
                show(f"{name}: {line}")
        show(f"the page with the pictures: {page}")
    for line in dict.fromkeys(unread):
        tell_error(line)
    if unread:
        raise typer.Exit(3)


def _numbers(given: list[str], *, zero: bool = False) -> dict[str, Any]:
    """KEY=VALUE, each a number above 0, or with `zero` from 0 on. Raises UserError for what is not."""
    settings: dict[str, Any] = {}
    for text in given:
        key, _, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            raise UserError(f"--set {text}: a setting is given as key=number, as --set masks=1000") from None
        if not 0 <= number < 1e6 or (number == 0 and not zero):
            raise UserError(f"--set {text}: accepted are numbers {'from 0 on' if zero else 'above 0'} and below "
                            "1,000,000")
        settings[key.strip()] = int(number) if number.is_integer() else number
    return settings
