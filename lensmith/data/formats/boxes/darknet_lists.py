"""Darknet's description of a set: a .data file, a list of class names, and text files that list pictures."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from lensmith.base.errors import DataError
from lensmith.base.picture_suffixes import SUFFIXES, SUFFIXES_IN_WORDS
from lensmith.data.formats.given_splits import split_named
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.located import Finder
from lensmith.data.formats.reading import read_text
from lensmith.data.sources.picture_files import readable

_KEYS = {"train": "train", "valid": "valid", "val": "valid", "test": "test"}
_LOOKED_AT = 2_000    # characters of a list, which tell whether it names pictures


def data_file(folder: Listing) -> Path | None:
    """The .data file in a folder; raises DataError where there are several."""
    files = [folder.path / name for name in folder.ending((".data",)) if _settings(folder.path / name).keys() & _KEYS]
    if len(files) > 1:
        raise DataError(f"{folder.path} holds several descriptions of a set, {', '.join(file.name for file in files)}: "
                        "give the one that is meant in place of the folder")
    return files[0] if files else None


def _settings(file: Path) -> dict[str, str]:
    """The `key = value` lines of a .data file; empty for a file of another kind."""
    try:
        text = read_text(file)
    except DataError:
        return {}
    lines = [line.partition("#")[0] for line in text.splitlines()]
    return {key.strip().lower(): value.strip() for key, sign, value in (line.partition("=") for line in lines) if sign}


def lists_of_data_file(file: Path) -> tuple[dict[str, Path], tuple[str, ...] | None, list[str]]:
    """The lists of pictures by split, the class names, None where there is no file of them, and the entries of splits
    but train that are not there; raises DataError where there is no list to train on.

    The paths in the file are those from which Darknet was started; what is not there is looked for by its last steps.
    """
    settings = _settings(file)
    finder = Finder([file.parent, file.parent.parent])
    lists, missing = {}, []
    for key, split in _KEYS.items():
        entry = settings.get(key)
        if not entry:
            continue
        path = finder.find(entry)
        if path is not None:
            lists[split] = path
        elif split == "train":
            raise DataError(f"{readable(file)}: {key} = {entry} was not found below {readable(file.parent)}")
        else:
            missing.append(f"{key} = {entry}")
    if "train" not in lists:
        raise DataError(f"{readable(file)} names no train: a text file that lists pictures is expected")
    named = finder.find(settings["names"]) if settings.get("names") else None
    return lists, None if named is None else names_in(named), missing


def names_in(file: Path) -> tuple[str, ...]:
    """The class names in a file, one a line."""
    return tuple(line for text in read_text(file).splitlines() if (line := text.strip()))


def lists_in(folder: Listing) -> dict[str, Path]:
    """The text files in a folder that are called after splits and list pictures, as train.txt and valid.txt; empty
    where none is of train."""
    lists = {split: folder.path / name for name in folder.ending((".txt",))
             if (split := split_named(name[: -len(".txt")])) is not None and _lists_pictures(folder.path / name)}
    return lists if "train" in lists else {}


def _lists_pictures(file: Path) -> bool:
    """Whether the first line of a file names a picture."""
    try:
        with open(file, encoding="utf-8-sig", errors="replace") as opened:
            first = opened.read(_LOOKED_AT).strip().partition("\n")[0].strip()
    except OSError:
        return False
    return first.lower().endswith(SUFFIXES)


def pictures_listed(file: Path, bases: Sequence[Path], exists: Callable[[Path], bool]) -> list[Path]:
    """The pictures that a file lists, from its own folder, else from one of `bases`; raises DataError for a line that
    names none. A picture that is nowhere stays as it is named, and is found to be bad when it is read."""
    finder = Finder([file.parent, *bases], exists=exists)
    pictures = []
    for i, text in enumerate(read_text(file).splitlines(), 1):
        line = text.strip()
        if not line:
            continue
        if not line.lower().endswith(SUFFIXES):
            raise DataError(f"{readable(file)}, line {i}: {line[:80]!r} is no picture: each line is expected to name "
                            f"one ({SUFFIXES_IN_WORDS})")
        pictures.append(finder.find(line) or Path(os.path.normpath(file.parent / line)))
    return pictures
