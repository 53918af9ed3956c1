"""Boxes as Pascal VOC has them: an XML file a picture, corners counted from 1 and inclusive."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from lensmith.base.errors import DataError
from lensmith.base.left_behind import is_left_behind
from lensmith.base.picture_suffixes import SUFFIXES
from lensmith.data.formats.boxes.annotations import AnnotatedSplit, Unlabelled, sources_of_boxes
from lensmith.data.formats.boxes.picture_to_write import PictureToWrite, shortest
from lensmith.data.formats.boxes.read_xml import read_xml
from lensmith.data.formats.class_names import fixed_classes
from lensmith.data.formats.files_below import entries_of, files_below
from lensmith.data.formats.format import LAYOUT, Evidence, Format, Writer, beside_pictures
from lensmith.data.formats.given_splits import listed_below, refuse_unlabelled, split_folders, split_named
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.located import Finder
from lensmith.data.formats.reading import existing, read_text
from lensmith.data.sources.picture_files import readable
from lensmith.data.sources.sample import Splits

_ANNOTATIONS = ("annotations", "annotation", "xmls", "xml", "labels")    # in any case
_PICTURES = ("jpegimages", "images", "image", "imgs", "img", "pngimages")
_LISTS = ("train.txt", "trainval.txt", "val.txt", "test.txt")
_WRITTEN_FOLDER = "JPEGImages"    # of all pictures of a set that is written
_ILLEGAL = re.compile("[^\t -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")    # what XML 1.0 cannot hold


def voc(path: str, *, classes: list[str] | None = None, unlabelled: Unlabelled = "leave") -> Splits:
    """The pictures of a folder with Annotations/*.xml and JPEGImages/*, or with each XML file beside its picture.

    The splits are those of ImageSets/Main/train.txt, val.txt and test.txt, else the folders called train, valid and
    test. Corners become x0 = xmin - 1, y0 = ymin - 1, x1 = xmax, y1 = ymax. Objects marked difficult are neither
    learned nor measured. Raises DataError with the file and the object that cannot be used.

    - `path`: the folder.
    - `classes`: the only classes, in order; by default those that occur.
    - `unlabelled`: a picture without an XML file is left out (leave), shows no object (empty) or is an error (refuse).
    """
    root = existing(path)
    if not root.is_dir():
        raise DataError(f"{root} is a file: give the folder with Annotations and JPEGImages")
    folders = {"all": root}
    if annotation_folder(root) is None:
        folders = {split: folder for split, folder in split_folders(root).items() if annotation_folder(folder)}
    if not folders:
        raise DataError(f"{root} holds no XML file: accepted are Annotations/*.xml with JPEGImages, xmls/*.xml with "
                        "images, and an XML file beside each picture, also below train, valid and test")
    accepted = fixed_classes(classes)
    annotated: dict[str, AnnotatedSplit] = {}
    without_label, without_picture, in_no_split = list[Path](), list[Path](), 0
    for folder_split, folder in folders.items():
        files, pictures = _labels_and_pictures(folder)
        stems_of = image_sets(folder, "Main") if folder_split == "all" else {}
        split_of = {stem: split for split, stems in stems_of.items() for stem in stems}
        for stem in sorted(files.keys() | pictures.keys()):
            split = split_of.get(stem, split_of.get(os.path.basename(stem))) if stems_of else folder_split
            if split is None:
                in_no_split += 1
                continue
            target = annotated.setdefault(split, AnnotatedSplit(accepted=accepted))
            if stem in files:
                if not _add_file(files[stem], target, pictures.get(stem), folder):
                    without_picture.append(files[stem])
                continue
            without_label.append(pictures[stem])
            if unlabelled == "empty":
                target.add_picture(pictures[stem])
    if unlabelled == "refuse":
        refuse_unlabelled(without_label, "XML file")
    account = {"folder": readable(root), "layout": "voc",
               "unlabelled": {"count": len(without_label), "taken_as": unlabelled,
                              "pictures": listed_below(root, without_label)},
               "labels_without_picture": {"count": len(without_picture), "files": listed_below(root, without_picture)},
               "in_no_split": in_no_split}
    return sources_of_boxes(annotated, names=accepted, folder=root, account=account)


def recognise_voc(listing: Listing) -> Evidence:
    """XML files in one of the usual folders, or beside pictures."""
    for folder in listing.with_splits():
        for name in folder.folders:
            annotations = folder.inner(name) if name.lower() in _ANNOTATIONS else None
            if annotations is not None and annotations.holds_below((".xml",)):
                return Evidence(LAYOUT, sentence=f"{annotations.path.relative_to(listing.path)}/*.xml")
    return beside_pictures(listing, ".xml")


def annotation_folder(root: Path) -> Path | None:
    """The folder of the XML files: one of the usual names below `root`, else `root` itself; None where none has any,
    also in no folder below."""
    listing = Listing(root)
    usual = [inner for name in listing.folders if name.lower() in _ANNOTATIONS and (inner := listing.inner(name))]
    for folder in usual:
        if folder.holds_below((".xml",)):
            return folder.path
    return root if listing.ending((".xml",)) else None


def _labels_and_pictures(root: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """The XML files and the pictures by their steps below the folders of these, without suffix."""
    labels = annotation_folder(root)
    assert labels is not None
    usual = [parent / name for parent in (labels.parent, root) for name in sorted(os.listdir(parent))
             if name.lower() in _PICTURES and (parent / name).is_dir()]
    deep = labels != root    # the files beside pictures may be those of other sets below
    files = _by_stem(labels, (".xml",), deep=deep)
    pictures = _by_stem(labels, SUFFIXES, deep=deep) or _by_stem(next(iter(usual), labels), SUFFIXES, deep=True)
    return files, _matched(files, pictures)


def _matched(files: Mapping[str, Path], pictures: dict[str, Path]) -> dict[str, Path]:
    """The pictures by the stems of their files: the same steps, else the same name where only one has it."""
    missing = [stem for stem in files if stem not in pictures]
    if not missing:
        return pictures
    by_name: dict[str, list[str]] = {}
    for stem in pictures:
        by_name.setdefault(os.path.basename(stem), []).append(stem)
    matched = dict(pictures)
    names = Counter(os.path.basename(stem) for stem in missing)
    for stem in missing:
        alike = by_name.get(os.path.basename(stem), [])
        if len(alike) == 1 and names[os.path.basename(stem)] == 1 and alike[0] not in files:
            matched[stem] = matched.pop(alike[0])
    return matched


def _by_stem(folder: Path, suffixes: tuple[str, ...], *, deep: bool) -> dict[str, Path]:
    """The files with one of the suffixes by their steps below a folder without suffix; in it alone unless `deep`."""
    by_stem: dict[str, Path] = {}
    paths = files_below(os.fspath(folder), suffixes) if deep else \
        (entry.path for entry in entries_of(folder) if entry.name.lower().endswith(suffixes))
    for path in sorted(paths):
        stem = os.path.splitext(os.path.relpath(path, folder))[0].replace(os.sep, "/")
        if stem in by_stem:
            raise DataError(f"{os.path.dirname(path)} holds both {by_stem[stem].name} and {os.path.basename(path)}, "
                            "for one label: rename one")
        by_stem[stem] = Path(path)
    return by_stem


def image_sets(root: Path, kind: str) -> dict[str, set[str]]:
    """The stems of each split where ImageSets/`kind` lists them, with and without the folders in front; a set with
    trainval alone trains on it."""
    folder = root / "ImageSets" / kind
    names = sorted(os.listdir(folder), key=lambda name: (split_named(name[:-4]) is not None, name.lower() in _LISTS)) \
        if folder.is_dir() else []
    stems = {}
    for name in names:    # the usual names last, so that they take the place of others
        word = name[: -len(".txt")].lower()
        split = word if word == "trainval" else split_named(word)
        if name.lower().endswith(".txt") and split is not None and not is_left_behind(name):
            stems[split] = _listed_stems(folder / name)
    train = stems.get("train", stems.get("trainval", set()) - stems.get("valid", set()))
    by_split = {"train": train, "valid": stems.get("valid", set()), "test": stems.get("test", set())}
    return {split: names for split, names in by_split.items() if names}


def _listed_stems(file: Path) -> set[str]:
    # A list of one class has 1, -1 or 0 (difficult) after each stem. Some tools write the names with their suffix, or
    # with the folder of the pictures in front.
    lines = (re.sub(r"\s+-?[01]$", "", line.strip()).replace("\\", "/") for line in read_text(file).splitlines())
    suffixes = tuple(map(re.escape, SUFFIXES))
    stems = {re.sub(rf"({'|'.join(suffixes)}|\.xml)$", "", line, flags=re.IGNORECASE) for line in lines if line}
    return stems | {os.path.basename(stem) for stem in stems}


def _add_file(file: Path, annotated: AnnotatedSplit, picture: Path | None, root: Path) -> bool:
    """Add the picture and the objects of an XML file; False where its picture is not there. Raises DataError."""
    tree = _parse(file)
    named = (tree.findtext("filename") or "").strip()
    if picture is None and named:
        usual = [root / name for name in Listing(root).folders if name.lower() in _PICTURES]
        picture = Finder([file.parent, root, *usual]).find(named)
    if picture is None:
        return False
    width, height = (_number(tree.findtext(f"size/{edge}"), f"{readable(file)}: size/{edge}", 0.0)
                     for edge in ("width", "height"))
    annotated.add_picture(picture, width=width, height=height)
    for i, element in enumerate(tree.findall("object"), 1):
        where = f"{readable(file)}, object {i}"
        x0, y0, x1, y1 = (_number(element.findtext(f"bndbox/{name}"), f"{where}: bndbox/{name}", None)
                          for name in ("xmin", "ymin", "xmax", "ymax"))
        difficult = (element.findtext("difficult") or "0").strip()
        annotated.add((x0 - 1, y0 - 1, x1, y1), (element.findtext("name") or "").strip(), where=where,
                      crowd=difficult == "1")
    return True


def _parse(file: Path) -> Any:
    """The root element of an annotation; raises DataError."""
    tree = read_xml(file)
    if tree.tag != "annotation":
        raise DataError(f"{readable(file)} is no annotation of Pascal VOC's: its first element is {tree.tag!a}, and "
                        "'annotation' is expected")
    return tree


def _number(text: str | None, where: str, default: float | None) -> float:
    """The number in a text; `default` where there is none, or DataError where that is None as well."""
    if text is None or not text.strip():
        if default is None:
            raise DataError(f"{where} is missing")
        return default
    try:
        return float(text)
    except ValueError as error:
        raise DataError(f"{where} holds {text.strip()[:40]!a}, which is no number") from error


def write_voc(splits: Mapping[str, Sequence[PictureToWrite]], names: Sequence[str],
              folder: Path) -> Iterator[tuple[Path, str]]:
    """Annotations/*.xml and, where there are splits, ImageSets/Main/*.txt, as paths and texts; `crowd` is written as
    difficult."""
    for split, pictures in splits.items():
        for picture in pictures:
            yield folder / "Annotations" / f"{picture.stem}.xml", _annotation(picture, names, folder / "Annotations")
        if split != "all":
            stems = "".join(f"{picture.stem}\n" for picture in pictures)
            yield folder / "ImageSets" / "Main" / f"{'val' if split == 'valid' else split}.txt", stems


def _annotation(picture: PictureToWrite, names: Sequence[str], folder: Path) -> str:
    """The text of an XML file in `folder`."""
    height, width = picture.size
    path = picture.path
    named = path.name if path.parent.name == _WRITTEN_FOLDER else Path(os.path.relpath(path, folder)).as_posix()
    objects = "".join(
        f"  <object>\n    <name>{_escaped(names[number])}</name>\n    <difficult>{int(crowd)}</difficult>\n"
        f"    <bndbox><xmin>{shortest(x0 + 1)}</xmin><ymin>{shortest(y0 + 1)}</ymin><xmax>{shortest(x1)}</xmax>"
        f"<ymax>{shortest(y1)}</ymax></bndbox>\n  </object>\n"
        for (x0, y0, x1, y1), number, crowd, _ in picture.objects())
    return (f"<annotation>\n  <filename>{_escaped(named)}</filename>\n  <size><width>{width}</width><height>{height}"
            f"</height><depth>3</depth></size>\n{objects}</annotation>\n")


def _escaped(name: str) -> str:
    if _ILLEGAL.search(name):
        raise DataError(f"{name!r} cannot be written in XML: rename it")
    return escape(name)


VOC = Format(voc, recognise_voc, Writer(write_voc, lambda split: _WRITTEN_FOLDER))
