"""The verbs that list: what there is to choose from, the runs, and the data sets: which, where, and what they hold."""

import json
from pathlib import Path
from typing import Annotated

import typer

from lensmith.cli.options import Json
from lensmith.cli.terminal import cell, print_table, show, show_account, teller


def list_(
    what: Annotated[str, typer.Argument(help="backbones, tasks, data, worlds, algorithms, optimizers, "
                                                     "schedules or runs.")] = "backbones",
    runs: Annotated[Path, typer.Option(help="Where run folders lie.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """Show what there is to choose from, or the runs there are."""
    from lensmith.cli.catalogue import entries

    rows = entries(what, runs=runs)
    if as_json:
        show(json.dumps(rows))
    elif rows:
        print_table(list(rows[0]), [[cell(value) for value in row.values()] for row in rows])


def data_list(as_json: Json = False) -> None:
    """The data sets known by name, and where they lie on this machine."""
    list_("data", as_json=as_json)


def data_get(name: Annotated[str, typer.Argument(help="fashion-mnist, mnist, cifar10 or cifar100.")]) -> None:
    """Download a data set into the user's cache; the only command that uses the network."""
    from lensmith.data.formats.download import get

    def show_file(file: str, done: int, total: int) -> None:
        if done == total:
            teller(False)(f"{file}: {done:,} bytes")

    show(get(name, progress=show_file))


def data_show(
    source: Annotated[str, typer.Argument(help="A data set's name, a folder, a table or a recipe.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]...")] = None,
    every_file: Annotated[bool, typer.Option("--all", help="Every file that was left out, changed or guessed; by "
                                                           "itself the first ten of each kind.")] = False,
    as_json: Json = False,
) -> None:
    """What a data set holds: splits, classes, the form of its pictures, and what was left out, changed or guessed."""
    from lensmith.recipe import schema as recipes
    from lensmith.recipe.from_source import recipe_for
    from lensmith.recipe.open_data import open_data
    from lensmith.recipe.sections import SECTIONS, resolve

    about_pictures = ("data", "split", "pictures", "loading")
    found = recipe_for(source, name=recipes.data_name_in(overrides or ()))
    sections = {name: section for name, section in found.items() if name in about_pictures}
    recipe = recipes.override(sections, overrides or (), SECTIONS)
    account = open_data(resolve(recipe, trusted=False), tell=teller(False), whole=True).account
    if as_json:
        show(json.dumps({key: value for key, value in account.items() if key != "files"}))
        return
    show_account(account, every_file=every_file)
