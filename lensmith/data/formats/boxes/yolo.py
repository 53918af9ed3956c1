"""Boxes as YOLO has them: a text file a picture, `class x y width height` in fractions of it, and a data.yaml."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError, count
from lensmith.data.formats.boxes.annotations import AnnotatedSplit, Unlabelled, sources_of_boxes
from lensmith.data.formats.boxes.picture_to_write import PictureToWrite, shortest
from lensmith.data.formats.boxes.yolo_folders import class_names, find_yolo, recognise_yolo
from lensmith.data.formats.boxes.yolo_pictures import orphan_labels
from lensmith.data.formats.class_names import fixed_classes
from lensmith.data.formats.format import Format, Writer
from lensmith.data.formats.given_splits import listed_below, refuse_unlabelled
from lensmith.data.formats.reading import existing, read_text
from lensmith.data.sources.picture_files import readable
from lensmith.data.sources.rasterise import polygon_from
from lensmith.data.sources.sample import Splits

_MOST_CLASSES = 10_000
_PIXELS = 2.0    # a number beyond it is taken for pixels, one up to it for a box that leaves its picture


def yolo(path: str, *, classes: list[str] | None = None, unlabelled: Unlabelled = "empty",
         outlines: bool | None = None) -> Splits:
    """The pictures of a YOLO set, with their boxes; a polygon counts by the box around it.

    The keys `path`, `train`, `val` and `test` of a data.yaml are read as Ultralytics reads them: each names a folder, a
    list of folders, or a text file that lists pictures. The label file of a picture lies where its path has `labels` in
    place of the last `images`, else beside it. Where git could make no link it leaves a small text file that holds the
    relative path of a folder; such a file is followed. Raises DataError with file and line.

    - `path`: a data.yaml, a folder that holds one, or a folder of pictures and labels.
    - `classes`: the names of the classes by number; by default those of data.yaml or classes.txt, else the numbers.
    - `unlabelled`: a picture without label file shows no object (empty), is left out (leave) or is an error (refuse).
    - `outlines`: whether each object comes with its pixels, as the target `masks`, for which every object has to be a
      polygon. By default where the task learns masks.
    """
    root = existing(path)
    yolo_set = find_yolo(root)
    folder = root.parent if root.is_file() else root
    names, named_by = class_names(yolo_set.content, yolo_set.config, folder, fixed_classes(classes))
    annotated, without_label, orphans, twice, highest = {}, list[Path](), list[Path](), list[Path](), -1
    for split, files in yolo_set.splits.items():
        target = annotated[split] = AnnotatedSplit(relative=True, outlines=[] if outlines else None)
        twice += files.without_repeats()
        for picture, label in zip(files.pictures, files.labels, strict=True):
            if not os.path.isfile(label):
                without_label.append(picture)
                if unlabelled == "empty":
                    target.add_picture(picture)
                continue
            target.add_picture(picture)
            highest = max(highest, _add_label(label, target, names, named_by, yolo_set.keypoints))
        orphans += orphan_labels(files)
    if unlabelled == "refuse":
        refuse_unlabelled(without_label, "label file")
    account: dict[str, Any] = {
        "folder": readable(folder), "layout": "yolo",
        "config": None if yolo_set.config is None else readable(yolo_set.config),
        "unlabelled": {"count": len(without_label), "taken_as": unlabelled,
                       "pictures": listed_below(folder, without_label)},
        "labels_without_picture": {"count": len(orphans), "files": listed_below(folder, orphans)},
        "listed_twice": {"count": len(twice), "pictures": listed_below(folder, twice)},
        **({"splits_not_there": yolo_set.missing} if yolo_set.missing else {}),
        **({"notes": [f"the keypoints of {readable(yolo_set.config)} (kpt_shape) are not learned: the boxes of the "
                      "poses are"]} if yolo_set.keypoints and yolo_set.config is not None else {})}
    if names is None and highest >= 0:
        names = {number: str(number) for number in range(highest + 1)}
    account["class_numbers"] = None if names is None else list(names)
    return sources_of_boxes(annotated, names=None if names is None else tuple(names.values()), folder=folder,
                            account=account)


def _add_label(file: Path, annotated: AnnotatedSplit, names: Mapping[int, str] | None, named_by: str,
               keypoints: int) -> int:
    """Add the boxes of a label file; -> the highest class number in it, -1 where it is empty. Raises DataError."""
    highest = -1
    for number, fractions, where in label_lines(file, names, named_by, keypoints):
        highest = max(highest, number)
        if annotated.outlines is not None and len(fractions) == 4:
            raise DataError(f"{where}: a box, and the points of a polygon are expected where masks are learned: learn "
                            "the boxes with task.name=detection")
        outline = [polygon_from(fractions, where)] if annotated.outlines is not None else None
        annotated.add(_corners(fractions), str(number) if names is None else names[number], where=where,
                      outline=outline)
    return highest


def label_lines(file: Path, names: Mapping[int, str] | None, named_by: str,
                keypoints: int) -> Iterator[tuple[int, list[float], str]]:
    """(class number, the numbers behind it, the file with the line for errors) of each object in a label file.

    The numbers are four of a box or six and more of a polygon, fractions of the picture's width and height. `names` are
    the accepted classes, None for any, and `named_by` what names them. Of a set of poses so many numbers of `keypoints`
    may follow each box, which are passed over. Raises DataError.
    """
    for line, text in enumerate(read_text(file).splitlines(), 1):
        cells = text.split()
        if not cells:
            continue
        where = f"{readable(file)}, line {line}"
        number = _class_number(cells[0], where)
        if names is not None and number not in names:
            raise DataError(f"{where}: class {number} is not one of the {len(names)} that {named_by} names "
                            f"({min(names)} to {max(names)})")
        has_keypoints = keypoints and len(cells) == 5 + keypoints
        if keypoints and not has_keypoints and len(cells) != 5:
            raise DataError(f"{where}: {count(len(cells), 'column')}, and kpt_shape of the data.yaml asks for "
                            f"{5 + keypoints}: class, x, y, width, height and {keypoints} numbers of keypoints")
        yield number, _fractions(cells[1:5] if has_keypoints else cells[1:], where), where


def _class_number(cell: str, where: str) -> int:
    if not re.fullmatch(r"\d{1,9}(\.0*)?", cell):
        raise DataError(f"{where}: {cell[:40]!r} is no class: a whole number from 0 up is expected in the first column")
    number = int(cell.split(".")[0])
    if number >= _MOST_CLASSES:
        raise DataError(f"{where}: class {number} is beyond the {_MOST_CLASSES:,} classes that are accepted")
    return number


def _fractions(cells: list[str], where: str) -> list[float]:
    try:
        fractions = [float(cell) for cell in cells]
    except ValueError as error:
        raise DataError(f"{where}: cannot be read as numbers ({error})") from error
    if len(fractions) != 4 and (len(fractions) < 6 or len(fractions) % 2):
        hint = "; is the sixth a confidence? Take it off" if len(fractions) == 5 else ""
        raise DataError(f"{where}: {count(len(fractions) + 1, 'column')}; accepted are 5 (class x y width height) or a "
                        f"class and the points of a polygon{hint}")
    beyond = next((number for number in fractions if abs(number) > _PIXELS), None)
    if beyond is not None:
        raise DataError(f"{where}: {beyond:g} looks like pixels: fractions of the picture's width and height, 0 to 1, "
                        "are expected")
    return fractions


def _corners(fractions: list[float]) -> tuple[float, float, float, float]:
    """x0 y0 x1 y1 as fractions of the picture, of `x y width height` or of a polygon `x y x y x y ...`."""
    if len(fractions) == 4:
        x, y, width, height = fractions
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return min(fractions[::2]), min(fractions[1::2]), max(fractions[::2]), max(fractions[1::2])


def write_yolo(splits: Mapping[str, Sequence[PictureToWrite]], names: Sequence[str],
               folder: Path) -> Iterator[tuple[Path, str]]:
    """The files of a YOLO set, labels/<split>/*.txt and a data.yaml, as paths and texts.

    A set without splits is written as train. Regions that do not count (`crowd`) are left out, since the format has no
    way to mark them.
    """
    for split, pictures in splits.items():
        for picture in pictures:
            yield folder / _written_folder("labels", split) / f"{picture.stem}.txt", "".join(_lines(picture))
    keys = {"valid": "val", "all": "train"}
    lines = ["path: .", *(f"{keys.get(split, split)}: {_written_folder('images', split)}" for split in splits),
             f"nc: {len(names)}", "names:", *(f"  {i}: {_quoted(name)}" for i, name in enumerate(names))]
    yield folder / "data.yaml", "\n".join(lines) + "\n"


def _written_folder(kind: str, split: str) -> str:
    """The folder of a split's images or labels in a set that is written."""
    return kind if split == "all" else f"{kind}/{'val' if split == 'valid' else split}"


def _lines(picture: PictureToWrite) -> Iterator[str]:
    """The lines of a label file."""
    height, width = picture.size
    for corners, number, crowd, _ in picture.objects():
        if not crowd:
            x0, y0, x1, y1 = corners
            fractions = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
            yield f"{number} {' '.join(shortest(fraction, 10) for fraction in fractions)}\n"


def _quoted(name: str) -> str:
    """A name in YAML's double quotes, which take JSON's escapes; what YAML takes for the end of a line, or cannot
    print, is escaped."""
    return re.sub("[^ -~\u00a0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]",
                  lambda letter: f"\\u{ord(letter[0]):04x}", json.dumps(name, ensure_ascii=False))


YOLO = Format(yolo, recognise_yolo, Writer(write_yolo, lambda split: _written_folder("images", split)),
              suffixes=(".yaml", ".yml", ".data"))
