"""Boxes as YOLO has them: a text file a picture, `class x y width height` in shares of it, and a data.yaml."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError, count
from lensmith.data.formats.boxes.annotations import Drawn, Unlabelled, boxed
from lensmith.data.formats.boxes.picture_to_write import Shown, shortest
from lensmith.data.formats.boxes.yolo_folders import (
    config_file,
    found_by_config,
    found_by_folders,
    given_names,
    orphan_labels,
    read_config,
    recognise_yolo,
)
from lensmith.data.formats.class_names import fixed_classes
from lensmith.data.formats.format import Format, Writer
from lensmith.data.formats.given_splits import listed_below, refuse_unlabelled
from lensmith.data.formats.reading import existing, read_text
from lensmith.data.sources.picture_files import readable
from lensmith.data.sources.rasterise import polygon_from
from lensmith.data.sources.sample import Parts

_MOST_CLASSES = 10_000
_ABSOLUTE = 2.0    # a share beyond it is taken for pixels; below, for a box that leaves its picture


def yolo(path: str, *, classes: list[str] | None = None, unlabelled: Unlabelled = "empty",
         outlines: bool | None = None) -> Parts:
    """The pictures of a YOLO set: a data.yaml, a folder that holds one, or a folder of pictures and labels.

    `path`, `train`, `val` and `test` of the file are understood as Ultralytics does: folders, lists of folders or text
    files of pictures; the label of a picture lies where its path says `labels` in place of the last `images`, else
    beside it. Polygons count by the box around them; with `outlines`, where every object has one, each comes with its
    pixels too, as the target `masks`. Without names in a data.yaml or classes.txt, `classes` gives them,
    else the numbers are the names. A picture without a label file is `unlabelled`: it shows no object (empty), is left
    out (leave) or an error (refuse). A small text file that holds a relative path in the place of a folder, which is
    how git leaves a link where it can make none, is followed. Raises DataError with file and line.
    """
    root = existing(path)
    config = config_file(root)
    content: Mapping[str, Any] = {} if config is None else read_config(config)
    folder = root.parent if root.is_file() else root
    found = found_by_folders(folder) if config is None else found_by_config(config, content)
    names, named_by = given_names(content, config, folder, fixed_classes(classes))
    drawn, missing, orphans = {}, list[Path](), list[Path]()
    most = -1
    for split, one in found.items():
        part = drawn[split] = Drawn(relative=True, outlines=[] if outlines else None)
        without = []
        for picture, label in zip(one.pictures, one.labels, strict=True):
            if not os.path.isfile(label):
                without.append(picture)
                if unlabelled != "empty":
                    continue
            part.add_picture(picture)
            if os.path.isfile(label):
                most = max(most, _read_label(label, part, names, named_by))
        missing += without
        orphans += orphan_labels(one)
    if unlabelled == "refuse":
        refuse_unlabelled(missing, "label file")
    account: dict[str, Any] = {
        "folder": readable(folder), "layout": "yolo", "config": None if config is None else readable(config),
        "unlabelled": {"count": len(missing), "taken_as": unlabelled, "pictures": listed_below(folder, missing)},
        "labels_without_picture": {"count": len(orphans), "files": listed_below(folder, orphans)}}
    if names is None and most >= 0:
        names = {number: str(number) for number in range(most + 1)}
    account["class_numbers"] = None if names is None else list(names)
    return boxed(drawn, names=None if names is None else tuple(names.values()), folder=folder, account=account)


def _read_label(file: Path, part: Drawn, names: Mapping[int, str] | None, named_by: str) -> int:
    """Add the boxes of a label file; -> the highest class number in it, -1 where it is empty."""
    most = -1
    for line, text in enumerate(read_text(file).splitlines(), 1):
        cells = text.split()
        if not cells:
            continue
        where = f"{readable(file)}, line {line}"
        number = class_number(cells[0], where)
        if names is not None and number not in names:
            raise DataError(f"{where}: class {number} is not one of the {len(names)} that {named_by} names "
                            f"({min(names)} to {max(names)})")
        most = max(most, number)
        shares = shares_of(cells[1:], where)
        if part.outlines is not None and len(shares) == 4:
            raise DataError(f"{where}: a box, and the points of a polygon are expected where masks are learned: learn "
                            "the boxes with task.name=detection")
        outline = [polygon_from(shares, where)] if part.outlines is not None else None
        part.add(_corners(shares), str(number) if names is None else names[number], where=where, outline=outline)
    return most


def class_number(cell: str, where: str) -> int:
    """The number in the first column; raises DataError."""
    if not re.fullmatch(r"\d{1,9}(\.0*)?", cell):
        raise DataError(f"{where}: {cell[:40]!r} is no class: a whole number from 0 up is expected in the first column")
    number = int(cell.split(".")[0])
    if number >= _MOST_CLASSES:
        raise DataError(f"{where}: class {number} is beyond the {_MOST_CLASSES:,} classes that are accepted")
    return number


def _corners(shares: list[float]) -> tuple[float, float, float, float]:
    """x0 y0 x1 y1 in shares of the picture, of `x y width height` or of a polygon `x y x y x y ...`."""
    if len(shares) == 4:
        x, y, width, height = shares
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return min(shares[::2]), min(shares[1::2]), max(shares[::2]), max(shares[1::2])


def shares_of(cells: list[str], where: str) -> list[float]:
    """The numbers behind the class: four of a box, or six and more of a polygon; raises DataError."""
    try:
        shares = [float(cell) for cell in cells]
    except ValueError as error:
        raise DataError(f"{where}: cannot be read as numbers ({error})") from error
    if len(shares) != 4 and (len(shares) < 6 or len(shares) % 2):
        hint = "; is the sixth a confidence? Take it off" if len(shares) == 5 else ""
        raise DataError(f"{where}: {count(len(shares) + 1, 'column')}; accepted are 5 (class x y width height) or a "
                        f"class and the points of a polygon{hint}")
    beyond = next((share for share in shares if abs(share) > _ABSOLUTE), None)
    if beyond is not None:
        raise DataError(f"{where}: {beyond:g} looks like pixels: shares of the picture's width and height, 0 to 1, are "
                        "expected")
    return shares


def write_yolo(splits: Mapping[str, Sequence[Shown]], names: Sequence[str], folder: Path) -> Iterator[tuple[Path, str]]:
    """The files of a YOLO set: labels/<split>/*.txt, and a data.yaml. -> paths and texts.

    A set without splits is written as train. Regions that do not count (`crowd`) are left out, since the format cannot
    say that of them.
    """
    for split, pictures in splits.items():
        for one in pictures:
            yield folder / _folder_of("labels", split) / f"{one.stem}.txt", "".join(_lines(one))
    keys = {"valid": "val", "all": "train"}
    lines = ["path: .", *(f"{keys.get(split, split)}: {_folder_of('images', split)}" for split in splits),
             f"nc: {len(names)}", "names:", *(f"  {i}: {_quoted(name)}" for i, name in enumerate(names))]
    yield folder / "data.yaml", "\n".join(lines) + "\n"


def _folder_of(kind: str, split: str) -> str:
    """The folder of a split's pictures or labels, which lie side by side."""
    return kind if split == "all" else f"{kind}/{'val' if split == 'valid' else split}"


def _lines(one: Shown) -> Iterator[str]:
    height, width = one.size
    for corners, number, crowd, _ in one.objects():
        if not crowd:
            x0, y0, x1, y1 = corners
            shares = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
            yield f"{number} {' '.join(shortest(share, 10) for share in shares)}\n"


def _quoted(name: str) -> str:
    """A name in YAML's double quotes, which take JSON's escapes; what YAML does not print or takes for a line's end is
    escaped."""
    return re.sub("[^ -~\u00a0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]",
                  lambda sign: f"\\u{ord(sign[0]):04x}", json.dumps(name, ensure_ascii=False))


YOLO = Format(yolo, recognise_yolo, Writer(write_yolo, lambda split: _folder_of("images", split)),
              suffixes=(".yaml", ".yml"))
