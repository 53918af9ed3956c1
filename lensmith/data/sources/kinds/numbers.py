"""Numbers of a data set: unknown is NaN, and a set is divided by the quantiles of the first quantity."""

from collections.abc import Sequence

import numpy as np
import torch

from lensmith.base.picture_headers import Header
from lensmith.data.sources.kinds.target_kind import spread_rows
from lensmith.data.sources.sample import Collection
from lensmith.values.labels import Numbers

_NAMED = 3    # quantities that are named with their range
_BINS = 10    # quantiles by which a set is divided


def spread(numbers: Numbers, rows: np.ndarray, headers: Sequence[Header | None], classes: int) -> Numbers:
    return Numbers(spread_rows(numbers.values, rows, len(headers), torch.nan))


def known(source: Collection, target: str) -> np.ndarray:
    return np.asarray((~_numbers(source, target).values.isnan()).any(1).numpy())


def strata(source: Collection, targets: Sequence[str]) -> np.ndarray:
    values = _numbers(source, targets[0]).values[:, 0].numpy()
    rank = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return rank * _BINS // len(source)


def known_in_words(values: Sequence[Numbers], names: Sequence[str]) -> str:
    """`age from 0.5 to 99`; of many quantities their number and the first names."""
    if len(names) > _NAMED:
        return f"{len(names)} numbers ({', '.join(names[:_NAMED])} ...)"
    rows = torch.cat([numbers.values for numbers in values])
    ranges = []
    for name, column in zip(names, rows.unbind(1), strict=True):
        known_numbers = column[~column.isnan()].tolist()
        ranges.append(f"{name} from {min(known_numbers):g} to {max(known_numbers):g}" if known_numbers else name)
    return ", ".join(ranges)


def _numbers(source: Collection, target: str) -> Numbers:
    numbers = source.targets[target]
    assert isinstance(numbers, Numbers)
    return numbers
