"""Files that cannot be read as pictures: empty, truncated, not pictures at all."""

from collections.abc import Iterator

from lensmith.base.errors import count
from lensmith.study.check.finding import Finding, Pictured
from lensmith.study.check.known_set import KnownSet


def unreadable(known: KnownSet) -> Iterator[Finding]:
    """The pictures that training would leave out, with the reason of each."""
    reasons = known.pictures.reasons
    if reasons:
        groups = tuple(Pictured((known.at(row),), (reason,)) for row, reason in reasons.items())
        yield Finding("unreadable", "unreadable", "warning",
                      f"{count(len(reasons), 'picture')} cannot be read and would be left out", groups,
                      leave_out=tuple(group.pictures[0] for group in groups))
