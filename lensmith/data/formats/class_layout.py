"""Which folders of a set of class folders are splits and which are classes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lensmith.base.errors import DataError, Question, Reading, count, nearest
from lensmith.base.left_behind import holds_runs_alone
from lensmith.base.picture_suffixes import SUFFIXES
from lensmith.data.formats.archives import archives_in_words
from lensmith.data.formats.given_splits import SPLITS, split_named, splits_beside
from lensmith.data.formats.labels_in_names import suggested_pattern
from lensmith.data.formats.listing import Listing
from lensmith.data.sources.picture_files import readable

Layout = Literal["class", "split/class", "class/split", "part/class", "group/class"]
OF_PARTS = ("part/class", "group/class")    # the layouts in which a class has a folder in each part
ACCEPTED = "accepted are <split>/<class>/<pictures> with the splits train, valid (or val, validation) and test, " \
           "<class>/<split>/<pictures>, and <class>/<pictures>"
_IN_ORDER = ("train", "valid", "test")


@dataclass(frozen=True)
class ClassLayout:
    """The class folders of a set by split, "all" where it has no splits, and the folders that belong to neither."""

    name: Layout
    folders: dict[str, dict[str, tuple[Path, ...]]]    # split -> class -> its folders
    left_out: list[str] = field(default_factory=list)


def class_layout(root: Path, *, layout: Layout | None = None, classes: Sequence[str] | None = None) -> ClassLayout:
    """The layout of a folder, or `layout`, whatever speaks against it. `classes` are the only class folders.

    Raises DataError where it is none, Question where folders can be splits as well as classes.
    """
    listing = Listing(root)
    names = [name for name in listing.folders if not holds_runs_alone(os.fspath(root / name))]
    if not names:
        raise _without_folders(listing)
    settled = _settle(listing, names, layout, classes)
    if classes is None:
        return settled
    known = sorted({name for by_class in settled.folders.values() for name in by_class})
    for name in classes:
        if name not in known:
            raise DataError(f"data.classes names {name!r}, and {root} has no class folder of that name."
                            f"{nearest(name, known)} It has: {', '.join(known[:20])}.")
    chosen = {split: {name: folder for name, folder in by_class.items() if name in classes}
              for split, by_class in settled.folders.items()}
    others = [name for name in known if name not in classes]
    return ClassLayout(settled.name, {split: by_class for split, by_class in chosen.items() if by_class},
                       sorted({*settled.left_out, *others}))


def _settle(listing: Listing, names: list[str], layout: Layout | None, classes: Sequence[str] | None) -> ClassLayout:
    if layout == "class" or (layout is None and classes is not None and set(classes) <= set(names)):
        return ClassLayout("class", {"all": {name: (listing.path / name,) for name in names}})
    if layout in OF_PARTS:
        return _class_by_part(listing, names, layout)
    if layout == "class/split" or (layout is None and _each_is_divided(listing, names)):
        return _class_by_split(listing, names)
    splits = {split: folder for split, folder in listing.splits.items() if folder.path.name in names}
    others = [name for name in names if name not in {folder.path.name for folder in splits.values()}]
    held = {split: held for split, folder in splits.items() if (held := classes_in(folder, splits.get("train")))}
    if "train" in held:
        left_out = [folder.path.name for split, folder in splits.items() if split not in held]
        return ClassLayout("split/class", {split: held[split] for split in _IN_ORDER if split in held},
                           sorted([*others, *left_out]))
    if held and others and all(set(by_class) <= set(others) for by_class in held.values()) and layout is None:
        # test/cat and test/dog beside cat and dog: what is not in test is to learn from.
        beside: dict[str, tuple[Path, ...]] = {name: (listing.path / name,) for name in others}
        return ClassLayout("split/class", {"train": beside, **{split: held[split] for split in _IN_ORDER
                                                               if split in held}})
    if layout is None and _are_classes(splits, others):
        return ClassLayout("class", {"all": {name: (listing.path / name,) for name in names}})
    raise _unclear(listing, splits, others)


def classes_in(folder: Listing, train: Listing | None) -> dict[str, tuple[Path, ...]]:
    """The class folders in the folder of a split; where it holds nothing but one folder with the class folders, as
    seg_train/seg_train, those in it. `train` is the folder of that split."""
    known = set(train.folders) if train is not None and train is not folder and len(train.folders) > 1 else set()
    while len(folder.folders) == 1 and not folder.ending(SUFFIXES) and folder.folders[0] not in known:
        inner = folder.inner(folder.folders[0])
        if inner is None or not inner.folders or inner.ending(SUFFIXES):
            break
        folder = inner
    return {name: (folder.path / name,) for name in folder.folders}


def _are_classes(splits: dict[str, Listing], others: list[str]) -> bool:
    """Whether folders of pictures that are called after splits are classes like those beside them: a train beside a
    bus and a car. A set without train has no split by these names, but where they are the plain ones, or alike but for
    the word, as set_train and set_test."""
    if not splits or (set(splits) == {"train"} and others):
        return True
    names = [folder.path.name for folder in splits.values()]
    return bool(others) and not any(name.lower() in SPLITS for name in names) and not splits_beside(names)


def _class_by_part(listing: Listing, names: list[str], layout: Layout) -> ClassLayout:
    """Parts that each hold the class folders: folds, sources, patients. Raises DataError where none holds any."""
    by_class: dict[str, tuple[Path, ...]] = {}
    left_out = []
    for name in names:
        folder = listing.inner(name)
        inner = [] if folder is None else folder.folders
        left_out += [] if inner else [name]
        for class_name in inner:
            by_class[class_name] = (*by_class.get(class_name, ()), listing.path / name / class_name)
    if not by_class:
        raise DataError(f"data.layout={layout}, and no folder of {readable(listing.path)} holds class folders: "
                        f"{ACCEPTED}")
    return ClassLayout(layout, {"all": by_class}, left_out)


def _each_is_divided(listing: Listing, names: list[str]) -> bool:
    """Whether every folder holds nothing but folders called after splits, train among them: <class>/<split>."""
    return len(names) > 1 and all(
        not folder.ending(SUFFIXES) and "train" in (found := [split_named(inner) for inner in folder.folders])
        and len(found) > 1 and None not in found for name in names if (folder := listing.inner(name)) is not None)


def _class_by_split(listing: Listing, names: list[str]) -> ClassLayout:
    """Each class with folders of splits in it."""
    by_split: dict[str, dict[str, tuple[Path, ...]]] = {}
    left_out = []
    for name in names:
        folder = listing.inner(name)
        assert folder is not None
        used = folder.splits
        for split, inner in used.items():
            by_split.setdefault(split, {})[name] = (inner.path,)
        left_out += [f"{name}/{inner}" for inner in folder.folders
                     if inner not in {split_folder.path.name for split_folder in used.values()}]
    if "train" not in by_split:
        raise DataError(f"{listing.path} has no class folder with a folder called train in it: {ACCEPTED}")
    return ClassLayout("class/split", {split: by_split[split] for split in _IN_ORDER if split in by_split}, left_out)


def _unclear(listing: Listing, splits: dict[str, Listing], others: list[str]) -> DataError:
    """The error of folders that are called after splits and are none that can be learned from."""
    path = readable(listing.path)
    called = ", ".join(repr(folder.path.name) for folder in splits.values())
    pictures = [folder.path.name for folder in splits.values() if folder.ending(SUFFIXES)]
    if others and pictures and (len(others) > 1 or len(splits) > 1):
        shown = ", ".join(others[:5]) + (" ..." if len(others) > 5 else "")
        answers = [Reading("learns these as classes too", ("data.layout=class",))]
        if len(others) > 1:
            listed = "[" + ", ".join(f'"{name}"' for name in others) + "]"
            answers.append(Reading(f"leaves {called} out", (f"data.classes={listed}",)))
        return Question(path, f"{path} holds {called}, called after splits, with pictures and no class folders in "
                        f"{'it' if len(splits) == 1 else 'them'}, beside {shown}", answers)
    if "train" not in splits:
        return DataError(f"{path} holds {called} but no 'train': {ACCEPTED}")
    return _without_folders(splits["train"], source=path)


def _without_folders(folder: Listing, source: str | None = None) -> DataError:
    """The error of a folder without class folders, `source` or one of its splits."""
    pictures, path = folder.ending(SUFFIXES), readable(folder.path)
    inside = f"{count(len(pictures), 'picture')} and no class folder" if pictures else "no class folder"
    pattern = suggested_pattern(pictures)
    if pattern is None:
        return DataError(f"{path} holds {inside}: {ACCEPTED}; pictures with a list of labels are read by "
                         "data.name=table, and labels in the names of files by data.label"
                         f"{archives_in_words(folder.path, folder.files)}")
    return Question(source or path, f"{path} holds {inside}, and the pictures are called as {readable(pictures[0])}",
                    [Reading("takes the labels from the names", ("data.name=folder", f"data.label={pattern}"))])
