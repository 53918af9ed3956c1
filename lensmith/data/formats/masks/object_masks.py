"""Objects whose pixels lie in masks: one mask an object, or masks in which each object has a number."""

import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError, UserError
from lensmith.data.formats.boxes.annotations import AnnotatedSplit, Unlabelled, sources_of_boxes
from lensmith.data.formats.boxes.voc import image_sets
from lensmith.data.formats.class_names import fixed_classes, ordered
from lensmith.data.formats.format import LAYOUT, Evidence, Format
from lensmith.data.formats.given_splits import listed_below, refuse_unlabelled
from lensmith.data.formats.known_classes import KnownClasses
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.masks.mask_folders import MaskFolders, mask_choices, mask_folders, named_folders
from lensmith.data.formats.masks.names_of_ids import ClassList, class_list
from lensmith.data.formats.masks.object_classes import (
    BASE,
    ClassedObject,
    ClassesBeside,
    ClassInNumber,
    ClassInUpperByte,
    ObjectClasses,
    holds_the_classes,
    is_thing,
    voc_classes,
)
from lensmith.data.formats.masks.object_folders import ObjectLayout, PicturesWithObjects, object_layout, pair_numbered
from lensmith.data.formats.masks.objects_in_masks import numbers_in_each, objects_in, void_number
from lensmith.data.formats.masks.pair_files import CITYSCAPES, pair_by_name
from lensmith.data.formats.reading import existing
from lensmith.data.sources.picture_files import readable
from lensmith.data.sources.sample import Splits

_CLASS = "object"    # what objects without a class are called
_FIRST_THING = 24    # of Cityscapes' classes by their ids: what comes from there on has objects
_COMPOSED = "instanceids"    # ends the names of masks whose numbers hold the class


@dataclass
class _Tally:
    """What became of the objects of a set."""

    empty: list[Path] = field(default_factory=list)            # masks without an object
    without_class: list[Path] = field(default_factory=list)    # the picture of each object of which nothing says it
    same_number: bool = True    # whether the class of every object is its number, so that it is none


def object_masks(path: str, *, images: str | None = None, masks: str | None = None,
                 classes: list[str] | str | None = None, ids: dict[str, str] | None = None,
                 unlabelled: Unlabelled = "leave", outlines: bool | None = None,
                 known: KnownClasses | None = None) -> Splits:
    """Pictures with a mask for each object, in a folder for each picture (<id>/images and <id>/masks) or beside other
    masks (masks/a_1.png, masks/a/1.png); or with one mask whose ids are numbers of objects, 0 for the background.

    The class of a numbered object is that of most of its pixels in a mask of classes, where such masks lie beside those
    of numbers (SegmentationClass beside SegmentationObject), or its number divided by 1000 in files called
    *_instanceIds (Cityscapes). Else all objects are of one class. In a mask of 8 bits that numbers several objects 255
    is void. Raises DataError with the file that cannot be used.

    - `path`: the folder.
    - `images`, `masks`: the folders of pictures and of masks with numbers, from `path`; by default those that are
      called as usual.
    - `classes`: the name of the class, by default `object`; of several classes their names by the id from 0 up, or a
      file that lists them; by default a list in the folder, else the ids.
    - `ids`: what each id of a class is called, as `{26 = "car"}`.
    - `unlabelled`: a picture without a mask is left out (leave), shows no object (empty) or is an error (refuse).
    - `outlines`: whether each object comes with its pixels, as the target `masks`; by default unless the task learns
      boxes.
    - `known`: what a network that is measured on the objects has learned; the program passes it.
    """
    root = existing(path)
    given = fixed_classes(classes) if isinstance(classes, list) else None
    layout = _layout_of(root, images, masks)
    without_mask = [picture for pairs in layout.splits.values() for picture in pairs.without_mask]
    if unlabelled == "refuse":
        refuse_unlabelled(without_mask, "mask of an object")
    numbers = numbers_in_each([mask for pairs in layout.splits.values() for masks_of in pairs.masks
                               for mask in masks_of]) if layout.numbered else []
    alone = given[0] if given is not None and len(given) == 1 and ids is None else None
    by = None if alone is not None else _classes_by(root, layout, numbers, classes, ids)
    if by is None and (ids is not None or (classes is not None and alone is None)):
        raise UserError(f"data.{'classes' if ids is None else 'ids'}={classes if ids is None else ids} names classes, "
                        "and nothing tells the class of an object here: a folder of masks of classes beside that of "
                        "numbers does, or files called *_instanceIds.png with class * 1000 + n")
    if by is not None and by.folders:    # which are not left out
        used = {Path(folder).relative_to(root).parts[0] for folder in by.folders}
        layout = replace(layout, left_out=[name for name in layout.left_out if name not in used])
    tally, with_outlines = _Tally(), outlines is not False
    annotated = {split: _annotated(pairs, void_number(numbers), by, numbered=layout.numbered,
                                   with_outlines=with_outlines, tally=tally) for split, pairs in layout.splits.items()}
    for split, pairs in layout.splits.items():
        for picture in pairs.without_mask if unlabelled == "empty" else []:
            annotated[split].add_picture(picture)
    known_names = set() if known is None else {name for names in known.classes.values() for name in names}
    names = _named(annotated, by, alone or _CLASS, tally, known_names)
    return sources_of_boxes(annotated, names=names, folder=root,
                            account=_account(root, layout, tally, without_mask, unlabelled))


def _account(root: Path, layout: ObjectLayout, tally: _Tally, without_mask: Sequence[Path],
             unlabelled: Unlabelled) -> dict[str, Any]:
    orphans = [mask for pairs in layout.splits.values() for mask in pairs.orphans]
    without_class = tally.without_class
    return {"folder": readable(root), "layout": "numbers of objects" if layout.numbered else "a mask an object",
            "unlabelled": {"count": len(without_mask), "taken_as": unlabelled,
                           "pictures": listed_below(root, without_mask)},
            "masks_without_picture": {"count": len(orphans), "files": listed_below(root, orphans)},
            "empty_masks": {"count": len(tally.empty), "files": listed_below(root, tally.empty)},
            **({"without_class": {"count": len(without_class), "pictures": listed_below(
                root, list(dict.fromkeys(without_class)))}} if without_class else {}),
            **({"in_no_split": layout.in_no_split} if layout.in_no_split else {}),
            "ignored_folders": list(map(readable, layout.left_out))}


def recognise_object_masks(listing: Listing) -> Evidence:
    """A folder of masks for each picture, several masks for each, or masks called instances."""
    layout = object_layout(listing)
    return Evidence() if layout is None else Evidence(LAYOUT, sentence=layout.sentence)


def _layout_of(root: Path, images: str | None, masks: str | None) -> ObjectLayout:
    if (images is None) != (masks is None):
        raise UserError("data.images and data.masks name the folders of pictures and masks together: name both")
    listing = Listing(root)
    if images is not None and masks is not None:
        return ObjectLayout(pair_numbered(named_folders(root, images, masks), listing), True, "", [])
    layout = object_layout(listing)
    if layout is not None:
        return _divided(root, layout)
    named = mask_folders(listing)
    if named is None:
        raise DataError(f"{readable(root)} holds no masks of objects: accepted are <id>/images with <id>/masks for "
                        "each picture, images/a.png with masks/a_1.png or masks/a/1.png, images/ with instances/ or "
                        "masks/ whose ids are numbers of objects, JPEGImages/ with SegmentationObject/, and "
                        "leftImg8bit/ with gtFine/*_instanceIds.png")
    if named.name == "cityscapes":
        return _cityscapes(root, named)
    return ObjectLayout(pair_numbered(named.by_split, listing), True, "", named.left_out)


def _cityscapes(root: Path, named: MaskFolders) -> ObjectLayout:
    """Pictures x_leftImg8bit with masks x_gtFine_instanceIds; raises DataError where there are none of these."""
    splits = {}
    for split, folders in named.by_split.items():
        pairs = pair_by_name(*folders, picture_ending="_leftImg8bit", endings=("_gtFine_instanceIds",))
        splits[split] = PicturesWithObjects(pairs.paths, [[mask] for mask in pairs.masks], pairs.without_mask,
                                            pairs.orphans)
    if not any(pairs.paths for pairs in splits.values()):
        raise DataError(f"{readable(root)} is laid out as Cityscapes and holds no *_gtFine_instanceIds.png, which "
                        "number its objects")
    return ObjectLayout(splits, True, "", named.left_out, listed=ClassList(
        {id_: CITYSCAPES[id_] for id_ in CITYSCAPES if id_ >= _FIRST_THING}, "Cityscapes' list of classes"))


def _divided(root: Path, layout: ObjectLayout) -> ObjectLayout:
    """The layout divided by the lists in ImageSets/Segmentation, where there are any."""
    stems_of = image_sets(root, "Segmentation") if set(layout.splits) == {"all"} else {}
    if not stems_of:
        return layout
    whole, splits = layout.splits["all"], {}
    for split, stems in stems_of.items():
        listed = [(path, masks) for path, masks in zip(whole.paths, whole.masks, strict=True) if path.stem in stems]
        splits[split] = PicturesWithObjects([path for path, _ in listed], [masks for _, masks in listed],
                                            [path for path in whole.without_mask if path.stem in stems])
    every = set().union(*stems_of.values())
    return replace(layout, splits=splits, in_no_split=sum(path.stem not in every for path in whole.paths))


def _classes_by(root: Path, layout: ObjectLayout, numbers: Sequence[set[int]], classes: list[str] | str | None,
                ids: dict[str, str] | None) -> ObjectClasses | None:
    """What tells the classes of the objects; None where nothing does. `numbers` are those in each mask."""
    if not layout.numbered:
        return None
    masks = [mask for pairs in layout.splits.values() for masks_of in pairs.masks for mask in masks_of]
    occurring = set().union(*numbers)
    if all(mask.stem.lower().endswith(_COMPOSED) for mask in masks) and max(occurring, default=0) >= BASE:
        listed = class_list(root, None, classes=classes, ids=ids) or layout.listed
        return ClassInNumber.among(occurring, listed)
    listing = Listing(root)
    choices = [beside for named in mask_choices(listing) if named.name != "cityscapes"
               if (beside := _masks_beside(layout, pair_numbered(named.by_split, listing)))]
    in_upper_byte = next((beside for beside in choices if holds_the_classes(beside)), None)
    if in_upper_byte is not None:
        listed = class_list(root, None, classes=classes, ids=ids)
        return ClassInUpperByte.among(occurring, listed, set(map(os.path.dirname, in_upper_byte.values())))
    if len(choices) != 1:    # of several folders of masks none is plainly that of the classes
        return None
    return ClassesBeside(class_list(root, None, classes=classes, ids=ids) or voc_classes(listing), choices[0])


def _masks_beside(layout: ObjectLayout, of_classes: Mapping[str, PicturesWithObjects]) -> dict[Path, Path]:
    """The mask of classes for each mask of numbers, where both are of one picture."""
    of_picture = {path: masks_of[0] for pairs in of_classes.values()
                  for path, masks_of in zip(pairs.paths, pairs.masks, strict=True)}
    return {mask: of_picture[path] for pairs in layout.splits.values()
            for path, masks_of in zip(pairs.paths, pairs.masks, strict=True) for mask in masks_of
            if path in of_picture and of_picture[path] != mask}


def _annotated(pairs: PicturesWithObjects, void: Sequence[int], by: ObjectClasses | None, *, numbered: bool,
               with_outlines: bool, tally: _Tally) -> AnnotatedSplit:
    """The objects of a split, each of the class that `by` tells, as its number; without it all are of the class
    `object`. Counts in `tally`."""
    annotated = AnnotatedSplit(outlines=[] if with_outlines else None)

    def read(masks: Sequence[Path]) -> list[list[ClassedObject]]:
        found = [objects_in(mask, numbered=numbered, void=void) for mask in masks]
        return [[ClassedObject(each, 0) for each in objects] if by is None else by.of(mask, objects)
                for mask, objects in zip(masks, found, strict=True)]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for picture, masks, by_mask in zip(pairs.paths, pairs.masks, pool.map(read, pairs.masks), strict=True):
            sizes = {each.pixels.size for objects in by_mask for each in objects}
            height, width = sizes.pop() if len(sizes) == 1 else (None, None)
            annotated.add_picture(picture, width=width, height=height)
            for mask, objects in zip(masks, by_mask, strict=True):
                if not objects:
                    tally.empty.append(mask)
                for each in objects:
                    if each.class_id is None:
                        tally.without_class.append(picture)
                        continue
                    tally.same_number &= each.class_id == each.pixels.number
                    annotated.add(each.pixels.corners, str(each.class_id), where=readable(mask), crowd=each.crowd,
                                  outline=[each.pixels.outline()] if with_outlines else None)
    return annotated


def _named(annotated: Mapping[str, AnnotatedSplit], by: ObjectClasses | None, alone: str,
           tally: _Tally, known: Collection[str]) -> tuple[str, ...]:
    """Give the objects the names of their classes; -> the names in order.

    Where nothing lists names, objects of one class are called `alone`, and so are all where the masks beside number
    them too and tell no class. Ids that a network has `known` as classes keep their number.
    """
    ids = {id_ for split in annotated.values() for id_ in split.classes}
    if by is not None and by.listed is not None:
        names = {str(id_): name for id_, name in by.listed.names.items()}
        in_order = tuple(dict.fromkeys(filter(is_thing, names.values())))
    elif by is None or ((len(ids) < 2 or tally.same_number) and not ids <= set(known)):
        names, in_order = dict.fromkeys(ids, alone), (alone,)
    else:
        names, in_order = {id_: id_ for id_ in ids}, ordered(ids)
    for split in annotated.values():
        split.classes = [names[id_] for id_ in split.classes]
    return in_order


OBJECT_MASKS = Format(object_masks, recognise_object_masks, order=2)
