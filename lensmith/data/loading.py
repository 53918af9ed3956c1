"""Batches in an order that is a function of the seed and the epoch, kept in memory or decoded by workers."""

import warnings
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as IndexedBatches

from lensmith.base.draw import seed_of
from lensmith.base.errors import DataError, Stopped, UserError
from lensmith.base.pictures import BadPicture
from lensmith.base.values import Label
from lensmith.data.augment import Augment
from lensmith.data.memory import InMemory
from lensmith.data.sample import Batch, Collection, Dataset, Sample, collate
from lensmith.data.split import apportion

Loaded = tuple[Batch, Batch | None, dict[str, str]]    # a batch, its partners, and the files that failed: reason
_ORDER = 1    # the stream of the order, apart from those of the augmentation


@dataclass(frozen=True)
class _Draw:
    """What one batch is made of; every tensor is int64 [batch]."""

    rows: Tensor
    occurrences: Tensor | None    # earlier draws of each row in this epoch; None where a row is drawn once only
    partners: Tensor | None


class Loader:
    """An iterable of batches that can begin at any position of any epoch.

    Invariant: `at(epoch, position)` gives what is left of `at(epoch, 0)` after `position` batches, to the bit, for any
    number of workers, whether the pictures are kept in memory or not.
    """

    def __init__(self, dataset: Dataset, batch: int, *, seed: int = 0, shuffle: bool = False,
                 weights: Tensor | None = None, augment: Augment | None = None, workers: int = 0):
        """`weights` float [n]: draw samples with replacement, in proportion (balanced sampling)."""
        if batch < 1:
            raise UserError(f"loading.batch must be at least 1; got {batch}")
        if workers < 0:
            raise UserError(f"loading.workers must be 0 or more; got {workers}")
        self.dataset, self.batch, self.seed, self.shuffle = dataset, batch, seed, shuffle
        self.weights, self.augment, self.workers = weights, augment, workers
        self.dropped: dict[str, str] = {}    # pictures that could be read before training and no more: file -> reason

    def __len__(self) -> int:
        whole, left = divmod(len(self.dataset), self.batch)
        # A training batch of one picture breaks batch normalisation; shuffled, another one is left out each epoch.
        return whole + (left > 0 and not (left == 1 and whole > 0 and self.shuffle))

    def __iter__(self) -> Iterator[Batch]:
        return self.at(0, 0)

    def order(self, epoch: int) -> Tensor:
        """int64 [n]: the samples in the order of this epoch."""
        length = len(self.dataset)
        if not self.shuffle:
            return torch.arange(length)
        draw = torch.Generator().manual_seed(seed_of(self.seed, epoch, _ORDER))
        if self.weights is not None:
            return torch.multinomial(self.weights, length, replacement=True, generator=draw)
        return torch.randperm(length, generator=draw)

    def at(self, epoch: int, position: int) -> Iterator[Batch]:
        """The batches of `epoch` from `position` on."""
        for batch, partner in self._loaded(self._draws(epoch)[position : len(self)]):
            yield self.augment(batch, epoch, partner) if self.augment is not None else batch

    def _draws(self, epoch: int) -> list[_Draw]:
        """Every batch of the epoch; counted from its beginning, wherever it is entered."""
        order = self.order(epoch)
        again = None if self.weights is None else _occurrences(order).split(self.batch)
        draws = []
        for number, rows in enumerate(order.split(self.batch)):
            occurrences = None if again is None else again[number]
            blends = self.augment is not None and self.augment.blends
            partners = self.augment.partners(epoch, rows, occurrences) if blends and self.augment else None
            draws.append(_Draw(rows, occurrences, partners))
        return draws

    def _loaded(self, draws: Sequence[_Draw]) -> Iterator[tuple[Batch, Batch | None]]:
        if isinstance(self.dataset, InMemory):
            for draw in draws:
                partner = None if draw.partners is None else self.dataset.gather(draw.partners)
                yield (replace(self.dataset.gather(draw.rows), occurrences=draw.occurrences),
                       None if partner is None else replace(partner, occurrences=draw.occurrences))
            return
        # Each item is a whole batch, so that a worker collates; nothing random happens in it.
        with warnings.catch_warnings():
            # As many workers as were asked for: more than cores can pay where files are waited for.
            warnings.filterwarnings("ignore", "This DataLoader will create")
            loader = iter(DataLoader(_Rows(self.dataset), batch_size=None, sampler=draws, num_workers=self.workers,
                                     collate_fn=_same))
        try:
            for batch, partner, failed in loader:
                self.dropped.update(failed)
                if not len(batch):
                    name, reason = next(iter(failed.items()))
                    raise DataError(f"every picture of a batch became unreadable, the first being {name}, which "
                                    f"{reason}: is the disk still there?")
                yield batch, partner
        except RuntimeError as error:
            if "worker" in str(error):
                raise Stopped(f"a loading worker died ({str(error).splitlines()[0]}): go on with fewer, "
                              "loading.workers=0 loads in this process") from error
            raise


class _Rows(IndexedBatches[Loaded]):
    """A data set addressed by whole batches of rows."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: _Draw) -> Loaded:
        failed: dict[str, str] = {}
        found: dict[int, Sample | None] = {}    # a row that is drawn twice is read once

        def sample(row: int) -> Sample | None:
            if row not in found:
                found[row] = self._sample(row, failed)
            return found[row]

        rows = draw.rows.tolist()
        kept = [at for at, row in enumerate(rows) if sample(row) is not None]
        occurrences = None if draw.occurrences is None else draw.occurrences[kept]
        batch = _together([found[rows[at]] for at in kept], [rows[at] for at in kept], occurrences)
        if draw.partners is None:
            return batch, None, failed
        partners = draw.partners.tolist()
        # A partner that cannot be read is replaced by the sample itself, which blends to no change.
        chosen = [partners[at] if sample(partners[at]) is not None else rows[at] for at in kept]
        return batch, _together([found[row] for row in chosen], chosen, occurrences), failed

    def _sample(self, row: int, failed: dict[str, str]) -> Sample | None:
        try:
            return self.dataset[row]
        except BadPicture as error:
            failed[self.dataset.place(row).file if hasattr(self.dataset, "place") else f"#{row}"] = str(error)
            return None


def _together(samples: Sequence[Sample | None], rows: list[int], occurrences: Tensor | None) -> Batch:
    given = [sample for sample in samples if sample is not None]
    if not given:
        return Batch(torch.empty(0), {})
    return replace(collate(given, torch.tensor(rows)), occurrences=occurrences)


def _occurrences(order: Tensor) -> Tensor:
    """int64 [n]: how often each sample stands further ahead in `order` (int64 [n])."""
    ascending, places = order.sort(stable=True)
    counted = torch.empty_like(order)
    counted[places] = torch.arange(len(order)) - torch.searchsorted(ascending, ascending)
    return counted


def _same(item: Any) -> Any:
    return item


def balancing_weights(collection: Collection) -> Tensor:
    """float [n]: one over the number of samples of each sample's class, so that every class is drawn equally often."""
    label: Any = collection.targets.get("label")
    if label is None:
        given = ", ".join(collection.targets)
        raise UserError(f"loading.balance needs a label per picture; the data set gives {given}")
    index = label.index.clamp(min=0)
    return (1.0 / torch.bincount(index).clamp(min=1).float())[index]


def narrowed(collection: Any, needs: Sequence[str]) -> Any:
    """The collection with the targets `needs` alone: others would be gathered, warped and blended for nothing."""
    narrow = copy(collection)
    narrow.targets = {name: collection.targets[name] for name in needs}
    return narrow


def limited(collection: Any, share: float, seed: int) -> Any:
    """A seeded share of a collection, for a quick try: of each class where there are labels, and at least one."""
    if not 0 < share <= 1:
        raise UserError(f"loading.fraction must lie above 0 and at most 1; got {share}")
    if share == 1:
        return collection
    label = collection.targets.get("label")
    kinds = label.index.numpy() if isinstance(label, Label) else np.zeros(len(collection), dtype=np.int64)
    strata = np.unique(kinds, return_inverse=True)[1]
    wanted = np.maximum(apportion(np.bincount(strata), share), 1)
    if wanted.sum() < 2:
        raise UserError(f"loading.fraction={share} leaves {wanted.sum()} of {len(collection)} training pictures: to "
                        f"learn takes at least two, a fraction of {min(1, 2 / len(collection)):.2g}")
    draw = torch.Generator().manual_seed(seed_of(seed, 0, _ORDER + 1))
    order = torch.randperm(len(collection), generator=draw).numpy()
    chosen = [order[strata[order] == stratum][:number] for stratum, number in enumerate(wanted)]
    return collection.subset(np.sort(np.concatenate(chosen)).tolist())
