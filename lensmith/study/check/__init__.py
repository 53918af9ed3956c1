"""What may be wrong with a data set before any training: the table of the checks.

A check is a function: (KnownSet) -> findings. To add one write a file here and a line in the table.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lensmith.study.check.classes import imbalance, missing_classes, names_alike
from lensmith.study.check.colour_modes import colour_modes, rotated_with_boxes
from lensmith.study.check.counted_at_opening import KINDS_AT_OPENING, counted_at_opening
from lensmith.study.check.duplicates import duplicates
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
from lensmith.study.check.light import blurred, poor_light
from lensmith.study.check.masks import odd_masks
from lensmith.study.check.objects import odd_boxes
from lensmith.study.check.readable_files import unreadable
from lensmith.study.check.shapes import odd_sizes


@dataclass(frozen=True)
class DataCheck:
    """One entry of the table."""

    find: Callable[[KnownSet], Iterable[Finding]]
    kinds: tuple[str, ...]    # of the findings that it may give; --fail-on takes these words


CHECKS: dict[str, DataCheck] = {
    "unreadable": DataCheck(unreadable, ("empty", "truncated", "unreadable")),
    "opening": DataCheck(counted_at_opening, KINDS_AT_OPENING),
    "duplicates": DataCheck(duplicates, ("duplicate", "near-duplicate", "leak", "contradiction")),
    "classes": DataCheck(missing_classes, ("missing-class", "few")),
    "balance": DataCheck(imbalance, ("imbalance",)),
    "names": DataCheck(names_alike, ("names-alike",)),
    "sizes": DataCheck(odd_sizes, ("tiny", "huge", "odd-shape")),
    "colours": DataCheck(colour_modes, ("gray-mixed", "depth-mixed", "colour-mode")),
    "rotation": DataCheck(rotated_with_boxes, ("rotation",)),
    "light": DataCheck(poor_light, ("blank", "dark", "washed-out")),
    "blurred": DataCheck(blurred, ("blurred",)),
    "boxes": DataCheck(odd_boxes, ("box-unit", "box-large", "box-small", "box-doubled", "contradiction")),
    "masks": DataCheck(odd_masks, ("mask-size", "stray-id", "mask-unreadable", "missing-class")),
    "suspicious-labels": DataCheck(suspicious_labels, LABEL_KINDS),
    "suspicious-boxes": DataCheck(suspicious_boxes_of_run, BOX_KINDS),
    "suspicious-masks": DataCheck(suspicious_masks_of_run, MASK_KINDS),
}
KINDS: tuple[str, ...] = tuple(dict.fromkeys(kind for check in CHECKS.values() for kind in check.kinds))
