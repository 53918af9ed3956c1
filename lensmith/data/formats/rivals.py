"""Other readings of what would be taken for class folders, or for masks of classes: where something speaks for one of
them as well, the user is asked."""

import csv
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lensmith.base.errors import DataError, Question, Reading
from lensmith.base.left_behind import holds_runs_alone
from lensmith.base.picture_headers import BadPicture
from lensmith.base.picture_suffixes import SUFFIXES
from lensmith.base.pictures import read_stored
from lensmith.data.formats.class_layout import class_layout, classes_in
from lensmith.data.formats.given_splits import split_named
from lensmith.data.formats.inside_classes import ask_inside, kinds_inside, masks_inside
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.masks.mask_folders import mask_folders
from lensmith.data.formats.masks.names_of_ids import FILES_OF_NAMES
from lensmith.data.formats.masks.words_in_names import key_of, kind_of
from lensmith.data.sources.mask_files import ids_of
from lensmith.data.sources.picture_files import readable

_LOOKED_AT = 30       # folders that are searched for sets, and rows of a table
_SHOWN = 4            # answers of one kind
_SAMPLE = 12          # masks that are read
_ALIKE = 0.9          # of the pictures of two folders have the names of the other's
_LEAST = 3            # pictures, since two folders may have one name in common by chance
_MASK_VALUES = 16     # different values of a mask, at most
_PICTURE_VALUES = 32  # different values of a picture, at least
_OBJECTS = 3          # different numbers of objects in the sample, from which on ids are numbers of objects


def ask_about_classes(listing: Listing, is_set: Callable[[Listing], bool]) -> None:
    """Raise a Question where something speaks against class folders: sets below, a table of the pictures, masks of
    pictures of the same names, or splits within some classes. `is_set` says whether a folder is of another format."""
    folders = [name for name in listing.folders if not holds_runs_alone(os.fspath(listing.path / name))]
    train = listing.splits.get("train")
    if train is not None and _holds_classes(train, train):
        folders = [folders[0].name for folders in classes_in(train, train).values()]
        question = ask_inside(train, folders, splits=True) if set(folders) == set(train.folders) else None
        if question is not None:
            raise _question_about(listing, question)
        return
    for ask in (_masks_in_several, _sets_below, _tables, _pictures_and_masks, _splits_in_classes, _inside):
        question = ask(listing, folders, is_set)
        if question is not None:
            raise question


def _masks_in_several(listing: Listing, folders: list[str], is_set: Callable[[Listing], bool]) -> Question | None:
    """Classes with images and masks in each, which are no sets of their own."""
    inner = _inner(listing, folders[:_LOOKED_AT])
    several = [folder for folder in inner if kinds_inside(folder) == {"pictures", "masks"}]
    return masks_inside(readable(listing.path), several) if len(several) > 1 and not listing.splits else None


def _inside(listing: Listing, folders: list[str], is_set: Callable[[Listing], bool]) -> Question | None:
    return None if listing.splits else ask_inside(listing, folders, splits=False)


def _question_about(listing: Listing, question: Question) -> Question:
    """The question about a folder of a split, asked of the set."""
    return Question(readable(listing.path), question.why, question.answers)


def ask_about_masks(listing: Listing) -> None:
    """Raise a Question where the ids of masks can be numbers of objects: from 1 up in every mask, of many a count."""
    layout = None if listing.is_file else mask_folders(listing)
    if layout is None or layout.name != "folders" or any(name in FILES_OF_NAMES for name in listing.files):
        return
    _, masks = next(iter(layout.by_split.values()))
    folder = listing.at(masks)
    names = [] if folder is None else folder.pictures_below
    counts = []
    for name in names[:: max(1, len(names) // _SAMPLE)][:_SAMPLE]:
        try:
            ids = set(np.unique(ids_of(masks / name, None)).tolist()) - {0}
        except DataError:
            return
        if not ids or ids != set(range(1, len(ids) + 1)):
            return
        counts.append(len(ids))
    if len(set(counts)) >= _OBJECTS and len(counts) >= 2 * _OBJECTS:
        raise Question(readable(listing.path), f"the ids in {readable(masks)} go from 1 up in every mask, to "
                       f"{min(counts)} in one and to {max(counts)} in another, as numbers of objects do", [
                           Reading("learns objects", ("data.name=object-masks",)),
                           Reading("learns each id as a class", ("data.name=masks",))])


def _inner(folder: Listing, names: list[str]) -> list[Listing]:
    return [inner for name in names if (inner := folder.inner(name)) is not None]


def _holds_classes(folder: Listing, train: Listing) -> bool:
    """Whether the folder of a split holds class folders, `train` being that of train."""
    return any(inner is not None and _holds_pictures(inner) for folders in classes_in(folder, train).values()
               for inner in [folder.at(folders[0])])


def _holds_pictures(folder: Listing) -> bool:
    return bool(folder.ending(SUFFIXES))


def _is_of_classes(folder: Listing) -> bool:
    """Whether a folder is one of class folders, or of splits with these."""
    train = folder.splits.get("train")
    if train is not None and _holds_classes(train, train):
        return True
    return not _holds_pictures(folder) and sum(map(_holds_pictures, _inner(folder, folder.folders[:_LOOKED_AT]))) > 1


def _sets_below(listing: Listing, folders: list[str], is_set: Callable[[Listing], bool]) -> Question | None:
    path = readable(listing.path)
    inner = _inner(listing, folders[:_LOOKED_AT])
    sets = list(_sets_in(inner, is_set, deep=1))
    with_pictures = [folder for folder in inner if folder.holds(SUFFIXES, deep=3)]
    if not sets and len(with_pictures) == 1 and not _holds_pictures(listing):
        # Alone with pictures: a class by itself is nothing to learn.
        sets = [folder for folder in (with_pictures[0], *_inner(with_pictures[0], with_pictures[0].folders))
                if _is_of_classes(folder)][:1]
    if not sets:
        return None
    answers = [Reading(f"learns the set in {readable(os.path.relpath(folder.path, listing.path))}",
                       source=os.fspath(folder.path)) for folder in sets[:_SHOWN]]
    if len(with_pictures) > 1:
        answers.append(Reading("learns each folder as a class", ("data.name=folder",)))
    more = f", {len(sets)} of them" if len(sets) > _SHOWN else ""
    return Question(path, f"{path} holds {'sets' if len(sets) > 1 else 'a set'} of pictures in folders below{more}",
                    answers)


def _sets_in(folders: list[Listing], is_set: Callable[[Listing], bool], *, deep: int) -> Iterator[Listing]:
    """The folders that are sets of their own by the names in them, else those in them."""
    for folder in folders:
        train = folder.splits.get("train")
        divided = train is not None and _holds_classes(train, train)
        if divided or is_set(folder):
            yield folder
        elif deep > 0 and not _holds_pictures(folder):
            yield from _sets_in(_inner(folder, folder.folders[:_LOOKED_AT]), is_set, deep=deep - 1)


def _tables(listing: Listing, folders: list[str], is_set: Callable[[Listing], bool]) -> Question | None:
    """Where no folder is a class by its name, and a table names the pictures in them."""
    if not all(split_named(name) or kind_of(name) == "pictures" for name in folders):
        return None
    tables = [name for name in listing.ending((".csv", ".tsv")) if "submission" not in name.lower()]
    inner = _inner(listing, folders)
    stems = {os.path.splitext(name)[0] for folder in [listing, *inner] for name in folder.ending(SUFFIXES)}
    naming = [name for name in tables if stems and _names_pictures(listing.path / name, stems)]
    naming.sort(key=lambda name: (split_named(os.path.splitext(name)[0]) == "test", name))    # it may lack labels
    if not naming:
        return None
    path = readable(listing.path)
    answers = [Reading("learns from this table", source=os.fspath(listing.path / name)) for name in naming[:_SHOWN]]
    try:
        class_layout(listing.path)
        if len(folders) > 1:
            answers.append(Reading("learns each folder as a class", ("data.name=folder",)))
    except DataError:
        pass
    return Question(path, f"{path} holds pictures and {', '.join(naming[:_SHOWN])}, which names them", answers)


def _names_pictures(file: Path, stems: set[str]) -> bool:
    """Whether most cells of a column of a table name pictures, with or without folder and suffix."""
    try:
        with open(file, newline="", encoding="utf-8-sig", errors="replace") as opened:
            first = opened.readline()
            delimiter = max("\t;,", key=first.count)
            rows = [row for row, _ in zip(csv.reader(opened, delimiter=delimiter), range(_LOOKED_AT), strict=False)]
    except (OSError, csv.Error):
        return False
    columns = zip(*rows, strict=False)
    return any(2 * sum(cell in stems or os.path.splitext(os.path.basename(cell))[0] in stems for cell in column)
               > len(column) for column in columns)


def _pictures_and_masks(listing: Listing, folders: list[str], is_set: Callable[[Listing], bool]) -> Question | None:
    """Two folders with pictures of the same names, of which one holds few values and the other many."""
    inner = _inner(listing, folders)
    if len(inner) != 2 or listing.splits:
        return None
    by_key = [{key_of(os.path.splitext(name)[0]) or name: folder.path / name for name in folder.pictures_below}
              for folder in inner]
    common = sorted(by_key[0].keys() & by_key[1].keys())
    if len(common) < max(_LEAST, _ALIKE * max(map(len, by_key))):
        return None
    looks = [[_look(files[key]) for key in common[:_LEAST]] for files in by_key]
    known = [each for each in looks if None not in each]
    if len(known) < 2 or any(one is not None and other is not None and one[0] != other[0]
                             for one, other in zip(*looks, strict=True)):
        return None
    values = [[look[1] for look in each if look is not None] for each in looks]
    for pictures, masks in ((0, 1), (1, 0)):
        if min(values[pictures]) >= _PICTURE_VALUES and max(values[masks]) <= _MASK_VALUES:
            names = [folder.path.name for folder in inner]
            path = readable(listing.path)
            return Question(path, f"the pictures in {names[0]} and {names[1]} have the same names and sizes, and those "
                            f"in {names[masks]} have few values, as masks have", [
                                Reading("learns masks", ("data.name=masks", f"data.images={names[pictures]}",
                                                         f"data.masks={names[masks]}")),
                                Reading("learns the two folders as classes", ("data.name=folder",))])
    return None


def _look(file: Path) -> tuple[tuple[int, int], int] | None:
    """The size of a picture and how many different values or colours it has; None where it cannot be read."""
    try:
        image = read_stored(file)
    except (BadPicture, OSError):
        return None
    pixels = np.asarray(image.convert("RGB") if image.mode not in ("L", "P", "1", "I;16") else image)
    flat = pixels.reshape(-1, pixels.shape[2]) if pixels.ndim == 3 else pixels.reshape(-1, 1)
    return image.size, len(np.unique(flat, axis=0))


def _splits_in_classes(listing: Listing, folders: list[str], is_set: Callable[[Listing], bool]) -> Question | None:
    """Folders called after splits in the folders of classes, which hold other things too."""
    if listing.splits:
        return None
    divided = [folder.path.name for folder in _inner(listing, folders)
               if "train" in folder.splits and len(folder.splits) > 1]
    if len(divided) < 2 or class_layout(listing.path).name == "class/split":
        return None
    path = readable(listing.path)
    return Question(path, f"{len(divided)} of {len(folders)} folders of {path} hold folders called after splits, and "
                    "other things too", [
                        Reading("takes them for splits and leaves the rest out",
                                ("data.name=folder", "data.layout=class/split")),
                        Reading("learns all below a folder as its class", ("data.name=folder", "data.layout=class"))])
