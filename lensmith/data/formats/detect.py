"""Which format a folder or file is of: told by names, and where these do not tell, by the beginning of one file."""

import os
from pathlib import Path

from lensmith.base.errors import DataError
from lensmith.base.pictures import SUFFIXES
from lensmith.data.formats.boxes.coco import ROBOFLOW, coco_files
from lensmith.data.formats.boxes.voc import ANNOTATIONS
from lensmith.data.formats.boxes.yolo_folders import describes
from lensmith.data.formats.given_splits import split_folders
from lensmith.data.formats.masks.pair_files import describes_masks, speaks_of_masks
from lensmith.data.formats.reading import begins_with_key
from lensmith.data.formats.tables.box_columns import table_in

_FILES = {".yaml": "yolo", ".yml": "yolo", ".json": "coco", ".csv": "table", ".tsv": "table"}


def recognise(path: Path) -> str | None:
    """The entry of DATASETS that reads `path`; None for what is neither a folder nor a file of a known kind.

    A folder in which nothing speaks of another format is one of class folders. Masks of pixels are taken for what is
    to be learned only where nothing else is: with boxes beside them, data.name=masks says so. Raises DataError where
    two formats fit.
    """
    if path.is_file():
        if path.suffix.lower() in (".yaml", ".yml") and describes_masks(path):
            return "masks"
        return _FILES.get(path.suffix.lower())
    if not path.is_dir():
        return None
    places = [path, *split_folders(path).values()]
    found = _told_by_layout(places) or _told_by_neighbours(places)
    if len(found) > 1:
        names = sorted(found)
        because = "; ".join(found[one] for one in names)
        raise DataError(f"{path} can be read as {' and as '.join(names)} ({because}): say which with "
                        f"{' or '.join(f'data.name={one}' for one in names)}")
    if found:
        return next(iter(found))
    if table_in(path) is not None:
        return "table"
    return "masks" if speaks_of_masks(path) is not None else "folder"


def _told_by_layout(places: list[Path]) -> dict[str, str]:
    """Format -> what speaks for it, by the names of folders and files that only one format has."""
    found: dict[str, str] = {}
    root = places[0]
    described = sorted(one for one in _named(root, (".yaml", ".yml")) if describes(root / one))
    labels = [place / "labels" for place in places if _has(place / "labels", (".txt",))]
    if described:
        found["yolo"] = described[0]
    elif labels:
        found["yolo"] = f"{labels[0].relative_to(root)}/*.txt"
    exports = [place / ROBOFLOW for place in places if (place / ROBOFLOW).is_file()]
    files = exports or coco_files(root)
    if files:
        found["coco"] = str(files[0].relative_to(root))
    annotations = [place / name for place in places for name in ANNOTATIONS if _has(place / name, (".xml",))]
    if annotations:
        found["voc"] = f"{annotations[0].relative_to(root)}/*.xml"
    return found


def _told_by_neighbours(places: list[Path]) -> dict[str, str]:
    """Format -> what speaks for it, by what lies beside pictures and has their names."""
    found: dict[str, str] = {}
    for place in places:
        pictures, others = set[str](), set[str]()
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name.lower().endswith(SUFFIXES):
                    pictures.add(os.path.splitext(entry.name)[0])
                elif entry.name.lower().endswith((".txt", ".xml", ".json")):
                    others.add(entry.name)
        for suffix, name in ((".txt", "yolo"), (".xml", "voc"), (".json", "labelme")):
            beside = min((one for one in pictures if one + suffix in others), default=None)
            if beside is not None:
                found.setdefault(name, f"{beside}{suffix} beside a picture")
        page = next((one for one in sorted(others) if one.endswith(".json")), None)
        if not pictures and page is not None and begins_with_key(place / page, "shapes"):
            found.setdefault("labelme", page)    # whose pictures lie elsewhere
    return found


def _named(folder: Path, suffixes: tuple[str, ...]) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.name.lower().endswith(suffixes)]


def _has(folder: Path, suffixes: tuple[str, ...], deep: int = 1) -> bool:
    """Whether a folder, or one in it, holds a file of that kind."""
    if not folder.is_dir():
        return False
    inner = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.lower().endswith(suffixes):
                return True
            if deep and entry.is_dir():
                inner.append(Path(entry.path))
    return any(_has(one, suffixes, deep - 1) for one in inner)
