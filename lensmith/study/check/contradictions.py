"""Whether what a set says of two pictures that are the same contradicts itself, for each kind of target."""

from typing import Any

import numpy as np
import torch

from lensmith.study.check.known_set import KnownSet
from lensmith.values.boxes import Boxes
from lensmith.values.labels import UNKNOWN, Label, Numbers, Tags

_PIXEL = 1.0    # corners of equal pictures may differ by as much: formats round
# The kinds that a change of the picture leaves as they are. A number or a box may rightly be another one in a copy that
# is mirrored or cropped.
UNMOVED = ("label", "tags")


def differing(known: KnownSet, target: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """bool [k]: in which pairs of rows both pictures' target is known and they differ."""
    values = [source.targets[target] for source in known.sources.values()]
    kind: Any = values[0]
    if isinstance(kind, Label):
        index = np.concatenate([value.index.numpy() for value in values])    # type: ignore[attr-defined]
        return (index[first] != index[second]) & (index[first] != UNKNOWN) & (index[second] != UNKNOWN)
    if isinstance(kind, Tags | Numbers):
        field = "present" if isinstance(kind, Tags) else "values"
        rows = torch.cat([getattr(value, field) for value in values]).numpy()
        return (np.abs(rows[first] - rows[second]) > 1e-6 * (1 + np.abs(rows[first]))).any(1)    # NaN differs from none
    if isinstance(kind, Boxes):
        return np.array([_objects_differ(known.objects(a, target), known.objects(b, target)) for a, b in
                         zip(first.tolist(), second.tolist(), strict=True)], dtype=bool)
    return np.zeros(len(first), dtype=bool)


def _objects_differ(first: Boxes, second: Boxes) -> bool:
    """Whether two pictures do not show objects of the same classes at the same places."""
    if len(first.classes) != len(second.classes):
        return True
    if not len(first.classes):
        return False
    apart = (first.corners[:, None] - second.corners[None]).abs().amax(2)
    fits = (apart <= _PIXEL) & (first.classes[:, None] == second.classes[None])
    return not bool(fits.any(0).all() and fits.any(1).all())
