"""What is written and drawn of one kind of answer, as the table of all kinds holds it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from lensmith.base.atomic_files import write_text

ELSEWHERE = "choose another folder with predict.out"    # the advice where a file cannot be written


@dataclass(frozen=True)
class PictureAnswer:
    """One value and the picture that it is the answer to."""

    file: str
    stem: str                       # of the files that are written beside the tables; no other picture has it
    size: tuple[int, int] | None    # height, width of the file, upright
    value: Any
    image_id: int | str | None = None    # in the COCO file that the network learned from, where it lists the picture


@dataclass(frozen=True)
class Answer:
    """A kind of answer. Values are single ones in the pixels of their file, `names` those of their classes."""

    in_words: Callable[[Any, Sequence[str], int], str]             # (value, names, k): one line, of the k first
    as_json: Callable[[Any, Sequence[str], int], dict[str, Any]]   # (value, names, top): plain data
    # (value, names, top, target): the columns of a table with a line a picture; `target` is "" where it is the only one
    as_columns: Callable[[Any, Sequence[str], int, str], dict[str, Any]]
    # (file, value, names): the lines of a table of its own; None where a picture has one line alone
    as_rows: Callable[[str, Any, Sequence[str]], list[dict[str, Any]]] | None = None
    # (picture, value, names): the picture with the value drawn on it; None where it is told below the picture instead
    draw: Callable[[Image.Image, Any, Sequence[str]], Image.Image] | None = None
    covers: bool = False    # whether what is drawn covers the whole picture, so that other values are drawn over it
    # (answers, folder, ending, category_ids): files beside the tables, whose names have this ending
    write_beside: Callable[[Sequence[PictureAnswer], Path, str, Sequence[int] | None], None] | None = None


def prefix_of(target: str) -> str:
    """What stands before the names of a target's columns: `species_`, nothing for the only target."""
    return f"{target}_" if target else ""


def write_lines(path: Path, text: str) -> None:
    """Write a text file, whole or not at all; OSError where the folder cannot be written."""
    # A file name that is no UTF-8 came in as lone surrogates, which no file can hold.
    write_text(path, text.encode("utf-8", "replace").decode("utf-8"), advice=ELSEWHERE)
