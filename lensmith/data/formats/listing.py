"""A folder as recognition sees it: names alone, each folder read once, when it is first asked for."""

import os
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from lensmith.base.left_behind import is_folder, leads_to
from lensmith.base.picture_suffixes import SUFFIXES
from lensmith.data.formats.files_below import entries_of
from lensmith.data.formats.given_splits import folders_by_split

MOST_OPENED = 20    # with more files of a kind in a folder none is opened: they are one a picture, or another program's


class Listing:
    """The names in a folder and, by `inner` and `splits`, in the folders below it; a file has none. What programs leave
    behind is passed over.

    A folder that cannot be read raises DataError where its names are first asked for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inner: dict[str, Listing | None] = {}

    @cached_property
    def _entries(self) -> list[os.DirEntry[str]]:
        return [] if self.is_file else entries_of(self.path)

    @cached_property
    def is_file(self) -> bool:
        return self.path.is_file()

    @cached_property
    def names(self) -> list[str]:
        """Of everything in the folder, in order."""
        return sorted(entry.name for entry in self._entries)

    @cached_property
    def files(self) -> list[str]:
        """The names of files, and of links that lead to one."""
        return sorted(entry.name for entry in self._entries if leads_to(entry.is_file))

    @cached_property
    def folders(self) -> list[str]:
        """The names of folders, and of links that lead to one."""
        return sorted(entry.name for entry in self._entries if is_folder(entry))

    @cached_property
    def splits(self) -> dict[str, "Listing"]:
        """The folders in it that are called after a split, by split; raises DataError where two name one."""
        paths = folders_by_split(self.path, self.folders)
        return {split: inner for split, path in paths.items() if (inner := self.inner(path.name)) is not None}

    def with_splits(self) -> list["Listing"]:
        """The folder itself, and those in it that are called after a split."""
        return [self, *self.splits.values()]

    def inner(self, steps: str) -> "Listing | None":
        """The folder at `labels` or `annotations/trimaps` below this one; None where there is none."""
        if steps == ".":
            return self
        first, _, rest = steps.partition("/")
        if first not in self._inner:
            path = self.path / first
            self._inner[first] = Listing(path) if path.is_dir() else None
        inner = self._inner[first]
        return inner.inner(rest) if rest and inner is not None else inner

    def at(self, path: Path) -> "Listing | None":
        """The folder at a path below this one; None where there is none, or it lies elsewhere."""
        return self.inner(path.relative_to(self.path).as_posix()) if path.is_relative_to(self.path) else None

    @cached_property
    def pictures_below(self) -> list[str]:
        """The pictures in the folder and anywhere below it, by their steps from here, in order."""
        below = os.path.join(self.path, "")
        return sorted(os.path.join(folder.path, name).removeprefix(below) for folder in self._below()
                      for name in folder.files if name.lower().endswith(SUFFIXES))

    def ending(self, suffixes: tuple[str, ...]) -> list[str]:
        """The names that end with one of the suffixes, in lower or upper case."""
        return [name for name in self.names if name.lower().endswith(suffixes)]

    def first_of(self, suffixes: tuple[str, ...], is_one: Callable[[Path], bool]) -> Path | None:
        """The first file of these suffixes in the folder of which `is_one` says yes; None where there is none, or are
        more files than are opened."""
        names = self.ending(suffixes)
        files = (self.path / name for name in names) if len(names) <= MOST_OPENED else ()
        return next(filter(is_one, files), None)

    def beside_picture(self, suffix: str) -> str | None:
        """The first file of this suffix that has the name of a picture beside it."""
        names = set(self.ending((suffix,)))
        stems = {os.path.splitext(name)[0] for name in self.ending(SUFFIXES)}
        stem = min((stem for stem in stems if stem + suffix in names), default=None)
        return None if stem is None else stem + suffix

    def holds(self, suffixes: tuple[str, ...], *, deep: int = 1) -> bool:
        """Whether a file of these suffixes lies in the folder, or at most `deep` folders below it."""
        return bool(self.ending(suffixes)) or (deep > 0 and any(
            inner.holds(suffixes, deep=deep - 1) for inner in map(self.inner, self.folders) if inner is not None))

    def holds_below(self, suffixes: tuple[str, ...]) -> bool:
        """Whether a file of these suffixes lies in the folder or anywhere below it."""
        return any(name.lower().endswith(suffixes) and name not in folder.folders
                   for folder in self._below() for name in folder.names)

    def _below(self) -> Iterator["Listing"]:
        """This folder and all below it, each once, so that a loop of links ends."""
        waiting, visited = [self], set[tuple[int, int]]()
        while waiting:
            folder = waiting.pop()
            status = os.stat(folder.path)
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            yield folder
            waiting += [inner for inner in map(folder.inner, folder.folders) if inner is not None]
