"""What a check of a data set found: how grave it is, in a sentence, with the pictures concerned."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

# note: worth knowing, nothing may be wrong. warning: most of these are mistakes, look at them.
# error: what is learned, or what is measured, is wrong because of it.
Severity = Literal["note", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("note", "warning", "error")
_NOTHING: Mapping[str, float] = MappingProxyType({})
Corners = tuple[float, ...]    # x0 y0 x1 y1 in pixels of the file


class PictureAt(NamedTuple):
    """One picture of a set."""

    split: str    # that training uses it for: train, valid or test; "" where it is in none
    row: int      # in `KnownSet`, which counts the pictures of all splits one after another
    path: str     # below the set's folder, as `Source.place(i).file` names it


@dataclass(frozen=True)
class Pictured:
    """Pictures that one finding is about together: two that are the same, or one alone."""

    pictures: tuple[PictureAt, ...]
    captions: tuple[str, ...] = ()    # below each of the pictures; () where their paths say enough
    score: float | None = None        # how sure or how bad; groups are listed from the highest down
    boxes: tuple[Corners, ...] = ()    # drawn into the first picture


@dataclass(frozen=True)
class Finding:
    """One thing that a check found."""

    check: str                    # its name in the table CHECKS
    kind: str                     # one of the check's kinds: the word that --fail-on takes
    severity: Severity
    sentence: str                 # what it is, with how many, and what follows from it
    groups: tuple[Pictured, ...] = ()
    count: int = 0                # how many there are, where more than `groups` lists; 0: as many as there are groups
    numbers: Mapping[str, float] = field(default_factory=lambda: _NOTHING)    # the thresholds and measures behind it
    leave_out: tuple[PictureAt, ...] = ()    # what --write-list lists of it: without these it is gone

    @property
    def number(self) -> int:
        return self.count or len(self.groups)

    def as_json(self) -> dict[str, Any]:
        """The finding as plain data."""
        groups = [{"pictures": [picture._asdict() for picture in group.pictures],
                   **({"captions": list(group.captions)} if group.captions else {}),
                   **({} if group.score is None else {"score": group.score}),
                   **({"boxes": [list(box) for box in group.boxes]} if group.boxes else {})} for group in self.groups]
        return {"check": self.check, "kind": self.kind, "severity": self.severity, "count": self.number,
                "sentence": self.sentence, "numbers": dict(self.numbers), "groups": groups,
                "leave_out": [picture.path for picture in self.leave_out]}


def failing(findings: list[Finding], word: str | None) -> list[Finding]:
    """The findings that `word` means: a severity and the graver ones, a check, or a kind; none without a word."""
    if word in SEVERITIES:
        least = SEVERITIES.index(word)
        return [finding for finding in findings if SEVERITIES.index(finding.severity) >= least]
    return [finding for finding in findings if word in (finding.check, finding.kind)]


def by_gravity(findings: list[Finding]) -> list[Finding]:
    """The findings, errors first."""
    return sorted(findings, key=lambda finding: -SEVERITIES.index(finding.severity))
