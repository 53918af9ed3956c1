"""Several labels in one cell: what stands between them, given or guessed, and the labels themselves."""

import re
from collections import Counter
from collections.abc import Sequence

from lensmith.base.errors import UserError

SIGNS = ";|"    # between the tags of a cell wherever a column is called after several
_LIST = re.compile(r"[\[({](.*)[\])}]", re.DOTALL)    # a list as Python, NumPy or JSON writes it
_RECURS = {";": 0.5, "|": 0.5, ",": 0.8}    # how many of the pieces have to come in other cells too
_WORDS_RECUR = 0.6    # as many of the words, in a column called after several


def check_delimiter(delimiter: str | None) -> None:
    """Raise UserError where the setting data.delimiter is an empty text."""
    if delimiter == "":
        raise UserError("data.delimiter='' separates nothing: give the text between two labels of a cell, as ';' ',' "
                        "or ' '")


def labels_of(cell: str, delimiter: str) -> list[str]:
    """The labels in a cell, each once; a cell may be a list as Python writes it. `delimiter` is a text, or SIGNS, each
    of whose characters separates."""
    listed = _LIST.fullmatch(cell.strip())
    if listed is not None:
        pieces = re.split(r"[,;|]" if "," in listed[1] or delimiter == SIGNS else r"\s+", listed[1])
        pieces = [piece.strip().strip("'\"") for piece in pieces]
    else:
        pieces = re.split(r"[;|]", cell) if delimiter == SIGNS else cell.split(None if delimiter == " " else delimiter)
    return list(dict.fromkeys(piece.strip() for piece in pieces if piece.strip(SIGNS).strip()))


def guess_delimiter(cells: Sequence[str], *, called_several: bool) -> str | None:
    """What separates the labels in the cells of a column; None where each holds one.

    In a column that is `called_several`, as tags or labels, any ; | or comma separates, and a blank where most of the
    words come in several different cells: `cat dog` beside `dog owl`, but not `golden retriever` beside `great dane`.
    In another column the pieces between ; | or commas have to come in several different cells.
    """
    different = sorted({cell for cell in cells if cell.strip(SIGNS)})
    if different and all(_LIST.fullmatch(cell) for cell in different):
        return SIGNS
    if called_several and any(sign in cell for sign in SIGNS for cell in different):
        return SIGNS
    for sign, share in _RECURS.items():
        divided = any(len(labels_of(cell, sign)) > 1 for cell in different)
        if divided and ((called_several and sign == ",") or _recurring(different, sign) >= share):
            return SIGNS if sign in SIGNS else sign
    return " " if called_several and _recurring(different, " ") >= _WORDS_RECUR else None


def _recurring(different: Sequence[str], sign: str) -> float:
    """How many of the pieces of cells with several come in more than one of the `different` cells, as a fraction."""
    divided = [labels_of(cell, sign) for cell in different]
    often = Counter(piece for pieces in divided for piece in pieces)
    several = {piece for pieces in divided if len(pieces) > 1 for piece in pieces}
    return sum(often[piece] > 1 for piece in several) / len(several) if several else 0.0


def delimiter_in_words(delimiter: str) -> str:
    """`; or |`, `a comma`, `a blank`"""
    return {SIGNS: "; or |", ",": "a comma", " ": "a blank"}.get(delimiter, repr(delimiter))
