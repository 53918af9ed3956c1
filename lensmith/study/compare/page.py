"""The page of a comparison: what is said of the runs, tables, charts, and pictures that one gets right and another
wrong, side by side."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from lensmith.base.atomic_files import write_text
from lensmith.base.errors import UserError
from lensmith.base.html_page import jpeg_data, render_page
from lensmith.base.picture_errors import BadPicture
from lensmith.base.pictures import read_stored
from lensmith.base.viewing import viewable
from lensmith.data.formats import FORMATS
from lensmith.recipe.open_data import open_splits
from lensmith.recipe.schema import Recipe
from lensmith.study.compare.changes import PictureChange
from lensmith.study.compare.comparison import Comparison, TwoRuns

_TEMPLATE = Path(__file__).parent / "templates" / "compare.html.jinja"
_ELSEWHERE = "choose another file with compare.out"
_EDGE = 160    # pixels of a picture's longer edge
_SMALL = 96    # the same, below which pixels are enlarged


def write_page(comparison: Comparison, path: Path) -> None:
    """Write the comparison as a page that opens offline.

    Of what lies at `path` only such a page is replaced, while it is as it was written: its last line is a digest of the
    others. Raises UserError for any other file, and if the page cannot be written.
    """
    text = render_page(_TEMPLATE, {
        "tables": comparison.tables, "notes": comparison.notes, "charts": comparison.charts,
        "verdicts": comparison.verdicts, "pairs": [_side_by_side(comparison, pair) for pair in comparison.two]})
    try:
        _refuse_other_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, f"{text}\n{_signature(text)}", advice=_ELSEWHERE)
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror or error}): {_ELSEWHERE}") from error


def _side_by_side(comparison: Comparison, pair: TwoRuns) -> dict[str, Any]:
    """The pictures of a pair, each with what both said of it and the picture itself where it is still there."""
    changes = [*pair.better, *pair.worse]
    recipe = next((run.recipe for run in comparison.runs if run.run == pair.first), {})
    pictures = {change.file: _of_file(Path(change.file)) for change in changes}
    missing = [file for file, picture in pictures.items() if picture is None]
    pictures |= _of_set(recipe, missing) if missing else {}

    def shown(side: Iterable[PictureChange]) -> list[dict[str, Any]]:
        return [{**vars(change), "name": Path(change.file).name,
                 "data": None if (picture := pictures[change.file]) is None else jpeg_data(picture, most=_EDGE)}
                for change in side]

    return {"pair": pair, "better": shown(pair.better), "worse": shown(pair.worse)}


def _of_file(path: Path) -> Image.Image | None:
    """The picture of a file; None where it is none. A run folder may name anything: only a regular file is opened, and
    only a picture comes out."""
    try:
        return read_stored(path) if path.is_file() else None
    except (BadPicture, UserError, OSError, ValueError):
        return None


def _of_set(recipe: Recipe, names: Sequence[str]) -> Mapping[str, Image.Image | None]:
    """The pictures of a set that lie in no files of their own, by name; None where the set is not there any more."""
    found: dict[str, Image.Image | None] = dict.fromkeys(names)
    if recipe.get("data", {}).get("name") not in FORMATS:    # what is the user's own code is not run
        return found
    try:
        splits = open_splits(recipe).splits.values()
        for source in splits:
            for row in range(len(source)):
                if (name := source.place(row).file) in found and found[name] is None:
                    found[name] = viewable(source[row].image, least=_SMALL, most=_EDGE)
    except (UserError, OSError, AttributeError, TypeError, ValueError, KeyError):
        return found
    return found


def _signature(text: str) -> str:
    return f"<!-- lensmith compare {hashlib.sha256(text.encode()).hexdigest()} -->"


def _refuse_other_file(path: Path) -> None:
    """Raise UserError where `path` is there and is not a page as write_page wrote it."""
    if not os.path.lexists(path) or path.is_dir():    # to write over a folder is an OSError of its own
        return
    if path.is_file() and not path.is_symlink():
        text, _, last = path.read_bytes().decode("utf-8", "replace").rpartition("\n")
        if last == _signature(text):
            return
    raise UserError(f"{path} is there and is no page of lensmith compare, or was changed since: nothing of yours is "
                    f"written over; {_ELSEWHERE}")
