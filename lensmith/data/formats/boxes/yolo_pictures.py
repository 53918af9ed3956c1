"""The pictures of a YOLO set with the label file of each, from folders and from lists."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from lensmith.data.formats.boxes.darknet_lists import pictures_listed
from lensmith.data.formats.files_below import files_below, pictures_below

_NO_LABELS = ("classes.txt", "labels.txt", "readme.txt", "obj.txt", "train.txt", "val.txt", "valid.txt", "test.txt")
_MOST_LINKS = 20    # files that stand for links are followed so often, one leading to the next
_LABELS_FOR = {"images": ("labels", "Labels", "label"), "image": ("label", "labels", "Label", "Labels"),
               "imgs": ("labels", "Labels"), "img": ("labels", "label", "Labels")}


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


def add_pictures(split: LabelledPictures, path: Path, bases: Sequence[Path] = ()) -> None:
    """Add the pictures below a folder, or those that a text file lists, from its folder or one of `bases`; raises
    DataError."""
    resolved_path = resolved(path)
    if os.path.isdir(resolved_path):
        prefix = len(os.path.join(resolved_path, ""))
        for picture in sorted(pictures_below(os.fspath(resolved_path), ignored=[])):
            split.pictures.append(Path(picture))
            split.labels.append(_label_of(os.path.join(path, picture[prefix:])))
        split.whole.add(_label_folder(os.fspath(path)))
        return
    for listed in pictures_listed(resolved_path, [*bases, Path()], lambda file: os.path.isfile(resolved(file))):
        split.pictures.append(resolved(listed))
        split.labels.append(_label_of(os.fspath(listed)))    # the path as it is listed, whatever it leads to


def _label_of(picture: str) -> Path:
    """Where the label file of a picture would lie."""
    folder, name = os.path.split(picture)
    return Path(_label_folder(folder), os.path.splitext(name)[0] + ".txt")


@cache
def _folders_for_labels(folder: str) -> tuple[str, ...]:
    """The folders with `labels` in place of the last `images` in its path; none where there is none in it."""
    steps = Path(folder).parts
    last = next((i for i in reversed(range(len(steps))) if steps[i].lower() in _LABELS_FOR), None)
    if last is None:
        return ()
    return tuple(os.path.join(*steps[:last], name, *steps[last + 1 :]) for name in _LABELS_FOR[steps[last].lower()])


def _label_folder(folder: str) -> str:
    return next((labels for labels in _folders_for_labels(folder) if os.path.isdir(labels)), folder)


def resolved(path: Path, links: int = _MOST_LINKS) -> Path:
    """The path with every file followed that stands for a link to a folder, as git leaves it where it can make none."""
    if links == 0 or os.path.isdir(path):
        return path
    for step in [*reversed(path.parents), path]:
        if os.path.isfile(step):
            target = _link_target(step)
            if target is None:
                return path
            return resolved(Path(os.path.normpath(step.parent / target / path.relative_to(step))), links - 1)
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


def orphan_labels(split: LabelledPictures) -> list[Path]:
    """The label files in a split's folders that belong to no picture of it."""
    labels = {os.fspath(label) for label in split.labels}
    files = (file for top in split.whole if os.path.isdir(top) for file in files_below(top, (".txt",)))
    return [Path(file) for file in files if file not in labels
            and os.path.basename(file).lower() not in _NO_LABELS]
