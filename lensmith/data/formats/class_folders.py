"""Class folders: `<split>/<class>/*`, `<class>/<split>/*`, or `<class>/*` without a split; or labels in the names."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from lensmith.base.errors import DataError, UserError, count, nearest
from lensmith.base.left_behind import is_folder
from lensmith.base.picture_suffixes import OTHER_SUFFIXES, SUFFIXES, SUFFIXES_IN_WORDS, others_in_words
from lensmith.data.formats.class_layout import Layout, class_layout
from lensmith.data.formats.class_names import alike, fixed_classes
from lensmith.data.formats.files_below import entries_of, files_below, pictures_below
from lensmith.data.formats.format import BESIDE, NOTHING, Evidence, Format
from lensmith.data.formats.given_splits import listed_below
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.masks.words_in_names import masks_among
from lensmith.data.sources.picture_files import Files, name_below, readable
from lensmith.data.sources.sample import Splits
from lensmith.values.labels import Label

GroupsOf = Callable[[list[Path]], np.ndarray]    # the group of each picture
_LISTED = 100    # the account names at most so many ignored files


def class_folders(path: str, *, group: str | None = None, layout: Layout | None = None,
                  classes: list[str] | None = None, label: str | None = None,
                  masks: Literal["learn", "leave"] = "learn") -> Splits:
    """The pictures under a folder, labelled by the class folder that they lie in or below, or by their names.

    What programs leave behind is passed over. Files without a picture's suffix are counted and listed in the account,
    whatever pictures.on_bad says, which is about files that look like pictures and are none. Raises DataError for
    folders that are missing, empty or laid out in another way, UserError for a wrong expression.

    - `path`: the folder, which holds class folders, or train, valid and test with class folders in each.
    - `group`: a regular expression for the names of files. What its first bracket matches is the picture's group (a
      patient, a person, a video), and the pictures of a group stay in one split. By default nothing is grouped.
    - `layout`: what the folders are: `class`, `split/class` or `class/split`; `part/class` of folders that each hold
      all classes, as folds, and `group/class` of such that stay in one split each, as patients. By default their names
      tell.
    - `classes`: the only class folders that are learned. By default all.
    - `label`: a regular expression for the names of files, whose first bracket is the label, as `(.+)_\\d+`. The
      folders are then those of splits, or say nothing.
    - `masks`: whether pictures that are called as the masks of others beside them are learned as well, or left out
      (leave).
    """
    root = Path(path).expanduser()
    expression = None if group is None else _expression(group, "group", "^(patient[0-9]+)_")
    _check_existing(root)
    ignored: list[str] = []
    if label is not None:
        if layout is not None:
            raise UserError("data.label takes the labels from the names of files and data.layout from folders: give "
                            "one of them")
        in_names = _by_name(root, _expression(label, "label", r"(.+)_\d+"), fixed_classes(classes), ignored)
        folders = [folder.path for folder in _split_folders(root).values()]
        return _opened(root, in_names, "label in the name", [], _grouping(root, expression, by_folder=False), ignored,
                       folders)
    settled = class_layout(root, layout=layout, classes=fixed_classes(classes))
    pictures = {split: _by_class(by_class, root, ignored=ignored) for split, by_class in settled.folders.items()}
    left_masks = _without_masks(pictures) if masks == "leave" else []
    for split, missing in pictures.items():
        known = pictures.get("train", pictures.get("all", {}))
        for extra in sorted(set(missing) - set(known)):
            folder = settled.folders[split][extra][0].parent
            train = next(iter(settled.folders["train"].values()))[0].parent
            raise DataError(f"class folder {extra!r} in {folder} is not in {train}, so it could not be learned."
                            f"{_nearest_class(extra, known)} Add it there, rename it or take it out.")
    opened = _opened(root, pictures, "/".join(f"<{word}>" for word in settled.name.split("/")), settled.left_out,
                     _grouping(root, expression, by_folder=settled.name == "group/class"), ignored,
                     [folder for by_class in settled.folders.values() for folders in by_class.values()
                      for folder in folders])
    if left_masks:
        opened.account["masks_left_out"] = {"count": len(left_masks), "pictures": listed_below(root, left_masks)}
    return opened


def _without_masks(pictures: Mapping[str, dict[str, list[Path]]]) -> list[Path]:
    """Take the masks of other pictures out of each class; -> those that were taken out. Raises DataError where nothing
    else is left of one."""
    left = list[Path]()
    for by_class in pictures.values():
        for name, paths in by_class.items():
            masks = set(masks_among([os.fspath(path) for path in paths]))
            by_class[name] = [path for path in paths if os.fspath(path) not in masks]
            left += [path for path in paths if os.fspath(path) in masks]
            if not by_class[name]:
                raise DataError(f"all pictures of class {name!r} are called as masks of others: take the class out, or "
                                "say data.masks=learn")
    return left


def _nearest_class(name: str, known: Collection[str]) -> str:
    """What a class that is not known may be meant as, also where it differs in case, or in how an accent is coded."""
    def plain(text: str) -> str:
        return unicodedata.normalize("NFC", text)

    same = next((other for other in known if plain(other) == plain(name)), None)
    if same is not None:
        return f" {same!r} there looks the same and is coded otherwise (Unicode NFC and NFD): give both one name."
    return nearest(name, known)


def _grouping(root: Path, expression: re.Pattern[str] | None, *, by_folder: bool) -> GroupsOf | None:
    """What groups the pictures: the folder below `root`, the expression, or nothing. Raises UserError for both."""
    if by_folder and expression is not None:
        raise UserError("data.layout=group/class takes the groups from folders and data.group from the names of files: "
                        "give one of them")
    if by_folder:
        return lambda paths: _groups_by_folder(paths, root)
    return None if expression is None else (lambda paths: _groups(paths, expression))


def _groups_by_folder(paths: list[Path], root: Path) -> np.ndarray:
    """The folder below `root` in which each picture lies, str [pictures]."""
    return np.array([path.relative_to(root).parts[0] for path in paths], dtype=str)


def _opened(root: Path, pictures: Mapping[str, Mapping[str, list[Path]]], layout: str, left_out: list[str],
            groups_of: GroupsOf | None, ignored: list[str], folders: Sequence[Path]) -> Splits:
    """The sources of pictures by split and class, with the account of the set; `folders` are those that all pictures
    lie in. Raises DataError."""
    classes = tuple(sorted(pictures.get("train", pictures.get("all", {}))))
    splits = {split: _source(by_class, classes, root=root, groups_of=groups_of)
              for split, by_class in pictures.items()}
    suffixes = Counter(os.path.splitext(file)[1].lower() or "(no suffix)" for file in ignored
                       if not file.lower().endswith(OTHER_SUFFIXES))    # which are counted for every format
    account: dict[str, Any] = {
        "folder": readable(root), "layout": layout if "all" in splits or "split" in layout else f"<split>, {layout}",
        "pictures": {split: len(source) for split, source in splits.items()},
        "ignored": {readable(suffix): number for suffix, number in sorted(suffixes.items())},
        "ignored_files": _first_names(ignored, root), "ignored_folders": list(map(readable, left_out))}
    if same := alike(classes, "one of them"):
        account["notes"] = same
    if beside := _pictures_beside(root, folders):
        account["beside_classes"] = {"count": len(beside), "pictures": listed_below(root, beside)}
    return Splits(dict(splits), account)


def _pictures_beside(root: Path, folders: Sequence[Path]) -> list[Path]:
    """The pictures that lie in `root` and the folders below it in which any of `folders` lies, and in none of these."""
    above = {parent for folder in folders for parent in folder.parents if parent == root or root in parent.parents}
    return sorted(Path(entry.path) for folder in above for entry in entries_of(folder)
                  if entry.name.lower().endswith(SUFFIXES) and not is_folder(entry))


def _split_folders(root: Path) -> dict[str, Listing]:
    """The folders of splits in a set whose labels are in the names; the whole set where train is none of them."""
    listing = Listing(root)
    return dict(listing.splits) if "train" in listing.splits else {"all": listing}


def _by_name(root: Path, label: re.Pattern[str], classes: Sequence[str] | None,
             ignored: list[str]) -> dict[str, dict[str, list[Path]]]:
    """The pictures of each split by the label in their names; raises DataError where a name has none."""
    folders = {split: folder.path for split, folder in _split_folders(root).items()}
    labelled: dict[str, dict[str, list[Path]]] = {}
    unmatched = list[str]()
    for split, folder in folders.items():
        by_label = labelled.setdefault(split, {})
        for picture in sorted(pictures_below(os.fspath(folder), ignored=ignored)):
            match = label.search(os.path.basename(picture))
            if match is None or not match[1]:
                unmatched.append(os.path.basename(picture))
            elif classes is None or match[1] in classes:
                by_label.setdefault(match[1], []).append(Path(picture))
    if unmatched:
        raise DataError(f"data.label={label.pattern!r} does not match {count(len(unmatched), 'file name')}, such as "
                        f"{', '.join(unmatched[:3])}: every picture needs a label")
    if not any(labelled.values()):
        raise DataError(f"{root} holds no picture ({SUFFIXES_IN_WORDS}) to take a label from")
    known = labelled.get("train", labelled.get("all", {}))
    for split, by_label in labelled.items():
        for extra in sorted(set(by_label) - set(known)):
            raise DataError(f"the label {extra!r} of {by_label[extra][0]} is in no name of {folders['train']}, so it "
                            f"could not be learned (split {split}).{nearest(extra, known)}")
    return {split: by_label for split, by_label in labelled.items() if by_label}


def recognise_class_folders(listing: Listing) -> Evidence:
    """Folders, whatever they are called; pictures that lie beside them would be left out."""
    if not listing.folders:
        return Evidence()
    return Evidence(BESIDE, BESIDE if listing.ending(SUFFIXES) else NOTHING, f"the folder {listing.folders[0]}")


def _expression(text: str, setting: str, example: str) -> re.Pattern[str]:
    try:
        expression = re.compile(text)
    except re.error as error:
        raise UserError(f"data.{setting}={text!r} is not a regular expression ({error})") from error
    if expression.groups < 1:
        raise UserError(f"data.{setting}={text!r} has no bracket: put round brackets around the part of a file's name "
                        f"that names its {setting}, as in '{example}'")
    return expression


def _check_existing(root: Path) -> None:
    """Raises DataError where there is no folder."""
    if root.is_dir():
        return
    if root.exists():
        hint = ": read a table with data.name=table" if root.suffix.lower() in (".csv", ".tsv", ".txt") else ""
        raise DataError(f"{root} is a file, not a folder of class folders{hint}")
    siblings = [path.name for path in root.parent.iterdir() if path.is_dir()] if root.parent.is_dir() else []
    near = nearest(root.name, siblings)
    raise DataError(f"folder {root} does not exist.{near or ' Check data.path.'}")


def _by_class(folders: Mapping[str, Sequence[Path]], root: Path, *, ignored: list[str]) -> dict[str, list[Path]]:
    """The pictures of each class, ordered by their path; other files are added to `ignored`. Raises DataError."""
    pictures = {}
    for name, of_class in folders.items():
        folder = of_class[0]
        if readable(name) != name:
            raise DataError(f"class folder {readable(name)!r} in {readable(folder.parent)} has a name that is not "
                            "UTF-8 text, so the class could not be written down: rename it")
        pictures[name] = [Path(picture) for each in of_class
                          for picture in sorted(pictures_below(os.fspath(each), ignored=ignored))]
        if not pictures[name]:
            others = others_in_words(file for each in of_class for file in files_below(os.fspath(each), OTHER_SUFFIXES))
            raise DataError(f"class folder {folder} holds no picture ({SUFFIXES_IN_WORDS}): fill it or remove it "
                            f"from {root}" + (f". It holds {others}" if others else ""))
    return pictures


def _first_names(files: list[str], root: Path) -> list[str]:
    """The names below `root` of the first hundred files, and how many more there are."""
    names = [readable(name_below(root, file)) for file in sorted(files)[:_LISTED]]
    return [*names, f"and {len(files) - _LISTED:,} more"] if len(files) > _LISTED else names


def _source(by_class: Mapping[str, list[Path]], classes: tuple[str, ...], *, root: Path,
            groups_of: GroupsOf | None) -> Files:
    names = sorted(by_class)
    paths = [path for name in names for path in by_class[name]]
    index = np.repeat([classes.index(name) for name in names], [len(by_class[name]) for name in names])
    groups = None if groups_of is None else groups_of(paths)
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
