"""What may be wrong with a data set before any training: the table of the checks.

A check is a function: (KnownSet) -> findings. To add one write a file here and a line in the table.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lensmith.study.check.finding import Finding
from lensmith.study.check.known_set import KnownSet
from lensmith.study.check.labels.suspicious_labels import KINDS as LABEL_KINDS
from lensmith.study.check.labels.suspicious_labels import suspicious_labels
from lensmith.study.check.labels.suspicious_objects import (
    BOX_KINDS,
    MASK_KINDS,
    suspicious_boxes_of_run,
    suspicious_masks_of_run,
)
from lensmith.study.check.readable_files import unreadable


@dataclass(frozen=True)
class DataCheck:
    """One entry of the table."""

    find: Callable[[KnownSet], Iterable[Finding]]
    kinds: tuple[str, ...]    # of the findings that it may give; --fail-on takes these words


CHECKS: dict[str, DataCheck] = {
    "unreadable": DataCheck(unreadable, ("unreadable",)),
    "suspicious-labels": DataCheck(suspicious_labels, LABEL_KINDS),
    "suspicious-boxes": DataCheck(suspicious_boxes_of_run, BOX_KINDS),
    "suspicious-masks": DataCheck(suspicious_masks_of_run, MASK_KINDS),
}
KINDS: tuple[str, ...] = tuple(dict.fromkeys(kind for check in CHECKS.values() for kind in check.kinds))
