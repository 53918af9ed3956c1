"""Which files are the masks of which picture's objects: a mask an object, or one whose ids are numbers of objects."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lensmith.base.picture_suffixes import SUFFIXES
from lensmith.data.formats.given_splits import split_named
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.masks.mask_folders import mask_folders
from lensmith.data.formats.masks.names_of_ids import ClassList
from lensmith.data.formats.masks.words_in_names import key_of, kind_of

_LOOKED_AT = 20     # folders of pictures are looked at before all of them are taken for such
_COVERED = 0.9      # of the masks belong to a picture in a layout that is recognised


@dataclass
class PicturesWithObjects:
    """The pictures of a split, each with the masks of its objects, and pictures that have none."""

    paths: list[Path] = field(default_factory=list)
    masks: list[list[Path]] = field(default_factory=list)    # one list a path
    without_mask: list[Path] = field(default_factory=list)
    orphans: list[Path] = field(default_factory=list)        # masks of no picture


@dataclass(frozen=True)
class ObjectLayout:
    """The pictures of a set with the masks of their objects, by split, "all" where it has none."""

    splits: dict[str, PicturesWithObjects]
    numbered: bool         # a mask holds all objects of its picture, by their numbers
    sentence: str          # what speaks for it
    left_out: list[str]    # folders of the set with pictures of no split
    in_no_split: int = 0   # pictures with masks that no list of a split names
    listed: ClassList | None = None    # the classes, where the layout fixes them


def object_layout(listing: Listing) -> ObjectLayout | None:
    """The layout of a folder with masks of objects; None where its names tell of none."""
    if listing.is_file:
        return None
    folders = {split: folder for split, folder in listing.splits.items() if _holds_a_folder_a_picture(folder)} \
        or ({"all": listing} if _holds_a_folder_a_picture(listing) else {})
    if folders:
        left_out = [] if "all" in folders else [name for name in listing.folders if name not in
                                                {folder.path.name for folder in folders.values()}]
        return ObjectLayout({split: _folder_a_picture(folder) for split, folder in folders.items()}, False,
                            "a folder of masks for each picture", left_out)
    named = mask_folders(listing, "objects")
    if named is not None:
        return ObjectLayout(pair_numbered(named.by_split, listing), True, _in_words(listing, named.by_split),
                            named.left_out)
    layout = mask_folders(listing)
    if layout is None or layout.name not in ("folders", "camvid"):
        return None
    several = {split: pairs for split, (images, masks) in layout.by_split.items()
               if (pairs := _several_a_picture(_listing(listing, images), _listing(listing, masks))) is not None}
    if len(several) < len(layout.by_split):
        return None
    return ObjectLayout(several, False, f"several masks a picture in {_in_words(listing, layout.by_split)}",
                        layout.left_out)


def _in_words(listing: Listing, by_split: Mapping[str, tuple[Path, Path]]) -> str:
    images, masks = next(iter(by_split.values()))
    return f"{images.relative_to(listing.path)} and {masks.relative_to(listing.path)}"


def _listing(root: Listing, folder: Path) -> Listing:
    """A folder as the listing of the set knows it, so that it is read once."""
    return root.at(folder) or Listing(folder)


def pair_numbered(by_split: Mapping[str, tuple[Path, Path]], root: Listing) -> dict[str, PicturesWithObjects]:
    """Each picture with its one mask, by folders of pictures and masks."""
    splits = {}
    for split, (images, masks) in by_split.items():
        pairs = splits[split] = PicturesWithObjects()
        of_key = {key: path for path, key in _keys(_listing(root, masks)).items()} if masks.is_dir() else {}
        for picture, key in _keys(_listing(root, images)).items():
            mask = of_key.pop(key, None)
            if mask is None:
                pairs.without_mask.append(picture)
            else:
                pairs.paths.append(picture)
                pairs.masks.append([mask])
        pairs.orphans = sorted(of_key.values())
    return splits


def _keys(folder: Listing) -> dict[Path, str]:
    """What the name of each picture below a folder has in common with that of its mask."""
    return {folder.path / name: key_of(stem := os.path.splitext(name)[0]) or stem for name in folder.pictures_below}


def _holds_a_folder_a_picture(folder: Listing) -> bool:
    """Whether most folders in it have a folder of one picture and a folder of masks, as <id>/images, <id>/masks."""
    names = [name for name in folder.folders if split_named(name) is None][:_LOOKED_AT]
    of_pictures = sum((inner := folder.inner(name)) is not None and _is_of_a_picture(inner) for name in names)
    return len(names) > 1 and 2 * of_pictures > len(names)


def _is_of_a_picture(folder: Listing) -> bool:
    images, masks = _inner(folder, "pictures"), _inner(folder, "masks")
    return images is not None and masks is not None and len(images.ending(SUFFIXES)) == 1 \
        and bool(masks.ending(SUFFIXES))


def _inner(folder: Listing, kind: str) -> Listing | None:
    return next((folder.inner(name) for name in folder.folders if kind_of(name) == kind), None)


def _folder_a_picture(folder: Listing) -> PicturesWithObjects:
    pairs = PicturesWithObjects()
    for name in folder.folders:
        inner = folder.inner(name)
        images, masks = (None, None) if inner is None else (_inner(inner, "pictures"), _inner(inner, "masks"))
        pictures = [] if images is None else [images.path / picture for picture in images.ending(SUFFIXES)]
        of_objects = [] if masks is None else [masks.path / mask for mask in masks.ending(SUFFIXES)]
        if len(pictures) == 1 and of_objects:
            pairs.paths += pictures
            pairs.masks.append(of_objects)
        else:
            pairs.without_mask += pictures
            pairs.orphans += of_objects
    return pairs


def _several_a_picture(images: Listing, masks: Listing) -> PicturesWithObjects | None:
    """The masks in a folder called after the picture, masks/a/1.png, or called as the picture with a number behind,
    masks/a_1.png; None where masks have the names of pictures or there is one a picture at most."""
    if not masks.path.is_dir():
        return None
    pictures = {key: path for path, key in _keys(images).items()}
    by_picture: dict[Path, list[Path]] = {}
    orphans = list[Path]()
    for mask, key in _keys(masks).items():
        if key in pictures:
            return None
        stem = os.path.splitext(os.path.relpath(mask, masks.path))[0]
        folder = os.path.dirname(stem)
        numbered = re.fullmatch(r"(.+?)[\s_.-]*\(?\d+\)?", stem)
        owner = pictures.get(key_of(folder) or folder) if folder else None
        if owner is None and numbered is not None:
            owner = pictures.get(key_of(numbered[1]) or numbered[1])
        if owner is None:
            orphans.append(mask)
        else:
            by_picture.setdefault(owner, []).append(mask)
    found = sum(map(len, by_picture.values()))
    if found <= len(by_picture) or found < _COVERED * (found + len(orphans)):
        return None
    return PicturesWithObjects(list(by_picture), list(by_picture.values()),
                               [path for path in pictures.values() if path not in by_picture], orphans)
