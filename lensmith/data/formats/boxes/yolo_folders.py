"""Where the pictures and labels of a YOLO set lie, and what its classes are called."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError, UserError, count
from lensmith.base.picture_suffixes import SUFFIXES, SUFFIXES_IN_WORDS
from lensmith.data.formats.class_names import check_names
from lensmith.data.formats.files_below import files_below, pictures_below
from lensmith.data.formats.format import LAYOUT, Evidence, beside_pictures
from lensmith.data.formats.given_splits import split_folders
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.reading import read_text
from lensmith.data.sources.picture_files import readable

_LAYOUTS = "accepted are a data.yaml, images/ with labels/ beside it, <split>/images with <split>/labels, and text " \
           "files beside the pictures"
_NO_LABELS = ("classes.txt", "labels.txt", "readme.txt", "obj.txt", "train.txt", "val.txt", "valid.txt", "test.txt")
_MOST_LINKS = 20    # files that stand for links are followed so often, one leading to the next


@dataclass
class LabelledPictures:
    """The pictures of a split, where the label of each would lie, and the folders whose labels are all of the split."""

    pictures: list[Path] = field(default_factory=list)
    labels: list[Path] = field(default_factory=list)    # one a picture
    whole: set[str] = field(default_factory=set)

    def without_repeats(self) -> list[Path]:
        """Take out the pictures that are there already, as a list may name one twice; -> these."""
        first = {picture: row for row, picture in reversed(list(enumerate(self.pictures)))}
        again = [picture for row, picture in enumerate(self.pictures) if first[picture] != row]
        rows = sorted(first.values())
        self.pictures, self.labels = [self.pictures[row] for row in rows], [self.labels[row] for row in rows]
        return again

@dataclass(frozen=True)
class YoloSet:
    """The pictures of a set by split, and the data.yaml that describes it."""

    splits: dict[str, LabelledPictures]
    config: Path | None
    content: Mapping[str, Any]    # of the data.yaml; empty where there is none

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
    """The set in a folder, or of a data.yaml; raises DataError."""
    config = config_file(root)
    if config is None:
        return YoloSet(_splits_of_folders(root), None, {})
    content = read_config(config)
    return YoloSet(_splits_of_config(config, content), config, content)


def config_file(root: Path) -> Path | None:
    """The YAML file that describes a set: `root` itself, or the one in this folder with names and splits; None where
    there is none. Raises DataError where there are several."""
    if root.is_file():
        if root.suffix.lower() in (".yaml", ".yml"):
            return root
        raise DataError(f"{root} is a file and no .yaml: {_LAYOUTS}")
    configs = [file for name in Listing(root).ending((".yaml", ".yml")) if describes(file := root / name)]
    if len(configs) > 1:
        raise DataError(f"{root} holds several descriptions of a set, {', '.join(file.name for file in configs)}: give "
                        "the one that is meant in place of the folder")
    return configs[0] if configs else None


def describes(file: Path) -> bool:
    """Whether a file has the keys names and train, val or test at the beginning of a line."""
    try:
        text = read_text(file)
    except DataError:
        return False
    return all(re.search(rf"^{word}\s*:", text, re.MULTILINE) for word in ("names", "(train|val|test)"))


def recognise_yolo(listing: Listing) -> Evidence:
    """A description of a set, label files in a folder `labels`, or label files beside pictures."""
    described = next((name for name in listing.ending((".yaml", ".yml")) if describes(listing.path / name)), None)
    if described is not None:
        return Evidence(LAYOUT, sentence=described)
    for folder in listing.with_splits():
        labels = folder.inner("labels")
        if labels is not None and labels.holds((".txt",)):
            return Evidence(LAYOUT, sentence=f"{labels.path.relative_to(listing.path)}/*.txt")
    return beside_pictures(listing, ".txt")


def read_config(file: Path) -> dict[str, Any]:
    """The content of a data.yaml, every scalar as its text; raises DataError."""
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError as error:
        raise DataError(f"to read {file} takes PyYAML: pip install 'lensmith[detection]', or give the folder above "
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

    They are those of the data.yaml, else of a classes.txt; `classes`, the setting, renames them in order. Raises
    DataError, UserError.
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
        file = next((file for file in (folder / "classes.txt", folder / "labels" / "classes.txt") if file.is_file()),
                    None)
        if file is not None:
            lines = [line.strip() for line in read_text(file).splitlines()]
            names, source = dict(enumerate(line for line in lines if line)), readable(file)
    if classes is not None:
        if names is not None and len(classes) != len(names):
            raise UserError(f"data.classes has {count(len(classes), 'name')}, but {source} has {len(names)}: the "
                            "numbers in the label files stand for as many")
        names, source = dict(zip(names or range(len(classes)), classes, strict=True)), "data.classes"
    if names is not None:
        check_names(tuple(names.values()), source)
    return names, source


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


def _splits_of_config(config: Path, content: Mapping[str, Any]) -> dict[str, LabelledPictures]:
    """The splits that a data.yaml names; raises DataError for what is not there."""
    splits: dict[str, LabelledPictures] = {}
    for split, keys in (("train", ("train",)), ("valid", ("val", "valid")), ("test", ("test",))):
        value = next((content[key] for key in keys if content.get(key)), None)
        if value is None:
            continue
        entries = value if isinstance(value, list) else [value]
        if not all(isinstance(entry, str) for entry in entries):
            raise DataError(f"{config}: {keys[0]} is neither a folder, a .txt file of pictures nor a list of these")
        splits[split] = LabelledPictures()
        for entry in entries:
            path = _path_of_entry(entry, config, str(content.get("path") or "."), keys[0])
            _add_pictures(splits[split], path, config)
    if not splits:
        raise DataError(f"{config} names no train: a folder of pictures or a .txt file that lists them is expected")
    return splits


def _path_of_entry(entry: str, config: Path, root: str, key: str) -> Path:
    """The folder or file of an entry, below `root`, the key `path`, else beside the data.yaml; raises DataError."""
    tried = []
    for steps in (entry, re.sub(r"^(\.\./)+", "", entry)):    # Roboflow writes one ../ too many
        for base in (config.parent / Path(root).expanduser(), config.parent):
            path = Path(os.path.normpath(base / steps))
            tried.append(path)
            if os.path.exists(_resolved(path)):
                return path
    raise DataError(f"{config}: {key}: {entry} was not found: there is no "
                    f"{' and no '.join(map(str, dict.fromkeys(tried[:2])))}")


def _add_pictures(split: LabelledPictures, path: Path, config: Path | None) -> None:
    """Add the pictures below a folder, or those that a text file lists; raises DataError."""
    resolved = _resolved(path)
    if os.path.isdir(resolved):
        prefix = len(os.path.join(resolved, ""))
        for picture in sorted(pictures_below(os.fspath(resolved), ignored=[])):
            split.pictures.append(Path(picture))
            split.labels.append(_label_of(os.path.join(path, picture[prefix:])))
        split.whole.add(_label_folder(os.fspath(path)))
        return
    lines = [line.strip() for line in read_text(resolved).splitlines() if line.strip()]
    bases = [resolved.parent, *([config.parent] if config is not None else []), Path()]
    for i, line in enumerate(lines, 1):
        if not line.lower().endswith(SUFFIXES):
            raise DataError(f"{resolved}, line {i}: {line[:80]!r} is no picture: each line is expected to name one "
                            f"({SUFFIXES_IN_WORDS})")
        listed = next((base / line for base in bases if os.path.isfile(_resolved(base / line))), bases[0] / line)
        listed = Path(os.path.normpath(listed))
        split.pictures.append(_resolved(listed))
        split.labels.append(_label_of(os.fspath(listed)))    # the path as it is listed, whatever it leads to


def _label_of(picture: str) -> Path:
    """Where the label file of a picture would lie."""
    folder, name = os.path.split(picture)
    return Path(_label_folder(folder), os.path.splitext(name)[0] + ".txt")


@cache
def _with_labels_for_images(folder: str) -> str | None:
    """The folder with `labels` in place of the last `images` in its path; None where there is none in it."""
    steps = Path(folder).parts
    last = next((i for i in reversed(range(len(steps))) if steps[i] == "images"), None)
    return None if last is None else os.path.join(*steps[:last], "labels", *steps[last + 1 :])


def _label_folder(folder: str) -> str:
    labels = _with_labels_for_images(folder)
    return labels if labels is not None and os.path.isdir(labels) else folder


def _resolved(path: Path, links: int = _MOST_LINKS) -> Path:
    """The path with every file followed that stands for a link to a folder, as git leaves it where it can make none."""
    if links == 0 or os.path.isdir(path):
        return path
    for step in [*reversed(path.parents), path]:
        if os.path.isfile(step):
            target = _link_target(step)
            if target is None:
                return path
            return _resolved(Path(os.path.normpath(step.parent / target / path.relative_to(step))), links - 1)
    return path


def _link_target(file: Path) -> str | None:
    """The relative path that is all the text of a small file; None where its text is anything else."""
    if file.suffix or file.stat().st_size > 1000:
        return None
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (UnicodeDecodeError, OSError):
        return None
    return text if text and "\n" not in text and "\0" not in text and os.path.exists(file.parent / text) else None


def _splits_of_folders(root: Path) -> dict[str, LabelledPictures]:
    """The splits of a set without a data.yaml; raises DataError where it has no label file."""
    images = root / "images"
    resolved = _resolved(images)
    if os.path.isdir(resolved):
        folders = {split: images / folder.name for split, folder in split_folders(resolved).items()} or {"all": images}
    else:
        folders = {split: folder / "images" if (folder / "images").is_dir() else folder
                   for split, folder in split_folders(root).items()} or {"all": root}
    splits = {split: LabelledPictures() for split in folders}
    for split, folder in folders.items():
        _add_pictures(splits[split], folder, None)
    if not any(os.path.isfile(label) for split in splits.values() for label in split.labels):
        pictures = sum(len(split.pictures) for split in splits.values())
        raise DataError(f"{root} holds {count(pictures, 'picture')} and no label file of YOLO's: {_LAYOUTS}")
    return splits


def orphan_labels(split: LabelledPictures) -> list[Path]:
    """The label files in a split's folders that belong to no picture of it."""
    labels = {os.fspath(label) for label in split.labels}
    files = (file for top in split.whole if os.path.isdir(top) for file in files_below(top, (".txt",)))
    return [Path(file) for file in files if file not in labels
            and os.path.basename(file).lower() not in _NO_LABELS]
