"""Which folders of a set hold its pictures and which its masks, by their names."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lensmith.base.errors import Question, Reading
from lensmith.base.picture_suffixes import SUFFIXES
from lensmith.data.formats.given_splits import split_named
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.masks.words_in_names import key_of, kind_of, rest_of
from lensmith.data.sources.picture_files import readable

_IMAGES = ("images", "JPEGImages", "imgs", "img")
# Names of masks alone come first, names of folders that may hold other things last.
_MASKS = ("masks", "mask", "SegmentationClassPNG", "SegmentationClass", "annotations/trimaps", "trimaps", "labels",
          "annotations")
_FOLDER_ENDINGS = ("annot", "_annot", "_labels", "_masks")    # after the name of a split's folder, as in CamVid
LOSSLESS = (".png", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm", ".pbm")
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
    known = _known_folders(folder) if kind == "masks" else None
    if known is None:
        found = _by_words(folder, kind) or {split: pairs["all"] for split, split_folder in folder.splits.items()
                                            if "all" in (pairs := _by_words(split_folder, kind))}
        known = ("folders", found) if found else None
    return None if known is None else MaskFolders(*known, _left_out(folder, known[1]))


def _left_out(folder: Listing, used: Folders) -> list[str]:
    """The folders with pictures in them that hold neither the pictures nor the masks of any split."""
    steps = {path.relative_to(folder.path).parts[0] for pair in used.values() for path in pair}
    return [name for name in folder.folders if name not in steps and (inner := folder.inner(name)) is not None
            and inner.holds_below(SUFFIXES)]


def _known_folders(folder: Listing) -> tuple[str, Folders] | None:
    """The name and the folders of the layouts of known sets and tools."""
    images, masks = folder.inner("leftImg8bit"), folder.inner("gtFine")
    if images is not None and masks is not None:
        return "cityscapes", paired_by_split(images, masks)
    pair = _images_and_masks(folder)
    if pair is not None:
        name = "voc" if pair[1].path.name.startswith("SegmentationClass") else "folders"
        return name, paired_by_split(*pair)
    pairs = {split: _images_and_masks(split_folder) for split, split_folder in folder.splits.items()}
    inner = {split: (pair[0].path, pair[1].path) for split, pair in pairs.items() if pair is not None}
    if inner:
        return "folders", inner
    beside = {split: (split_folder.path, masks.path) for split, split_folder in folder.splits.items()
              for ending in _FOLDER_ENDINGS if (masks := folder.inner(split_folder.path.name + ending)) is not None}
    return ("camvid", beside) if beside else None


def _images_and_masks(folder: Listing) -> tuple[Listing, Listing] | None:
    """The folders of pictures and masks in a folder; None where one of the two is missing."""
    images = next((inner for name in _IMAGES if (inner := folder.inner(name)) is not None), None)
    if images is None:
        return None
    return next(((images, inner) for name in _MASKS
                 if (inner := folder.inner(name)) is not None and inner.holds_below(LOSSLESS)), None)


def paired_by_split(images: Listing, masks: Listing) -> Folders:
    """The folders of pictures and masks by split, "all" where the folder of the pictures has none in it."""
    if not images.splits:
        return {"all": (images.path, masks.path)}
    return {split: (folder.path, masks.splits[split].path if split in masks.splits else masks.path / folder.path.name)
            for split, folder in images.splits.items()}


def _by_words(folder: Listing, kind: str) -> Folders:
    """The folders by the words in their names, where they hold files of the same names as well."""
    inner = {name: listing for name in folder.folders if (listing := folder.inner(name)) is not None}
    masks = [name for name in inner if kind_of(name) == kind]
    pictures = [name for name in inner if kind_of(name) in ("pictures", None)]
    if not masks or not pictures:
        return {}
    partners: dict[str, list[tuple[str, str]]] = {}    # split -> folders of pictures and masks
    for mask in masks:
        named = [name for name in pictures if rest_of(name) == rest_of(mask)] or \
            [name for name in pictures if kind_of(name) == "pictures"]
        alike = [name for name in named if _share_names(inner[name], inner[mask])]
        for name in alike[:1]:
            partners.setdefault(split_named(rest_of(mask)) or "all", []).append((name, mask))
    for pairs in partners.values():
        if len(pairs) > 1:
            raise _which(folder, pairs)
    if set(partners) == {"all"}:
        name, mask = partners["all"][0]
        return paired_by_split(inner[name], inner[mask])
    return {split: (folder.path / pairs[0][0], folder.path / pairs[0][1]) for split, pairs in partners.items()
            if split != "all"}


def _share_names(pictures: Listing, masks: Listing) -> bool:
    """Whether the pictures in two folders have names in common, but for words that say picture or mask."""
    first, second = (_keys(folder) for folder in (pictures, masks))
    return bool(first) and bool(second) and len(first & second) >= _ALIKE * min(len(first), len(second))


def _keys(folder: Listing) -> set[str]:
    stems = [os.path.splitext(name)[0] for name in folder.pictures_below]
    return {key_of(stem) or stem for stem in stems}


def _which(folder: Listing, pairs: Sequence[tuple[str, str]]) -> Question:
    path = readable(folder.path)
    return Question(path, f"{path} holds several folders that can be the masks, {', '.join(mask for _, mask in pairs)}",
                    [Reading(f"takes {mask}", ("data.name=masks", f"data.images={name}", f"data.masks={mask}"))
                     for name, mask in pairs])
