"""Which folders of a set hold its pictures and which its masks, by their names."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lensmith.base.errors import DataError, Question, Reading
from lensmith.base.picture_headers import BadPicture
from lensmith.base.picture_suffixes import SUFFIXES
from lensmith.base.pictures import read_stored
from lensmith.data.formats.given_splits import split_named, splits_beside
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.masks.words_in_names import key_of, kind_of, rest_of, shows_colours
from lensmith.data.sources.picture_files import readable

_IMAGES = ("images", "JPEGImages", "imgs", "img")
# Names of masks alone come first, names of folders that may hold other things last.
_MASKS = ("masks", "mask", "SegmentationClassPNG", "SegmentationClass", "annotations/trimaps", "trimaps", "labels",
          "annotations")
_FOLDER_ENDINGS = ("annot", "_annot", "_labels", "_masks")    # after the name of a split's folder, as in CamVid
LOSSLESS = (".png", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm", ".pbm")
_LOOKED_AT, _LOOKED_INTO = 30, 3    # folders, and masks in one
_FEW_VALUES = 32    # of a mask, at most
_ALIKE = 0.5    # of the files of the smaller folder need a partner of their name

Folders = dict[str, tuple[Path, Path]]    # split -> the folder of pictures and that of masks


@dataclass(frozen=True)
class MaskFolders:
    """The folders of a set of masks by split, "all" where it has none, and those that belong to neither."""

    name: str    # of the layout
    by_split: Folders
    left_out: list[str]


def mask_folders(folder: Listing, kind: str = "masks") -> MaskFolders | None:
    """The folders of pictures and masks, or with `kind` objects of masks with a number an object; None where the names
    tell of none. Raises Question where several folders can be the masks."""
    choices = mask_choices(folder, kind)
    if len(choices) > 1:
        raise _which(folder, choices)
    return choices[0] if choices else None


def mask_choices(folder: Listing, kind: str = "masks") -> list[MaskFolders]:
    """The folders of pictures and masks, or of masks with a number an object, by each of the folders that can be the
    masks."""
    known = _known_folders(folder) if kind == "masks" else []
    if known:
        return [MaskFolders(name, by_split, _left_out(folder, by_split)) for name, by_split in known]
    found = _by_words(folder, kind)
    if not found:
        of_splits = {split: _by_words(split_folder, kind) for split, split_folder in folder.splits.items()}
        most = max(map(len, of_splits.values()), default=0)
        found = [{split: choices[i if i < len(choices) else 0]["all"] for split, choices in of_splits.items()
                  if choices and "all" in choices[0]} for i in range(most)]
    return [MaskFolders("folders", by_split, _left_out(folder, by_split)) for by_split in found if by_split]


def _left_out(folder: Listing, used: Folders) -> list[str]:
    """The folders with pictures in them that hold neither the pictures nor the masks of any split."""
    steps = {path.relative_to(folder.path).parts[0] for pair in used.values() for path in pair}
    return [name for name in folder.folders if name not in steps and (inner := folder.inner(name)) is not None
            and inner.holds_below(SUFFIXES)]


def _known_folders(folder: Listing) -> list[tuple[str, Folders]]:
    """The name and the folders of the layouts of known sets and tools; several where several folders can be the
    masks."""
    images, masks = folder.inner("leftImg8bit"), folder.inner("gtFine")
    if images is not None and masks is not None:
        return [("cityscapes", paired_by_split(images, masks))]
    pairs = _images_and_masks(folder)
    if pairs:
        return [("voc" if pair[1].path.name.startswith("SegmentationClass") else "folders", paired_by_split(*pair))
                for pair in pairs]
    of_splits = {split: found for split, split_folder in folder.splits.items()
                 if (found := _images_and_masks(split_folder))}
    if of_splits:
        # What one split has more, as a second annotator's, is no choice of the set.
        fewest = min(map(len, of_splits.values()))
        return [("folders", {split: (found[i][0].path, found[i][1].path) for split, found in of_splits.items()})
                for i in range(fewest)]
    beside = {split: (split_folder.path, masks.path) for split, split_folder in folder.splits.items()
              for ending in _FOLDER_ENDINGS if (masks := folder.inner(split_folder.path.name + ending)) is not None}
    return [("camvid", beside)] if beside else []


def _images_and_masks(folder: Listing) -> list[tuple[Listing, Listing]]:
    """The folders of pictures and masks in a folder; none where one of the two is missing, and several where other
    folders are called after masks as well and hold as many, but for those that show masks in colours."""
    images = next((inner for name in _IMAGES if (inner := folder.inner(name)) is not None), None)
    if images is None:
        return []
    steps = next((name for name in _MASKS if (inner := folder.inner(name)) is not None
                  and inner.holds_below(LOSSLESS)), None)
    if steps is None:
        return []
    least = _ALIKE * len(images.pictures_below)
    others = [inner for name in folder.folders if name != steps.partition("/")[0] and kind_of(name) == "masks"
              and not shows_colours(name) and (inner := folder.inner(name)) is not None
              and inner.holds_below(LOSSLESS) and len(inner.pictures_below) >= max(least, 1)]
    masks = folder.inner(steps)
    assert masks is not None
    return [(images, each) for each in (masks, *others)]


def paired_by_split(images: Listing, masks: Listing) -> Folders:
    """The folders of pictures and masks by split, "all" where the folder of the pictures has none in it."""
    if not images.splits:
        return {"all": (images.path, masks.path)}
    return {split: (folder.path, masks.splits[split].path if split in masks.splits else masks.path / folder.path.name)
            for split, folder in images.splits.items()}


def named_folders(root: Path, images: str, masks: str) -> Folders:
    """The folders that the settings data.images and data.masks name, from `root`, or where it has none of the names,
    from the folder of each split. Raises DataError."""
    folders = [root / Path(name).expanduser() for name in (images, masks)]
    if not folders[0].is_dir():
        inner = {split: (folder.path / images, folder.path / masks) for split, folder in Listing(root).splits.items()}
        of_splits = {split: pair for split, pair in inner.items() if all(path.is_dir() for path in pair)}
        if of_splits:
            return of_splits
    for setting, path in zip(("images", "masks"), folders, strict=True):
        if not path.is_dir():
            raise DataError(f"data.{setting}={path} is no folder")
    return paired_by_split(*map(Listing, folders))


def _by_words(folder: Listing, kind: str) -> list[Folders]:
    """The folders by the words in their names, where they hold files of the same names as well; several where several
    can be the masks."""
    inner = {name: listing for name in _folders_in(folder) if (listing := folder.inner(name)) is not None}
    called = [name for name in inner if kind_of(name) == kind]
    masks = [name for name in called if not shows_colours(name)] or called
    pictures = [name for name in inner if kind_of(name) in ("pictures", None) and "/" not in name]
    if not masks or not pictures:
        return []
    partners: dict[str, list[tuple[str, str]]] = {}    # split -> folders of pictures and masks
    beside = splits_beside(masks)
    for mask in masks:
        alike = [name for name in pictures if not mask.startswith(f"{name}/")
                 and _share_names(inner[name], inner[mask])]
        named = [name for name in alike if rest_of(name) == rest_of(mask)] or \
            [name for name in alike if kind_of(name) == "pictures"]
        # Classes may be called mask and face, with pictures of the same names in both.
        if named or (len(alike) == 1 and look_like_masks(inner[mask])):
            split = beside.get(mask) or split_named(rest_of(mask)) or "all"
            partners.setdefault(split, []).append(((named or alike)[0], mask))
    if set(partners) == {"all"}:
        return [paired_by_split(inner[name], inner[mask]) for name, mask in partners["all"]]
    divided = {split: pairs for split, pairs in partners.items() if split != "all"}
    return [{split: (folder.path / pairs[i][0], folder.path / pairs[i][1]) for split, pairs in divided.items()
             if i < len(pairs)} for i in range(max(map(len, divided.values()), default=0))]


def _folders_in(folder: Listing) -> list[str]:
    """The folders in a folder, and those in folders that hold no pictures themselves, as v1.2/labels."""
    found = list(folder.folders)
    for name in folder.folders[:_LOOKED_AT]:
        inner = folder.inner(name)
        if inner is not None and kind_of(name) is None and split_named(name) is None and not inner.ending(SUFFIXES):
            found += [f"{name}/{below}" for below in inner.folders]
    return found


def look_like_masks(folder: Listing) -> bool:
    """Whether the first files in a folder are masks by their few values."""
    names = folder.pictures_below[:_LOOKED_INTO]
    return bool(names) and all(name.lower().endswith(LOSSLESS) and _has_few_values(folder.path / name)
                               for name in names)


def _has_few_values(file: Path) -> bool:
    try:
        pixels = np.asarray(read_stored(file))
    except (BadPicture, OSError):
        return False
    return len(np.unique(pixels.reshape(-1, pixels.shape[2]) if pixels.ndim == 3 else pixels, axis=0 if pixels.ndim == 3
                         else None)) <= _FEW_VALUES


def _share_names(pictures: Listing, masks: Listing) -> bool:
    """Whether the pictures in two folders have names in common, but for words that say picture or mask."""
    first, second = (_keys(folder) for folder in (pictures, masks))
    return bool(first) and bool(second) and len(first & second) >= _ALIKE * min(len(first), len(second))


def _keys(folder: Listing) -> set[str]:
    stems = [os.path.splitext(name)[0] for name in folder.pictures_below]
    return {key_of(stem) or stem for stem in stems}


def _which(folder: Listing, choices: Sequence[MaskFolders]) -> Question:
    """The question which of the folders are the masks; where each split has them, they are named as in one split."""
    path, answers = readable(folder.path), []
    for choice in choices:
        split, (images, masks) = next(iter(choice.by_split.items()))
        root = folder.splits[split].path if split in folder.splits and images.is_relative_to(
            folder.splits[split].path) and images != folder.splits[split].path else folder.path
        names = [readable(each.relative_to(root).as_posix()) for each in (images, masks)]
        answers.append((names[1], Reading(f"takes {names[1]}", ("data.name=masks", f"data.images={names[0]}",
                                                                f"data.masks={names[1]}"))))
    masks_in_words = ", ".join(name for name, _ in answers)
    return Question(path, f"{path} holds several folders that can be the masks, {masks_in_words}",
                    [reading for _, reading in answers])
