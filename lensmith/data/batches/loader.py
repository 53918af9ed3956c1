"""Batches in an order that is a function of the seed and the epoch, kept in memory or decoded by workers."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.utils.data import Dataset as IndexedBatches

from lensmith.base.errors import DataError, UserError, count
from lensmith.base.hashed_random import ORDER, seed_of
from lensmith.base.pictures import BadPicture
from lensmith.base.threads import one_thread
from lensmith.data.batches.augment import Augment
from lensmith.data.batches.worker_processes import made_by_workers
from lensmith.data.sources.fitting import trimmed
from lensmith.data.sources.in_memory import InMemory
from lensmith.data.sources.sample import Batch, Dataset, Sample, collate
from lensmith.data.sources.subsets import by_shape
from lensmith.data.store.in_background import Filling

Loaded = tuple[Batch, Batch | None, dict[str, str]]    # a batch, its partners, and the files that failed: reason


@dataclass(frozen=True)
class _Draw:
    """What one batch is made of; each tensor int64 [batch] where nothing else is said."""

    rows: Tensor
    occurrences: Tensor | None    # earlier draws of each row in this epoch; None where a row is drawn once only
    partners: Tensor | None       # int64 [batch, company]


class Loader:
    """An iterable of batches that can begin at any position of any epoch.

    Invariant: `at(epoch, position)` gives what is left of `at(epoch, 0)` after `position` batches, to the bit, for any
    number of workers, whether the pictures are kept in memory or not. The batches of all parts with the same number,
    joined, are the batch of one process that takes `batch` times their count.
    """

    def __init__(self, dataset: Dataset, batch: int, *, seed: int = 0, shuffle: bool = False,
                 weights: Tensor | None = None, augment: Augment | None = None, workers: int = 0,
                 part: tuple[int, int] = (0, 1), device: torch.device | str = "cpu", rectangular: bool = False):
        """`weights` float [n]: draw samples with replacement, in proportion (balanced sampling). `part`: (rank, count)
        where several processes share the samples out. The batches come to `device`, and are augmented there.
        `rectangular`, for what is not shuffled: pictures of like shape come together, without the ground that
        surrounds all of a batch."""
        if batch < 1:
            raise UserError(f"loading.batch must be at least 1; got {batch}")
        if workers < 0:
            raise UserError(f"loading.workers must be 0 or more; got {workers}")
        if shuffle and len(dataset) < part[1]:
            raise UserError(f"{count(len(dataset), 'training picture')} cannot be shared out to {part[1]} processes: "
                            "take fewer processes")
        self.dataset, self.batch, self.seed, self.shuffle = dataset, batch, seed, shuffle
        self.weights, self.augment, self.workers = weights, augment, workers
        self.part, self.device, self.rectangular = part, device, rectangular
        self.dropped: dict[str, str] = {}    # pictures that could be read before training and no more: file -> reason
        self.notes: list[str] = []           # what came up on the way and is worth a line

    def __len__(self) -> int:
        """The batches of an epoch; in training the same for every part."""
        rank, parts = self.part
        whole, left = divmod(len(self.dataset), self.batch * parts)
        if not self.shuffle:
            return whole + (left > rank)    # the first parts of a rest are never smaller than the others
        # A training batch of one picture breaks batch normalisation; shuffled, others are left out each epoch.
        return whole + (left >= 2 * parts or (left > 0 and whole == 0))

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
                found = next(loaded, None)
                if found is None:
                    return
                batch, partner = found
                if self.rectangular:
                    batch = trimmed(batch)
                batch = batch.to(self.device)
                if self.augment is not None:
                    batch = self.augment(batch, epoch, partner if partner is None else partner.to(self.device))
            yield batch

    def _draws(self, epoch: int) -> list[_Draw]:
        """Every batch of this part's epoch; counted from its beginning, wherever it is entered."""
        order = self.order(epoch)
        again = None if self.weights is None else self._shared(_occurrences(order))
        draws = []
        for number, rows in enumerate(self._shared(order)):
            occurrences = None if again is None else again[number]
            company = self.augment.company(epoch) if self.augment is not None else 0
            partners = self.augment.partners(epoch, rows, occurrences) if company and self.augment else None
            draws.append(_Draw(rows, occurrences, partners))
        return draws

    def _shared(self, whole: Tensor) -> list[Tensor]:
        """This part's share, batch by batch, of something int64 [n] in the order of an epoch."""
        rank, parts = self.part
        return [one.tensor_split(parts)[rank] for one in whole.split(self.batch * parts)][: len(self)]

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
        chosen = [one if sample(one) is not None else rows[at] for at in kept for one in partners[at]]
        again = None if occurrences is None else occurrences.repeat_interleave(draw.partners.shape[1])
        return batch, _together([found[row] for row in chosen], chosen, again), failed

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
    wanted, own = draw.partners.flatten(), draw.rows.repeat_interleave(company)
    partner = dataset.gather(wanted)
    if len(partner) < len(wanted):    # bad ones are replaced by the sample itself, which blends to no change
        partner = dataset.gather(torch.where(torch.isin(wanted, partner.indices), wanted, own))
    again = None if draw.occurrences is None else draw.occurrences.repeat_interleave(company)
    return batch, replace(partner, occurrences=again)


def _nothing_left(name: str, reason: str) -> DataError:
    return DataError(f"every picture of a batch became unreadable, the first being {name}, which {reason}: is the disk "
                     "still there?")


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


