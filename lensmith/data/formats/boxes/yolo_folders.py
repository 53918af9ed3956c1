"""Where the pictures and labels of a YOLO set lie, and what its classes are called."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError, UserError, count
from lensmith.base.pictures import SUFFIXES
from lensmith.data.formats.class_folders import pictures_below
from lensmith.data.formats.class_names import check_names
from lensmith.data.formats.format import LAYOUT, Evidence, beside_pictures
from lensmith.data.formats.given_splits import split_folders
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.reading import read_text
from lensmith.data.sources.picture_files import readable

_LAYOUTS = "accepted are a data.yaml, images/ with labels/ beside it, <split>/images with <split>/labels, and text " \
           "files beside the pictures"
_NO_LABELS = ("classes.txt", "labels.txt", "readme.txt", "obj.txt", "train.txt", "val.txt", "valid.txt", "test.txt")
_LINKS = 20        # files that stand for links, one leading to the next


@dataclass
class Found:
    """The pictures of a split, where the label of each would lie, and the folders whose labels are all its own."""

    pictures: list[Path] = field(default_factory=list)
    labels: list[Path] = field(default_factory=list)
    whole: set[str] = field(default_factory=set)


def config_file(root: Path) -> Path | None:
    """The YAML file that describes a set: the one named, or the one in a folder that speaks of names and of splits."""
    if root.is_file():
        if root.suffix.lower() in (".yaml", ".yml"):
            return root
        raise DataError(f"{root} is a file and no .yaml: {_LAYOUTS}")
    found = sorted(one for one in root.iterdir() if one.suffix.lower() in (".yaml", ".yml") and describes(one))
    if len(found) > 1:
        raise DataError(f"{root} holds several descriptions of a set, {', '.join(one.name for one in found)}: give the "
                        "one that is meant in place of the folder")
    return found[0] if found else None


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
    """What a data.yaml says, every scalar as its text; raises DataError."""
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError as error:
        raise DataError(f"to read {file} takes PyYAML: pip install 'lensmith[detection]', or give the folder above "
                        "images and labels with data.classes") from error
    try:
        # A class may be called no, 1 or 2024-01-01.
        content = yaml.load(read_text(file), Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise DataError(f"{file}, line {line}: is not YAML ({error.problem})") from error
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        raise DataError(f"{file} is not YAML ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise DataError(f"{file} is no description of a set: train, val and names are expected in it")
    return content


def given_names(content: Mapping[str, Any], config: Path | None, folder: Path,
                wanted: tuple[str, ...] | None) -> tuple[dict[int, str] | None, str]:
    """The class names by number, None where nothing says them, and what says them; `wanted` renames them in order."""
    listed = content.get("names")
    names, source = None, "data.classes"
    if listed:
        assert config is not None
        names, source = listed_names(listed, config), readable(config)
        if "nc" in content and str(content["nc"]).strip() not in (str(len(names)), str(max(names) + 1)):
            raise DataError(f"{config}: nc says {content['nc']} and names holds {len(names)} classes: mend "
                            "one of them")
    else:
        lists = [one for one in (folder / "classes.txt", folder / "labels" / "classes.txt") if one.is_file()]
        if lists:
            lines = [line.strip() for line in read_text(lists[0]).splitlines()]
            names, source = dict(enumerate(line for line in lines if line)), readable(lists[0])
    if wanted is not None:
        if names is not None and len(wanted) != len(names):
            raise UserError(f"data.classes has {count(len(wanted), 'name')}, but {source} has {len(names)}: the "
                            "numbers in the label files stand for as many")
        names, source = dict(zip(names or range(len(wanted)), wanted, strict=True)), "data.classes"
    if names is not None:
        check_names(tuple(names.values()), source)
    return names, source


def listed_names(listed: Any, config: Path) -> dict[int, str]:
    """The names by number, in the order of the numbers, which may have gaps in a map."""
    if isinstance(listed, list) and all(isinstance(name, str) for name in listed):
        return {i: name.strip() for i, name in enumerate(listed)}
    if isinstance(listed, dict) and all(isinstance(name, str) for name in listed.values()):
        for key in listed:
            if not re.fullmatch(r"\d{1,9}", str(key)):
                raise DataError(f"{config}: names: {str(key)[:40]!r} is no class number: a whole number from 0 up is "
                                "expected")
        return {int(key): listed[key].strip() for key in sorted(listed, key=int)}
    raise DataError(f"{config}: names is neither a list, as [cat, dog], nor a map, as {{0: cat, 1: dog}}")


def found_by_config(config: Path, content: Mapping[str, Any]) -> dict[str, Found]:
    """The splits that a data.yaml names; raises DataError for what is not there."""
    found: dict[str, Found] = {}
    for split, keys in (("train", ("train",)), ("valid", ("val", "valid")), ("test", ("test",))):
        entry = next((content[key] for key in keys if content.get(key)), None)
        if entry is None:
            continue
        entries = entry if isinstance(entry, list) else [entry]
        if not all(isinstance(one, str) for one in entries):
            raise DataError(f"{config}: {keys[0]} is neither a folder, a .txt file of pictures nor a list of these")
        part = found[split] = Found()
        for one in entries:
            _gather(part, _place(one, config, str(content.get("path") or "."), keys[0]), config)
    if not found:
        raise DataError(f"{config} names no train: a folder of pictures or a .txt file that lists them is expected")
    return found


def _place(entry: str, config: Path, root: str, key: str) -> Path:
    """Where an entry lies: below `path`, else beside the file; Roboflow writes a `../` too many."""
    tried = []
    for step in (entry, re.sub(r"^(\.\./)+", "", entry)):
        for base in (config.parent / Path(root).expanduser(), config.parent):
            place = Path(os.path.normpath(base / step))
            tried.append(place)
            if os.path.exists(_followed(place)):
                return place
    raise DataError(f"{config}: {key}: {entry} was not found: there is no "
                    f"{' and no '.join(map(str, dict.fromkeys(tried[:2])))}")


def _gather(part: Found, place: Path, config: Path | None) -> None:
    """Add the pictures of a folder, or those that a text file lists."""
    real = _followed(place)
    if os.path.isdir(real):
        below = len(os.path.join(real, ""))
        for picture in sorted(pictures_below(os.fspath(real), ignored=[])):
            part.pictures.append(Path(picture))
            part.labels.append(_label_of(os.path.join(place, picture[below:])))
        part.whole.add(_label_folder(os.fspath(place)))
        return
    lines = [line.strip() for line in read_text(real).splitlines() if line.strip()]
    bases = [real.parent, *([config.parent] if config is not None else []), Path()]
    for i, line in enumerate(lines, 1):
        if not line.lower().endswith(SUFFIXES):
            raise DataError(f"{real}, line {i}: {line[:80]!r} is no picture: each line is expected to name one "
                            f"({', '.join(SUFFIXES)})")
        logical = next((base / line for base in bases if os.path.isfile(_followed(base / line))), bases[0] / line)
        logical = Path(os.path.normpath(logical))
        part.pictures.append(_followed(logical))
        part.labels.append(_label_of(os.fspath(logical)))


def _label_of(picture: str) -> Path:
    folder, name = os.path.split(picture)
    return Path(_label_folder(folder), os.path.splitext(name)[0] + ".txt")


@cache
def _swapped(folder: str) -> str | None:
    """The folder with its last part `images` called `labels`, where there is such a one."""
    parts = Path(folder).parts
    at = next((i for i in reversed(range(len(parts))) if parts[i] == "images"), None)
    return None if at is None else os.path.join(*parts[:at], "labels", *parts[at + 1 :])


def _label_folder(folder: str) -> str:
    swapped = _swapped(folder)
    return swapped if swapped is not None and os.path.isdir(swapped) else folder


def _followed(path: Path, links: int = _LINKS) -> Path:
    """The path with each file followed that stands for a link to a folder."""
    if links == 0 or os.path.isdir(path):
        return path
    for step in [*reversed(path.parents), path]:
        if os.path.isfile(step):
            target = _link(step)
            if target is None:
                return path
            return _followed(Path(os.path.normpath(step.parent / target / path.relative_to(step))), links - 1)
    return path


def _link(file: Path) -> str | None:
    """The relative path that is all a file holds, as git leaves a link where it can make none."""
    if file.suffix or file.stat().st_size > 1000:
        return None
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (UnicodeDecodeError, OSError):
        return None
    return text if text and "\n" not in text and "\0" not in text and os.path.exists(file.parent / text) else None


def found_by_folders(root: Path) -> dict[str, Found]:
    """The splits of a set without a data.yaml."""
    images = root / "images"
    if os.path.isdir(_followed(images)):
        real = _followed(images)
        places = {split: images / folder.name for split, folder in split_folders(real).items()} or {"all": images}
    else:
        places = {split: folder / "images" if (folder / "images").is_dir() else folder
                  for split, folder in split_folders(root).items()} or {"all": root}
    found = {split: Found() for split in places}
    for split, place in places.items():
        _gather(found[split], place, None)
    if not any(os.path.isfile(label) for part in found.values() for label in part.labels):
        pictures = sum(len(part.pictures) for part in found.values())
        raise DataError(f"{root} holds {count(pictures, 'picture')} and no label file of YOLO's: {_LAYOUTS}")
    return found


def orphan_labels(part: Found) -> list[Path]:
    """The label files of a split's folders that belong to no picture of it."""
    known = {os.fspath(label) for label in part.labels}
    found = (os.path.join(folder, name) for top in part.whole for folder, _, names in os.walk(top) for name in names)
    return [Path(one) for one in found if one.endswith(".txt") and one not in known
            and os.path.basename(one).lower() not in _NO_LABELS]
