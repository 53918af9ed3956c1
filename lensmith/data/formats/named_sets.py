"""Where a data set with a name is looked for: data.path, else LENSMITH_DATA, the user's cache and Debian's folder."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from lensmith.base.cache_folder import cache_folder
from lensmith.base.errors import DataError

DEBIAN = Path("/usr/share/datasets")    # where Debian's packages dataset-* put their files


def find_folder(name: str, path: str | None, *, inner: Sequence[str], holds: Callable[[Path], bool], hint: str) -> Path:
    """The first folder that `holds` the data set `name`; raises DataError with the folders searched and `hint`.

    Where a `path` is given, nothing else is searched, so that no other set is taken in its place. In each root the
    folders `inner` come first, then the root itself.
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
    """The folders to search: a given path alone, else LENSMITH_DATA where it is set, the cache, and Debian's folder."""
    if path is not None:
        return [Path(path).expanduser()]
    variable = os.environ.get("LENSMITH_DATA")
    return [*([Path(variable).expanduser()] if variable else []), cache_folder(), DEBIAN]
