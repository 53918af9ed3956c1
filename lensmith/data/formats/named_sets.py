"""Where a data set that has a name is looked for: the given path, LENSMITH_DATA, the user's cache, Debian's folder."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from lensmith.base.cache_folder import cache_folder
from lensmith.base.errors import DataError

DEBIAN = Path("/usr/share/datasets")    # of Debian's packages dataset-*


def find_folder(name: str, path: str | None, *, inner: Sequence[str], holds: Callable[[Path], bool], hint: str) -> Path:
    """The first folder that `holds` the data set `name`; raises DataError with the places searched and `hint`.

    A given `path` is the only root searched, so that nothing else is taken in its place. Each root is searched in its
    folders `inner` first, then in itself.
    """
    roots = search_roots(path)
    for root in roots:
        for folder in [*(root / step for step in inner), root]:
            if holds(folder):
                return folder
    unset = "" if path is not None or os.environ.get("LENSMITH_DATA") else "; LENSMITH_DATA is not set"
    raise DataError(f"data set {name!r} was not found in {', '.join(map(str, roots))} "
                    f"(nor there in {', '.join(inner)}){unset}: {hint}")


def search_roots(path: str | None) -> list[Path]:
    """A given path alone; else LENSMITH_DATA where it is set, the cache, and Debian's folder."""
    if path is not None:
        return [Path(path).expanduser()]
    given = os.environ.get("LENSMITH_DATA")
    return [*([Path(given).expanduser()] if given else []), cache_folder(), DEBIAN]
