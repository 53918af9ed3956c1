"""Batches in an order that is a function of the seed and the epoch, kept in memory or decoded by workers."""

import warnings
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as IndexedBatches

from lensmith.base.draw import seed_of
from lensmith.base.errors import DataError, Stopped, UserError
from lensmith.base.pictures import BadPicture
from lensmith.data.augment import Augment
from lensmith.data.memory import InMemory
from lensmith.data.sample import Batch, Collection, Dataset, Sample, collate

Loaded = tuple[Batch, Batch | None, dict[str, str]]    # a batch, its partners, and the files that failed: reason
_ORDER = 1    # the stream of the order, apart from those of the augmentation


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
        chosen = self.order(epoch).split(self.batch)[position : len(self)]
        for batch, partner in self._loaded(epoch, chosen):
            yield self.augment(batch, epoch, partner) if self.augment is not None else batch

    def _loaded(self, epoch: int, chosen: Sequence[Tensor]) -> Iterator[tuple[Batch, Batch | None]]:
        blends = self.augment is not None and self.augment.blends
        pairs = [(rows, self.augment.partners(epoch, rows) if blends and self.augment else None) for rows in chosen]
        if isinstance(self.dataset, InMemory):
            for rows, partners in pairs:
                yield self.dataset.gather(rows), None if partners is None else self.dataset.gather(partners)
            return
        # Each item is a whole batch, so that a worker collates; nothing random happens in it.
        with warnings.catch_warnings():
            # As many workers as were asked for: more than cores can pay where files are waited for.
            warnings.filterwarnings("ignore", "This DataLoader will create")
            loader = iter(DataLoader(_Rows(self.dataset), batch_size=None, sampler=pairs, num_workers=self.workers,
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

    def __getitem__(self, pair: tuple[Tensor, Tensor | None]) -> Loaded:
        rows, partners = pair
        failed: dict[str, str] = {}
        found = {row: self._sample(row, failed) for row in rows.tolist()}
        kept = [row for row, sample in found.items() if sample is not None] if failed else rows.tolist()
        batch = _together([found[row] for row in kept], kept)
        if partners is None:
            return batch, None, failed
        pairs = dict(zip(rows.tolist(), partners.tolist(), strict=True))
        # A partner that cannot be read is replaced by the sample itself, which blends to no change.
        others = [(pairs[row], self._sample(pairs[row], failed)) for row in kept]
        chosen = [(other, sample) if sample is not None else (row, found[row])
                  for row, (other, sample) in zip(kept, others, strict=True)]
        return batch, _together([sample for _, sample in chosen], [row for row, _ in chosen]), failed

    def _sample(self, row: int, failed: dict[str, str]) -> Sample | None:
        try:
            return self.dataset[row]
        except BadPicture as error:
            failed[self.dataset.place(row).file if hasattr(self.dataset, "place") else f"#{row}"] = str(error)
            return None


def _together(samples: Sequence[Sample | None], rows: list[int]) -> Batch:
    given = [sample for sample in samples if sample is not None]
    return collate(given, torch.tensor(rows)) if given else Batch(torch.empty(0), {})


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
    """A seeded share of a collection, for a quick try."""
    if not 0 < share <= 1:
        raise UserError(f"loading.fraction must lie above 0 and at most 1; got {share}")
    if share == 1:
        return collection
    draw = torch.Generator().manual_seed(seed_of(seed, 0, _ORDER + 1))
    return collection.subset(torch.randperm(len(collection), generator=draw)[: max(1, round(len(collection) * share))]
                             .sort().values.tolist())


