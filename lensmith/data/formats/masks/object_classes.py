"""Which class the objects of masks with numbers are of: by the number itself, or by the mask of classes beside it."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from lensmith.base.errors import DataError
from lensmith.data.formats.boxes.read_xml import read_xml
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.masks.names_of_ids import VOID_NAMES, ClassList
from lensmith.data.formats.masks.objects_in_masks import MaskedObject
from lensmith.data.sources.mask_files import ids_of
from lensmith.data.sources.picture_files import readable
from lensmith.values.semantic_mask import IGNORED

BYTE = 256     # KITTI and Mapillary Vistas number an object class * 256 + n
_COMPARED = 12    # masks of numbers with those of classes
BASE = 1000    # Cityscapes numbers an object class * 1000 + n (mcordts/cityscapesScripts, json2instanceImg.py)
_BACKGROUND = ("background", "_background_", "__background__", "bg")
_LOOKED_AT = 50    # XML files

# The classes of Pascal VOC by their ids in SegmentationClass (VOC2012 development kit, VOCinit.m).
_VOC = ("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
        "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor")


@dataclass(frozen=True)
class ClassedObject:
    """An object with its class."""

    pixels: MaskedObject
    class_id: int | None    # None where nothing says it
    crowd: bool = False     # several objects that nobody has told apart


class ObjectClasses(Protocol):
    """How the class of an object is found."""

    @property
    def listed(self) -> ClassList | None:
        """The names of the ids; None: their numbers."""

    @property
    def folders(self) -> Collection[str]:
        """The folders of the masks of classes that were used."""

    def of(self, mask: Path, objects: Sequence[MaskedObject]) -> list[ClassedObject]:
        """The objects of a mask with their classes, without what is no object. Raises DataError with the file."""


def _class_or_crowd(each: MaskedObject, class_id: int, things: Collection[int], *,
                    single: bool) -> ClassedObject | None:
    """An object whose number holds its class: of things that are not told apart a crowd, of a class without objects
    None, and `single` ones of an unlisted class without it."""
    if class_id in things:
        return ClassedObject(each, class_id, crowd=not single)
    return ClassedObject(each, None) if single else None


@dataclass(frozen=True)
class ClassInUpperByte:
    """The class is the number divided by 256, as in KITTI and Mapillary Vistas. Where the rest is 0 nobody has told
    objects apart: of things it is a crowd, and of anything else no object."""

    listed: ClassList | None
    things: frozenset[int]    # the classes that have objects
    folders: frozenset[str]

    @classmethod
    def among(cls, numbers: Collection[int], listed: ClassList | None, folders: Collection[str]) -> "ClassInUpperByte":
        """As `ClassInNumber.among`; `folders` are those of the masks of classes."""
        things = {number // BYTE for number in numbers if number % BYTE}
        return cls(listed, frozenset(things if listed is None else things & listed.names.keys()), frozenset(folders))

    def of(self, mask: Path, objects: Sequence[MaskedObject]) -> list[ClassedObject]:
        classed = [_class_or_crowd(each, each.number // BYTE, self.things, single=each.number % BYTE > 0)
                   for each in objects]
        return [each for each in classed if each is not None]


def holds_the_classes(beside: Mapping[Path, Path]) -> bool:
    """Whether each mask of numbers divided by 256 is the mask of classes `beside` it; a few are read."""
    with_class = False
    for mask, classes in list(beside.items())[:: max(1, len(beside) // _COMPARED)][:_COMPARED]:
        try:
            numbers, ids = ids_of(mask, None), ids_of(classes, None)
        except DataError:    # in colours, or told where it is read
            return False
        if numbers.shape != ids.shape or (numbers.astype(np.int64) // BYTE != ids).any():
            return False
        with_class |= bool((ids > 0).any())
    return with_class


@dataclass(frozen=True)
class ClassInNumber:
    """The class is the number divided by 1000. Numbers below 1000 are classes themselves: of things several that are
    not told apart, a crowd, and of anything else what is no object."""

    listed: ClassList | None
    things: frozenset[int]    # the classes that have objects
    folders: tuple[str, ...] = ()

    @classmethod
    def among(cls, numbers: Collection[int], listed: ClassList | None) -> "ClassInNumber":
        """By the numbers that occur in a set, and those of their classes that are `listed`, where a list names any."""
        things = {number // BASE for number in numbers if number >= BASE}
        return cls(listed, frozenset(things if listed is None else things & listed.names.keys()))

    def of(self, mask: Path, objects: Sequence[MaskedObject]) -> list[ClassedObject]:
        classed = [_class_or_crowd(each, each.number // BASE if each.number >= BASE else each.number, self.things,
                                   single=each.number >= BASE) for each in objects]
        return [each for each in classed if each is not None]


@dataclass(frozen=True)
class ClassesBeside:
    """The class is the one that most pixels of the object have in a mask of classes."""

    listed: ClassList | None
    masks: Mapping[Path, Path]    # the mask of classes for a mask of numbers

    @property
    def folders(self) -> set[str]:
        return set(map(os.path.dirname, self.masks.values()))

    def of(self, mask: Path, objects: Sequence[MaskedObject]) -> list[ClassedObject]:
        beside = self.masks.get(mask)
        if beside is None:
            return [ClassedObject(each, None) for each in objects]
        ids = ids_of(beside, None if self.listed is None else self.listed.colours)
        if objects and ids.shape != objects[0].size:
            (height, width), (high, wide) = objects[0].size, ids.shape
            raise DataError(f"mask {readable(beside)} is {wide} x {high} pixels (width x height), and "
                            f"{readable(mask)}, which numbers its objects, {width} x {height}: both are of one picture")
        flat = ids.ravel(order="F")
        return [ClassedObject(each, self._most(flat[each.pixels])) for each in objects]

    def _most(self, ids: np.ndarray) -> int | None:
        counts = np.bincount(ids)
        for id_ in np.argsort(-counts, kind="stable").tolist():
            if counts[id_] == 0:
                return None
            if self._is_class(id_):
                return id_
        return None

    def _is_class(self, id_: int) -> bool:
        if self.listed is None:
            return id_ not in (0, IGNORED)
        return id_ in self.listed.names and is_thing(self.listed.names[id_])


def is_thing(name: str) -> bool:
    """Whether a class of a list can be that of an object: it is neither the background nor void."""
    return name.lower() not in (*_BACKGROUND, *VOID_NAMES)


def voc_classes(root: Listing) -> ClassList | None:
    """Pascal VOC's classes, where the annotations in the folder name these alone; None where they do not say so."""
    annotations = next((inner for name in root.folders if name.lower() == "annotations"
                        and (inner := root.inner(name)) is not None), None)
    files = [] if annotations is None else annotations.ending((".xml",))
    names = set[str]()
    for file in files[:: max(1, len(files) // _LOOKED_AT)][:_LOOKED_AT]:
        assert annotations is not None
        try:
            tree = read_xml(annotations.path / file)
        except DataError:    # told where the boxes are read
            return None
        names.update((each.findtext("name") or "").strip() for each in tree.findall("object"))
    if not names or not names <= set(_VOC):
        return None
    return ClassList(dict(enumerate(("background", *_VOC))), "Pascal VOC's list of classes")
