"""Pictures with a mask each, which gives every pixel a class: in folders, as YOLO's polygons, or as COCO's outlines."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError, UserError, count
from lensmith.data.formats.boxes.annotations import Unlabelled
from lensmith.data.formats.boxes.coco import coco_files
from lensmith.data.formats.boxes.yolo_folders import config_file, describes
from lensmith.data.formats.class_names import check_names, fixed_classes
from lensmith.data.formats.format import Format
from lensmith.data.formats.given_splits import common_root, listed_below, refuse_unlabelled, splits_with_pictures
from lensmith.data.formats.known_classes import KnownClasses
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.masks.from_objects import (
    MaskedPictures,
    ObjectMasks,
    coco_outlines,
    with_background,
    yolo_outlines,
)
from lensmith.data.formats.masks.names_of_ids import MaskClasses, class_list, classes_of_masks
from lensmith.data.formats.masks.object_folders import ObjectLayout, object_layout
from lensmith.data.formats.masks.pair_files import LAYOUTS, MaskLayout, describes_masks, find_masks, recognise_masks
from lensmith.data.formats.reading import existing
from lensmith.data.sources.mask_files import IDS, LOSSY, MaskFiles, MaskSource, ObjectsMask, PixelMask
from lensmith.data.sources.picture_files import Files, readable
from lensmith.data.sources.picture_form import survey
from lensmith.data.sources.rasterise import Outlines
from lensmith.data.sources.sample import Splits
from lensmith.values.semantic_mask import IGNORED


def labelled_pixels(path: str, *, images: str | None = None, masks: str | None = None,
                    classes: list[str] | str | None = None, ids: dict[str, str] | None = None,
                    void: int | list[int] | None = None, unlabelled: Unlabelled = "leave",
                    known: KnownClasses | None = None) -> Splits:
    """Pictures with masks, which are files of pixels or made of objects.

    Masks of pixels are gray or palette files, whose values are ids, or files in colours that a list explains. Of
    objects a later one lies over an earlier one, all of them over a class `background`, and COCO's crowds are void.
    Raises DataError with the file that cannot be used, UserError for settings that do not fit.

    - `path`: a folder, a YAML file that names the folders of pictures and masks, a YOLO set with polygons, or COCO's
      files.
    - `images`, `masks`: the folders of pictures and masks, from the folder of `path`; by default those that are called
      as usual. With COCO's files `images` is the folder of the pictures.
    - `classes`: the names of the ids from 0 up, or a file that lists them; by default a list in the folder, else the
      ids that occur are the names.
    - `ids`: what each id is called, as `{1 = "pet", 3 = "void"}`; several ids of one name are one class.
    - `void`: the ids that are neither learned nor measured; by default those that a list calls so, and 255.
    - `unlabelled`: a picture without a mask is left out (leave), is an error (refuse), or with objects shows none
      (empty).
    - `known`: what a network that is measured on the masks has learned; the program passes it.
    """
    root = existing(path)
    folder = root.parent if root.is_file() else root
    void = [void] if isinstance(void, int) else void
    if void is not None and not all(0 <= id_ < IDS for id_ in void):
        raise UserError(f"data.void={void} is not possible: accepted are ids, 0 to {IDS - 1}")
    if masks is not None and images is None:
        raise UserError(f"data.masks={masks!r} is given without data.images: name both folders")
    objects = object_layout(Listing(root)) if root.is_dir() and masks is None else None
    if objects is not None and not objects.numbered:
        return _masks_of_object_files(folder, objects, fixed_classes(None if isinstance(classes, str) else classes),
                                      unlabelled)
    layout = None if _lists_objects(root) else find_masks(root, images=images if masks is not None else None,
                                                          masks=masks)
    if layout is not None:
        if images is not None and masks is None:
            raise UserError(f"data.images={images!r} is given without data.masks: name both folders")
        if unlabelled == "empty":
            raise UserError("data.unlabelled=empty is for objects; a picture without a mask of pixels can be left out "
                            "(leave) or be an error (refuse)")
        return _masks_of_pixels(root, folder, layout, classes=classes, ids=ids, void=void, unlabelled=unlabelled,
                                known=known)
    for name, value in (("masks", masks), ("ids", ids), ("void", void)):
        if value is not None:
            raise UserError(f"data.{name} is for masks of pixels, and {readable(root)} holds none: leave it out, or "
                            f"check data.path; {LAYOUTS}")
    if isinstance(classes, str):
        raise UserError(f"data.classes={classes!r} must be a list of names here, where objects are painted")
    return _masks_of_objects(folder, _open_objects(root, images, fixed_classes(classes), unlabelled))


def _lists_objects(root: Path) -> bool:
    """Whether it is a file of objects, which names no folder of masks."""
    return root.is_file() and not (root.suffix.lower() in (".yaml", ".yml") and describes_masks(root))


def _open_objects(root: Path, images: str | None, classes: tuple[str, ...] | None,
                  unlabelled: Unlabelled) -> ObjectMasks:
    """The masks of the objects in a file or folder; raises DataError where there are none."""
    if root.suffix.lower() == ".json" or (root.is_dir() and config_file(root) is None and coco_files(Listing(root))):
        return coco_outlines(root, images, classes)
    labels = root.is_file() or any(describes(root / name) for name in Listing(root).ending((".yaml", ".yml"))) \
        or next(root.glob("**/labels/**/*.txt"), None) is not None
    if not labels:
        raise DataError(f"{readable(root)} holds no pictures with masks: {LAYOUTS}; and of objects a YOLO set with "
                        "polygons and COCO's files")
    return yolo_outlines(root, classes, unlabelled)


def _masks_of_pixels(root: Path, folder: Path, layout: MaskLayout, *, classes: list[str] | str | None,
                     ids: dict[str, str] | None, void: list[int] | None, unlabelled: Unlabelled,
                     known: KnownClasses | None) -> Splits:
    """The set of a layout; all its masks are read once for their ids."""
    pairs = list(layout.splits.values())
    without_mask = [path for split in pairs for path in split.without_mask]
    orphans = [path for split in pairs for path in split.orphans]
    if not any(split.paths for split in pairs):
        content = f"{count(len(without_mask), 'picture')} and {count(len(orphans), 'mask')}, none of one name" \
            if without_mask else "no picture"
        raise DataError(f"{readable(root)} holds {content}: {LAYOUTS}")
    if unlabelled == "refuse":
        refuse_unlabelled(without_mask, "mask", may_be_empty=False)
    listed = class_list(folder, layout.config, classes=classes, ids=ids)
    if listed is None and layout.listed is not None:
        listed, void = layout.listed, layout.void if void is None else void
    if listed is None and known is not None and known.ids and void is None:
        listed = class_list(folder, None, classes=None, ids=known.ids)
    pictures = [path for split in pairs for path in split.paths]
    masks = [path for split in pairs for path in split.masks]
    settled, pixels_by_id = classes_of_masks(masks, listed, void, folder, measured=known is not None)
    splits = {name: MaskedPictures(split.paths, [PixelMask(mask, settled.coding) for mask in split.masks])
              for name, split in layout.splits.items()}
    table = settled.coding.table
    void_alone = [path for path, pixels in zip(pictures, pixels_by_id, strict=True)
                  if all(table[id_] == IGNORED for id_ in pixels)]
    fractions = _fractions(pixels_by_id, settled)
    notes = [f"left out of {readable(root)}, since neither pictures nor masks: "
             f"{', '.join(map(readable, layout.left_out))}"] if layout.left_out else []
    if lossy := sum(mask.suffix.lower() in LOSSY for mask in masks):
        notes.append(f"{count(lossy, 'mask')} in a format that changes pixels (JPEG and the like), brought to black "
                     "and white, 0 and 255, which is certain in them")
    if void_fraction := fractions["(void)"]:
        notes.append(f"void, neither learned nor measured, are the ids {', '.join(map(str, settled.void[:10]))}"
                     f"{' ...' if len(settled.void) > 10 else ''} of the masks: {void_fraction:.1%} of their pixels "
                     "(data.void)")
    account = {"layout": layout.name, "classes_from": listed.source if listed is not None else "the ids that occur",
               "ids": settled.ids, "void": settled.void, "pixels": fractions,
               "void_alone": {"count": len(void_alone), "pictures": listed_below(folder, void_alone)},
               "unlabelled": {"count": len(without_mask), "taken_as": unlabelled,
                              "pictures": listed_below(folder, without_mask)},
               "masks_without_picture": {"count": len(orphans), "files": listed_below(folder, orphans)},
               "in_no_split": layout.in_no_split,
               "ignored_folders": list(map(readable, layout.left_out)),
               **({"notes": notes} if notes else {})}
    return _sources(splits, settled.names, folder, account)


def _fractions(pixels_by_id: Sequence[Mapping[int, int]], settled: MaskClasses) -> dict[str, float]:
    """The fraction of all pixels that each class has, and that is void."""
    total = sum(sum(pixels.values()) for pixels in pixels_by_id)

    def fraction(ids: Sequence[int]) -> float:
        return round(sum(pixels.get(id_, 0) for pixels in pixels_by_id for id_ in ids) / total, 6)

    return {**{name: fraction(ids) for name, ids in settled.ids.items()}, "(void)": fraction(settled.void)}


def _masks_of_object_files(folder: Path, objects: ObjectLayout, classes: tuple[str, ...] | None,
                           unlabelled: Unlabelled) -> Splits:
    """Where each object has a mask of its own, all of a picture as one mask of two classes; raises DataError."""
    names = with_background(classes or ("object",))
    if len(names) != 2:
        raise UserError(f"data.classes has {len(names) - 1} names; masks of one object each make one class and the "
                        "background")
    without_mask = [path for pairs in objects.splits.values() for path in pairs.without_mask]
    if unlabelled == "refuse":
        refuse_unlabelled(without_mask, "mask")
    splits = {split: MaskedPictures(pairs.paths, [ObjectsMask(tuple(masks)) for masks in pairs.masks])
              for split, pairs in objects.splits.items()}
    account = {"layout": "a mask an object", "unlabelled": {"count": len(without_mask), "taken_as": "leave",
                                                            "pictures": listed_below(folder, without_mask)}}
    return _sources(splits, names, folder, account)


def _masks_of_objects(folder: Path, objects: ObjectMasks) -> Splits:
    check_names(objects.names, readable(folder))
    if not any(split.paths for split in objects.splits.values()) or not any(objects.account["objects"].values()):
        raise DataError(f"{readable(folder)} holds no object with an outline: there is nothing to learn")
    return _sources(objects.splits, objects.names, folder, objects.account)


def _sources(splits: Mapping[str, MaskedPictures], names: tuple[str, ...], folder: Path,
             account: dict[str, Any]) -> Splits:
    filled = splits_with_pictures(splits)
    root = common_root(folder, [path for split in filled.values() for path in split.paths])
    sources = {name: Files(split.paths, {"mask": MaskFiles(tuple(split.masks))}, {"mask": names}, root=root)
               for name, split in filled.items()}
    account = {"folder": readable(folder), "pictures": {name: len(source) for name, source in sources.items()},
               **_turned(sources, filled, root), **account}
    return Splits(dict(sources), account)


def _turned(sources: Mapping[str, Files], splits: Mapping[str, MaskedPictures], root: Path) -> dict[str, Any]:
    """The pictures with an EXIF rotation whose masks were drawn before it, and those of which nothing says whether they
    were, as data.json keeps them."""
    turned, maybe_turned = list[Path](), list[Path]()
    for name, source in sources.items():
        for path, mask, header in zip(source.paths, splits[name].masks, survey(source).headers, strict=True):
            if header is not None and mask.is_stored(header):
                turned.append(path)
            elif header is not None and header.orientation != 1 and _is_in_fractions(mask):
                maybe_turned.append(path)
    return {key: {"count": len(paths), "pictures": listed_below(root, paths)}
            for key, paths in (("turned", turned), ("maybe_turned", maybe_turned)) if paths}


def _is_in_fractions(mask: MaskSource) -> bool:
    """Whether a mask is made of objects in fractions of its picture, whatever its size."""
    return isinstance(mask, Outlines) and mask.relative and bool(mask.objects)


MASKS = Format(labelled_pixels, recognise_masks, suffixes=(".yaml", ".yml"), order=2)
