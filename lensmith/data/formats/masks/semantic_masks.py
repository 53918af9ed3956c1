"""Pictures with a mask each, which gives every pixel a class: in folders, as YOLO's polygons, or as COCO's shapes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError, UserError, count
from lensmith.data.formats.boxes.annotations import Unlabelled
from lensmith.data.formats.boxes.coco import coco_files
from lensmith.data.formats.boxes.yolo_folders import config_file, describes
from lensmith.data.formats.class_names import check_names, fixed_classes
from lensmith.data.formats.format import Format
from lensmith.data.formats.given_splits import common_root, listed_below, named_parts, refuse_unlabelled
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.masks.from_objects import Objects, Painted, coco_outlines, yolo_outlines
from lensmith.data.formats.masks.ids_to_classes import Classes, class_list, classes_of_masks
from lensmith.data.formats.masks.pair_files import LAYOUTS, Layout, describes_masks, find_masks, recognise_masks
from lensmith.data.formats.reading import existing
from lensmith.data.sources.mask_files import IDS, MaskFiles, PixelMask
from lensmith.data.sources.picture_files import Files, readable
from lensmith.data.sources.sample import Parts
from lensmith.values.semantic_mask import IGNORED


def labelled_pixels(path: str, *, images: str | None = None, masks: str | None = None,
                    classes: list[str] | str | None = None, ids: dict[str, str] | None = None,
                    void: int | list[int] | None = None, unlabelled: Unlabelled = "leave") -> Parts:
    """The pictures and masks of a folder, of a YAML file that names their folders, of a YOLO set with polygons, or of
    COCO's files.

    Masks of pixels are gray or palette files, whose values are ids, or files in colours that a list explains. `images`
    and `masks` name their folders below `path` where these are not called as usual; with COCO's files `images` is that
    of the pictures. `ids` says what each id is called (`{1 = "pet", 3 = "void"}`, several of one name are one class);
    else `classes` names them from 0 up, or is a file that does; else a list in the folder; else the ids are the names.
    `void` are the ids that neither count nor cost; by itself those that a list calls so, and 255. Of objects a later
    one lies over an earlier, on a class `background`; COCO's crowds are void. A picture without a mask is
    `unlabelled`: it is left out, is an error (refuse), or, with objects, shows none (empty). Raises DataError with the
    file that cannot be used, UserError for settings that do not fit.
    """
    root = existing(path)
    folder = root.parent if root.is_file() else root
    void = [void] if isinstance(void, int) else void
    if void is not None and not all(0 <= one < IDS for one in void):
        raise UserError(f"data.void={void} is not possible: accepted are ids, 0 to {IDS - 1}")
    if masks is not None and images is None:
        raise UserError(f"data.masks={masks!r} is given without data.images: name both folders")
    layout = None if _of_objects(root) else find_masks(root, images=images if masks is not None else None, masks=masks)
    if layout is not None:
        if images is not None and masks is None:
            raise UserError(f"data.images={images!r} is given without data.masks: name both folders")
        if unlabelled == "empty":
            raise UserError("data.unlabelled=empty is for objects; a picture without a mask of pixels can be left out "
                            "(leave) or be an error (refuse)")
        return _pixels(root, folder, layout, classes=classes, ids=ids, void=void, unlabelled=unlabelled)
    for name, value in (("masks", masks), ("ids", ids), ("void", void)):
        if value is not None:
            raise UserError(f"data.{name} is for masks of pixels, and {readable(root)} holds none: leave it out, or "
                            f"check data.path; {LAYOUTS}")
    if isinstance(classes, str):
        raise UserError(f"data.classes={classes!r} must be a list of names here, where objects are painted")
    return _objects(folder, _painted(root, images, fixed_classes(classes), unlabelled))


def _of_objects(root: Path) -> bool:
    """Whether a file is one of objects, and names no folder of masks."""
    return root.is_file() and not (root.suffix.lower() in (".yaml", ".yml") and describes_masks(root))


def _painted(root: Path, images: str | None, wanted: tuple[str, ...] | None, unlabelled: Unlabelled) -> Objects:
    """The masks of the objects that a file or folder holds."""
    if root.suffix.lower() == ".json" or (root.is_dir() and config_file(root) is None and coco_files(Listing(root))):
        return coco_outlines(root, images, wanted)
    labels = root.is_file() or any(describes(one) for one in (*root.glob("*.yaml"), *root.glob("*.yml"))) \
        or next(root.glob("**/labels/**/*.txt"), None) is not None
    if not labels:
        raise DataError(f"{readable(root)} holds no pictures with masks: {LAYOUTS}; and of objects a YOLO set with "
                        "polygons and COCO's files")
    return yolo_outlines(root, wanted, unlabelled)


def _pixels(root: Path, folder: Path, layout: Layout, *, classes: list[str] | str | None, ids: dict[str, str] | None,
            void: list[int] | None, unlabelled: Unlabelled) -> Parts:
    """The set of a layout, all its masks looked at once."""
    every = list(layout.parts.values())
    bare = [path for part in every for path in part.bare]
    orphans = [path for part in every for path in part.orphans]
    if not any(part.paths for part in every):
        found = f"{count(len(bare), 'picture')} and {count(len(orphans), 'mask')}, none of one name" if bare else \
            "no picture"
        raise DataError(f"{readable(root)} holds {found}: {LAYOUTS}")
    if unlabelled == "refuse":
        refuse_unlabelled(bare, "mask", may_be_empty=False)
    listed = class_list(folder, layout.config, classes=classes, ids=ids)
    if listed is None and layout.listed is not None:
        listed, void = layout.listed, layout.void if void is None else void
    pictures = [path for part in every for path in part.paths]
    masks = [path for part in every for path in part.masks]
    settled, held = classes_of_masks(masks, listed, void, folder)
    parts = {split: Painted(part.paths, [PixelMask(mask, settled.coding) for mask in part.masks])
             for split, part in layout.parts.items()}
    shown = settled.coding.table
    empty = [path for path, found in zip(pictures, held, strict=True) if all(shown[one] == IGNORED for one in found)]
    account = {"layout": layout.name, "classes_from": listed.source if listed is not None else "the ids that occur",
               "ids": settled.ids, "void": settled.void, "pixels": _shares(held, settled),
               "void_alone": {"count": len(empty), "pictures": listed_below(folder, empty)},
               "unlabelled": {"count": len(bare), "taken_as": unlabelled, "pictures": listed_below(folder, bare)},
               "masks_without_picture": {"count": len(orphans), "files": listed_below(folder, orphans)},
               "in_no_split": layout.unlisted}
    return _parts(parts, settled.names, folder, account)


def _shares(held: Sequence[Mapping[int, int]], settled: Classes) -> dict[str, float]:
    """The share of all pixels that each class has, and the void."""
    total = sum(sum(found.values()) for found in held)

    def share(ids: Sequence[int]) -> float:
        return round(sum(found.get(one, 0) for found in held for one in ids) / total, 6)

    return {**{name: share(own) for name, own in settled.ids.items()}, "(void)": share(settled.void)}


def _objects(folder: Path, found: Objects) -> Parts:
    check_names(found.names, readable(folder))
    if not any(len(part.paths) for part in found.parts.values()) or not any(found.account["objects"].values()):
        raise DataError(f"{readable(folder)} holds no object with an outline: there is nothing to learn")
    return _parts(found.parts, found.names, folder, found.account)


def _parts(painted: Mapping[str, Painted], names: tuple[str, ...], folder: Path, account: dict[str, Any]) -> Parts:
    parts = named_parts(painted)
    root = common_root(folder, [path for part in parts.values() for path in part.paths])
    splits = {split: Files(part.paths, {"mask": MaskFiles(tuple(part.masks))}, {"mask": names}, root=root)
              for split, part in parts.items()}
    pictures = {"pictures": {split: len(source) for split, source in splits.items()}}
    return Parts(dict(splits), {"folder": readable(folder), **pictures, **account})


MASKS = Format(labelled_pixels, recognise_masks, suffixes=(".yaml", ".yml"), order=2)
