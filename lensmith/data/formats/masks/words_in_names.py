"""The words in the names of folders and files that tell pictures from masks."""

import os
import re

_PICTURES = {"image", "images", "img", "imgs", "im", "ims", "picture", "pictures", "photo", "photos", "input", "inputs",
             "original", "originals", "orig", "raw", "stills", "rgb", "frame", "frames", "scan", "scans", "slice",
             "slices", "source", "sources", "sat", "satellite", "x"}
_MASKS = {"mask", "masks", "label", "labels", "labeled", "labelled", "labelids", "gt", "gts", "groundtruth",
          "groundtruths", "truth", "annotation", "annotations", "annotated", "annot", "anno", "annos", "ann", "seg",
          "segs", "segment", "segments", "segmentation", "segmentations", "segmented", "trimap", "trimaps", "target",
          "targets", "manual", "semantic", "matte", "mattes", "y"}
_OBJECTS = {"instance", "instances", "instanceids", "inst"}    # numbers of objects in place of classes
_SAY_NOTHING = {"jpeg", "jpg", "png", "tif", "ground", "class", "classes", "data", "set", "file", "files", "ids", "id",
                "full", "map", "maps", "binary"}


def words_of(name: str) -> list[str]:
    """The words of a name in lower case, and its numbers: PedMasks_01 -> ped, masks, 01."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+", name)]


def kind_of(name: str) -> str | None:
    """What a folder of this name holds: masks, pictures, or objects, which are masks with a number an object; None
    where its name does not say."""
    words = set(words_of(name))
    if words & _OBJECTS or ("object" in words and words & _MASKS):
        return "objects"
    if words & _MASKS:
        return "masks"
    return "pictures" if words & _PICTURES else None


def rest_of(name: str) -> str:
    """The words of a name that say neither pictures nor masks: train_masks -> train."""
    return "_".join(word for word in words_of(name) if word not in _PICTURES | _MASKS | _OBJECTS | _SAY_NOTHING)


def names_a_mask(stem: str) -> bool:
    """Whether the name of a file without its suffix says that it is a mask."""
    return bool(set(words_of(os.path.basename(stem))) & (_MASKS - {"y", "target", "targets", "ann"}))


def key_of(stem: str) -> str | None:
    """What the names of a picture and of its mask have in common: images/sat_01 and masks/mask_01 have 01; None where
    nothing is left. The folder in front stays as it is."""
    folder, name = os.path.split(stem)
    words = words_of(name)
    of_ids = {"ids"} if {"instance", "label"} & set(words) else set()    # instanceIds, labelIds
    words = [word for word in words if word not in _PICTURES | _MASKS | _OBJECTS | {"ground"} | of_ids]
    return os.path.join(folder, "_".join(words)) if words else None
