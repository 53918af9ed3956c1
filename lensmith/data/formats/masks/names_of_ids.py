"""What the ids of masks are called: by a list of classes from the settings or a file, else by the ids that occur."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lensmith.base.errors import DataError, Question, Reading, UserError, count
from lensmith.data.formats.boxes.yolo_folders import names_by_number, read_config
from lensmith.data.formats.class_names import check_names, fixed_classes
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.reading import beginning_of, existing, read_text
from lensmith.data.sources.mask_files import IDS, UNLISTED, Coding, Colours, PixelMask, StrayId, ids_in
from lensmith.data.sources.picture_files import readable
from lensmith.values.semantic_mask import IGNORED

_NAMED = 5    # masks that an error names
_WHITE = 255
_MANY_IDS, _EDGES = 16, 0.2    # more ids, which at most so many of the pixels have: the gray edges of black and white
# What files that list classes call the pixels that are neither learned nor measured.
VOID_NAMES = ("void", "ignore", "ignored", "__ignore__", "unlabeled", "unlabelled")
FILES_OF_NAMES = ("class_dict.csv", "labelmap.txt", "label_colors.txt", "classes.txt", "class_names.txt", "labels.txt",
          "codes.txt", "names.txt")
_ROBOFLOW, _BY_VALUE = "_classes.csv", re.compile(r"\s*pixel value\s*,\s*class\s*$", re.IGNORECASE | re.MULTILINE)
_COLOUR_AFTER_NAME = re.compile(r"(?P<name>.+?)\s*[\s,;:]\s*(?P<r>\d{1,3})\s*[\s,;]\s*(?P<g>\d{1,3})\s*[\s,;]\s*"
                                r"(?P<b>\d{1,3})\b\D*")
_COLOUR_BEFORE_NAME = re.compile(r"(?P<r>\d{1,3})\s*[\s,;]\s*(?P<g>\d{1,3})\s*[\s,;]\s*(?P<b>\d{1,3})\s*[\s,;:]\s*"
                                 r"(?P<name>\D.*)")


@dataclass(frozen=True)
class ClassList:
    """The classes that a setting or a file lists: their ids, and their colours where it gives any."""

    names: dict[int, str]    # id -> name; several ids may have one name
    source: str
    colours: Colours | None = None


@dataclass(frozen=True)
class MaskClasses:
    """The classes of a set of masks."""

    names: tuple[str, ...]
    coding: Coding
    ids: dict[str, list[int]]    # name -> its ids
    void: list[int]              # the ids that are neither learned nor measured


def class_list(folder: Path, config: Path | None, *, classes: Sequence[str] | str | None,
               ids: Mapping[str, str] | None) -> ClassList | None:
    """The list of classes; None where there is none. Raises DataError, UserError.

    It is that of the settings data.`ids` or data.`classes`, else of `config`, the set's description, else of a file in
    its folder that is called as such lists are.
    """
    if ids is not None:
        if classes is not None:
            raise UserError("data.ids and data.classes both name the classes: give one of them")
        return ClassList(_checked_ids(ids), "data.ids")
    if isinstance(classes, str):
        return read_class_list(existing(str(folder / Path(classes).expanduser())))
    if classes is not None:
        return ClassList(dict(enumerate(fixed_classes(list(classes)) or ())), "data.classes")
    if config is not None:
        return read_class_list(config)
    file = next((folder / name for name in FILES_OF_NAMES if (folder / name).is_file()), None)
    return _list_of_roboflow(folder) if file is None else read_class_list(file)


def _list_of_roboflow(folder: Path) -> ClassList | None:
    """The classes in `_classes.csv`, a row with the value of the pixels and the name for each, which Roboflow puts
    beside the pictures of each split; None where there is none. Raises DataError where two differ."""
    found: ClassList | None = None
    for each in Listing(folder).with_splits():
        file = each.path / _ROBOFLOW
        if _ROBOFLOW not in each.files or not _BY_VALUE.match(beginning_of(file)):
            continue    # that of its classification has a column for each class
        names: dict[int, str] = {}
        for number, line in enumerate(read_text(file).splitlines()[1:], 2):
            value, _, name = map(str.strip, line.partition(","))
            if not line.strip():
                continue
            if not value.isdecimal() or not name or int(value) in names:
                raise DataError(f"{readable(file)}, line {number}: {line[:60]!r} is no value of pixels with the name "
                                "of its class, as `1, cat`, or the value is there already")
            names[int(value)] = name
        if found is not None and found.names != names:
            raise DataError(f"{readable(file)} and {found.source} name other classes: make them agree")
        found = found or _checked(names, readable(file))
    return found


def _checked_ids(ids: Mapping[str, str]) -> dict[int, str]:
    names: dict[int, str] = {}
    for key, name in ids.items():
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", key)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < IDS or not name or names.keys() & range(first, last + 1):
            raise UserError(f"data.ids: {key!r} = {name!r} is not possible: accepted are the number of an id, 0 to "
                            f"{IDS - 1}, or several as 0-127, none of them twice, and the name of the class, or void, "
                            "as in {1 = \"pet\", 3 = \"void\"}")
        names |= dict.fromkeys(range(first, last + 1), name)
    return names


def read_class_list(file: Path) -> ClassList:
    """The list of classes in a file; raises DataError with the line.

    A text file has one class a line, with ids from 0, and may give each a colour: `name,r,g,b`, `name:r,g,b` or
    `r g b name`. A YAML file has a key `classes` or `names`.
    """
    if file.suffix.lower() in (".yaml", ".yml"):
        content = read_config(file)
        listed = content.get("classes") or content.get("names")
        if not listed:
            raise DataError(f"{readable(file)} names no classes: a map `classes` from ids to names is expected")
        return _checked(names_by_number(listed, file), readable(file))
    lines = [(number, line.strip()) for number, line in enumerate(read_text(file).splitlines(), 1)
             if line.strip() and not line.startswith("#")]
    matches = [_COLOUR_BEFORE_NAME.fullmatch(line) or _COLOUR_AFTER_NAME.fullmatch(line) for _, line in lines]
    if not any(matches):
        return _checked(dict(enumerate(line for _, line in lines)), readable(file))
    if not matches[0]:    # a header with the names of the columns
        lines, matches = lines[1:], matches[1:]
    names, colours = dict[int, str](), Colours()
    for i, ((number, line), match) in enumerate(zip(lines, matches, strict=True)):
        where = f"{readable(file)}, line {number}"
        colour = None if match is None else (int(match["r"]), int(match["g"]), int(match["b"]))
        if match is None or colour is None or max(colour) > 255:
            raise DataError(f"{where}: {line[:60]!r} is no class with its colour: a name and three numbers from 0 to "
                            "255 are expected")
        if colour in colours:
            raise DataError(f"{where}: the colour {','.join(map(str, colour))} is that of {names[colours[colour]]!r} "
                            "already")
        names[i], colours[colour] = match["name"].strip(), i
    return _checked(names, readable(file), colours)


def _checked(names: dict[int, str], source: str, colours: Colours | None = None) -> ClassList:
    check_names(tuple(names.values()), source)
    if max(names, default=0) >= IDS:
        raise DataError(f"{source}: the id {max(names)} is beyond the {IDS:,} that a mask may hold")
    return ClassList(names, source, colours)


def settle_classes(occurring: Collection[int], listed: ClassList | None, void: Sequence[int] | None,
                   folder: Path, *, white: bool = False, measured: bool = False) -> MaskClasses:
    """The classes of masks in which some ids occur; raises DataError where they are fewer than two or more than 255.

    Void are the ids `void`. Where these are not given, void are the ids that a list calls void, ignored or unlabelled,
    and 255 where it is no class of the list. Without a list each id is a class by its number; 255 is then a class only
    where just one other id occurs. With a list of the ids 0 and 1, masks that hold 0 and 255 alone mean these. Where
    255 is a `white` foreground it is never void by itself. Masks that are only `measured` on may show one class.
    """
    names, void_ids = _split_off_void(occurring, listed, void, white=white)
    order = tuple(dict.fromkeys(names.values()))
    source = listed.source if listed is not None else f"the masks in {readable(folder)}"
    if len(order) < (1 if measured else 2):
        raise DataError(f"{source}: {f'one class alone, {order[0]!r}' if order else 'no class'}, beside the void: to "
                        "tell classes apart takes at least two")
    if len(order) > IGNORED:
        raise DataError(f"{source}: {len(order):,} classes; at most {IGNORED} are accepted. Are the masks ids of "
                        "classes, or are they numbers of objects?")
    index = {name: i for i, name in enumerate(order)}
    shown = ", ".join(map(str, list(names)[:20])) + (" ..." if len(names) > 20 else "")
    coding = Coding.of({id_: index[name] for id_, name in names.items()}, sorted(void_ids),
                       colours=None if listed is None else listed.colours, listed=f"the ids of {source} ({shown})")
    ids: dict[str, list[int]] = {name: [] for name in order}
    for id_, name in names.items():
        ids[name].append(id_)
    return MaskClasses(order, coding, ids, sorted(void_ids))


def _split_off_void(occurring: Collection[int], listed: ClassList | None,
                    void: Sequence[int] | None, *, white: bool) -> tuple[dict[int, str], set[int]]:
    """The names of the ids that are classes, and the ids that are void; `white` as of settle_classes."""
    names = dict(listed.names) if listed is not None else {id_: str(id_) for id_ in sorted(occurring)}
    if void is not None:
        void_ids = set(void)
    else:
        void_ids = {id_ for id_, name in names.items() if listed is not None and name.lower() in VOID_NAMES}
        black_and_white = set(occurring) <= {0, IGNORED} and IGNORED in occurring
        if black_and_white and listed is not None and set(names) == {0, 1}:
            names = {0: names[0], IGNORED: names[1]}
        elif IGNORED in occurring and not white and (IGNORED not in names if listed is not None
                                                     else len(occurring) > 2):
            void_ids.add(IGNORED)
    return {id_: name for id_, name in names.items() if id_ not in void_ids}, void_ids


def classes_of_masks(masks: Sequence[Path], listed: ClassList | None, void: Sequence[int] | None,
                     folder: Path, *, measured: bool = False) -> tuple[MaskClasses, list[dict[int, int]]]:
    """The classes of masks of pixels, and for each mask the number of its pixels by id; every mask is read once.

    `listed`, `void` and `measured` as of settle_classes. Raises DataError where an id is no class, and where all masks
    are void.
    """
    pixels_by_id = ids_in(masks, None if listed is None else listed.colours)
    occurring = set().union(*pixels_by_id)
    if listed is None and void is None and not measured:
        _ask_about_gray_edges(pixels_by_id, folder)
    settled = settle_classes(occurring, listed, void, folder, white=_white_foreground(pixels_by_id),
                             measured=measured)
    table = settled.coding.table
    stray = [mask for mask, pixels in zip(masks, pixels_by_id, strict=True)
             if any(table[id_] == UNLISTED for id_ in pixels)]
    if stray:
        try:
            PixelMask(stray[0], settled.coding).classes()    # raises the error that says where the id is
        except StrayId as error:
            others = f" ({count(len(stray) - 1, 'more mask')} with such ids: {_some(stray[1:])})" if stray[1:] else ""
            raise StrayId(f"{error}{others}") from error
    if all(table[id_] == IGNORED for pixels in pixels_by_id for id_ in pixels):
        raise DataError(f"every mask of {readable(folder)} is void alone (the ids {settled.void}): there is nothing to "
                        "learn; say which ids are void with data.void or data.ids")
    shown = [name for name, ids in settled.ids.items() if occurring.intersection(ids)]
    if len(shown) == 1 and 0 in settled.ids[shown[0]] and not measured:
        void_words = f" (void are the ids {settled.void})" if settled.void else ""
        others = ", ".join(name for name in settled.names if name != shown[0])
        raise DataError(f"the masks in {readable(folder)} show {shown[0]!r} alone, and no pixel of "
                        f"{others}{void_words}: say what the ids that occur "
                        f"({', '.join(map(str, sorted(occurring)[:10]))}) are, with "
                        "data.ids or data.void")
    return settled, pixels_by_id


def _ask_about_gray_edges(pixels_by_id: Sequence[Mapping[int, int]], folder: Path) -> None:
    """Raise a Question where nearly all pixels are black or white, and the rest has many values between them."""
    total, between = Counter[int](), 0
    for pixels in pixels_by_id:
        total.update(pixels)
    between = sum(number for id_, number in total.items() if id_ not in (0, _WHITE))
    if len(total) > _MANY_IDS and max(total) == _WHITE and total[0] and between <= _EDGES * total.total():
        raise Question(readable(folder), f"the masks in {readable(folder)} have {len(total)} values, and all but "
                       f"{between / total.total():.1%} of their pixels are 0 or 255: the others look like the gray "
                       "edges of masks that were resized or drawn smoothly, and are no classes", [
                           Reading("takes gray for black or white, whichever is nearer",
                                   ("data.name=masks", 'data.ids={0-127 = "background", 128-255 = "object"}'))])


def _some(masks: Sequence[Path]) -> str:
    return ", ".join(readable(mask.name) for mask in masks[:_NAMED]) + (" ..." if len(masks) > _NAMED else "")


def _white_foreground(pixels_by_id: Sequence[Mapping[int, int]]) -> bool:
    """Whether 255 covers as much as all other foreground, in the masks that hold it beside the background 0. As void it
    is a border around other objects, or the whole of a mask."""
    masks = [pixels for pixels in pixels_by_id if 0 in pixels and IGNORED in pixels]
    white = sum(pixels[IGNORED] for pixels in masks)
    return bool(masks) and 2 * white >= sum(sum(pixels.values()) - pixels[0] for pixels in masks)
