"""What is kept of each picture of a kind of target, and what the metrics of any of the pictures are made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Columns = Mapping[str, np.ndarray]
PICTURES, CLASSES = "pictures", "classes"


@dataclass(frozen=True)
class Column:
    """What an array holds, by which a file that anybody may have written is checked."""

    dtype: str                        # as NumPy calls it
    shape: tuple[str | int, ...]      # `PICTURES`, `CLASSES`, a number, or a word that other columns share
    below: str = ""                   # PICTURES or CLASSES: its numbers are theirs; "": any
    least: int = 0                    # of these numbers

    def problem(self, values: np.ndarray, lengths: dict[str, int]) -> str:
        """What is wrong with an array, in words; a length that is met first is put into `lengths`."""
        if values.dtype != np.dtype(self.dtype) or values.ndim != len(self.shape):
            return f"is {values.dtype} with {values.ndim} axes, and must be {self.dtype} with {len(self.shape)}"
        for wanted, length in zip(self.shape, values.shape, strict=True):
            expected = wanted if isinstance(wanted, int) else lengths.setdefault(wanted, length)
            if length != expected:
                return f"has the shape {list(values.shape)}, and {expected} of {wanted} are expected"
        if self.below and values.size and not (self.least <= int(values.min())
                                               and int(values.max()) < lengths[self.below]):
            return f"has numbers beyond the {lengths[self.below]} {self.below}"
        return ""


@dataclass(frozen=True)
class PictureCounts:
    """What is kept of a kind of target, and what can be told from it without the network.

    `weights` are float64 [samples, pictures]: how often each picture counts in each sample, as 0 or 1 for a part of
    them, or as a bootstrap draws it.
    """

    columns: Mapping[str, Column]
    # (truth, predicted, pictures, classes): the columns of a batch; both values are stacked, in the pixels of the files
    keep: Callable[[Any, Any, int, int], dict[str, np.ndarray]]
    # (metric, columns, weights, classes): float [samples], NaN where there is nothing to measure; None for a metric
    # that cannot be told from what is kept
    measure: Callable[[str, Columns, np.ndarray, int], np.ndarray | None]
    class_metric: str    # what `by_class` gives
    # (columns, weights, classes): float [samples, classes], NaN for a class that was not met
    by_class: Callable[[Columns, np.ndarray, int], np.ndarray]
    # (columns, pictures, classes): float [pictures], the more the better; NaN where the truth is not known
    quality: Callable[[Columns, int, int], np.ndarray]
    # (columns, picture, names): what a page says of the truth, and of the answer
    say: Callable[[Columns, int, Sequence[str]], tuple[str, str]]
