"""Class folders: `<split>/<class>/*`, or `<class>/*` without a split."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from lensmith.base.errors import DataError, UserError, count, nearest
from lensmith.base.left_behind import is_folder, is_passed_over
from lensmith.base.pictures import SUFFIXES
from lensmith.data.formats.format import BESIDE, NOTHING, Evidence, Format
from lensmith.data.formats.given_splits import SPLITS
from lensmith.data.formats.listing import Listing
from lensmith.data.sources.picture_files import Files, name_below, readable
from lensmith.data.sources.sample import Splits
from lensmith.values.labels import Label

_LISTED = 100    # the account names at most so many ignored files
_LAYOUTS = "accepted are <split>/<class>/<pictures> with the splits train, valid (or val, validation) and test, and " \
           "<class>/<pictures>"


def class_folders(path: str, *, group: str | None = None) -> Splits:
    """The pictures under a folder, labelled by the class folder that they lie in or below.

    Hidden files are passed over. Files without a picture's suffix are counted and listed in the account, whatever
    pictures.on_bad says, which is about files that look like pictures and are none. Raises DataError for folders that
    are missing, empty or laid out in another way, UserError for a wrong expression.

    - `path`: the folder, which holds class folders, or train, valid and test with class folders in each.
    - `group`: a regular expression for the names of files. What its first bracket matches is the picture's group (a
      patient, a person, a video), and the pictures of a group stay in one split. By default nothing is grouped.
    """
    root = Path(path).expanduser()
    expression = _expression(group)
    folders = _subfolders(_existing(root))
    split_folders = _by_split(root, folders)
    ignored: list[str] = []
    pictures = {split: _by_class(folder, root, ignored=ignored) for split, folder in split_folders.items()}
    classes = tuple(sorted(pictures.get("train", pictures.get("all", {}))))
    for split, by_class in pictures.items():
        for extra in sorted(set(by_class) - set(classes)):
            raise DataError(f"class folder {extra!r} in {split_folders[split]} is not in {split_folders['train']}, so "
                            f"it could not be learned.{nearest(extra, classes)} Add it there, rename it or take it "
                            "out.")
    if len(classes) < 2:
        raise DataError(f"{root} has one class folder only, {classes[0]!r}: to tell classes apart takes at least two")
    splits = {split: _source(by_class, classes, root=root, expression=expression)
              for split, by_class in pictures.items()}
    suffixes = Counter(os.path.splitext(file)[1].lower() or "(no suffix)" for file in ignored)
    used = {folder.name for folder in split_folders.values()}
    account = {"folder": readable(root), "layout": "<class>" if "all" in splits else "<split>/<class>",
               "pictures": {split: len(source) for split, source in splits.items()},
               "ignored": {readable(suffix): number for suffix, number in sorted(suffixes.items())},
               "ignored_files": _first_names(ignored, root),
               "ignored_folders": [] if "all" in splits else [readable(name) for name in folders if name not in used]}
    return Splits(dict(splits), account)


def recognise_class_folders(listing: Listing) -> Evidence:
    """Folders, whatever they are called; pictures that lie beside them would be left out."""
    if not listing.folders:
        return Evidence()
    return Evidence(BESIDE, BESIDE if listing.ending(SUFFIXES) else NOTHING, f"the folder {listing.folders[0]}")


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
    siblings = [path.name for path in root.parent.iterdir() if path.is_dir()] if root.parent.is_dir() else []
    near = nearest(root.name, siblings)
    raise DataError(f"folder {root} does not exist.{near or ' Check data.path.'}")


def _scan(folder: Path | str) -> list[os.DirEntry[str]]:
    """The entries of a folder, without what programs leave behind; raises DataError."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not is_passed_over(entry)]
    except OSError as error:
        raise DataError(f"folder {folder} cannot be read ({error.strerror}): change its permissions or move it away") \
            from error


def _subfolders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in _scan(folder) if is_folder(entry))


def _by_split(root: Path, folders: list[str]) -> dict[str, Path]:
    """The folder of each split; `root` as that of "all" where no folder is called after a split. Raises DataError."""
    if not folders:
        pictures = sum(_is_picture(entry.name) for entry in _scan(root))
        inside = f"{count(pictures, 'picture')} and no class folder" if pictures else "no class folder"
        raise DataError(f"{root} holds {inside}: {_LAYOUTS}; pictures with a list of labels are read by "
                        "data.name=table")
    by_split: dict[str, Path] = {}
    for name in folders:
        split = SPLITS.get(name.lower())
        if split in by_split:
            raise DataError(f"{root} holds both {by_split[split].name!r} and {name!r}, which name one split: "
                            "join or rename them")
        if split:
            by_split[split] = root / name
    if not by_split:
        return {"all": root}
    if "train" not in by_split:
        others = ", ".join(repr(folder.name) for folder in by_split.values())
        raise DataError(f"{root} holds {others} but no 'train': {_LAYOUTS}")
    return {split: by_split[split] for split in ("train", "valid", "test") if split in by_split}


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _by_class(folder: Path, root: Path, *, ignored: list[str]) -> dict[str, list[Path]]:
    """The pictures of each class, ordered by their path; other files are added to `ignored`. Raises DataError."""
    names = _subfolders(folder)
    if not names:
        raise DataError(f"{folder} holds no class folder: {_LAYOUTS}")
    pictures = {}
    for name in names:
        if readable(name) != name:
            raise DataError(f"class folder {readable(name)!r} in {readable(folder)} has a name that is not UTF-8 text, "
                            "so the class could not be written down: rename it")
        below = pictures_below(os.path.join(folder, name), ignored=ignored)
        pictures[name] = [Path(picture) for picture in sorted(below)]
        if not pictures[name]:
            raise DataError(f"class folder {folder / name} holds no picture ({', '.join(SUFFIXES)}): fill it or "
                            f"remove it from {root}")
    return pictures


def pictures_below(folder: str, *, ignored: list[str]) -> Iterator[str]:
    """The files below `folder` that have a picture's suffix; other files are added to `ignored`.

    Links are followed, and each folder is visited once, so that a loop of links ends. A link to a file that is not
    there is given as well: reading its header finds that out, and the picture is then listed as bad.
    """
    waiting, links, visited = [folder], list[str](), set()
    while waiting or links:
        # Links come last, in order: a folder that can be reached in two ways is always reached in the same one.
        current = waiting.pop() if waiting else links.pop(links.index(min(links)))
        status = os.stat(current)
        if (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        for entry in _scan(current):
            if is_folder(entry):
                (links if entry.is_symlink() else waiting).append(entry.path)
            elif _is_picture(entry.name):
                yield entry.path
            else:
                ignored.append(entry.path)


def _first_names(files: list[str], root: Path) -> list[str]:
    """The names below `root` of the first hundred files, and how many more there are."""
    names = [readable(name_below(root, file)) for file in sorted(files)[:_LISTED]]
    return [*names, f"and {len(files) - _LISTED:,} more"] if len(files) > _LISTED else names


def _source(by_class: dict[str, list[Path]], classes: tuple[str, ...], *, root: Path,
            expression: re.Pattern[str] | None) -> Files:
    names = sorted(by_class)
    paths = [path for name in names for path in by_class[name]]
    index = np.repeat([classes.index(name) for name in names], [len(by_class[name]) for name in names])
    groups = None if expression is None else _groups(paths, expression)
    return Files(paths, {"label": Label(torch.from_numpy(index).long())}, {"label": classes}, root=root, groups=groups)


def _groups(paths: list[Path], expression: re.Pattern[str]) -> np.ndarray:
    """The group of each picture, str [pictures]; raises DataError where a file name has none."""
    matches = [expression.search(path.name) for path in paths]
    groups = [match[1] if match else None for match in matches]
    unmatched = [path.name for path, group in zip(paths, groups, strict=True) if group is None]
    if unmatched:
        raise DataError(f"data.group={expression.pattern!r} does not match {count(len(unmatched), 'file name')}, such "
                        f"as {', '.join(unmatched[:3])}: every picture needs a group")
    return np.array(groups, dtype=str)


CLASS_FOLDERS = Format(class_folders, recognise_class_folders, order=3)
