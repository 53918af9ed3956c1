"""Boxes as Pascal VOC has them: an XML file a picture, corners counted from 1 and inclusive."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from lensmith.base.errors import DataError
from lensmith.base.pictures import SUFFIXES
from lensmith.data.formats.boxes.annotations import Drawn, Unlabelled, boxed
from lensmith.data.formats.boxes.picture_to_write import Shown, shortest
from lensmith.data.formats.class_names import fixed_classes
from lensmith.data.formats.format import LAYOUT, Evidence, Format, Writer, beside_pictures
from lensmith.data.formats.given_splits import listed_below, refuse_unlabelled, split_folders
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.reading import existing, read_text
from lensmith.data.sources.picture_files import readable
from lensmith.data.sources.sample import Parts

ANNOTATIONS = ("Annotations", "annotations", "xmls", "labels")
_PICTURES = ("JPEGImages", "images", "Images", "imgs")
_ILLEGAL = re.compile("[^\t -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")    # what XML 1.0 cannot hold


def voc(path: str, *, classes: list[str] | None = None, unlabelled: Unlabelled = "leave") -> Parts:
    """The pictures of a folder with Annotations/*.xml and JPEGImages/*, or with each XML file beside its picture.

    ImageSets/Main/train.txt, val.txt and test.txt divide it, else folders called train, valid and test. Objects marked
    difficult neither count nor cost. A picture without an XML file is `unlabelled`: it is left out (leave), shows no
    object (empty) or is an error (refuse). Corners become x0 = xmin - 1, y0 = ymin - 1, x1 = xmax, y1 = ymax. Raises
    DataError with the file and the object that cannot be used.
    """
    root = existing(path)
    if not root.is_dir():
        raise DataError(f"{root} is a file: give the folder with Annotations and JPEGImages")
    places = {"all": root}
    if annotation_folder(root) is None:
        places = {split: folder for split, folder in split_folders(root).items() if annotation_folder(folder)}
    if not places:
        raise DataError(f"{root} holds no XML file: accepted are Annotations/*.xml with JPEGImages, xmls/*.xml with "
                        "images, and an XML file beside each picture, also below train, valid and test")
    accepted = fixed_classes(classes)
    drawn: dict[str, Drawn] = {}
    bare, missing, unlisted = list[Path](), list[Path](), 0
    for split, place in places.items():
        files, pictures = _pairs(place)
        given = image_sets(place, "Main") if split == "all" else {}
        by_stem = {stem: given_split for given_split, stems in given.items() for stem in stems}
        for stem in sorted(files.keys() | pictures.keys()):
            target = by_stem.get(stem) if given else split
            if target is None:
                unlisted += 1
                continue
            part = drawn.setdefault(target, Drawn(accepted=accepted))
            if stem in files:
                if not _read(files[stem], part, pictures.get(stem), place):
                    missing.append(files[stem])
                continue
            bare.append(pictures[stem])
            if unlabelled == "empty":
                part.add_picture(pictures[stem])
    if unlabelled == "refuse":
        refuse_unlabelled(bare, "XML file")
    account = {"folder": readable(root), "layout": "voc",
               "unlabelled": {"count": len(bare), "taken_as": unlabelled, "pictures": listed_below(root, bare)},
               "labels_without_picture": {"count": len(missing), "files": listed_below(root, missing)},
               "in_no_split": unlisted}
    return boxed(drawn, names=accepted, folder=root, account=account)


def recognise_voc(listing: Listing) -> Evidence:
    """XML files in one of the usual folders, or beside pictures."""
    for folder in listing.with_splits():
        for annotations in map(folder.inner, ANNOTATIONS):
            if annotations is not None and annotations.holds((".xml",)):
                return Evidence(LAYOUT, sentence=f"{annotations.path.relative_to(listing.path)}/*.xml")
    return beside_pictures(listing, ".xml")


def annotation_folder(root: Path) -> Path | None:
    """The folder of the XML files: one of the usual names below `root`, else `root` itself; None where none has any."""
    for folder in [*(root / name for name in ANNOTATIONS), root]:
        if folder.is_dir():
            with os.scandir(folder) as entries:
                if any(entry.name.lower().endswith(".xml") for entry in entries):
                    return folder
    return None


def _pairs(place: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """The XML files and the pictures by their names without suffix."""
    folder = annotation_folder(place)
    assert folder is not None
    beside = [folder.parent / name for name in _PICTURES]
    base = next((one for one in (*beside, *(place / name for name in _PICTURES)) if one.is_dir()), folder)
    own = _by_stem(folder, SUFFIXES)
    return _by_stem(folder, (".xml",)), own if own else _by_stem(base, SUFFIXES)


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name in sorted(os.listdir(folder)):
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in suffixes and not name.startswith("."):
            if stem in found:
                raise DataError(f"{folder} holds both {found[stem].name} and {name}, for one label: rename one")
            found[stem] = folder / name
    return found


def image_sets(root: Path, kind: str) -> dict[str, set[str]]:
    """The stems of each split where ImageSets/`kind` lists them; a set with trainval alone trains on it."""
    main = root / "ImageSets" / kind
    listed = {name: _stems(main / f"{name}.txt") for name in ("train", "trainval", "val", "test")
              if (main / f"{name}.txt").is_file()}
    train = listed.get("train", listed.get("trainval", set()) - listed.get("val", set()))
    found = {"train": train, "valid": listed.get("val", set()), "test": listed.get("test", set())}
    return {split: stems for split, stems in found.items() if stems}


def _stems(file: Path) -> set[str]:
    # A list of one class says 1, -1 or 0 (difficult) after each stem.
    return {re.sub(r"\s+-?[01]$", "", line.strip()) for line in read_text(file).splitlines() if line.strip()}


def _read(file: Path, part: Drawn, picture: Path | None, place: Path) -> bool:
    """Add a picture and its objects; False where there is no such picture."""
    tree = _parsed(file)
    named = (tree.findtext("filename") or "").strip()
    picture = picture or next((base / named for base in (file.parent, place) if named
                               and os.path.isfile(base / named)), None)
    if picture is None:
        return False
    width, height = (_number(tree.findtext(f"size/{edge}"), f"{readable(file)}: size/{edge}", 0.0)
                     for edge in ("width", "height"))
    part.add_picture(picture, width=width, height=height)
    for i, one in enumerate(tree.findall("object"), 1):
        where = f"{readable(file)}, object {i}"
        x0, y0, x1, y1 = (_number(one.findtext(f"bndbox/{name}"), f"{where}: bndbox/{name}", None)
                          for name in ("xmin", "ymin", "xmax", "ymax"))
        difficult = (one.findtext("difficult") or "0").strip()
        part.add((x0 - 1, y0 - 1, x1, y1), (one.findtext("name") or "").strip(), where=where, crowd=difficult == "1")
    return True


def _parsed(file: Path) -> Any:
    """The root element of an XML file; entities and DTDs that name any are refused."""
    try:
        from defusedxml import DefusedXmlException  # type: ignore[import-untyped]
        from defusedxml.ElementTree import ParseError, fromstring  # type: ignore[import-untyped]
    except ImportError as error:
        raise DataError(f"to read {file} takes defusedxml: pip install 'lensmith[detection]'") from error
    try:
        tree = fromstring(file.read_bytes(), forbid_dtd=True)
    except DefusedXmlException as error:
        raise DataError(f"{readable(file)} declares entities or a document type ({type(error).__name__}), which can "
                        "swallow memory or read other files: take the <!DOCTYPE ...> out") from error
    except ParseError as error:
        raise DataError(f"{readable(file)}, line {error.position[0]}: is not XML ({error})") from error
    except (ValueError, LookupError) as error:    # an encoding that does not exist, or that expat cannot read
        raise DataError(f"{readable(file)} is not XML that can be read ({error})") from error
    except OSError as error:
        raise DataError(f"{readable(file)} cannot be read ({error.strerror})") from error
    if tree.tag != "annotation":
        raise DataError(f"{readable(file)} is no annotation of Pascal VOC's: its first element is {tree.tag!a}, and "
                        "'annotation' is expected")
    return tree


def _number(text: str | None, where: str, otherwise: float | None) -> float:
    if text is None or not text.strip():
        if otherwise is None:
            raise DataError(f"{where} is missing")
        return otherwise
    try:
        return float(text)
    except ValueError as error:
        raise DataError(f"{where} holds {text.strip()[:40]!a}, which is no number") from error


def write_voc(splits: Mapping[str, Sequence[Shown]], names: Sequence[str], folder: Path) -> Iterator[tuple[Path, str]]:
    """Annotations/*.xml and, where there are splits, ImageSets/Main/*.txt; `crowd` as difficult. -> paths and texts."""
    for split, pictures in splits.items():
        for one in pictures:
            yield folder / "Annotations" / f"{one.stem}.xml", _annotation(one, names, folder / "Annotations")
        if split != "all":
            stems = "".join(f"{one.stem}\n" for one in pictures)
            yield folder / "ImageSets" / "Main" / f"{'val' if split == 'valid' else split}.txt", stems


def _annotation(one: Shown, names: Sequence[str], folder: Path) -> str:
    height, width = one.size
    inside = one.path.parent.name == "JPEGImages"
    named = one.path.name if inside else Path(os.path.relpath(one.path, folder)).as_posix()
    objects = "".join(
        f"  <object>\n    <name>{_text(names[number])}</name>\n    <difficult>{int(crowd)}</difficult>\n"
        f"    <bndbox><xmin>{shortest(x0 + 1)}</xmin><ymin>{shortest(y0 + 1)}</ymin><xmax>{shortest(x1)}</xmax>"
        f"<ymax>{shortest(y1)}</ymax></bndbox>\n  </object>\n" for (x0, y0, x1, y1), number, crowd, _ in one.objects())
    return (f"<annotation>\n  <filename>{_text(named)}</filename>\n  <size><width>{width}</width><height>{height}"
            f"</height><depth>3</depth></size>\n{objects}</annotation>\n")


def _text(name: str) -> str:
    if _ILLEGAL.search(name):
        raise DataError(f"{name!r} cannot be written in XML: rename it")
    return escape(name)


VOC = Format(voc, recognise_voc, Writer(write_voc, lambda split: "JPEGImages"))
