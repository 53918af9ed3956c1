"""What was left out of a data set, changed in it or guessed, in words: the one place that says what was counted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lensmith.base.errors import count

_NAMED = 5    # names of folders in the line, at most
MUCH = 0.1    # the fraction of its kind from which on a loss is a warning


@dataclass(frozen=True)
class Counted:
    """So many of a kind of which something has to be known."""

    number: int
    of: int                        # all of that kind in the set; 0 where it is not a part of anything
    noun: str
    words: str                     # what follows the number and the noun
    lost: bool                     # whether they are neither learned nor measured
    names: tuple[str, ...] = ()    # the files
    key: str = ""                  # of the account that counts them; one within another has a dot

    def sentence(self) -> str:
        """`6 of 12 annotations name a picture that the file does not list`"""
        if self.of:
            return f"{self.number:,} of {count(self.of, self.noun)} {self.words}"
        return f"{count(self.number, self.noun)} {self.words}"

    @property
    def is_much(self) -> bool:
        return self.lost and self.of > 0 and self.number >= MUCH * self.of


@dataclass(frozen=True)
class _Kind:
    """How one key of an account is said. Words must fit one and several of the noun."""

    noun: str
    words: str
    lost: bool = True
    named: bool = False    # whether the line has the names too, which are few
    whole: str = ""    # of what it is a part: "pictures", "objects" or "files"; "" of nothing


# The keys of an account that are counts, or hold a `count` with the names. A key within another has a dot. A format
# that leaves out, changes or guesses anything else puts its count into its account and a row here.
_KINDS = {
    "labels_without_picture": _Kind("label file", "without a picture, left out", whole="files"),
    "masks_without_picture": _Kind("mask", "without a picture, left out", whole="files"),
    "annotations_without_picture": _Kind("annotation", "of a picture that the file does not list, left out",
                                         whole="objects"),
    "pictures_not_listed": _Kind("picture", "in the folder that no file lists, left out", whole="pictures"),
    "ids_as_text": _Kind("annotation", "with an id written as text where the picture's is a number, or the other way "
                                       "round: taken for the same", lost=False, whole="objects"),
    "empty_masks": _Kind("mask", "without any object", lost=False),
    "without_outline": _Kind("object", "without an outline, left out", whole="objects"),
    "without_class": _Kind("object", "of which nothing says the class, left out", whole="objects"),
    "shapes_without_box": _Kind("shape", "of points or lines, which have no box, or of bit masks, which an export as "
                                         "COCO holds, left out", whole="objects"),
    "beside_classes": _Kind("picture", "beside the class folders and in none of them, left out", whole="pictures"),
    "masks_left_out": _Kind("picture", "called as the mask of another one, left out (data.masks)", lost=False),
    "in_no_split": _Kind("picture", "in no list of a split, left out", whole="pictures"),
    "in_two_splits": _Kind("picture", "in two splits of the set: what is measured on them was learned", lost=False,
                           whole="pictures"),
    "in_later_split": _Kind("picture", "in two splits of the set, kept in the later of train, valid and test alone",
                            lost=False, whole="pictures"),
    "without_target": _Kind("row", "without any target, left out", whole="pictures"),
    "taken_for_train": _Kind("picture", "of which no set says the split, taken for train", lost=False),
    "duplicates": _Kind("row", "naming a picture that another row names", lost=False, whole="pictures"),
    "void_alone": _Kind("picture", "whose mask is void alone: nothing is learned of it", whole="pictures"),
    "missing": _Kind("mask", "named but not there: not known", lost=False),
    "dropped.outside": _Kind("box", "outside of its picture, left out", whole="objects"),
    "dropped.without_area": _Kind("box", "without an area, left out", whole="objects"),
    "dropped.duplicates": _Kind("box", "there twice, taken once", lost=False, whole="objects"),
    "clipped.small": _Kind("box", "a little beyond the edge of its picture, cut there", lost=False, whole="objects"),
    "clipped.large": _Kind("box", "far beyond the edge of its picture, cut there", lost=False, whole="objects"),
    "swapped": _Kind("box", "with swapped corners, set right", lost=False, whole="objects"),
    "size_differs": _Kind("picture", "of another size than its label declares", lost=False, whole="pictures"),
    "turned": _Kind("picture", "whose label is of the picture before its EXIF rotation, turned with it", lost=False,
                    whole="pictures"),
    "maybe_turned": _Kind("picture", "with an EXIF rotation, of which labels in fractions do not say whether they were "
                                     "drawn before it: taken as drawn on the picture as it is shown; where they were "
                                     "not, take the rotation off the files (exiftool -Orientation= FILE)", lost=False,
                          whole="pictures"),
    "listed_twice": _Kind("picture", "listed twice, taken once with the objects of both", lost=False,
                          whole="pictures"),
    "same_contents": _Kind("picture", "with the contents of another one, kept in one split", lost=False,
                           whole="pictures"),
    "two_labels": _Kind("picture", "with the contents of one that has another label", lost=False, whole="pictures"),
    "listed_to_leave_out": _Kind("picture", "on the list of data.leave_out, left out", lost=False, whole="pictures"),
    "crowd": _Kind("object", "marked as a crowd or as difficult: neither learned nor measured", lost=False,
                   whole="objects"),
    "contradictions": _Kind("picture", "of which rows say different things, not known there", lost=False,
                            whole="pictures"),
    "kept_in_later_split": _Kind("picture", "in two splits of the table, kept in the later of train, valid and test",
                                 lost=False, whole="pictures"),
    "ignored_folders": _Kind("folder", "of which the layout of the set says nothing, left out", lost=False, named=True),
    "splits_not_there": _Kind("split", "that the description names and that is not there", lost=False, named=True),
}
_LOST_OBJECTS = ("annotations_without_picture", "without_outline", "without_class", "shapes_without_box",
                 "dropped.outside", "dropped.without_area", "dropped.duplicates")
_LOST_PICTURES = ("pictures_not_listed", "beside_classes", "in_no_split", "without_target", "listed_to_leave_out",
                  "other_formats")


def findings(account: Mapping[str, Any]) -> list[Counted]:
    """What the content of a data.json counts as left out, changed or guessed, what is lost first.

    The account of a set alone is passed as `{"source": account}`.
    """
    source = _mapping(account.get("source"))
    dropped = [row for row in account.get("dropped") or () if isinstance(row, Mapping)]
    found = list(_of_set(source, unreadable=len(dropped), shown=_shown(account)))
    if dropped:
        names = tuple(f"{row.get('file', '')} {row.get('reason', '')}" for row in dropped)
        found.append(Counted(len(dropped), _shown(account) + len(dropped), "picture", "that cannot be read, left out",
                             lost=True, names=names))
    for inner in ("sets", "parts"):
        for name, part in _mapping(source.get(inner)).items():
            found += [replace(each, words=f"{each.words} ({name})")
                      for each in _of_set(_mapping(part), unreadable=0, shown=0)]
    return sorted(found, key=lambda each: not each.lost)


def counted_keys() -> set[str]:
    """The keys of the account of a set that `findings` says."""
    return {key.partition(".")[0] for key in _KINDS} | {"unlabelled", "ignored", "ignored_files", "other_formats"}


def findings_line(found: Sequence[Counted], command: str) -> str:
    """All of them in one line, with the `command` that lists every file; empty where there is nothing to say."""
    if not found:
        return ""
    return f"left out, changed or guessed: {'; '.join(each.sentence() for each in found)}. {command} lists all"


def much_lost(found: Sequence[Counted], command: str) -> str:
    """A warning of what is lost by a tenth or more; empty where nothing is."""
    lost = [each for each in found if each.is_much]
    if not lost:
        return ""
    sentences = "; ".join(f"{each.sentence()} ({each.number / each.of:.0%})" for each in lost)
    return f"much of the data was left out: {sentences}. {command} lists all"


def _of_set(source: Mapping[str, Any], *, unreadable: int, shown: int) -> Iterator[Counted]:
    """What the account of one set counts."""
    counted = {key: _counted(source, key) for key in (*_KINDS, "other_formats")}
    unlabelled = _mapping(source.get("unlabelled"))
    without_label, names = _number(unlabelled.get("count")), _names(unlabelled)
    left = unlabelled.get("taken_as") == "leave"
    # What a run learns may be less than the set holds, of which some pictures cannot be read.
    pictures = max(shown, _total(source.get("pictures")) - unreadable)
    wholes = {"": 0,
              "pictures": pictures + unreadable + sum(counted[key][0] for key in _LOST_PICTURES) + left * without_label,
              "objects": (_total(source.get("boxes")) or _total(source.get("objects"))) +
              sum(counted[key][0] for key in _LOST_OBJECTS),
              "files": pictures + sum(counted[key][0] for key in ("labels_without_picture", "masks_without_picture"))}
    if without_label:
        words = "without a label, left out (data.unlabelled)" if left else \
            "without a label, taken to show no object (data.unlabelled)"
        yield Counted(without_label, wholes["pictures"], "picture", words, left, names)
    for key, kind in _KINDS.items():
        number, names = counted[key]
        if number:
            shown_names = f" ({', '.join(names[:_NAMED])}{' ...' if len(names) > _NAMED else ''})" if kind.named else ""
            yield Counted(number, wholes[kind.whole], kind.noun, kind.words + shown_names, kind.lost, names, key)
    others, names = counted["other_formats"]
    if others:
        words = f"in formats that are not read, left out: {_mapping(source.get('other_formats')).get('words', '')}"
        yield Counted(others, wholes["pictures"], "picture", words, lost=True, names=names)
    suffixes = _mapping(source.get("ignored"))
    if suffixes:
        listed = ", ".join(f"{suffix} {number}" for suffix, number in suffixes.items())
        names = tuple(map(str, source.get("ignored_files") or ()))
        yield Counted(_total(suffixes), 0, "file", f"without a picture's suffix, left out ({listed})", lost=False,
                      names=names)


def _counted(source: Mapping[str, Any], key: str) -> tuple[int, tuple[str, ...]]:
    """How many a key counts, and the names under it."""
    outer, _, inner = key.partition(".")
    value = source.get(outer)
    if inner:
        value = _mapping(value).get(inner)
    if isinstance(value, Mapping):
        return _number(value.get("count")), _names(value)
    if isinstance(value, list):
        return len(value), tuple(map(str, value))
    return _number(value), ()


def _names(counted: Mapping[str, Any]) -> tuple[str, ...]:
    listed = counted.get("pictures") or counted.get("files") or ()
    return tuple(map(str, listed)) if isinstance(listed, list | tuple) else ()


def _shown(account: Mapping[str, Any]) -> int:
    """How many pictures the splits of a run hold."""
    return sum(_number(_mapping(split).get("count")) for split in _mapping(account.get("splits")).values())


def _total(value: Any) -> int:
    """The sum of a count by split."""
    return sum(map(_number, value.values())) if isinstance(value, Mapping) else _number(value)


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
