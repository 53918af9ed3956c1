"""Batches in an order that is a function of the seed and the epoch, kept in memory or decoded by workers."""

import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import torch
from torch import Tensor
from torch.utils.data import Dataset as IndexedBatches

from lensmith.base.errors import DataError, UserError, count
from lensmith.base.hashed_random import ORDER, seed_of
from lensmith.base.picture_headers import BadPicture
from lensmith.base.threads_without_openmp import one_thread
from lensmith.data.batches.augment import Augment
from lensmith.data.batches.worker_processes import made_by_workers
from lensmith.data.sources.fitting import trimmed
from lensmith.data.sources.in_memory import InMemory
from lensmith.data.sources.sample import Batch, Dataset, Sample, collate
from lensmith.data.sources.subsets import by_shape
from lensmith.data.store.in_background import Filling

Loaded = tuple[Batch, Batch | None, dict[str, str]]    # a batch, its partners, and the files that failed: reason

_WORKERS = 64    # processes that any machine has room for


@dataclass(frozen=True)
class _Draw:
    """What one batch is made of; each tensor int64 [batch] where nothing else is said."""

    rows: Tensor
    occurrences: Tensor | None    # earlier draws of each row in this epoch; None where a row is drawn once only
    partners: Tensor | None       # int64 [batch, company]


class Loader:
    """An iterable of batches that can begin at any position of any epoch.

    Invariant: `at(epoch, position)` gives what `at(epoch, 0)` gives after `position` batches, to the bit, for any
    number of workers, whether the pictures are kept in memory or not. Of several processes (`for_process`) the batches
    of the same number, joined, are the batch of one process whose batches are so many times as large.
    """

    def __init__(self, dataset: Dataset, batch: int, *, seed: int = 0, shuffle: bool = False,
                 weights: Tensor | None = None, augment: Augment | None = None, workers: int = 0,
                 rectangular: bool = False):
        """Raises UserError for a batch or workers that cannot be.

        batch: the samples of a batch.
        seed: of the run; the order follows from it and the epoch.
        shuffle: a new order in each epoch, as training wants it.
        weights: float [n]; where samples are shuffled they are drawn with replacement, in proportion to these.
        augment: what is done to the batches.
        workers: processes that decode pictures which are not kept in memory; 0: this one does.
        rectangular: where samples are not shuffled, pictures of like shape come together, without the padding that
            surrounds all of a batch.
        """
        if batch < 1:
            raise UserError(f"loading.batch must be at least 1; got {batch}")
        most = max(_WORKERS, 8 * (os.cpu_count() or 1))    # where files are waited for more than cores can pay
        if not 0 <= workers <= most:
            raise UserError(f"loading.workers must be 0 or more, and at most {most} here; got {workers}")
        self.dataset, self.batch, self.seed, self.shuffle = dataset, batch, seed, shuffle
        self.weights, self.augment, self.workers, self.rectangular = weights, augment, workers, rectangular
        self.rank, self.world_size = 0, 1
        self.device: torch.device | str = "cpu"    # to which the batches come, and where they are augmented
        self.dropped: dict[str, str] = {}    # pictures that could be read before training and no more: file -> reason
        self.notes: list[str] = []           # what came up on the way and is worth a line
        self._check_enough_samples()

    def for_process(self, rank: int, world_size: int) -> Self:
        """The loader of one of several processes, each of which takes its own samples of every batch. Raises UserError
        where there are fewer samples to train on than processes."""
        loader = copy(self)
        loader.rank, loader.world_size = rank, world_size
        loader._check_enough_samples()
        return loader

    def _check_enough_samples(self) -> None:
        if self.shuffle and len(self.dataset) < self.world_size:
            raise UserError(f"{count(len(self.dataset), 'training picture')} cannot be shared out to {self.world_size} "
                            "processes: take fewer processes")

    def __len__(self) -> int:
        """The batches of an epoch; in training as many for every process."""
        whole, rest = divmod(len(self.dataset), self.batch * self.world_size)
        if not self.shuffle:
            return whole + (rest > self.rank)    # of a rest the first processes never have fewer than the others
        # A training batch of one picture breaks batch normalisation; shuffled, others are left out each epoch.
        return whole + (rest >= 2 * self.world_size or (rest > 0 and whole == 0))

    def __iter__(self) -> Iterator[Batch]:
        return self.at(0, 0)

    def order(self, epoch: int) -> Tensor:
        """int64 [n]: the samples in the order of this epoch."""
        length = len(self.dataset)
        if not self.shuffle:
            return by_shape(self.dataset) if self.rectangular else torch.arange(length)
        draw = torch.Generator().manual_seed(seed_of(self.seed, epoch, ORDER))
        if self.weights is not None:
            return torch.multinomial(self.weights, length, replacement=True, generator=draw)
        return torch.randperm(length, generator=draw)

    def at(self, epoch: int, position: int) -> Iterator[Batch]:
        """The batches of `epoch` from `position` on. Workers are begun here, not when the first batch is asked for."""
        return self._augmented(epoch, self._loaded(self._draws(epoch)[position:]))

    def _augmented(self, epoch: int, loaded: Iterator[tuple[Batch, Batch | None]]) -> Iterator[Batch]:
        while True:
            decoding = isinstance(self.dataset, Filling) and not self.dataset.store.whole
            with one_thread() if decoding else nullcontext():
                pair = next(loaded, None)
                if pair is None:
                    return
                batch, partner = pair
                if self.rectangular:
                    batch = trimmed(batch)
                batch = batch.to(self.device)
                if self.augment is not None:
                    batch = self.augment(batch, epoch, partner if partner is None else partner.to(self.device))
            yield batch

    def _draws(self, epoch: int) -> list[_Draw]:
        """Every batch of this process's epoch; counted from its beginning, wherever it is entered."""
        order = self.order(epoch)
        earlier = None if self.weights is None else self._batches_of(_occurrences(order))
        draws = []
        for number, rows in enumerate(self._batches_of(order)):
            occurrences = None if earlier is None else earlier[number]
            company = self.augment.company(epoch) if self.augment is not None else 0
            partners = self.augment.partners(epoch, rows, occurrences) if company and self.augment else None
            draws.append(_Draw(rows, occurrences, partners))
        return draws

    def _batches_of(self, values: Tensor) -> list[Tensor]:
        """This process's batches of `values` int64 [n], which are in the order of an epoch."""
        batches = values.split(self.batch * self.world_size)
        return [batch.tensor_split(self.world_size)[self.rank] for batch in batches][: len(self)]

    def _loaded(self, draws: Sequence[_Draw]) -> Iterator[tuple[Batch, Batch | None]]:
        if isinstance(self.dataset, InMemory | Filling):
            return map(partial(_gathered, self.dataset), draws)
        # Each item is a whole batch, so that a worker collates; nothing random happens in it.
        rows = _Rows(self.dataset)
        if not self.workers or not draws:
            return self._checked(map(rows.__getitem__, draws))
        return self._checked(made_by_workers(rows, draws, workers=self.workers, died=self._go_on_alone))

    def _go_on_alone(self, why: str) -> None:
        self.workers = 0    # what killed one would kill the next
        self.notes.append(why)

    def _checked(self, loaded: Iterator[Loaded]) -> Iterator[tuple[Batch, Batch | None]]:
        for batch, partner, failed in loaded:
            self.dropped.update(failed)
            if not len(batch):
                raise _nothing_left(*next(iter(failed.items())))
            yield batch, partner


class _Rows(IndexedBatches[Loaded]):
    """A data set addressed by whole batches of rows."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: _Draw) -> Loaded:
        failed: dict[str, str] = {}
        samples: dict[int, Sample | None] = {}    # a row that is drawn twice is read once

        def sample(row: int) -> Sample | None:
            if row not in samples:
                samples[row] = self._sample(row, failed)
            return samples[row]

        rows = draw.rows.tolist()
        kept = [index for index, row in enumerate(rows) if sample(row) is not None]
        occurrences = None if draw.occurrences is None else draw.occurrences[kept]
        batch = _together([samples[rows[index]] for index in kept], [rows[index] for index in kept], occurrences)
        if draw.partners is None:
            return batch, None, failed
        partners = draw.partners.tolist()
        # A partner that cannot be read is replaced by the sample itself, which blends to no change.
        chosen = [row if sample(row) is not None else rows[index] for index in kept for row in partners[index]]
        repeated = None if occurrences is None else occurrences.repeat_interleave(draw.partners.shape[1])
        return batch, _together([samples[row] for row in chosen], chosen, repeated), failed

    def _sample(self, row: int, failed: dict[str, str]) -> Sample | None:
        try:
            return self.dataset[row]
        except BadPicture as error:
            failed[self.dataset.place(row).file if hasattr(self.dataset, "place") else f"#{row}"] = str(error)
            return None


def _gathered(dataset: InMemory | Filling, draw: _Draw) -> tuple[Batch, Batch | None]:
    """A batch and its partners, without the samples whose pictures turned out to be bad, as _Rows gives them."""
    batch = dataset.gather(draw.rows)
    if len(batch) < len(draw.rows):
        if not len(batch) and isinstance(dataset, Filling):
            raise _nothing_left(dataset.place(int(draw.rows[0])).file, dataset.reason(int(draw.rows[0])))
        kept = torch.isin(draw.rows, batch.indices)
        draw = _Draw(draw.rows[kept], draw.occurrences[kept] if draw.occurrences is not None else None,
                     draw.partners[kept] if draw.partners is not None else None)
    batch = replace(batch, occurrences=draw.occurrences)
    if draw.partners is None:
        return batch, None
    company = draw.partners.shape[1]
    wanted = draw.partners.flatten()
    partner = dataset.gather(wanted)
    if len(partner) < len(wanted):    # bad ones are replaced by the sample itself, which blends to no change
        instead = draw.rows.repeat_interleave(company)
        partner = dataset.gather(torch.where(torch.isin(wanted, partner.indices), wanted, instead))
    repeated = None if draw.occurrences is None else draw.occurrences.repeat_interleave(company)
    return batch, replace(partner, occurrences=repeated)


def _nothing_left(name: str, reason: str) -> DataError:
    return DataError(f"every picture of a batch became unreadable, the first being {name}, which {reason}: is the disk "
                     "still there?")


def _together(samples: Sequence[Sample | None], rows: list[int], occurrences: Tensor | None) -> Batch:
    readable = [sample for sample in samples if sample is not None]
    if not readable:
        return Batch(torch.empty(0), {})
    return replace(collate(readable, torch.tensor(rows)), occurrences=occurrences)


def _occurrences(order: Tensor) -> Tensor:
    """int64 [n]: how often each sample has come before in `order` (int64 [n])."""
    ascending, positions = order.sort(stable=True)
    occurrences = torch.empty_like(order)
    occurrences[positions] = torch.arange(len(order)) - torch.searchsorted(ascending, ascending)
    return occurrences


