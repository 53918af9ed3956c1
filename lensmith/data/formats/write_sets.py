"""Sets of boxes written in any format: the label files, and the pictures copied or linked beside them."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from lensmith.base.errors import DataError, UserError, choose, count
from lensmith.base.pictures import to_pil
from lensmith.data.formats import FORMATS
from lensmith.data.formats.boxes.picture_to_write import Shown
from lensmith.data.formats.format import Writer
from lensmith.data.sources.in_memory import InMemory
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.picture_form import survey
from lensmith.data.sources.unknown_targets import known_in
from lensmith.values.boxes import Boxes
from lensmith.values.value import of_kind

Images = Literal["link", "copy", "none"]


def writers() -> dict[str, Writer]:
    """The formats in which boxes are written, under the names that `lensmith convert --to` takes."""
    return {one.write.name or name: one.write for name, one in FORMATS.items() if one.write is not None}


def write_boxes(kind: str, splits: Mapping[str, Any], folder: Path, *, images: Images = "link",
                category_ids: Sequence[int] | None = None) -> int:
    """Write sources whose target is boxes, in the file's pixels, as a set of `kind` into a new or empty folder.

    The pictures are linked, copied, or (`none`) left where they are: then the files name them there, but for YOLO,
    which finds labels by the picture's path. Pictures in memory are written as PNG. `category_ids` are those of COCO's
    classes. -> how many label files were written. Raises UserError for a kind, a folder or a link that cannot be,
    DataError for pictures that cannot be read.
    """
    writer = choose(writers(), kind, "format")
    choose({"link": 0, "copy": 0, "none": 0}, images, "images")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not empty: name a new folder; nothing is written over")
    splits = with_known_boxes(splits)
    target = _target(splits)
    names: tuple[str, ...] = next(iter(splits.values())).classes[target]
    stems = _stems(splits)
    places = {split: folder / writer.picture_folder(split) for split in splits}
    shown = {split: list(_shown(source, source.targets[target], stems[split], places[split], images))
             for split, source in splits.items()}
    extra = {"category_ids": category_ids} if writer.takes_category_ids else {}
    made, written = set[Path](), 0
    for path, text in writer.write(shown, names, folder, **extra):
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        path.write_text(text, encoding="utf-8", newline="\n")
        written += 1
    return written


def _target(splits: Mapping[str, Any]) -> str:
    """The target that is boxes."""
    for split, source in splits.items():
        found = of_kind(source.targets, Boxes)
        if len(found) > 1:
            raise DataError(f"the part {split!r} gives several targets of boxes, {', '.join(found)}: a set of boxes "
                            "has one")
        if not found:
            raise DataError(f"the part {split!r} gives {', '.join(source.targets) or 'nothing'} and no boxes: there is "
                            "nothing to write")
    if set(splits) != {"all"} and "train" not in splits:
        raise DataError(f"the set has the parts {', '.join(splits)}; train or all is expected")
    return of_kind(next(iter(splits.values())).targets, Boxes)[0]


def with_known_boxes(splits: Mapping[str, Any]) -> dict[str, Any]:
    """The sources without the pictures whose boxes are not known; raises DataError as write_boxes does."""
    target = _target(splits)
    said = {split: known_in(source, target) for split, source in splits.items()}
    return {split: source if said[split].all() else source.subset(said[split].nonzero()[0].tolist())
            for split, source in splits.items()}


def _stems(splits: Mapping[str, Any]) -> dict[str, list[str]]:
    """What the label of each picture is called, by split: its name, and its folders where two would be alike."""
    taken: set[str] = set()
    files = {split: [source.place(i).file for i in range(len(source))] for split, source in splits.items()}
    every = [PurePosixPath(file).stem.lower() for listed in files.values() for file in listed]
    twice = {stem for stem, number in _counted(every).items() if number > 1}
    found: dict[str, list[str]] = {}
    for split, listed in files.items():
        found[split] = []
        for file in listed:
            path = PurePosixPath(file)
            stem = path.stem if path.stem.lower() not in twice else "_".join(
                part for part in path.with_suffix("").parts if part not in ("/", ".."))
            stem = stem.replace("#", "_")
            number, plain = 1, stem
            while stem.lower() in taken:
                number += 1
                stem = f"{plain}_{number}"
            taken.add(stem.lower())
            found[split].append(stem)
    return found


def _counted(names: Sequence[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return counts


def _shown(source: Any, boxes: Boxes, stems: Sequence[str], folder: Path, images: Images) -> Iterator[Shown]:
    """The pictures of a source, put into `folder`, with their stacked boxes."""
    if isinstance(source, Files):
        found = survey(source)
        if found.bad:
            first = "; ".join(f"{one.file} {one.reason}" for one in found.bad[:3])
            raise DataError(f"{count(len(found.bad), 'picture')} cannot be read, and boxes need their sizes: {first}"
                            f"{' ...' if len(found.bad) > 3 else ''}. Mend or remove them")
        if images != "none":
            folder.mkdir(parents=True, exist_ok=True)
        for i, (header, stem) in enumerate(zip(found.headers, stems, strict=True)):
            assert header is not None
            path = source.paths[i]
            target = path.absolute() if images == "none" else folder / f"{stem}{path.suffix}"
            if images != "none":
                _put(path, target, images)
            yield Shown(target, stem, (header.height, header.width), boxes[i])
    elif isinstance(source, InMemory):
        if images == "none":
            raise UserError(f"{count(len(source), 'picture')} lie in memory and in no file: take images=copy")
        folder.mkdir(parents=True, exist_ok=True)
        for i, stem in enumerate(stems):
            target = folder / f"{stem}.png"
            to_pil(source.images[i]).save(target)
            yield Shown(target, stem, (source.images.shape[2], source.images.shape[3]), boxes[i])
    else:
        raise UserError(f"a data set of type {type(source).__name__} cannot be written: open it as Files or InMemory")


def _put(path: Path, target: Path, images: Images) -> None:
    try:
        if images == "copy":
            shutil.copyfile(path, target)
        else:
            target.symlink_to(path.resolve())
    except OSError as error:
        hint = "take images=copy" if images == "link" else "name another folder"
        raise UserError(f"{target} cannot be written ({error.strerror}): {hint}") from error
