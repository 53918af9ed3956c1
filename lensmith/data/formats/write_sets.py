"""Sets of boxes written in any format: the label files, and the pictures copied or linked beside them."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from lensmith.base.atomic_files import is_full, umask
from lensmith.base.errors import DataError, Stopped, UserError, choose, count
from lensmith.base.pictures import to_pil
from lensmith.data.formats import FORMATS
from lensmith.data.formats.boxes.picture_to_write import PictureToWrite
from lensmith.data.formats.format import Writer
from lensmith.data.sources.in_memory import InMemory
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.picture_form import survey
from lensmith.data.sources.unknown_targets import known_in
from lensmith.values import OBJECTS, of_kind
from lensmith.values.boxes import Boxes

Images = Literal["link", "copy", "none"]


def writers() -> dict[str, Writer]:
    """The formats in which boxes are written, under the names that `lensmith convert --to` takes."""
    return {record.write.name or name: record.write for name, record in FORMATS.items() if record.write is not None}


def write_boxes(kind: str, splits: Mapping[str, Any], folder: Path, *, images: Images = "link",
                category_ids: Sequence[int] | None = None) -> int:
    """Write sources whose target is boxes, in the file's pixels, as a set of `kind` into a new or empty folder.

    The pictures are linked, copied, or with `none` left where they are. Then the label files name them there, except
    for YOLO's, which are found by the path of the picture. Pictures in memory are written as PNG. `category_ids` are
    the numbers of COCO's classes. -> the number of label files. Raises UserError for an unknown kind, a folder that is
    not empty or a link that cannot be made, DataError for pictures that cannot be read.
    """
    writer = choose(writers(), kind, "format")
    choose({"link": 0, "copy": 0, "none": 0}, images, "images")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not empty: name a new folder; nothing is written over")
    splits = with_known_boxes(splits)
    target = _box_target(splits)
    names: tuple[str, ...] = next(iter(splits.values())).classes[target]
    stems = _stems(splits)
    extra = {"category_ids": category_ids} if writer.takes_category_ids else {}
    written = 0
    with _whole_or_absent(folder) as aside:
        # The label files name the pictures where they will lie, and not where they are being written.
        pictures = {split: list(_pictures_to_write(source, source.targets[target], stems[split],
                                                   folder / writer.picture_folder(split), images,
                                                   aside=aside / writer.picture_folder(split)))
                    for split, source in splits.items()}
        for path, text in writer.write(pictures, names, folder, **extra):
            place = aside / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8", newline="\n")
            written += 1
    return written


@contextmanager
def _whole_or_absent(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder`, which takes its place at the end; where it fails nothing is left.

    Raises Stopped where the disk is full, UserError where a file cannot be written.
    """
    aside = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name[:40]}.", dir=folder.parent))
        aside.chmod(0o777 & ~umask())    # mkdtemp gives 0700
        yield aside
        if folder.exists():    # and empty; Windows renames nothing onto it
            folder.rmdir()
        os.rename(aside, folder)
    except OSError as error:
        if is_full(error):
            raise Stopped(f"the disk is full: {folder} cannot be written ({error.strerror}), and nothing of it was "
                          "kept: free some space, or name another folder") from error
        raise UserError(f"{folder} cannot be written ({error.strerror or error}), and nothing of it was kept: name "
                        "another folder") from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def _box_target(splits: Mapping[str, Any]) -> str:
    """The name of the target that is boxes; raises DataError where a split has none or several."""
    for split, source in splits.items():
        names = of_kind(source.targets, *OBJECTS)
        if len(names) > 1:
            raise DataError(f"the split {split!r} gives several targets of boxes, {', '.join(names)}: a set of boxes "
                            "has one")
        if not names:
            raise DataError(f"the split {split!r} gives {', '.join(source.targets) or 'nothing'} and no boxes: there "
                            "is nothing to write")
    if set(splits) != {"all"} and "train" not in splits:
        raise DataError(f"the set has the splits {', '.join(splits)}; train or all is expected")
    return of_kind(next(iter(splits.values())).targets, *OBJECTS)[0]


def with_known_boxes(splits: Mapping[str, Any]) -> dict[str, Any]:
    """The sources without the pictures whose boxes are not known; raises DataError as write_boxes does."""
    target = _box_target(splits)
    known = {split: known_in(source, target) for split, source in splits.items()}
    return {split: source if known[split].all() else source.subset(known[split].nonzero()[0].tolist())
            for split, source in splits.items()}


def _stems(splits: Mapping[str, Any]) -> dict[str, list[str]]:
    """The name of each picture's label file without suffix, by split: the picture's own, after those of its folders
    where several pictures have the same."""
    files = {split: [source.place(i).file for i in range(len(source))] for split, source in splits.items()}
    frequency = Counter(PurePosixPath(file).stem.lower() for names in files.values() for file in names)
    taken: set[str] = set()
    stems: dict[str, list[str]] = {}
    for split, names in files.items():
        stems[split] = []
        for file in names:
            path = PurePosixPath(file)
            stem = path.stem if frequency[path.stem.lower()] == 1 else "_".join(
                step for step in path.with_suffix("").parts if step not in ("/", ".."))
            stem = stem.replace("#", "_")
            number, plain = 1, stem
            while stem.lower() in taken:
                number += 1
                stem = f"{plain}_{number}"
            taken.add(stem.lower())
            stems[split].append(stem)
    return stems


def _pictures_to_write(source: Any, boxes: Boxes, stems: Sequence[str], folder: Path, images: Images, *,
                       aside: Path) -> Iterator[PictureToWrite]:
    """The pictures of a source, put into `aside`, which will be `folder`, with their stacked boxes."""
    if isinstance(source, Files):
        yield from _files_to_write(source, boxes, stems, folder, images, aside=aside)
    elif isinstance(source, InMemory):
        if images == "none":
            raise UserError(f"{count(len(source), 'picture')} lie in memory and in no file: take images=copy")
        aside.mkdir(parents=True, exist_ok=True)
        for i, stem in enumerate(stems):
            to_pil(source.images[i]).save(aside / f"{stem}.png")
            yield PictureToWrite(folder / f"{stem}.png", stem, (source.images.shape[2], source.images.shape[3]),
                                 boxes[i])
    else:
        raise UserError(f"a data set of type {type(source).__name__} cannot be written: open it as Files or InMemory")


def _files_to_write(source: Files, boxes: Boxes, stems: Sequence[str], folder: Path, images: Images, *,
                    aside: Path) -> Iterator[PictureToWrite]:
    surveyed = survey(source)
    if surveyed.bad:
        first = "; ".join(f"{picture.file} {picture.reason}" for picture in surveyed.bad[:3])
        raise DataError(f"{count(len(surveyed.bad), 'picture')} cannot be read, and boxes need their sizes: {first}"
                        f"{' ...' if len(surveyed.bad) > 3 else ''}. Mend or remove them")
    if images != "none":
        aside.mkdir(parents=True, exist_ok=True)
    for i, (path, header, stem) in enumerate(zip(source.paths, surveyed.headers, stems, strict=True)):
        assert header is not None
        name = f"{stem}{path.suffix}"
        if images == "copy":
            shutil.copyfile(path, aside / name)
        elif images == "link":
            _link(path, aside / name)
        yield PictureToWrite(path.absolute() if images == "none" else folder / name, stem,
                             (header.height, header.width), boxes[i])


def _link(path: Path, target: Path) -> None:
    try:
        target.symlink_to(path.resolve())
    except OSError as error:
        if is_full(error):
            raise
        raise UserError(f"{target.name} cannot be written ({error.strerror}): take images=copy") from error
