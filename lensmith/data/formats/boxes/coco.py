"""Boxes as COCO has them: one JSON file a split, with categories, pictures and annotations."""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from lensmith.base.errors import DataError, nearest
from lensmith.data.formats.boxes.annotations import Drawn, boxed
from lensmith.data.formats.boxes.picture_to_write import Shown, shortest
from lensmith.data.formats.class_names import check_names, fixed_classes
from lensmith.data.formats.format import LAYOUT, Evidence, Format, Writer
from lensmith.data.formats.given_splits import SPLITS, split_folders
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.reading import begins_with_key, existing, read_json, refused
from lensmith.data.sources.picture_files import readable
from lensmith.data.sources.rasterise import PackedRuns, shapes_from
from lensmith.data.sources.sample import Parts

ROBOFLOW = "_annotations.coco.json"    # beside the pictures of a split
_TRIED = 20    # pictures by which their folder is known
_MOST = 20     # JSON files in a folder that are looked into


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


class Instances(BaseModel):
    """A file of COCO's, as far as it speaks of boxes."""

    images: list[Picture]
    annotations: list[Annotation]
    categories: list[Category]


class Outlined(Annotation):
    """An object with its shape."""

    bbox: list[float] = Field(default_factory=list)    # not needed where the shape alone is
    segmentation: list[list[float]] | PackedRuns | None = None


class OutlinedInstances(Instances):
    """A file of COCO's, as far as it speaks of shapes."""

    annotations: list[Outlined]    # type: ignore[assignment]


Content = TypeVar("Content", bound=Instances)


def coco(path: str, *, images: str | None = None, classes: list[str] | None = None,
         outlines: bool | None = None) -> Parts:
    """The pictures of a COCO file, or of those in a folder.

    In a folder these are annotations/instances_<split>.json, or <split>/_annotations.coco.json as Roboflow exports.
    The pictures lie in `images`, from the folder of `path`, else in one of the usual places beside the file. Categories
    are ordered by their numbers, which may have gaps; the account keeps them as `category_ids`. Pictures without
    annotations stay as such that show no object. With `outlines` each object comes with its pixels, as the target
    `masks`; those without a shape are left out. Raises DataError with the file and the entry that cannot be used.
    """
    root = existing(path)
    folder = root.parent if root.is_file() else root
    files = {"all": root} if root.is_file() else files_by_split(root)
    wanted = fixed_classes(classes)
    kind: type[Instances] = OutlinedInstances if outlines else Instances
    read = {split: read_instances(file, kind) for split, file in files.items()}
    first = "train" if "train" in read else next(iter(read))
    categories = categories_of(read[first], files[first])
    names = wanted or tuple(categories.values())
    drawn, pictures, lost = {}, {}, 0
    for split, one in read.items():
        own = categories_of(one, files[split])
        for name in own.values():
            if wanted is None and name not in names:
                raise DataError(f"{files[split]}: category {name!r} is not in {files[first]}, so it could not be "
                                f"learned.{nearest(name, names)}")
        base = picture_folder(files[split], one, None if images is None else folder / Path(images).expanduser())
        pictures[split] = readable(base)
        drawn[split], without = _drawn(one, files[split], own, base, wanted)
        lost += without
    numbers = {name: number for number, name in categories.items()}
    ids = [numbers[name] for name in names] if set(names) <= set(numbers) else None
    account = {"folder": readable(folder), "layout": "coco",
               "files": {split: readable(one) for split, one in files.items()}, "picture_folders": pictures,
               "category_ids": ids, "annotations_without_picture": lost}
    return boxed(drawn, names=names, folder=folder, account=account)


def recognise_coco(listing: Listing) -> Evidence:
    """Roboflow's files, or JSON files that are called or begin as COCO's."""
    exports = [folder.path / ROBOFLOW for folder in listing.with_splits() if ROBOFLOW in folder.files]
    files = exports or coco_files(listing)
    return Evidence(LAYOUT, sentence=str(files[0].relative_to(listing.path))) if files else Evidence()


def coco_files(folder: Listing) -> list[Path]:
    """The JSON files in a folder that are called as COCO's are, or speak of pictures and annotations."""
    inner = folder.inner("annotations")
    found = [] if inner is None else _json_files(inner)
    if not found:
        # Of LabelMe's there may be as many as pictures.
        beside = _json_files(folder)
        found = [one for one in beside if one.name == ROBOFLOW or (len(beside) <= _MOST and _speaks_of_pictures(one))]
    instances = [one for one in found if one.name.startswith("instances")]
    return instances or found


def _json_files(folder: Listing) -> list[Path]:
    return [folder.path / name for name in folder.names if name.endswith(".json")]


def _speaks_of_pictures(file: Path) -> bool:
    """Whether a file has a key of COCO's that neither LabelMe's nor a list of classes has."""
    return begins_with_key(file, "images|annotations")


def files_by_split(root: Path) -> dict[str, Path]:
    """The file of each split."""
    by_split = {split: folder / ROBOFLOW for split, folder in split_folders(root).items()
                if (folder / ROBOFLOW).is_file()}
    if by_split:
        return by_split
    files = coco_files(Listing(root))
    if len(files) == 1:
        return {"all": files[0]}
    found: dict[str, Path] = {}
    for file in files:
        split = _split_of(file.stem)
        if split is None:
            raise DataError(f"{root} holds several JSON files, and {file.name} is called after no split (train, val, "
                            "test): give the one that is meant in place of the folder")
        if split in found:
            raise DataError(f"{root} holds both {found[split].name} and {file.name}, which name one split: give the "
                            "one that is meant in place of the folder")
        found[split] = file
    if not found:
        raise DataError(f"{root} holds no file of COCO's: accepted are annotations/instances_<split>.json, "
                        f"<split>/{ROBOFLOW}, and a .json file that is named itself")
    return found


def _split_of(stem: str) -> str | None:
    match = re.search(r"(?<![a-z])(train|valid|validation|val|test)(?![a-z])", stem.lower())
    return SPLITS[match[1]] if match else None


def read_instances(file: Path, kind: type[Content]) -> Content:
    """A file of COCO's as Instances or a kind of these; raises DataError."""
    content = read_json(file)
    if isinstance(content, dict) and "shapes" in content:
        raise DataError(f"{file} is a file of LabelMe's: give its folder, with data.name=labelme")
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise refused(file, error) from error


def categories_of(instances: Instances, file: Path) -> dict[int, str]:
    """The names by number, in the order of the numbers."""
    found: dict[int, str] = {}
    for one in sorted(instances.categories, key=lambda category: category.id):
        if one.id in found:
            raise DataError(f"{file}: two categories have the id {one.id}: {found[one.id]!r} and {one.name!r}")
        found[one.id] = one.name.strip()
    check_names(tuple(found.values()), str(file))
    return found


def picture_folder(file: Path, instances: Instances, given: Path | None) -> Path:
    """The folder that the names of pictures are relative to."""
    if given is not None:
        if not given.is_dir():
            raise DataError(f"data.images={given} is no folder")
        return given
    above = file.parent.parent if file.parent.name == "annotations" else file.parent
    word = re.sub(r"^(instances|annotations)[_-]|[_-](coco|annotations)$", "", file.stem)
    split = _split_of(file.stem)
    words = dict.fromkeys([word, *([split, "val" if split == "valid" else split] if split else [])])
    bases = [file.parent] if file.name == ROBOFLOW else []
    bases += [*(above / step for step in words), *(above / "images" / step for step in words), above / "images", above]
    names = [picture.file_name for picture in instances.images[:_TRIED]]
    found = next((base for name in names for base in bases if os.path.isfile(base / name)), None)
    if found is None and names:
        tried = ", ".join(readable(base) for base in bases)
        raise DataError(f"{file}: {readable(names[0])} was found in none of {tried}: name the folder of the pictures "
                        "with data.images")
    return found or above


def _drawn(instances: Instances, file: Path, categories: Mapping[int, str], base: Path,
           wanted: tuple[str, ...] | None) -> tuple[Drawn, int]:
    """The objects of a file, and how many annotations speak of a picture that it does not list."""
    part, lost, outlined = Drawn(accepted=wanted), 0, isinstance(instances, OutlinedInstances)
    part.outlines = [] if outlined else None
    rows: dict[int | str, int] = {}
    for i, picture in enumerate(instances.images):
        if picture.id in rows:
            raise DataError(f"{file}: images[{i}]: two pictures have the id {picture.id!r}")
        rows[picture.id] = len(part.paths)
        part.add_picture(base / picture.file_name, width=picture.width, height=picture.height)
    for i, one in enumerate(instances.annotations):
        where = f"{readable(file)}, annotations[{i}]"
        if one.image_id not in rows:
            lost += 1
            continue
        if one.category_id not in categories:
            known = ", ".join(map(str, list(categories)[:20]))
            raise DataError(f"{where}: category_id {one.category_id} is not in categories. Accepted: {known}.")
        if len(one.bbox) != 4:
            raise DataError(f"{where}: bbox has {len(one.bbox)} numbers; x, y, width and height are expected")
        shapes = shapes_from(one.segmentation, where) if isinstance(one, Outlined) else None
        if outlined and not shapes:
            part.bare += 1
            continue
        x, y, width, height = one.bbox
        area = one.area if one.area is not None and math.isfinite(one.area) else math.nan
        part.add((x, y, x + width, y + height), categories[one.category_id], where=where, crowd=one.iscrowd, area=area,
                 picture=rows[one.image_id], outline=shapes)
    return part, lost


def write_coco(splits: Mapping[str, Sequence[Shown]], names: Sequence[str], folder: Path, *,
               category_ids: Sequence[int] | None = None) -> Iterator[tuple[Path, str]]:
    """annotations/instances_<split>.json; the classes have `category_ids`, else 1 and up. -> paths and texts."""
    ids = list(category_ids) if category_ids is not None else list(range(1, len(names) + 1))
    categories = [{"id": number, "name": name} for number, name in zip(ids, names, strict=True)]
    for split, pictures in splits.items():
        name = "val" if split == "valid" else split
        base = folder / _pictures_of(split)
        base = base if all(one.path.parent == base for one in pictures) else folder    # the pictures lie elsewhere
        listed, annotations = [], list[dict[str, Any]]()
        for i, one in enumerate(pictures, 1):
            height, width = one.size
            listed.append({"id": i, "file_name": Path(os.path.relpath(one.path, base)).as_posix(), "width": width,
                           "height": height})
            for (x0, y0, x1, y1), number, crowd, area in one.objects():
                box = [float(shortest(edge)) for edge in (x0, y0, x1 - x0, y1 - y0)]
                annotations.append({"id": len(annotations) + 1, "image_id": i, "category_id": ids[number], "bbox": box,
                                    "area": float(shortest(area if area is not None else box[2] * box[3])),
                                    "iscrowd": int(crowd)})
        content = {"images": listed, "annotations": annotations, "categories": categories}
        yield folder / "annotations" / f"instances_{name}.json", json.dumps(content, ensure_ascii=False) + "\n"


def _pictures_of(split: str) -> str:
    """The folder of a split's pictures in a set that is written."""
    return {"all": "images", "valid": "val"}.get(split, split)


COCO = Format(coco, recognise_coco, Writer(write_coco, _pictures_of, takes_category_ids=True), suffixes=(".json",))
