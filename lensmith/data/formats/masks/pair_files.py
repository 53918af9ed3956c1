"""Masks of pixels in folders: which file is the mask of which picture, in the layouts that are in use."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError
from lensmith.data.formats.boxes.voc import image_sets
from lensmith.data.formats.boxes.yolo_folders import read_config
from lensmith.data.formats.files_below import pictures_below
from lensmith.data.formats.format import BESIDE, LAYOUT, NOTHING, Evidence
from lensmith.data.formats.given_splits import split_folders, split_named
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.masks.mask_folders import LOSSLESS, mask_folders, named_folders
from lensmith.data.formats.masks.names_of_ids import ClassList
from lensmith.data.formats.masks.object_folders import object_layout
from lensmith.data.formats.masks.words_in_names import key_of, names_a_mask
from lensmith.data.formats.reading import read_text
from lensmith.data.sources.mask_files import LOSSY
from lensmith.data.sources.picture_files import readable

LAYOUTS = "accepted are images/ with masks/ (or labels, annotations, trimaps), JPEGImages/ with SegmentationClass/, " \
          "leftImg8bit/ with gtFine/, train/ with trainannot/ or train_labels/, a.jpg with a.png or a_mask.png " \
          "beside it, a .yaml with `images` and `masks` for each split, and the folders of data.images and data.masks"
_ENDINGS = ("", "_mask", "-mask", "_masks", "_label", "_labels", "_seg", "_L", "_P")    # after a picture's name

# Cityscapes' 19 classes that count, by their ids in *_labelIds.png and in *_labelTrainIds.png
# (mcordts/cityscapesScripts, helpers/labels.py). Every other id is void.
CITYSCAPES = {7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
               20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car",
               27: "truck", 28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle"}


@dataclass
class MaskPairs:
    """The pictures of a split with their masks, pictures that have none, and masks that have no picture."""

    paths: list[Path] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)    # one a path
    without_mask: list[Path] = field(default_factory=list)
    orphans: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class MaskLayout:
    """The pictures and masks of a folder, and what its layout says of the classes."""

    name: str
    splits: dict[str, MaskPairs]
    listed: ClassList | None = None    # the classes, where the layout fixes them
    void: list[int] | None = None      # the ids that are void, where the layout fixes the classes
    config: Path | None = None         # the file that describes the set
    in_no_split: int = 0               # pictures with a mask that no list of a split names
    left_out: list[str] = field(default_factory=list)    # folders that hold neither the pictures nor the masks


def find_masks(root: Path, *, images: str | None = None, masks: str | None = None) -> MaskLayout | None:
    """The pictures and masks below a folder, or of a YAML file that names their folders; raises DataError.

    None where the folder has none of the layouts. `images` and `masks` name the two folders in it.
    """
    if images is not None and masks is not None:
        return MaskLayout("named", _pair_splits(named_folders(root, images, masks)))
    listing = Listing(root)
    config = root if listing.is_file else described_by(listing)
    if config is not None:
        return MaskLayout("described", _pair_splits(_folders_of_config(config, read_config(config))), config=config)
    layout = mask_folders(listing)
    if layout is None:
        splits = {split: _pairs_beside(folder) for split, folder in (split_folders(root) or {"all": root}).items()}
        return MaskLayout("beside", splits) if any(pairs.paths for pairs in splits.values()) else None
    if layout.name == "cityscapes":
        return _cityscapes(layout.by_split)
    splits = _pair_splits(layout.by_split)
    stems_of = image_sets(root, "Segmentation") if layout.name == "voc" and "all" in splits else {}
    if not stems_of:
        return MaskLayout(layout.name, splits, left_out=layout.left_out)
    divided = {split: _of_stems(splits["all"], stems) for split, stems in stems_of.items()}
    listed = set().union(*stems_of.values())
    return MaskLayout(layout.name, divided, in_no_split=sum(path.stem not in listed for path in splits["all"].paths))


def recognise_masks(listing: Listing) -> Evidence:
    """A description with folders of masks, folders that are called as those of pictures and masks, or masks beside
    their pictures. A file has to be a description."""
    if listing.is_file:
        return Evidence(LAYOUT if describes_masks(listing.path) else NOTHING, sentence=listing.path.name)
    config = described_by(listing)
    if config is not None:
        return Evidence(LAYOUT, sentence=config.name)
    if object_layout(listing) is not None:
        return Evidence()
    layout = mask_folders(listing)
    if layout is not None:
        images, masks = next(iter(layout.by_split.values()))
        return Evidence(LAYOUT, sentence=f"{images.relative_to(listing.path)} and {masks.relative_to(listing.path)}")
    for folder in listing.splits.values() or [listing]:
        # In class folders no pictures lie here, beside the folders of the classes.
        pictures = [name for name in folder.files if name.lower().endswith((*LOSSLESS, *LOSSY))]
        pairs = list(_mask_names(pictures))
        # With fewer pairs a picture or two may just have been saved twice.
        if pairs and 4 * len(pairs) >= len(pictures):
            without_mask = len(pictures) - 2 * len(pairs)
            return Evidence(BESIDE, BESIDE if without_mask > 0 else NOTHING, f"{pairs[0][1]} beside {pairs[0][0]}")
    return Evidence()


def described_by(folder: Listing) -> Path | None:
    """The YAML file in a folder that names a folder of masks."""
    files = [folder.path / name for name in folder.ending((".yaml", ".yml"))]
    return next((file for file in files if describes_masks(file)), None)


def describes_masks(file: Path) -> bool:
    """Whether a YAML file has a key `masks` within another."""
    try:
        return any(line.lstrip().startswith("masks:") and line[:1].isspace() for line in read_text(file).splitlines())
    except DataError:
        return False


def _folders_of_config(config: Path, content: Mapping[str, Any]) -> dict[str, tuple[Path, Path]]:
    """The folders of pictures and masks by split that a YAML file names, from its own folder; raises DataError."""
    base = config.parent / Path(str(content.get("path") or ".")).expanduser()
    by_split = {}
    for key, value in content.items():
        split = split_named(str(key))
        if split is None or not isinstance(value, dict):
            continue
        folders = {}
        for name in ("images", "masks"):
            if not isinstance(value.get(name), str):
                raise DataError(f"{readable(config)}: {key} has no {name}: the folder of the {name} is expected there")
            folders[name] = Path(os.path.normpath(base / value[name]))
            if not folders[name].is_dir():
                raise DataError(f"{readable(config)}: {key}: {name}: there is no folder {readable(folders[name])}")
        by_split[split] = (folders["images"], folders["masks"])
    if not by_split:
        raise DataError(f"{readable(config)} names no train with its folders `images` and `masks`")
    return by_split


def _pair_splits(folders: Mapping[str, tuple[Path, Path]]) -> dict[str, MaskPairs]:
    return {split: pair_by_name(images, masks) for split, (images, masks) in folders.items()}


def pair_by_name(images: Path, masks: Path, *, picture_ending: str = "",
                 endings: tuple[str, ...] = _ENDINGS) -> MaskPairs:
    """Each picture with the mask that lies at the same place below `masks` and has its name, followed by one of the
    endings, or but for words that say picture and mask, as img_01 and mask_01; raises DataError where two masks have
    one name. `picture_ending` is taken off the picture's name before."""
    by_stem = _by_stem(masks, endings) if masks.is_dir() else {}
    by_key = _by_key(by_stem)
    pairs, used = MaskPairs(), set()
    for picture in sorted(pictures_below(os.fspath(images), ignored=[])):
        stem = os.path.splitext(os.path.relpath(picture, images))[0].removesuffix(picture_ending)
        mask = next((stem + ending for ending in endings if stem + ending in by_stem), None)
        if mask is None and picture_ending == "":
            mask = by_key.get(key_of(stem) or stem)
        if mask is None or mask in used:
            pairs.without_mask.append(Path(picture))
            continue
        used.add(mask)
        pairs.paths.append(Path(picture))
        pairs.masks.append(by_stem[mask])
    if not pairs.paths and picture_ending == "":
        _pair_by_number(pairs, list(by_stem.values()))
        used = {stem for stem, path in by_stem.items() if path in pairs.masks}
    pairs.orphans = [path for stem, path in by_stem.items() if stem not in used]
    return pairs


def _pair_by_number(pairs: MaskPairs, masks: Sequence[Path]) -> None:
    """Pair pictures and masks by the first number in their names, as 21_training with 21_manual1, where every picture
    has another one and every mask has that of a picture."""
    by_number = [{found[0].lstrip("0"): path for path in paths if (found := re.search(r"\d+", path.stem))}
                 for paths in (pairs.without_mask, masks)]
    pictures, numbered = by_number
    if len(pictures) == len(pairs.without_mask) and len(numbered) == len(masks) and pictures.keys() == numbered.keys():
        pairs.paths, pairs.masks, pairs.without_mask = list(pictures.values()), [numbered[n] for n in pictures], []


def _by_stem(folder: Path, endings: tuple[str, ...]) -> dict[str, Path]:
    """The masks below a folder by their path in it without suffix."""
    by_stem: dict[str, Path] = {}
    for path in sorted(pictures_below(os.fspath(folder), ignored=[])):
        stem = os.path.splitext(os.path.relpath(path, folder))[0]
        if stem.endswith(endings):
            if stem in by_stem:
                raise DataError(f"{readable(by_stem[stem])} and {readable(path)} are masks of one name: take one away")
            by_stem[stem] = Path(path)
    return by_stem


def _by_key(by_stem: Mapping[str, Path]) -> dict[str, str]:
    """The stem of each mask by what it has in common with the name of its picture, where no other has that too."""
    stems: dict[str, list[str]] = {}
    for stem in by_stem:
        stems.setdefault(key_of(stem) or stem, []).append(stem)
    return {key: alike[0] for key, alike in stems.items() if len(alike) == 1}


def _cityscapes(folders: Mapping[str, tuple[Path, Path]]) -> MaskLayout:
    """Pictures x_leftImg8bit with masks x_gtFine_labelTrainIds, or where there are none of these x_gtFine_labelIds."""
    for ending in ("_gtFine_labelTrainIds", "_gtFine_labelIds"):
        splits = {split: pair_by_name(*pair, picture_ending="_leftImg8bit", endings=(ending,))
                  for split, pair in folders.items()}
        if any(pairs.paths for pairs in splits.values()):
            break
    train_ids = ending.endswith("TrainIds")
    names = dict(enumerate(CITYSCAPES.values())) if train_ids else CITYSCAPES
    void = [id_ for id_ in (*range(34), 255) if id_ not in names]
    return MaskLayout("cityscapes", splits, ClassList(names, "Cityscapes' list of classes"), void)


def _of_stems(pairs: MaskPairs, stems: set[str]) -> MaskPairs:
    """The pairs of the pictures that a list names."""
    listed = [(path, mask) for path, mask in zip(pairs.paths, pairs.masks, strict=True) if path.stem in stems]
    return MaskPairs([path for path, _ in listed], [mask for _, mask in listed],
                     [path for path in pairs.without_mask if path.stem in stems])


def _pairs_beside(folder: Path) -> MaskPairs:
    """The pictures in a folder and those below it that have their mask beside them."""
    files = {os.path.relpath(path, folder): Path(path) for path in pictures_below(os.fspath(folder), ignored=[])}
    pairs = MaskPairs()
    for picture, mask in _mask_names(sorted(files)):
        pairs.paths.append(files[picture])
        pairs.masks.append(files[mask])
    used = {*pairs.paths, *pairs.masks}
    pairs.without_mask = sorted(path for path in files.values() if path not in used)
    return pairs


def _mask_names(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pictures and their masks among the files of one folder: a.jpg and a.png, or a.* and a_mask.png."""
    by_stem: dict[str, list[str]] = {}
    for name in names:
        by_stem.setdefault(os.path.splitext(name)[0], []).append(name)
    by_key: dict[str, list[str]] = {}    # masks by what their names have in common with those of their pictures
    pictures_of = Counter(key_of(stem) or "" for stem in by_stem if not names_a_mask(stem))
    for stem in filter(names_a_mask, by_stem):
        by_key.setdefault(key_of(stem) or "", []).extend(by_stem[stem])
    by_key.pop("", None)
    for stem, alike in by_stem.items():
        lossy = [name for name in alike if name.lower().endswith(LOSSY)]
        lossless = [name for name in alike if name.lower().endswith(LOSSLESS)]
        if len(lossy) == 1 and len(lossless) == 1:
            yield lossy[0], lossless[0]
            continue
        masks = [name for ending in _ENDINGS[1:] for name in by_stem.get(stem + ending, ())]
        if len(alike) == 1 and masks:
            yield alike[0], masks[0]
        elif len(alike) == 1 and not names_a_mask(stem):
            masks = by_key.get(key_of(stem) or "", [])
            if len(masks) == 1 and pictures_of[key_of(stem) or ""] == 1:
                yield alike[0], masks[0]
