"""Boxes as COCO has them: one JSON file a split, with categories, pictures and annotations."""

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from lensmith.base.errors import DataError, nearest
from lensmith.base.picture_suffixes import SUFFIXES
from lensmith.data.formats.boxes.annotations import AnnotatedSplit, Tally, sources_of_boxes
from lensmith.data.formats.boxes.picture_to_write import PictureToWrite, shortest
from lensmith.data.formats.class_names import check_names, fixed_classes
from lensmith.data.formats.format import LAYOUT, Evidence, Format, Writer
from lensmith.data.formats.given_splits import SPLITS, listed_below, split_folders, split_named
from lensmith.data.formats.listing import MOST_OPENED, Listing
from lensmith.data.formats.located import Finder
from lensmith.data.formats.reading import beginning_of, begins_with_key, existing, invalid_content, read_json
from lensmith.data.sources.picture_files import readable
from lensmith.data.sources.rasterise import PackedRLE, shapes_from
from lensmith.data.sources.sample import Splits

ROBOFLOW = "_annotations.coco.json"    # beside the pictures of a split
_PICTURES = ("images", "image", "imgs", "img", "jpegimages", "data")    # folders of pictures beside a file, in any case
_TRIED = 20          # pictures whose file is looked for to find the folder of all


class Category(BaseModel):
    """A class and the number that stands for it."""

    id: int
    name: str


class Picture(BaseModel):
    """A picture and its size as annotated."""

    id: int | str
    file_name: str
    width: float | None = None
    height: float | None = None


class Annotation(BaseModel):
    """An object: x, y, width, height in pixels."""

    image_id: int | str
    category_id: int
    bbox: list[float]
    area: float | None = None
    iscrowd: bool = False


class CocoFile(BaseModel):
    """A file of COCO's, as far as it lists boxes."""

    images: list[Picture]
    annotations: list[Annotation]
    categories: list[Category]


class Outlined(Annotation):
    """An object with its outline."""

    bbox: list[float] = Field(default_factory=list)    # not needed where there is the outline alone
    segmentation: list[list[float]] | PackedRLE | None = None


class OutlinedCocoFile(CocoFile):
    """A file of COCO's, as far as it lists outlines."""

    annotations: list[Outlined]    # type: ignore[assignment]


Content = TypeVar("Content", bound=CocoFile)


def coco(path: str, *, images: str | None = None, classes: list[str] | None = None,
         outlines: bool | None = None) -> Splits:
    """The pictures of a COCO file, or of the files in a folder.

    In a folder the files are annotations/instances_<split>.json, or <split>/_annotations.coco.json as Roboflow exports
    them. Categories are ordered by their numbers, which may have gaps; the account keeps the numbers as `category_ids`.
    A picture without annotations shows no object. Raises DataError with the file and the entry that cannot be used.

    - `path`: the JSON file, or the folder of the set.
    - `images`: the folder of the pictures, from the folder of `path`; by default one of the usual places beside the
      file in which they are found.
    - `classes`: the only classes, in order; by default all categories.
    - `outlines`: whether each object comes with its pixels, as the target `masks`; objects without an outline are then
      left out. By default where the task learns masks.
    """
    root = existing(path)
    folder = root.parent if root.is_file() else root
    files = {"all": root} if root.is_file() else files_by_split(root)
    accepted = fixed_classes(classes)
    kind: type[CocoFile] = OutlinedCocoFile if outlines else CocoFile
    contents = {split: read_coco_file(file, kind) for split, file in files.items()}
    first = "train" if "train" in contents else next(iter(contents))
    categories = categories_of(contents[first], files[first])
    names = accepted or tuple(categories.values())
    annotated, picture_folders, tally = {}, {}, Tally()
    for split, content in contents.items():
        split_categories = categories_of(content, files[split])
        for name in split_categories.values():
            if accepted is None and name not in names:
                raise DataError(f"{files[split]}: category {name!r} is not in {files[first]}, so it could not be "
                                f"learned.{nearest(name, names)}")
        base = picture_folder(files[split], content, None if images is None else folder / Path(images).expanduser())
        picture_folders[split] = readable(base)
        annotated[split] = _annotated(content, files[split], split_categories, base, accepted, tally)
    numbers = {name: number for number, name in categories.items()}
    ids = [numbers[name] for name in names] if set(names) <= set(numbers) else None
    account = {"folder": readable(folder), "layout": "coco",
               "files": {split: readable(file) for split, file in files.items()}, "picture_folders": picture_folders,
               "category_ids": ids, "annotations_without_picture": tally.counts.get("annotations_without_picture", 0),
               **tally.account("ids_as_text", "listed_twice"),
               **_not_listed(annotated.values(), picture_folders, folder)}
    return sources_of_boxes(annotated, names=names, folder=folder, account=account)


def recognise_coco(listing: Listing) -> Evidence:
    """Roboflow's files, or JSON files that are called or begin as COCO's."""
    exports = [folder.path / ROBOFLOW for folder in listing.with_splits() if ROBOFLOW in folder.files]
    files = exports or coco_files(listing)
    return Evidence(LAYOUT, sentence=str(files[0].relative_to(listing.path))) if files else Evidence()


def coco_files(folder: Listing) -> list[Path]:
    """The JSON files in a folder that are called as COCO's are, or that begin with pictures or annotations."""
    inner = next((folder.inner(name) for name in folder.folders if name.lower() in ("annotations", "annotation")), None)
    files = [] if inner is None else _json_files(inner)
    if files and begins_with_key(files[0], "shapes"):    # LabelMe's, one a picture
        return []
    if not files:
        beside = _json_files(folder)
        # LabelMe's files and lists of classes have neither of these keys.
        files = [file for file in beside if file.name == ROBOFLOW or
                 (len(beside) <= MOST_OPENED and begins_with_key(file, "images|annotations") and not _is_a_list(file))]
    instances = [file for file in files if file.name.startswith("instances")]
    return instances or files


def _is_a_list(file: Path) -> bool:
    """Whether a JSON file is a list, as Label Studio's, whose tasks have annotations as well."""
    return beginning_of(file).lstrip().startswith("[")


def _json_files(folder: Listing) -> list[Path]:
    return [folder.path / name for name in folder.names if name.endswith(".json")]


def files_by_split(root: Path) -> dict[str, Path]:
    """The file of each split in a folder; raises DataError where there is none, or a file is of no split."""
    by_split = {split: folder / ROBOFLOW for split, folder in split_folders(root).items()
                if (folder / ROBOFLOW).is_file()}
    if by_split:
        return by_split
    files = coco_files(Listing(root))
    if len(files) == 1:
        return {"all": files[0]}
    for file in files:
        split = _split_of(file.stem)
        if split is None:
            raise DataError(f"{root} holds several JSON files, and {file.name} is called after no split (train, val, "
                            "test): give the one that is meant in place of the folder")
        if split in by_split:
            raise DataError(f"{root} holds both {by_split[split].name} and {file.name}, which name one split: give the "
                            "one that is meant in place of the folder")
        by_split[split] = file
    if not by_split:
        raise DataError(f"{root} holds no file of COCO's: accepted are annotations/instances_<split>.json, "
                        f"<split>/{ROBOFLOW}, and a .json file that is named itself")
    return by_split


def _split_of(stem: str) -> str | None:
    words = re.findall("[A-Z]?[a-z]+|[A-Z]+", stem)
    plain = {SPLITS[word.lower()] for word in words if word.lower() in SPLITS}
    splits = plain or {split for word in words if (split := split_named(word)) is not None}
    return splits.pop() if len(splits) == 1 else None


def read_coco_file(file: Path, kind: type[Content]) -> Content:
    """A file of COCO's as CocoFile or a kind of it; raises DataError."""
    content = read_json(file)
    if isinstance(content, dict) and "shapes" in content:
        raise DataError(f"{file} is a file of LabelMe's: give its folder, with data.name=labelme")
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise invalid_content(file, error) from error


def categories_of(content: CocoFile, file: Path) -> dict[int, str]:
    """The names of the categories by number, in the order of the numbers; raises DataError."""
    names: dict[int, str] = {}
    for category in sorted(content.categories, key=lambda category: category.id):
        if category.id in names:
            raise DataError(f"{file}: two categories have the id {category.id}: {names[category.id]!r} and "
                            f"{category.name!r}")
        names[category.id] = category.name.strip()
    check_names(tuple(names.values()), str(file))
    return names


def picture_folder(file: Path, content: CocoFile, given: Path | None) -> Path:
    """The folder that the names of pictures are relative to: `given`, the setting data.images, else the first usual
    place that holds one of the first pictures; raises DataError where none does."""
    if given is not None:
        if not given.is_dir():
            raise DataError(f"data.images={given} is no folder")
        return given
    above = file.parent.parent if file.parent.name.lower() in ("annotations", "annotation") else file.parent
    word = re.sub(r"^(instances|annotations)[_-]|[_-](coco|annotations)$", "", file.stem)
    split = _split_of(file.stem)
    words = dict.fromkeys([word, *([split, "val" if split == "valid" else split] if split else [])])
    bases = [file.parent] if file.name == ROBOFLOW else []
    bases += [*(above / name for name in words), *(above / "images" / name for name in words), above / "images", above]
    bases += [*(above / name for name in sorted(os.listdir(above)) if name.lower() in _PICTURES), file.parent]
    names = [picture.file_name for picture in content.images[:_TRIED]]
    # Exports may name pictures as they lay elsewhere; the last folders that are there count.
    wholly = next((base for name in names for base in bases if os.path.isfile(base / name)), None)
    if wholly is not None:
        return wholly
    base = next((base for name in names for base in bases if Finder([base]).find(name) is not None), None)
    if base is None and names:
        tried = ", ".join(readable(folder) for folder in dict.fromkeys(bases))
        raise DataError(f"{file}: {readable(names[0])} was found in none of {tried}: name the folder of the pictures "
                        "with data.images")
    return base or above


def _annotated(content: CocoFile, file: Path, categories: Mapping[int, str], base: Path,
               accepted: tuple[str, ...] | None, tally: Tally) -> AnnotatedSplit:
    """The objects of a file. A file that is listed twice is one picture. Counts in `tally` what does not fit."""
    outlined = isinstance(content, OutlinedCocoFile)
    annotated = AnnotatedSplit(accepted=accepted, outlines=[] if outlined else None)

    def name_of(row: int) -> str:
        return listed_below(base, [annotated.paths[row]])[0]

    rows = _rows_by_id(content, file, base, annotated, tally, name_of)
    for i, annotation in enumerate(content.annotations):
        where = f"{readable(file)}, annotations[{i}]"
        row, as_text = rows.get(str(annotation.image_id), (None, False))
        if row is None:
            tally.add("annotations_without_picture", np.zeros(1, dtype=np.int64), lambda _: "")
            continue
        if as_text != isinstance(annotation.image_id, str):
            tally.add("ids_as_text", np.array([row]), name_of)
        if annotation.category_id not in categories:
            ids = ", ".join(map(str, list(categories)[:20]))
            raise DataError(f"{where}: category_id {annotation.category_id} is not in categories. Accepted: {ids}.")
        if len(annotation.bbox) != 4:
            raise DataError(f"{where}: bbox has {len(annotation.bbox)} numbers; x, y, width and height are expected")
        shapes = shapes_from(annotation.segmentation, where) if isinstance(annotation, Outlined) else None
        if outlined and not shapes:
            annotated.without_outline += 1
            continue
        x, y, width, height = annotation.bbox
        area = annotation.area if annotation.area is not None and math.isfinite(annotation.area) else math.nan
        annotated.add((x, y, x + width, y + height), categories[annotation.category_id], where=where,
                      crowd=annotation.iscrowd, area=area, picture=row, outline=shapes)
    return annotated


def _rows_by_id(content: CocoFile, file: Path, base: Path, annotated: AnnotatedSplit, tally: Tally,
                name_of: Callable[[int], str]) -> dict[str, tuple[int, bool]]:
    """Add the pictures of a file; -> the row of each by its id as text, and whether the file writes it as text. Some
    programs write the ids of pictures as text and those of annotations as numbers. Raises DataError."""
    rows: dict[str, tuple[int, bool]] = {}
    row_of: dict[Path, int] = {}
    finder = Finder([base])
    for i, picture in enumerate(content.images):
        if str(picture.id) in rows:
            raise DataError(f"{file}: images[{i}]: two pictures have the id {picture.id!r}")
        path = finder.find(picture.file_name) or base / picture.file_name
        if path in row_of:
            tally.add("listed_twice", np.array([row_of[path]]), name_of)
        else:
            row_of[path] = len(annotated.paths)
            annotated.add_picture(path, width=picture.width, height=picture.height)
        rows[str(picture.id)] = row_of[path], isinstance(picture.id, str)
    return rows


def _not_listed(annotated: Iterable[AnnotatedSplit], folders: Mapping[str, str], root: Path) -> dict[str, Any]:
    """How many pictures lie in the folders and are listed by no file, as data.json keeps it; nothing where all are."""
    listed = {os.path.normpath(path) for split in annotated for path in split.paths}
    others: list[Path] = []
    for folder in dict.fromkeys(folders.values()):
        with suppress(OSError), os.scandir(folder) as entries:
            others += [Path(entry.path) for entry in entries if entry.name.lower().endswith(SUFFIXES)
                       and not entry.name.startswith(".") and os.path.normpath(entry.path) not in listed]
    if not others:
        return {}
    return {"pictures_not_listed": {"count": len(others), "pictures": listed_below(root, others)}}


def write_coco(splits: Mapping[str, Sequence[PictureToWrite]], names: Sequence[str], folder: Path, *,
               category_ids: Sequence[int] | None = None) -> Iterator[tuple[Path, str]]:
    """annotations/instances_<split>.json, as paths and texts; `category_ids` are the numbers of the classes, else 1 and
    up."""
    ids = list(category_ids) if category_ids is not None else list(range(1, len(names) + 1))
    categories = [{"id": number, "name": name} for number, name in zip(ids, names, strict=True)]
    for split, pictures in splits.items():
        base = folder / _written_folder(split)
        # The names of pictures are relative to their folder, or where they were left elsewhere to that of the set.
        base = base if all(picture.path.parent == base for picture in pictures) else folder
        images, annotations = [], list[dict[str, Any]]()
        for i, picture in enumerate(pictures, 1):
            height, width = picture.size
            images.append({"id": i, "file_name": Path(os.path.relpath(picture.path, base)).as_posix(), "width": width,
                           "height": height})
            for (x0, y0, x1, y1), number, crowd, area in picture.objects():
                box = [float(shortest(edge)) for edge in (x0, y0, x1 - x0, y1 - y0)]
                annotations.append({"id": len(annotations) + 1, "image_id": i, "category_id": ids[number], "bbox": box,
                                    "area": float(shortest(area if area is not None else box[2] * box[3])),
                                    "iscrowd": int(crowd)})
        content = {"images": images, "annotations": annotations, "categories": categories}
        name = f"instances_{'val' if split == 'valid' else split}.json"
        yield folder / "annotations" / name, json.dumps(content, ensure_ascii=False) + "\n"


def _written_folder(split: str) -> str:
    """The folder of a split's pictures in a set that is written."""
    return {"all": "images", "valid": "val"}.get(split, split)


COCO = Format(coco, recognise_coco, Writer(write_coco, _written_folder, takes_category_ids=True), suffixes=(".json",))
