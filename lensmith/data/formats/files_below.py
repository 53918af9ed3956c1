"""The files and folders below a folder of a set, without what programs leave behind."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError
from lensmith.base.left_behind import is_folder, is_passed_over
from lensmith.base.picture_suffixes import OTHER_SUFFIXES, SUFFIXES, others_in_words
from lensmith.data.formats.given_splits import listed_below


def entries_of(folder: Path | str) -> list[os.DirEntry[str]]:
    """The entries of a folder, without what programs leave behind; raises DataError."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not is_passed_over(entry)]
    except OSError as error:
        raise DataError(f"folder {folder} cannot be read ({error.strerror}): change its permissions or move it away") \
            from error


def files_below(folder: str, suffixes: tuple[str, ...], *, ignored: list[str] | None = None) -> Iterator[str]:
    """The files below `folder` that end with one of the suffixes, which are in lower case; others are added to
    `ignored`.

    Links are followed, and each folder is visited once, so that a loop of links ends. A link to a file that is not
    there is given as well: whoever reads it finds that out.
    """
    waiting, links, visited = [folder], list[str](), set()
    while waiting or links:
        # Links come last, in order: a folder that can be reached in two ways is always reached in the same one.
        current = waiting.pop() if waiting else links.pop(links.index(min(links)))
        status = os.stat(current)
        if (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        for entry in entries_of(current):
            if is_folder(entry):
                (links if entry.is_symlink() else waiting).append(entry.path)
            elif entry.name.lower().endswith(suffixes):
                yield entry.path
            elif ignored is not None:
                ignored.append(entry.path)


def pictures_below(folder: str, *, ignored: list[str]) -> Iterator[str]:
    """The files below `folder` that have a picture's suffix; other files are added to `ignored`."""
    return files_below(folder, SUFFIXES, ignored=ignored)


def other_formats(path: Path | str) -> dict[str, Any]:
    """The pictures below a folder in formats that are not read, as data.json counts them: their number, what they are
    and what to do in words, and the first names; {} where there are none, and for a file."""
    folder = os.fspath(path)
    files = sorted(files_below(folder, OTHER_SUFFIXES)) if os.path.isdir(folder) else []
    if not files:
        return {}
    names = listed_below(Path(folder), list(map(Path, files)))
    return {"count": len(files), "words": others_in_words(files), "files": names}
