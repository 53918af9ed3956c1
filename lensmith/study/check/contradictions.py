"""Whether what a set says of two pictures that are the same contradicts itself, for each kind of target."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lensmith.study.check.known_set import KnownSet
from lensmith.values.boxes import Boxes
from lensmith.values.labels import UNKNOWN

_PIXEL = 1.0    # corners of equal pictures may differ by as much: formats round
# The kinds that a change of the picture leaves as they are. A number or a box may rightly be another one in a copy that
# is mirrored or cropped.
UNMOVED = ("label", "tags")
# kind -> float [n, k], the numbers of its pictures, NaN where not known.
_NUMBERS: dict[str, Callable[[Any], np.ndarray]] = {
    "label": lambda value: np.where(value.index.numpy() == UNKNOWN, np.nan, value.index.numpy())[:, None],
    "tags": lambda value: value.present.numpy(),
    "numbers": lambda value: value.values.numpy(),
}


def differing(known: KnownSet, target: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """bool [k]: in which pairs of rows both pictures' target is known and they differ."""
    values = [source.targets[target] for source in known.sources.values()]
    if values[0].kind == "boxes":
        return np.array([_objects_differ(known.objects(a, target), known.objects(b, target)) for a, b in
                         zip(first.tolist(), second.tolist(), strict=True)], dtype=bool)
    if values[0].kind not in _NUMBERS:
        return np.zeros(len(first), dtype=bool)
    rows = np.concatenate([_NUMBERS[value.kind](value) for value in values])
    return (np.abs(rows[first] - rows[second]) > 1e-6 * (1 + np.abs(rows[first]))).any(1)    # NaN differs from none


def _objects_differ(first: Boxes, second: Boxes) -> bool:
    """Whether two pictures do not show objects of the same classes at the same places."""
    if len(first.classes) != len(second.classes):
        return True
    if not len(first.classes):
        return False
    apart = (first.corners[:, None] - second.corners[None]).abs().amax(2)
    fits = (apart <= _PIXEL) & (first.classes[:, None] == second.classes[None])
    return not bool(fits.any(0).all() and fits.any(1).all())
