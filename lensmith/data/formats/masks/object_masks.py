"""Objects whose pixels lie in masks: one mask an object, or masks in which each object has a number."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lensmith.base.errors import DataError, UserError
from lensmith.base.picture_headers import BadPicture
from lensmith.base.pictures import read_stored
from lensmith.data.formats.boxes.annotations import AnnotatedSplit, Unlabelled, sources_of_boxes
from lensmith.data.formats.class_names import fixed_classes
from lensmith.data.formats.format import LAYOUT, Evidence, Format
from lensmith.data.formats.given_splits import listed_below, refuse_unlabelled
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.masks.mask_folders import mask_folders, paired_by_split
from lensmith.data.formats.masks.object_folders import ObjectLayout, PicturesWithObjects, object_layout, pair_numbered
from lensmith.data.formats.reading import existing
from lensmith.data.sources.mask_files import ids_of
from lensmith.data.sources.picture_files import readable
from lensmith.data.sources.rasterise import RLE
from lensmith.data.sources.sample import Splits

_CLASS = "object"    # what objects without a class are called
_VOID = 255          # in a mask of 8 bits that numbers objects


def object_masks(path: str, *, images: str | None = None, masks: str | None = None, classes: list[str] | None = None,
                 unlabelled: Unlabelled = "leave", outlines: bool | None = None) -> Splits:
    """Pictures with a mask for each object, in a folder for each picture (<id>/images and <id>/masks) or beside other
    masks (masks/a_1.png, masks/a/1.png); or with one mask whose ids are numbers of objects, 0 for the background.

    All objects are of one class. In a mask of 8 bits that numbers several objects 255 is void. Raises DataError with
    the file that cannot be used.

    - `path`: the folder.
    - `images`, `masks`: the folders of pictures and of masks with numbers, from `path`; by default those that are
      called as usual.
    - `classes`: the name of the class; by default `object`.
    - `unlabelled`: a picture without a mask is left out (leave), shows no object (empty) or is an error (refuse).
    - `outlines`: whether each object comes with its pixels, as the target `masks`; by default unless the task learns
      boxes.
    """
    root = existing(path)
    name = fixed_classes(classes) or (_CLASS,)
    if len(name) != 1:
        raise UserError(f"data.classes={list(name)} names {len(name)} classes; masks of objects have one")
    layout = _layout_of(root, images, masks)
    without_mask = [picture for pairs in layout.splits.values() for picture in pairs.without_mask]
    if unlabelled == "refuse":
        refuse_unlabelled(without_mask, "mask of an object")
    with_outlines = outlines is not False
    annotated, empty = {}, list[Path]()
    for split, pairs in layout.splits.items():
        annotated[split] = _annotated(pairs, name[0], layout.numbered, with_outlines, empty)
        for picture in pairs.without_mask if unlabelled == "empty" else []:
            annotated[split].add_picture(picture)
    orphans = [mask for pairs in layout.splits.values() for mask in pairs.orphans]
    account = {"folder": readable(root), "layout": "numbers of objects" if layout.numbered else "a mask an object",
               "unlabelled": {"count": len(without_mask), "taken_as": unlabelled,
                              "pictures": listed_below(root, without_mask)},
               "masks_without_picture": {"count": len(orphans), "files": listed_below(root, orphans)},
               "empty_masks": {"count": len(empty), "files": listed_below(root, empty)},
               "ignored_folders": list(map(readable, layout.left_out))}
    return sources_of_boxes(annotated, names=name, folder=root, account=account)


def recognise_object_masks(listing: Listing) -> Evidence:
    """A folder of masks for each picture, several masks for each, or masks called instances."""
    layout = object_layout(listing)
    return Evidence() if layout is None else Evidence(LAYOUT, sentence=layout.sentence)


def _layout_of(root: Path, images: str | None, masks: str | None) -> ObjectLayout:
    if (images is None) != (masks is None):
        raise UserError("data.images and data.masks name the folders of pictures and masks together: name both")
    listing = Listing(root)
    if images is not None and masks is not None:
        folders = [root / Path(name).expanduser() for name in (images, masks)]
        for setting, folder in zip(("images", "masks"), folders, strict=True):
            if not folder.is_dir():
                raise DataError(f"data.{setting}={folder} is no folder")
        return ObjectLayout(pair_numbered(paired_by_split(*map(Listing, folders)), listing), True, "", [])
    layout = object_layout(listing)
    if layout is not None:
        return layout
    named = mask_folders(listing)
    if named is None:
        raise DataError(f"{readable(root)} holds no masks of objects: accepted are <id>/images with <id>/masks for "
                        "each picture, images/a.png with masks/a_1.png or masks/a/1.png, and images/ with instances/ "
                        "or masks/ whose ids are numbers of objects")
    return ObjectLayout(pair_numbered(named.by_split, listing), True, "", named.left_out)


@dataclass(frozen=True)
class _Object:
    """The pixels of an object in a mask, column by column, in order."""

    size: tuple[int, int]    # height, width
    pixels: np.ndarray       # int64 [n]: column * height + row
    file: Path

    @property
    def corners(self) -> tuple[float, float, float, float]:
        columns, rows = self.pixels // self.size[0], self.pixels % self.size[0]
        return float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)

    def outline(self) -> RLE:
        breaks = np.flatnonzero(np.diff(self.pixels) > 1)
        starts = self.pixels[np.concatenate([[0], breaks + 1])]
        ends = self.pixels[np.concatenate([breaks, [len(self.pixels) - 1]])] + 1
        edges = np.stack([starts, ends], axis=1).ravel()
        counts = np.diff(np.concatenate([[0], edges, [self.size[0] * self.size[1]]]))
        return RLE(self.size, counts.astype(np.int64), readable(self.file))


def _annotated(pairs: PicturesWithObjects, name: str, numbered: bool, with_outlines: bool,
               empty: list[Path]) -> AnnotatedSplit:
    """The objects of a split; masks without a pixel are added to `empty`."""
    annotated = AnnotatedSplit(outlines=[] if with_outlines else None)
    void = _void_of([mask for masks in pairs.masks for mask in masks]) if numbered else ()

    def read(masks: Sequence[Path]) -> list[list[_Object]]:
        return [_objects_in(mask, numbered=numbered, void=void) for mask in masks]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for picture, masks, by_mask in zip(pairs.paths, pairs.masks, pool.map(read, pairs.masks), strict=True):
            sizes = {each.size for objects in by_mask for each in objects}
            height, width = sizes.pop() if len(sizes) == 1 else (None, None)
            annotated.add_picture(picture, width=width, height=height)
            for mask, objects in zip(masks, by_mask, strict=True):
                if not objects:
                    empty.append(mask)
                for each in objects:
                    annotated.add(each.corners, name, where=readable(mask),
                                  outline=[each.outline()] if with_outlines else None)
    return annotated


def _objects_in(mask: Path, *, numbered: bool, void: Sequence[int]) -> list[_Object]:
    """The objects in a mask: one a number, or all that is not 0."""
    numbers = _numbers_in(mask)
    size, flat = (numbers.shape[0], numbers.shape[1]), numbers.ravel(order="F")
    if not numbered:
        pixels = flat.nonzero()[0]
        return [_Object(size, pixels, mask)] if len(pixels) else []
    order = np.argsort(flat, kind="stable")    # the pixels of each object together, and each in order
    ids, first = np.unique(flat[order], return_index=True)
    parts = np.split(order, first[1:])
    return [_Object(size, pixels, mask) for id_, pixels in zip(ids.tolist(), parts, strict=True)
            if id_ != 0 and id_ not in void]


def _numbers_in(mask: Path) -> np.ndarray:
    """The ids of a mask, whole numbers [height, width]; of a mask in colours each colour but black is one."""
    try:
        image = read_stored(mask)
    except BadPicture as error:
        raise DataError(f"mask {readable(mask)} {error}: mend it, or take it away") from error
    if image.mode not in ("RGB", "RGBA") or mask.suffix.lower() in (".jpg", ".jpeg"):
        return ids_of(mask, None)
    pixels = np.asarray(image.convert("RGB")).astype(np.int64)
    codes = (pixels[:, :, 0] * 256 + pixels[:, :, 1]) * 256 + pixels[:, :, 2]
    colours, numbers = np.unique(codes, return_inverse=True)
    return numbers.reshape(codes.shape) + int(colours[0] != 0)


def _void_of(masks: Sequence[Path]) -> tuple[int, ...]:
    """255 where a mask of 8 bits uses it beside other numbers, none of which is 254: it is void then, as in Pascal
    VOC's SegmentationObject."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        present = [set(np.unique(numbers).tolist()) for numbers in pool.map(_numbers_in, masks)]
    beside = any(_VOID in ids and len(ids) > 2 for ids in present)
    return (_VOID,) if beside and not any(_VOID - 1 in ids or max(ids) > _VOID for ids in present) else ()


OBJECT_MASKS = Format(object_masks, recognise_object_masks, order=2)
