"""The words in the names of folders and files that tell pictures from masks."""

import os
import re
from collections.abc import Iterable

_PICTURES = {"image", "images", "img", "imgs", "im", "ims", "picture", "pictures", "photo", "photos", "input", "inputs",
             "original", "originals", "orig", "raw", "stills", "rgb", "frame", "frames", "scan", "scans", "slice",
             "slices", "source", "sources", "sat", "satellite", "x"}
_MASKS = {"mask", "masks", "label", "labels", "labeled", "labelled", "labelids", "gt", "gts", "groundtruth",
          "groundtruths", "truth", "annotation", "annotations", "annotated", "annot", "anno", "annos", "ann", "seg",
          "segs", "segment", "segments", "segmentation", "segmentations", "segmented", "trimap", "trimaps", "target",
          "targets", "manual", "semantic", "matte", "mattes", "y"}
_OBJECTS = {"instance", "instances", "instanceids", "inst"}    # numbers of objects in place of classes
_COLOURS = {"color", "colors", "colour", "colours", "rgb", "visual", "visualization", "vis", "overlay", "overlays"}
# Names of folders that no class has beside one of pictures.
_PLAIN = {"image", "images", "img", "imgs", "mask", "masks", "label", "labels", "annotation", "annotations",
          "groundtruth", "groundtruths", "segmentation", "segmentations"}
_SAY_NOTHING = {"jpeg", "jpg", "png", "tif", "ground", "class", "classes", "data", "set", "file", "files", "ids", "id",
                "full", "map", "maps", "binary"}
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


def words_of(name: str) -> list[str]:
    """The words of a name in lower case, and its numbers: PedMasks_01 -> ped, masks, 01."""
    return [word.lower() for word in _WORD.findall(name)]


def kind_of(name: str) -> str | None:
    """What a folder of this name holds: masks, pictures, or objects, which are masks with a number an object; None
    where its name does not say."""
    words = set(words_of(name))
    if words & _OBJECTS or ("object" in words and words & _MASKS):
        return "objects"
    if words & _MASKS:
        return "masks"
    return "pictures" if words & _PICTURES else None


def shows_colours(name: str) -> bool:
    """Whether a folder of masks shows them to people, in colours, beside those with the numbers of classes."""
    return bool(set(words_of(name)) & _COLOURS)


def says_what_it_holds(name: str) -> bool:
    """Whether a folder is called after pictures or masks alone, as JPEGImages or Instance_masks, and so after no class;
    words that may be one, as photo or target, do not count."""
    words = set(words_of(name))
    return bool(words & _PLAIN) and words <= _PICTURES | _MASKS | _OBJECTS | _SAY_NOTHING


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
    of_ids = {"ids", "color", "colour"} if {"instance", "label"} & set(words) else set()    # instanceIds, labelIds
    words = [word for word in words if word not in _PICTURES | _MASKS | _OBJECTS | {"ground"} | of_ids]
    return os.path.join(folder, "_".join(words)) if words else None


def masks_among(files: Iterable[str]) -> list[str]:
    """The files that are called as the masks of others among them: a_mask.png and a_mask_1.png beside a.png, and
    masks/a.png beside images/a.png."""
    by_folder: dict[str, list[str]] = {}
    for file in files:
        by_folder.setdefault(os.path.dirname(file), []).append(file)
    masks = list[str]()
    for folder, inside in by_folder.items():
        stems = {file: os.path.splitext(os.path.basename(file))[0] for file in inside}
        pictures = {stem.lower() for stem in stems.values() if not names_a_mask(stem)}
        keys = {key_of(stem) for stem in stems.values() if not names_a_mask(stem)}
        if kind_of(os.path.basename(folder)) in ("masks", "objects"):
            beside = [other for other in by_folder if os.path.dirname(other) == os.path.dirname(folder)
                      and kind_of(os.path.basename(other)) == "pictures"]
            others = {key_of(stem) or stem for other in beside for file in by_folder[other]
                      for stem in [os.path.splitext(os.path.basename(file))[0]]}
            masks += [file for file, stem in stems.items() if (key_of(stem) or stem) in others]
            continue
        for file, stem in stems.items():
            if names_a_mask(stem) and (_before_mask(stem).lower() in pictures or key_of(stem) in keys - {None}):
                masks.append(file)
    return masks


def _before_mask(stem: str) -> str:
    """What stands before the word that says mask in a name: a_mask_1 -> a."""
    for found in _WORD.finditer(stem):
        if found[0].lower() in _MASKS:
            return stem[: found.start()].rstrip(" _-.")
    return stem
