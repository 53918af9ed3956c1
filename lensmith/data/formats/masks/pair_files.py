"""Masks of pixels in folders: which file is the mask of which picture, in the layouts that are in use."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError
from lensmith.data.formats.boxes.voc import image_sets
from lensmith.data.formats.boxes.yolo_folders import read_config
from lensmith.data.formats.class_folders import pictures_below
from lensmith.data.formats.format import BESIDE, LAYOUT, NOTHING, Evidence
from lensmith.data.formats.given_splits import split_folders, split_named
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.masks.ids_to_classes import ClassList
from lensmith.data.formats.reading import read_text
from lensmith.data.sources.picture_files import readable

LAYOUTS = "accepted are images/ with masks/ (or labels, annotations, trimaps), JPEGImages/ with SegmentationClass/, " \
          "leftImg8bit/ with gtFine/, train/ with trainannot/ or train_labels/, a.jpg with a.png or a_mask.png " \
          "beside it, a .yaml with `images` and `masks` for each split, and the folders of data.images and data.masks"
_IMAGES = ("images", "JPEGImages", "imgs", "img")
# The more particular before what may hold other things too.
_MASKS = ("masks", "mask", "SegmentationClassPNG", "SegmentationClass", "annotations/trimaps", "trimaps", "labels",
          "annotations")
_BESIDE = ("annot", "_annot", "_labels", "_masks")    # behind the name of a split's folder: CamVid, as it is passed on
_ENDINGS = ("", "_mask", "-mask", "_masks", "_label", "_labels", "_seg", "_L", "_P")    # behind a picture's name
_LOSSLESS = (".png", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")
_LOSSY = (".jpg", ".jpeg", ".webp", ".jp2")

# Cityscapes' 19 classes that count, by their ids in *_labelIds.png and in *_labelTrainIds.png
# (mcordts/cityscapesScripts, helpers/labels.py). Every other id is void.
_CITYSCAPES = {7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
               20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car",
               27: "truck", 28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle"}


@dataclass
class Pairs:
    """The pictures of a part with their masks, pictures that have none, and masks that have no picture."""

    paths: list[Path] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)    # one a path
    bare: list[Path] = field(default_factory=list)
    orphans: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """What was found in a folder."""

    name: str
    parts: dict[str, Pairs]
    listed: ClassList | None = None    # the classes, where the layout fixes them
    void: list[int] | None = None
    config: Path | None = None         # the file that describes the set
    unlisted: int = 0                  # pictures with a mask that no list of a split names


def find_masks(root: Path, *, images: str | None = None, masks: str | None = None) -> Layout | None:
    """The pictures and masks below a folder, or of a YAML file that names their folders; None where the folder has
    none of the layouts. `images` and `masks` name the folders in it. Raises DataError."""
    if images is not None and masks is not None:
        places = [root / Path(one).expanduser() for one in (images, masks)]
        for name, place in zip(("images", "masks"), places, strict=True):
            if not place.is_dir():
                raise DataError(f"data.{name}={place} is no folder")
        return Layout("named", _paired_parts(_by_split(*map(Listing, places))))
    folder = Listing(root)
    config = root if folder.is_file else described_by(folder)
    if config is not None:
        return Layout("described", _paired_parts(_of_config(config, read_config(config))), config=config)
    found = _folder_pairs(folder)
    if found is None:
        parts = {split: _beside(folder) for split, folder in (split_folders(root) or {"all": root}).items()}
        return Layout("beside", parts) if any(part.paths for part in parts.values()) else None
    name, folders = found
    if name == "cityscapes":
        return _cityscapes(folders)
    parts = _paired_parts(folders)
    listed = image_sets(root, "Segmentation") if name == "voc" and "all" in parts else {}
    if not listed:
        return Layout(name, parts)
    divided = {split: _named(parts["all"], stems) for split, stems in listed.items()}
    named = set().union(*listed.values())
    return Layout(name, divided, unlisted=sum(path.stem not in named for path in parts["all"].paths))


def recognise_masks(listing: Listing) -> Evidence:
    """A description with folders of masks, folders that are called as those of pictures and masks, or masks beside
    their pictures. A file has to be a description."""
    if listing.is_file:
        return Evidence(LAYOUT if describes_masks(listing.path) else NOTHING, sentence=listing.path.name)
    config = described_by(listing)
    if config is not None:
        return Evidence(LAYOUT, sentence=config.name)
    found = _folder_pairs(listing)
    if found is not None:
        images, masks = next(iter(found[1].values()))
        return Evidence(LAYOUT, sentence=f"{images.relative_to(listing.path)} and {masks.relative_to(listing.path)}")
    for folder in listing.splits.values() or [listing]:
        # Of class folders there are no pictures here.
        pictures = [name for name in folder.files if name.lower().endswith((*_LOSSLESS, *_LOSSY))]
        pairs = list(_twins(pictures))
        if pairs and 4 * len(pairs) >= len(pictures):    # not some picture that was saved twice
            return Evidence(BESIDE, BESIDE if 2 * len(pairs) < len(pictures) else NOTHING,
                            f"{pairs[0][1]} beside {pairs[0][0]}")
    return Evidence()


def described_by(folder: Listing) -> Path | None:
    """The YAML file in a folder that names a folder of masks."""
    found = [folder.path / name for name in folder.ending((".yaml", ".yml"))]
    return next((one for one in found if describes_masks(one)), None)


def describes_masks(file: Path) -> bool:
    """Whether a YAML file has a key `masks` within another."""
    try:
        return any(line.lstrip().startswith("masks:") and line[:1].isspace() for line in read_text(file).splitlines())
    except DataError:
        return False


def _of_config(config: Path, content: Mapping[str, Any]) -> dict[str, tuple[Path, Path]]:
    """The folders of pictures and masks by split, as a YAML file names them, from its own folder."""
    base = config.parent / Path(str(content.get("path") or ".")).expanduser()
    found = {}
    for key, value in content.items():
        split = split_named(str(key))
        if split is None or not isinstance(value, dict):
            continue
        places = {}
        for name in ("images", "masks"):
            if not isinstance(value.get(name), str):
                raise DataError(f"{readable(config)}: {key} has no {name}: the folder of the {name} is expected there")
            places[name] = Path(os.path.normpath(base / value[name]))
            if not places[name].is_dir():
                raise DataError(f"{readable(config)}: {key}: {name}: there is no folder {readable(places[name])}")
        found[split] = (places["images"], places["masks"])
    if not found:
        raise DataError(f"{readable(config)} names no train with its folders `images` and `masks`")
    return found


def _folder_pairs(folder: Listing) -> tuple[str, dict[str, tuple[Path, Path]]] | None:
    """A layout's name, and the folders of pictures and masks by split, by the names of folders alone."""
    images, masks = folder.inner("leftImg8bit"), folder.inner("gtFine")
    if images is not None and masks is not None:
        return "cityscapes", _by_split(images, masks)
    pair = _pair_in(folder)
    if pair is not None:
        return "voc" if pair[1].path.name.startswith("SegmentationClass") else "folders", _by_split(*pair)
    inner = {split: (pair[0].path, pair[1].path) for split, one in folder.splits.items()
             if (pair := _pair_in(one)) is not None}
    if inner:
        return "folders", inner
    beside = {split: (one.path, masks.path) for split, one in folder.splits.items() for ending in _BESIDE
              if (masks := folder.inner(one.path.name + ending)) is not None}
    return ("camvid", beside) if beside else None


def _pair_in(folder: Listing) -> tuple[Listing, Listing] | None:
    """The folders of pictures and masks in a folder."""
    images = next((inner for name in _IMAGES if (inner := folder.inner(name)) is not None), None)
    if images is None:
        return None
    return next(((images, inner) for name in _MASKS
                 if (inner := folder.inner(name)) is not None and inner.holds_below(_LOSSLESS)), None)


def _by_split(images: Listing, masks: Listing) -> dict[str, tuple[Path, Path]]:
    if not images.splits:
        return {"all": (images.path, masks.path)}
    return {split: (folder.path, masks.splits[split].path if split in masks.splits else masks.path / folder.path.name)
            for split, folder in images.splits.items()}


def _paired_parts(folders: Mapping[str, tuple[Path, Path]]) -> dict[str, Pairs]:
    return {split: _paired(*pair) for split, pair in folders.items()}


def _paired(images: Path, masks: Path, *, picture_ending: str = "", endings: tuple[str, ...] = _ENDINGS) -> Pairs:
    """Each picture with the mask that lies at the same place below `masks` and is called like it, with one of the
    endings; raises DataError where two are, or where it is a JPEG."""
    by_stem = _by_stem(masks, endings) if masks.is_dir() else {}
    pairs, used = Pairs(), set()
    for picture in sorted(pictures_below(os.fspath(images), ignored=[])):
        stem = os.path.splitext(os.path.relpath(picture, images))[0].removesuffix(picture_ending)
        found = next((stem + ending for ending in endings if stem + ending in by_stem), None)
        if found is None:
            pairs.bare.append(Path(picture))
            continue
        used.add(found)
        pairs.paths.append(Path(picture))
        pairs.masks.append(_lossless(by_stem[found]))
    pairs.orphans = [path for stem, path in by_stem.items() if stem not in used]
    return pairs


def _by_stem(folder: Path, endings: tuple[str, ...]) -> dict[str, Path]:
    """The masks below a folder by their path in it without suffix."""
    found: dict[str, Path] = {}
    for path in sorted(pictures_below(os.fspath(folder), ignored=[])):
        stem = os.path.splitext(os.path.relpath(path, folder))[0]
        if stem.endswith(endings):
            if stem in found:
                raise DataError(f"{readable(found[stem])} and {readable(path)} are masks of one name: take one away")
            found[stem] = Path(path)
    return found


def _lossless(mask: Path) -> Path:
    if mask.name.lower().endswith(_LOSSLESS):
        return mask
    raise DataError(f"mask {readable(mask)} is in a format that changes the values of pixels: save masks as PNG")


def _cityscapes(folders: Mapping[str, tuple[Path, Path]]) -> Layout:
    """Pictures x_leftImg8bit with masks x_gtFine_labelTrainIds, where there are none of these x_gtFine_labelIds."""
    for ending in ("_gtFine_labelTrainIds", "_gtFine_labelIds"):
        parts = {split: _paired(*pair, picture_ending="_leftImg8bit", endings=(ending,))
                 for split, pair in folders.items()}
        if any(part.paths for part in parts.values()):
            break
    train_ids = ending.endswith("TrainIds")
    names = dict(enumerate(_CITYSCAPES.values())) if train_ids else _CITYSCAPES
    void = [one for one in (*range(34), 255) if one not in names]
    return Layout("cityscapes", parts, ClassList(names, "Cityscapes' list of classes"), void)


def _named(pairs: Pairs, stems: set[str]) -> Pairs:
    """The pairs of the pictures that a list names."""
    chosen = [(path, mask) for path, mask in zip(pairs.paths, pairs.masks, strict=True) if path.stem in stems]
    return Pairs([path for path, _ in chosen], [mask for _, mask in chosen],
                 [path for path in pairs.bare if path.stem in stems])


def _beside(folder: Path) -> Pairs:
    """The pictures in a folder and those below it that have their mask beside them."""
    files = {os.path.relpath(path, folder): Path(path) for path in pictures_below(os.fspath(folder), ignored=[])}
    pairs = Pairs()
    for picture, mask in _twins(sorted(files)):
        pairs.paths.append(files[picture])
        pairs.masks.append(files[mask])
    taken = {*pairs.paths, *pairs.masks}
    pairs.bare = sorted(path for path in files.values() if path not in taken)
    return pairs


def _twins(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pictures and their masks among files of one folder: a.jpg and a.png, or a.* and a_mask.png."""
    by_stem: dict[str, list[str]] = {}
    for name in names:
        by_stem.setdefault(os.path.splitext(name)[0], []).append(name)
    for stem, own in by_stem.items():
        lossy = [name for name in own if name.lower().endswith(_LOSSY)]
        plain = [name for name in own if name.lower().endswith(_LOSSLESS)]
        if len(lossy) == 1 and len(plain) == 1:
            yield lossy[0], plain[0]
            continue
        masks = [name for ending in _ENDINGS[1:] for name in by_stem.get(stem + ending, ())
                 if name.lower().endswith(_LOSSLESS)]
        if len(own) == 1 and masks:
            yield own[0], masks[0]
