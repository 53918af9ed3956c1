"""Layouts of other programs and known sets that are not read, told by their names, each with what to do."""

import re
from collections.abc import Callable, Iterator

from lensmith.base.errors import DataError
from lensmith.base.picture_suffixes import SUFFIXES
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.reading import beginning_of
from lensmith.data.sources.picture_files import readable

_LOOKED_AT = 30    # folders
_LISTED = re.compile(rf"[^\n]*(?:{'|'.join(map(re.escape, SUFFIXES))})[ \t]+\d+[ \t]*\r?\n", re.IGNORECASE)
_CONVERT = "bring its labels to YOLO's, COCO's or Pascal VOC's form first"
_FROM_ROBOFLOW = "export it from Roboflow as COCO, YOLO, Pascal VOC or CSV"


def refuse_unread(listing: Listing) -> None:
    """Raise a DataError that names the layout of a folder, where it is one of those that are not read."""
    for name, is_one, advice in _UNREAD:
        place = is_one(listing)
        if place is not None:
            raise DataError(f"{readable(listing.path)} is laid out as {name} ({readable(place)}), which is not read: "
                            f"{advice}")


def _folders(listing: Listing) -> Iterator[Listing]:
    """The folder and those in it."""
    yield listing
    yield from (inner for name in listing.folders[:_LOOKED_AT] if (inner := listing.inner(name)) is not None)


def _place(listing: Listing, folder: Listing, name: str) -> str:
    return (folder.path / name).relative_to(listing.path).as_posix()


def _holding(pattern: str, suffix: str) -> Callable[[Listing], str | None]:
    """A test for a folder of a name, here or in a folder below, with files of a suffix and no pictures."""
    def find(listing: Listing) -> str | None:
        for folder in _folders(listing):
            for name in folder.folders:
                inner = folder.inner(name) if re.fullmatch(pattern, name) else None
                if inner is not None and inner.ending((suffix,)) and not inner.ending(SUFFIXES):
                    return _place(listing, folder, name)
        return None

    return find


def _file_called(ending: str) -> Callable[[Listing], str | None]:
    """A test for a file here or in the folder of a split."""
    def find(listing: Listing) -> str | None:
        return next((_place(listing, folder, name) for folder in listing.with_splits()
                     for name in folder.files if name.lower().endswith(ending)), None)

    return find


def _lists(listing: Listing) -> str | None:
    """A text file whose first line is a picture and a number."""
    return next((name for name in listing.ending((".txt",))[:_LOOKED_AT]
                 if _LISTED.match(beginning_of(listing.path / name))), None)


def _choices(listing: Listing) -> str | None:
    """A JSON file of Label Studio's tasks with choices."""
    return next((name for name in listing.ending((".json",))[:_LOOKED_AT]
                 if (text := beginning_of(listing.path / name)).lstrip().startswith("[") and '"choices"' in text), None)


# What the layout is called, the place in it that tells, and what to do.
_UNREAD: tuple[tuple[str, Callable[[Listing], str | None], str], ...] = (
    ("a project of Supervisely's", _holding("ann", ".jpg.json"),
     "export it from Supervisely as COCO, YOLO, Pascal VOC or masks"),
    ("a project of Supervisely's", _holding("ann", ".png.json"),
     "export it from Supervisely as COCO, YOLO, Pascal VOC or masks"),
    ("KITTI's objects", _holding("label_2", ".txt"), _CONVERT),
    ("DOTA's turned boxes", _holding(r"labelTxt.*", ".txt"), _CONVERT),
    ("VisDrone's boxes", _holding("annotations", ".txt"), _CONVERT),
    ("WIDER FACE's lists", _holding("wider_face_split", ".txt"), _CONVERT),
    ("Create ML's boxes", _file_called("createml.json"), _FROM_ROBOFLOW),
    ("keras-yolo3's list of boxes", _file_called("_annotations.txt"), _FROM_ROBOFLOW),
    ("Label Studio's choices", _choices, "export it from Label Studio as CSV, and name the column of its choice with "
     "data.target"),
    ("lines of JSON", _file_called(".jsonl"), "export it as COCO, YOLO, Pascal VOC or CSV"),
    ("a list of pictures with the numbers of their classes", _lists,
     "make it a table with a first line that names its columns, as path,label"),
)
