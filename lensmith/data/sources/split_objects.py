"""Splits that keep an object each where they can: a split without any cannot be measured, and nothing learned of it."""

from collections.abc import Callable, Sequence

import numpy as np

from lensmith.data.sources.sample import Source
from lensmith.values import OBJECTS, of_kind
from lensmith.values.boxes import Boxes


def pictures_with_objects(source: Source) -> np.ndarray | None:
    """bool [n]: which pictures show an object that counts; None where the set has no target of objects."""
    targets = of_kind(source.targets, *OBJECTS)
    if not targets:
        return None
    shows = np.zeros(len(source), dtype=bool)
    for target in targets:
        value = source.targets[target]
        assert isinstance(value, Boxes) and value.image is not None
        counts = value.image if value.crowd is None else value.image[~value.crowd]
        shows[counts.numpy()] = True
    return shows


def of_groups(shows: np.ndarray, member: np.ndarray) -> np.ndarray:
    """bool [groups]: which groups have a picture that `shows` an object; `member` is the group of each picture."""
    groups = np.zeros(int(member.max()) + 1, dtype=bool)
    np.logical_or.at(groups, member, shows)
    return groups


def with_objects_in(wanted: Sequence[int], numbers: np.ndarray, shows: np.ndarray, order: np.ndarray, *,
                    givers: Sequence[int], sizes: np.ndarray | None = None, keep_first: bool = False,
                    may_leave: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
    """The numbers of the splits, int64 [units], with a unit that shows an object in each of the `wanted` splits that
    has units at all, where another split has one to spare.

    Units are pictures or groups. The unit comes from the one of `givers` with the most such units, which keeps one;
    split 0, the one to learn from, may take the last unless `keep_first`. It is the smallest, the first in `order` of
    these, and changes places with the unit of the split that is nearest to it in size. Nothing changes where all splits
    have one.

    shows: bool [units], which show an object.
    sizes: int64 [units], the pictures of each; None: one each.
    may_leave: the numbers -> bool [units], which units may leave their split; None: all.
    """
    numbers, sizes = numbers.copy(), np.ones(len(numbers), dtype=np.int64) if sizes is None else sizes
    for number in wanted:
        of_split = order[numbers[order] == number]
        if not len(of_split) or shows[of_split].any():
            continue
        showing = np.bincount(numbers[shows], minlength=int(max(*givers, number)) + 1)
        others = [each for each in givers if each != number]
        giver = others[int(showing[others].argmax())]    # the first of equals
        if showing[giver] <= (0 if number == 0 and not keep_first else 1):
            continue
        may = shows & (numbers == giver) & (True if may_leave is None else may_leave(numbers))
        spare = order[may[order]]
        if len(spare):
            given = spare[sizes[spare].argmin()]
            taken = of_split[np.abs(sizes[of_split] - sizes[given]).argmin()]
            numbers[given], numbers[taken] = number, giver
    return numbers
