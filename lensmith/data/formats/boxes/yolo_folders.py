"""Where the pictures and labels of a YOLO set lie, and what its classes are called."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError, UserError, count
from lensmith.data.formats.boxes.darknet_lists import data_file, lists_in, lists_of_data_file, names_in
from lensmith.data.formats.boxes.yolo_pictures import LabelledPictures, add_pictures, resolved
from lensmith.data.formats.class_names import check_names
from lensmith.data.formats.format import LAYOUT, Evidence, beside_pictures
from lensmith.data.formats.given_splits import split_folders
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.located import Finder
from lensmith.data.formats.reading import read_text
from lensmith.data.sources.picture_files import readable

_LAYOUTS = "accepted are a data.yaml, images/ with labels/ beside it, <split>/images with <split>/labels, and text " \
           "files beside the pictures"


@dataclass(frozen=True)
class YoloSet:
    """The pictures of a set by split, and what describes it."""

    splits: dict[str, LabelledPictures]
    config: Path | None           # a data.yaml, or Darknet's .data file
    content: Mapping[str, Any]    # of the data.yaml; empty where there is none
    missing: list[str] = field(default_factory=list)    # the entries of splits that are not there

    @property
    def keypoints(self) -> int:
        """How many numbers of keypoints follow each box: those of `kpt_shape`, as [17, 3]; 0 in a set without poses.
        Raises DataError where it is none."""
        shape = self.content.get("kpt_shape")
        if not shape:
            return 0
        if not isinstance(shape, list) or len(shape) != 2 or not all(re.fullmatch(r"[1-9]\d{0,3}", str(number))
                                                                     for number in shape):
            raise DataError(f"{self.config}: kpt_shape: {str(shape)[:40]!r} is no shape of keypoints: their number and "
                            "the numbers of each are expected, as [17, 3]")
        return int(shape[0]) * int(shape[1])


def find_yolo(root: Path) -> YoloSet:
    """The set in a folder, or of a data.yaml or Darknet's .data file; raises DataError."""
    config = config_file(root)
    if config is not None and config.suffix.lower() == ".data":
        lists, names, missing = lists_of_data_file(config)
        return YoloSet(_splits_of_lists(lists, config.parent), config, {"names": list(names)} if names else {}, missing)
    if config is not None:
        content = read_config(config)
        missing = list[str]()
        return YoloSet(_splits_of_config(config, content, missing), config, content, missing)
    lists = lists_in(Listing(root))
    listed = _splits_of_lists(lists, root)
    # Lists that name nothing that is there are those of another set.
    if any(os.path.isfile(picture) for split in listed.values() for picture in split.pictures):
        return YoloSet(listed, None, {})
    return YoloSet(_splits_of_folders(root), None, {})


def _splits_of_lists(lists: Mapping[str, Path], folder: Path) -> dict[str, LabelledPictures]:
    splits = {split: LabelledPictures() for split in lists}
    for split, file in lists.items():
        add_pictures(splits[split], file, [folder])
    return splits


def config_file(root: Path) -> Path | None:
    """The file that describes a set: `root` itself, or in this folder the YAML file with names and splits, else
    Darknet's .data file; None where there is none. Raises DataError where there are several."""
    if root.is_file():
        if root.suffix.lower() in (".yaml", ".yml", ".data"):
            return root
        raise DataError(f"{root} is a file and no .yaml or .data: {_LAYOUTS}")
    listing = Listing(root)
    configs = [file for name in listing.ending((".yaml", ".yml")) if describes(file := root / name)]
    if len(configs) > 1:
        raise DataError(f"{root} holds several descriptions of a set, {', '.join(file.name for file in configs)}: give "
                        "the one that is meant in place of the folder")
    return configs[0] if configs else data_file(listing)


def describes(file: Path) -> bool:
    """Whether a file has the keys names and train, val or test at the beginning of a line."""
    try:
        text = read_text(file)
    except DataError:
        return False
    return all(re.search(rf"^{word}\s*:", text, re.MULTILINE) for word in ("names", "(train|val|test)"))


def recognise_yolo(listing: Listing) -> Evidence:
    """A description of a set, label files in a folder `labels`, or label files beside pictures."""
    if listing.is_file:
        return Evidence()    # its suffix says so already, but for a description of masks
    described = next((name for name in listing.ending((".yaml", ".yml")) if describes(listing.path / name)), None)
    if described is None and (darknet := data_file(listing)) is not None:
        described = darknet.name
    if described is not None:
        return Evidence(LAYOUT, sentence=described)
    for folder in listing.with_splits():
        for name in folder.folders:
            labels = folder.inner(name) if name.lower() in ("labels", "label") else None
            if labels is not None and labels.holds((".txt",)):
                return Evidence(LAYOUT, sentence=f"{labels.path.relative_to(listing.path)}/*.txt")
    return beside_pictures(listing, ".txt")


def read_config(file: Path) -> dict[str, Any]:
    """The content of a data.yaml, every scalar as its text; raises DataError."""
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError as error:
        raise DataError(f"to read {file} takes PyYAML: pip install pyyaml, or give the folder above "
                        "images and labels with data.classes") from error
    try:
        # As texts, since a class may be called no, 1 or 2024-01-01.
        content = yaml.load(read_text(file), Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise DataError(f"{file}, line {line}: is not YAML ({error.problem})") from error
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        raise DataError(f"{file} is not YAML ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise DataError(f"{file} is no description of a set: train, val and names are expected in it")
    return content


def class_names(content: Mapping[str, Any], config: Path | None, folder: Path,
                classes: tuple[str, ...] | None) -> tuple[dict[int, str] | None, str]:
    """The class names by number, None where nothing names them, and what names them.

    They are those of the data.yaml, else of a classes.txt or a .names file; `classes`, the setting, renames them in
    order. Raises DataError, UserError.
    """
    listed = content.get("names")
    names, source = None, "data.classes"
    if listed:
        assert config is not None
        names, source = names_by_number(listed, config), readable(config)
        if "nc" in content and str(content["nc"]).strip() not in (str(len(names)), str(max(names) + 1)):
            raise DataError(f"{config}: nc says {content['nc']} and names holds {len(names)} classes: mend "
                            "one of them")
    else:
        file = _names_file(folder)
        if file is not None:
            names, source = dict(enumerate(names_in(file))), readable(file)
    if classes is not None:
        if names is not None and len(classes) != len(names):
            raise UserError(f"data.classes has {count(len(classes), 'name')}, but {source} has {len(names)}: the "
                            "numbers in the label files stand for as many")
        names, source = dict(zip(names or range(len(classes)), classes, strict=True)), "data.classes"
    if names is not None:
        check_names(tuple(names.values()), source)
    return names, source


def _names_file(folder: Path) -> Path | None:
    """The file in a folder that lists the class names, one a line, as tools call it."""
    usual = ["classes.txt", "labels/classes.txt", "obj.names", "_darknet.labels", "train/_darknet.labels",
             "train/classes.txt", *Listing(folder).ending((".names",))]
    return next((folder / name for name in usual if (folder / name).is_file()), None)


def names_by_number(listed: Any, config: Path) -> dict[int, str]:
    """The value of the key `names`, a list or a map, which may have gaps, in the order of the numbers; raises
    DataError."""
    if isinstance(listed, list) and all(isinstance(name, str) for name in listed):
        return {i: name.strip() for i, name in enumerate(listed)}
    if isinstance(listed, dict) and all(isinstance(name, str) for name in listed.values()):
        for key in listed:
            if not re.fullmatch(r"\d{1,9}", str(key)):
                raise DataError(f"{config}: names: {str(key)[:40]!r} is no class number: a whole number from 0 up is "
                                "expected")
        return {int(key): listed[key].strip() for key in sorted(listed, key=int)}
    raise DataError(f"{config}: names is neither a list, as [cat, dog], nor a map, as {{0: cat, 1: dog}}")


def _splits_of_config(config: Path, content: Mapping[str, Any], missing: list[str]) -> dict[str, LabelledPictures]:
    """The splits that a data.yaml names; raises DataError for what is not there.

    Entries of test that are not there are added to `missing`, and those with a leading `../` of valid: Roboflow writes
    all three splits, whether the set has them or not.
    """
    splits: dict[str, LabelledPictures] = {}
    for split, keys in (("train", ("train",)), ("valid", ("val", "valid")), ("test", ("test",))):
        value = next((content[key] for key in keys if content.get(key)), None)
        if value is None:
            continue
        entries = value if isinstance(value, list) else [value]
        if not all(isinstance(entry, str) for entry in entries):
            raise DataError(f"{config}: {keys[0]} is neither a folder, a .txt file of pictures nor a list of these")
        splits[split] = LabelledPictures()
        base = config.parent / Path(str(content.get("path") or ".")).expanduser()
        for entry in entries:
            path = _path_of_entry(entry, [base, config.parent])
            if path is not None:
                add_pictures(splits[split], path, [config.parent])
            elif split == "test" or (split == "valid" and entry.startswith("../")):
                missing.append(f"{keys[0]}: {entry}")
            else:
                raise DataError(f"{config}: {keys[0]}: {entry} was not found: there is no "
                                f"{' and no '.join(map(str, dict.fromkeys([base / entry, config.parent / entry])))}")
    if not splits:
        raise DataError(f"{config} names no train: a folder of pictures or a .txt file that lists them is expected")
    return {split: pictures for split, pictures in splits.items() if pictures.pictures or split == "train"}


def _path_of_entry(entry: str, bases: list[Path]) -> Path | None:
    """The folder or list of an entry; None where it is not there.

    Roboflow writes one ../ too many, or the name of its project in front: train/images is what has to be there.
    """
    keep = 1 if entry.lower().endswith(".txt") else 2
    return Finder(bases, keep=keep, exists=lambda path: os.path.exists(resolved(path))).find(entry)


def _splits_of_folders(root: Path) -> dict[str, LabelledPictures]:
    """The splits of a set without a data.yaml; raises DataError where it has no label file."""
    images = next((root / name for name in ("images", "Images", "image", "Image", "imgs", "img")
                   if os.path.exists(root / name)), root / "images")
    followed = resolved(images)
    if os.path.isdir(followed):
        folders = {split: images / folder.name for split, folder in split_folders(followed).items()} or {"all": images}
    else:
        folders = {split: next((folder / name for name in ("images", "Images", "image", "imgs")
                                if (folder / name).is_dir()), folder)
                   for split, folder in split_folders(root).items()} or {"all": root}
    splits = {split: LabelledPictures() for split in folders}
    for split, folder in folders.items():
        add_pictures(splits[split], folder)
    if not any(os.path.isfile(label) for split in splits.values() for label in split.labels):
        pictures = sum(len(split.pictures) for split in splits.values())
        raise DataError(f"{root} holds {count(pictures, 'picture')} and no label file of YOLO's: {_LAYOUTS}")
    return splits


