"""Which rows of a set training puts into which split, told before any picture is decoded."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from lensmith.data.sources.in_memory import InMemory, Numbered
from lensmith.data.sources.sample import Source, Splits
from lensmith.data.sources.split import divide
from lensmith.data.store.same_contents import same_contents
from lensmith.recipe import schema as recipes


def divided_rows(opened: Splits, bad: Mapping[str, np.ndarray],
                 recipe: recipes.Recipe) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(for each split of training the rows of the set, int64, as `open_data` divides it; what the account says of
    pictures with the same contents). The rows of the opened splits are counted one after another.

    `bad` bool [n] says of each opened split which pictures have no header that can be read, so that they are in none.
    Raises UserError and DataError as `divide` does.
    """
    good = {split: np.flatnonzero(~bad[split]) for split in opened.splits}
    sources = {split: source if len(good[split]) == len(source) else source.subset(good[split].tolist())
               for split, source in opened.splits.items()}
    same = same_contents(sources)
    account = same.account(sources)
    staying = {split: np.flatnonzero(~same.leaving(split, source)) if split in same.numbers else np.arange(len(source))
               for split, source in sources.items()}
    numbered, start = {}, 0
    for split, source in opened.splits.items():
        rows = good[split][staying[split]]
        numbered[split] = _numbered(source, rows, start)
        start += len(source)
    training = next((split for split in ("train", "all") if split in same.numbers), None)
    alike = None if training is None else same.numbers[training][staying[training]]
    if alike is not None and len(np.unique(alike)) == len(alike):
        alike = None
    divided = divide(numbered, **recipe["split"], alike=alike)
    return {split: source.places.rows for split, source in divided.items()}, account    # type: ignore[attr-defined]


def _numbered(source: Source, rows: np.ndarray, start: int) -> InMemory:
    """A source of these rows without their pictures, whose places are the rows, counted from `start`."""
    taken = torch.from_numpy(rows)
    return InMemory(torch.zeros(len(rows), 1, 1, 1, dtype=torch.uint8),
                    {name: value.take(taken) for name, value in source.targets.items()}, source.classes,
                    places=Numbered("", (1, 1), rows + start),
                    groups=None if source.groups is None else source.groups[rows])
