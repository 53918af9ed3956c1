"""What was left out, changed or guessed while the set was opened, which is counted there alone."""

from collections.abc import Iterator

from lensmith.data.sources.findings import Counted, findings
from lensmith.study.check.finding import Finding, Pictured, Severity
from lensmith.study.check.known_set import KnownSet

# The keys of the account that belong to a kind of finding of their own, and how grave they are.
_KINDS: dict[str, tuple[str, Severity]] = {
    "dropped.outside": ("box-outside", "warning"), "clipped.large": ("box-outside", "warning"),
    "clipped.small": ("box-outside", "note"), "dropped.without_area": ("box-degenerate", "warning"),
    "swapped": ("box-degenerate", "warning"), "dropped.duplicates": ("box-doubled", "warning"),
    "size_differs": ("rotation", "warning"), "turned": ("rotation", "note"),
    "contradictions": ("contradiction", "error"), "void_alone": ("mask-empty", "warning"),
    "empty_masks": ("mask-empty", "note"),
}
# What the duplicates are told of by the check of that name, pair by pair.
_TOLD_ELSEWHERE = ("same_contents", "in_two_splits", "in_later_split", "two_labels")
KINDS_AT_OPENING = tuple(dict.fromkeys(("opening", *(kind for kind, _ in _KINDS.values()))))


def counted_at_opening(known: KnownSet) -> Iterator[Finding]:
    """A finding for each thing that the account of the set counts."""
    account = {key: value for key, value in known.account.items() if key not in _TOLD_ELSEWHERE}
    shown = {split: {"count": len(rows)} for split, rows in known.splits.items()}
    for counted in findings({"source": account, "splits": shown}):
        kind, severity = _KINDS.get(counted.key, ("opening", _gravity(counted)))
        rows = [known.rows_by_path[name] for name in counted.names if name in known.rows_by_path]
        yield Finding("opening", kind, severity, counted.sentence(), tuple(Pictured((known.at(row),)) for row in rows),
                      count=counted.number)


def _gravity(counted: Counted) -> Severity:
    return "warning" if counted.is_much else "note"
