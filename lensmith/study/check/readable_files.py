"""Files that cannot be read as pictures: empty, truncated, not pictures at all."""

from collections.abc import Iterator

from lensmith.base.errors import count
from lensmith.study.check.finding import Finding, Pictured
from lensmith.study.check.known_set import KnownSet

# What the reasons of `base/picture_errors.py` begin with -> the kind of finding, and what its sentence says.
_KINDS = {"is empty": ("empty", "of 0 bytes"), "is truncated": ("truncated", "cut off in the middle")}
_OTHERS = ("unreadable", "that cannot be read")


def unreadable(known: KnownSet) -> Iterator[Finding]:
    """The pictures that training would leave out, with the reason of each."""
    kinds = {row: next((kind for words, kind in _KINDS.items() if reason.startswith(words)), _OTHERS)
             for row, reason in known.pictures.reasons.items()}
    for kind, words in (*_KINDS.values(), _OTHERS):
        groups = tuple(Pictured((known.at(row),), (known.pictures.reasons[row],)) for row, (of_row, _) in kinds.items()
                       if of_row == kind)
        if groups:
            yield Finding("unreadable", kind, "warning", f"{count(len(groups), 'picture')} {words}: training leaves "
                          "each out", groups, leave_out=tuple(group.pictures[0] for group in groups))
