"""Which class the objects of masks with numbers are of: by the number itself, or by the mask of classes beside it."""

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

    def of(self, mask: Path, objects: Sequence[MaskedObject]) -> list[ClassedObject]:
        """The objects of a mask with their classes, without what is no object. Raises DataError with the file."""


@dataclass(frozen=True)
class ClassInNumber:
    """The class is the number divided by 1000. Numbers below 1000 are classes themselves: of things several that are
    not told apart, a crowd, and of anything else what is no object."""

    listed: ClassList | None
    things: frozenset[int]    # the classes that have objects

    @classmethod
    def among(cls, numbers: Collection[int], listed: ClassList | None) -> "ClassInNumber":
        """By the numbers that occur in a set, and those of their classes that are `listed`, where a list names any."""
        things = {number // BASE for number in numbers if number >= BASE}
        return cls(listed, frozenset(things if listed is None else things & listed.names.keys()))

    def of(self, mask: Path, objects: Sequence[MaskedObject]) -> list[ClassedObject]:
        classed = []
        for each in objects:
            single = each.number >= BASE
            class_id = each.number // BASE if single else each.number
            if class_id in self.things:
                classed.append(ClassedObject(each, class_id, crowd=not single))
            elif single:
                classed.append(ClassedObject(each, None))
        return classed


@dataclass(frozen=True)
class ClassesBeside:
    """The class is the one that most pixels of the object have in a mask of classes."""

    listed: ClassList | None
    masks: Mapping[Path, Path]    # the mask of classes for a mask of numbers

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
