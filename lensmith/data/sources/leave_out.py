"""The list of pictures that a set is used without: written by `lensmith check`, read by the setting data.leave_out."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lensmith.base.atomic_files import write_text
from lensmith.base.csv_cells import guarded, unguarded
from lensmith.base.errors import DataError, UserError, count
from lensmith.base.read_file import Unreadable, bounded_text
from lensmith.data.sources.sample import Splits

COLUMNS = ("picture", "reason")
_ADVICE = "name another file with --write-list"
_NAMED = 3    # pictures that an error names


def write_leave_out(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    """Write a list of (picture, reason), each picture once, by its path below the set's folder. Raises UserError where
    the file exists: it may have been edited."""
    check_new_list(path)
    reasons: dict[str, str] = {}
    for picture, reason in rows:
        reasons[picture] = f"{reasons[picture]}; {reason}" if picture in reasons else reason
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerows([COLUMNS, *([guarded(cell) for cell in row] for row in reasons.items())])
    write_text(path, text.getvalue(), advice=_ADVICE)


def check_new_list(path: Path) -> None:
    """Raise UserError unless a list can be written there."""
    if os.path.lexists(path):
        raise UserError(f"{path} exists, and is not written over, since it may have been edited: {_ADVICE}, or delete "
                        "it")
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent} for {path.name}: {_ADVICE}")


def read_leave_out(path: Path) -> dict[str, str]:
    """{picture: reason} of a list; raises DataError where the file is none."""
    try:
        lines = list(csv.reader(io.StringIO(bounded_text(path))))
    except Unreadable as error:
        raise DataError(f"data.leave_out={path} cannot be read ({error.reason}): name a list that `lensmith check DATA "
                        "--write-list FILE` has written") from error
    except csv.Error as error:
        raise DataError(f"data.leave_out={path} is no table ({error})") from error
    if not lines or tuple(lines[0][:1]) != COLUMNS[:1]:
        raise DataError(f"data.leave_out={path} is no list of pictures: its first line must be "
                        f"`{','.join(COLUMNS)}`, and each other one a path below the set's folder and a reason")
    return {unguarded(line[0]): unguarded(line[1]) if len(line) > 1 else "" for line in lines[1:] if line}


def without_listed(opened: Splits, path: Path) -> Splits:
    """A set without the pictures that a list names, which its account counts. Raises DataError where the set lacks one
    of them, since it is then the list of another set, and where a split would be empty."""
    listed = read_leave_out(path)
    names = {split: [source.place(row).file for row in range(len(source))] for split, source in opened.splits.items()}
    there = {name for of_split in names.values() for name in of_split}
    others = [name for name in listed if name not in there]
    if others:
        raise DataError(f"data.leave_out={path} names {count(len(others), 'picture')} that the set does not hold "
                        f"({', '.join(others[:_NAMED])}{' ...' if len(others) > _NAMED else ''}): it is a list of "
                        "other pictures; write one of this set with `lensmith check DATA --write-list FILE`")
    splits = dict(opened.splits)
    for split, of_split in names.items():
        kept = [row for row, name in enumerate(of_split) if name not in listed]
        if not kept:
            raise DataError(f"data.leave_out={path} names every picture of the split {split}: nothing is left of it; "
                            "take some lines out of the list")
        if len(kept) < len(of_split):
            splits[split] = splits[split].subset(kept)
    in_words = [f"{name} ({reason})" if reason else name for name, reason in listed.items()]
    counted = {"count": len(listed), "pictures": in_words}
    return replace(opened, splits=splits, account={**opened.account, "listed_to_leave_out": counted})
