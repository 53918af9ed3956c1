"""The verb `explain`: what a network looked at for its answers."""

import json
from collections.abc import Sequence
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
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of a method, as "
                                                       "masks=1000 of rise.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Take pixels away by each map, and of objects look whether the "
                                                        "strongest lies in the box.")] = False,
    out: Annotated[Path | None, typer.Option(help="The folder for the page and the pictures; by itself explained/ and "
                                                  "the run's name.")] = None,
    device: Device = None, as_json: Json = False, trust: Trust = False,
) -> None:
    """What a network looked at: maps over pictures of what speaks for its answers, each with how far it can be
    believed."""
    from lensmith.base.output_folder import check_output, folder_name
    from lensmith.study.explain.explained_picture import USUAL, ToExplain, check_asked
    from lensmith.study.explain.methods import METHODS
    from lensmith.study.explain.page import ADVICE, write_explanations
    from lensmith.training.explained import worst_pictures
    from lensmith.training.trained import load

    methods = tuple(METHODS) if method == ["all"] else tuple(dict.fromkeys(method or USUAL))
    given = _settings(settings or [])
    check_asked(ToExplain(methods, given, class_, tuple(layer or ()), check))
    trained = load(run, device=device, trust=trust)
    out = out if out is not None else Path("explained") / folder_name(Path(run).absolute().name, "run")
    check_output(out, advice=ADVICE)
    pictures = sources or worst_pictures(trained.run, Path(str(trained.recipe["data"].get("path", ""))))
    unread: list[str] = []
    found = trained.explain(pictures, method=methods, wanted=class_, layers=layer or (), check=check,
                            tell=unread.append, **given)
    page = write_explanations(trained.folder.name or run, found, out) if found else None
    if as_json:
        show(json.dumps({"page": None if page is None else str(page), "pictures": [
            {"file": one.file, "explanations": [each.as_json() for each in one.explanations]} for one in found]}))
    else:
        _show(found, page)
    for line in unread:
        tell_error(line)
    if unread:
        raise typer.Exit(3)


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


def _settings(given: list[str]) -> dict[str, Any]:
    """KEY=VALUE, each a number above 0. Raises UserError for what is not."""
    settings: dict[str, Any] = {}
    for text in given:
        key, _, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            raise UserError(f"--set {text}: a setting is given as key=number, as --set masks=1000") from None
        if not 0 < number < 1e6:
            raise UserError(f"--set {text}: accepted are numbers above 0 and below 1,000,000")
        settings[key.strip()] = int(number) if number.is_integer() else number
    return settings
