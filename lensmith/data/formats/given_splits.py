"""The splits that a data set brings itself: how they are called, and what lies in them."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from lensmith.base.errors import DataError, count
from lensmith.data.sources.picture_files import readable

NAMED = 10         # pictures that the account names for each thing it counts


class Pictured(Protocol):
    """A part of a set, as far as its pictures go."""

    paths: list[Path]


Part = TypeVar("Part", bound=Pictured)


def named_parts(parts: Mapping[str, Part]) -> dict[str, Part]:
    """The parts with a picture in their order; one that is not called train is the whole set where it is the only
    one. Raises DataError where there are several and no train."""
    found = {name: parts[name] for name in ("train", "valid", "test", "all") if name in parts and parts[name].paths}
    if len(found) == 1 and "train" not in found:
        return {"all": next(iter(found.values()))}
    if found and "train" not in found:
        raise DataError(f"the set has the parts {', '.join(found)} but no train: there is nothing to learn from")
    return found


def common_root(folder: Path, paths: Sequence[Path]) -> Path:
    """The folder that pictures are named below: `folder`, or the one that holds them all where they lie elsewhere."""
    parents = {os.path.dirname(path) for path in paths}
    inside = os.path.join(os.fspath(folder), "")
    if all(os.path.join(parent, "").startswith(inside) for parent in parents):
        return folder
    try:
        return Path(os.path.commonpath(parents))
    except ValueError:    # two drives, or relative and absolute
        return folder


def split_named(name: str) -> str | None:
    """The split that a folder or file is called after: train, train2017, val_1; None for any other name."""
    match = re.fullmatch(r"(train|valid|validation|val|test)[\d_-]*", name.lower())
    return SPLITS[match[1]] if match else None


def split_folders(root: Path) -> dict[str, Path]:
    """The folders in `root` that are called after a split, by split; raises DataError where two name one."""
    named = [name for name in os.listdir(root) if split_named(name)]
    return folders_by_split(root, [name for name in named if os.path.isdir(root / name)])


def folders_by_split(root: Path, folders: Sequence[str]) -> dict[str, Path]:
    """Of the folders in `root` those that are called after a split, by split; raises DataError where two name one."""
    found: dict[str, Path] = {}
    for folder in [root / name for name in sorted(folders)]:
        split = split_named(folder.name)
        if split is None:
            continue
        if split in found:
            raise DataError(f"{root} holds both {found[split].name!r} and {folder.name!r}, which name one split: join "
                            "or rename them, or list the folders in a data.yaml")
        found[split] = folder
    return found


def listed_below(root: Path, named: Sequence[Path]) -> list[str]:
    """The first names of an account's list, below `root`."""
    return [readable(os.path.relpath(one, root)) for one in sorted(named)[:NAMED]]


def refuse_unlabelled(pictures: Sequence[Path], what: str, *, may_be_empty: bool = True) -> None:
    """Raise a DataError that names the first three pictures without annotation, where there are any."""
    if pictures:
        first = ", ".join(readable(one) for one in pictures[:3])
        more = " ..." if len(pictures) > 3 else ""
        empty = "empty (they show no object) or " if may_be_empty else ""
        raise DataError(f"{count(len(pictures), 'picture')} without {what}: {first}{more}. Label them, or say "
                        f"data.unlabelled={empty}leave (they are left out)")


SPLITS = {"train": "train", "val": "valid", "valid": "valid", "validation": "valid", "test": "test"}
