"""Class folders: `<split>/<class>/*`, or `<class>/*` without a split."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from lensmith.base.errors import DataError, UserError, count, nearest
from lensmith.base.pictures import SUFFIXES
from lensmith.data.formats.format import BESIDE, NOTHING, Evidence, Format
from lensmith.data.formats.given_splits import SPLITS
from lensmith.data.formats.listing import Listing
from lensmith.data.sources.picture_files import Files, name_below, readable
from lensmith.data.sources.sample import Parts
from lensmith.values.labels import Label

_LISTED = 100    # ignored files that the account names
_LAYOUTS = "accepted are <split>/<class>/<pictures> with the splits train, valid (or val, validation) and test, and " \
           "<class>/<pictures>"


def class_folders(path: str, *, group: str | None = None) -> Parts:
    """The pictures under `path`, labelled by their class folder; a class's own subfolders count to it.

    Hidden files are passed over. Files without a picture's suffix are counted and listed in the account, whatever
    pictures.on_bad says: what is refused there are files that look like pictures and are none. `group` is a regular
    expression for the file names: what its first bracket matches is the picture's group (a patient, a person, a
    video), which a split by group keeps whole. Raises DataError for folders that are missing, empty or laid out in
    another way, UserError for a wrong expression.
    """
    root = Path(path).expanduser()
    expression = _expression(group)
    folders = _subfolders(_existing(root))
    named = _by_split(root, folders)
    ignored: list[str] = []
    found = {split: _classes(folder, root, ignored=ignored) for split, folder in named.items()}
    classes = tuple(sorted(found.get("train", found.get("all", {}))))
    for split, listed in found.items():
        for extra in sorted(set(listed) - set(classes)):
            raise DataError(f"class folder {extra!r} in {named[split]} is not in {named['train']}, so it could not be "
                            f"learned.{nearest(extra, classes)} Add it there, rename it or take it out.")
    if len(classes) < 2:
        raise DataError(f"{root} has one class folder only, {classes[0]!r}: to tell classes apart takes at least two")
    splits = {split: _part(listed, classes, root=root, expression=expression) for split, listed in found.items()}
    suffixes = Counter(os.path.splitext(file)[1].lower() or "(no suffix)" for file in ignored)
    account = {"folder": readable(root), "layout": "<class>" if "all" in splits else "<split>/<class>",
               "pictures": {split: len(part) for split, part in splits.items()},
               "ignored": {readable(suffix): number for suffix, number in sorted(suffixes.items())},
               "ignored_files": _listing(ignored, root),
               "ignored_folders": [readable(name) for name in folders if "all" not in named and
                                   name not in {one.name for one in named.values()}]}
    return Parts(dict(splits), account)


def recognise_class_folders(listing: Listing) -> Evidence:
    """Folders, whatever they are called; pictures that lie beside them would be left out."""
    folders = [name for name in listing.folders if not name.startswith(".") and name != "__MACOSX"]
    if not folders:
        return Evidence()
    return Evidence(BESIDE, BESIDE if listing.ending(SUFFIXES) else NOTHING, f"the folder {folders[0]}")


def _expression(group: str | None) -> re.Pattern[str] | None:
    if group is None:
        return None
    try:
        expression = re.compile(group)
    except re.error as error:
        raise UserError(f"data.group={group!r} is not a regular expression ({error})") from error
    if expression.groups < 1:
        raise UserError(f"data.group={group!r} has no bracket: put round brackets around the part of a file's name "
                        "that names its group, as in '^(patient[0-9]+)_'")
    return expression


def _existing(root: Path) -> Path:
    if root.is_dir():
        return root
    if root.exists():
        hint = ": read a table with data.name=table" if root.suffix.lower() in (".csv", ".tsv", ".txt") else ""
        raise DataError(f"{root} is a file, not a folder of class folders{hint}")
    above = root.parent
    siblings = [entry.name for entry in above.iterdir() if entry.is_dir()] if above.is_dir() else []
    near = nearest(root.name, siblings)
    raise DataError(f"folder {root} does not exist.{near or ' Check data.path.'}")


def _scan(folder: Path | str) -> list[os.DirEntry[str]]:
    """What lies in a folder, without hidden things and what macOS adds to an archive."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".") and entry.name != "__MACOSX"]
    except OSError as error:
        raise DataError(f"folder {folder} cannot be read ({error.strerror}): change its permissions or move it away") \
            from error


def _subfolders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in _scan(folder) if _is_folder(entry))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or leads to one; a link that leads to itself does not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _by_split(root: Path, folders: list[str]) -> dict[str, Path]:
    """The folder of each split, or `root` as that of "all" where no folder has the name of one."""
    if not folders:
        pictures = sum(_is_picture(entry.name) for entry in _scan(root))
        inside = f"{count(pictures, 'picture')} and no class folder" if pictures else "no class folder"
        raise DataError(f"{root} holds {inside}: {_LAYOUTS}; pictures with a list of labels are read by "
                        "data.name=table")
    named: dict[str, Path] = {}
    for folder in folders:
        split = SPLITS.get(folder.lower())
        if split in named:
            raise DataError(f"{root} holds both {named[split].name!r} and {folder!r}, which name one split: "
                            "join or rename them")
        if split:
            named[split] = root / folder
    if not named:
        return {"all": root}
    if "train" not in named:
        others = ", ".join(repr(one.name) for one in named.values())
        raise DataError(f"{root} holds {others} but no 'train': {_LAYOUTS}")
    return {split: named[split] for split in ("train", "valid", "test") if split in named}


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _classes(folder: Path, root: Path, *, ignored: list[str]) -> dict[str, list[Path]]:
    """Class name -> its pictures, ordered by their path."""
    names = _subfolders(folder)
    if not names:
        raise DataError(f"{folder} holds no class folder: {_LAYOUTS}")
    found = {}
    for name in names:
        if readable(name) != name:
            raise DataError(f"class folder {readable(name)!r} in {readable(folder)} has a name that is not UTF-8 text, "
                            "so the class could not be written down: rename it")
        found[name] = [Path(picture) for picture in sorted(pictures_below(os.path.join(folder, name), ignored=ignored))]
        if not found[name]:
            raise DataError(f"class folder {folder / name} holds no picture ({', '.join(SUFFIXES)}): fill it or "
                            f"remove it from {root}")
    return found


def pictures_below(folder: str, *, ignored: list[str]) -> Iterator[str]:
    """The files with a picture's suffix below `folder`, links followed, each folder once so that a loop of links ends.

    A link that leads nowhere is given too; reading its header finds that out, and it is then listed as bad.
    """
    waiting, links, seen = [folder], list[str](), set()
    while waiting or links:
        # Links come last and in their order, so that a folder with two ways to it is always taken by the same.
        here = waiting.pop() if waiting else links.pop(links.index(min(links)))
        status = os.stat(here)
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in _scan(here):
            if _is_folder(entry):
                (links if entry.is_symlink() else waiting).append(entry.path)
            elif _is_picture(entry.name):
                yield entry.path
            else:
                ignored.append(entry.path)


def _listing(files: list[str], root: Path) -> list[str]:
    """The names below `root` of the first hundred files, and how many more there are."""
    shown = [readable(name_below(root, file)) for file in sorted(files)[:_LISTED]]
    return [*shown, f"and {len(files) - _LISTED:,} more"] if len(files) > _LISTED else shown


def _part(listed: dict[str, list[Path]], classes: tuple[str, ...], *, root: Path,
          expression: re.Pattern[str] | None) -> Files:
    paths = [path for name in sorted(listed) for path in listed[name]]
    index = np.repeat([classes.index(name) for name in sorted(listed)], [len(listed[name]) for name in sorted(listed)])
    groups = None if expression is None else _groups(paths, expression)
    return Files(paths, {"label": Label(torch.from_numpy(index).long())}, {"label": classes}, root=root, groups=groups)


def _groups(paths: list[Path], expression: re.Pattern[str]) -> np.ndarray:
    matches = [expression.search(path.name) for path in paths]
    groups = [match[1] if match else None for match in matches]
    unmatched = [path.name for path, group in zip(paths, groups, strict=True) if group is None]
    if unmatched:
        raise DataError(f"data.group={expression.pattern!r} does not match {count(len(unmatched), 'file name')}, such "
                        f"as {', '.join(unmatched[:3])}: every picture needs a group")
    return np.array(groups, dtype=str)


CLASS_FOLDERS = Format(class_folders, recognise_class_folders, order=3)
