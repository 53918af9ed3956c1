"""What a frozen backbone makes of pictures, computed once: batches for a head that learns alone, a linear probe."""

import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from lensmith.base.errors import DataError, count
from lensmith.data.batches.loader import Loader
from lensmith.data.sources.sample import Batch
from lensmith.engine.plan.plan import Plan
from lensmith.models.network import Network
from lensmith.models.trial_forward import REFUSALS, at_rest

_TOLERANCE = 1e-3    # of the greatest output: the mean of a map, taken here or by the head, differs by rounding alone


@dataclass(frozen=True)
class _Kept:
    """The last map of every picture of a set."""

    maps: Tensor     # float32 [n, channels, height, width]
    known: Tensor    # bool [n]: False where the picture turned out to be bad


class Features:
    """The batches of a loader with the backbone's last map in the place of the pictures, for a Network `from_maps`.

    The backbone runs once over all pictures, as they are, when the first batch is asked for: with the weights that the
    network has then, a resumed run's its own. Where the head takes the mean of the map the mean alone is kept.
    Invariant: `at(epoch, position)` gives what is left of `at(epoch, 0)` after `position` batches.
    """

    def __init__(self, network: Network, loader: Loader, *, plan: Plan):
        self.network, self.loader, self.plan = network, loader, plan
        self.notes: list[str] = []
        self._kept: _Kept | None = None

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        return self.at(0, 0)

    @property
    def dropped(self) -> dict[str, str]:
        """Pictures that could not be read any more: file -> reason."""
        return self.loader.dropped

    def at(self, epoch: int, position: int) -> Iterator[Batch]:
        """The batches of `epoch` from `position` on. What is missing is computed here, on the thread that asks."""
        if self._kept is None:
            began = time.perf_counter()
            self._kept = self._computed()
            self.notes.append(f"the backbone ran once over {count(len(self._kept.known), 'picture')}, in "
                              f"{time.perf_counter() - began:.1f} s: the head learns from "
                              f"{' x '.join(map(str, self._kept.maps.shape[1:]))} numbers a picture")
        return self._batches(self._kept, epoch, position)

    def _batches(self, kept: _Kept, epoch: int, position: int) -> Iterator[Batch]:
        order = self.loader.order(epoch).split(self.loader.batch)[: len(self)]
        targets = self.loader.dataset.targets    # type: ignore[attr-defined]    # of a Collection
        for drawn in order[position:]:
            rows = drawn[kept.known[drawn]]
            if not len(rows):
                raise DataError("every picture of a batch became unreadable: is the disk still there?")
            yield Batch(kept.maps[rows], {name: value.take(rows) for name, value in targets.items()}, indices=rows)

    def _computed(self) -> _Kept:
        pictures = Loader(self.loader.dataset, self.loader.batch, workers=self.loader.workers, device=self.plan.device)
        known, maps, pooled = torch.zeros(len(self.loader.dataset), dtype=torch.bool), torch.empty(0), False
        with at_rest(self.network):
            for batch in pictures:
                with self.plan.precise():
                    whole = self.network.backbone(self.network.standardise(self.plan.arrange(batch.images)))[-1]
                whole = whole.float()
                if not len(maps):
                    pooled = _means_suffice(self.network, whole)
                found = (_mean(whole) if pooled else whole).cpu()
                if not len(maps):
                    maps = torch.zeros(len(known), *found.shape[1:])
                maps[batch.indices], known[batch.indices] = found, True
        self.loader.dropped.update(pictures.dropped)
        return _Kept(maps, known)


def _mean(maps: Tensor) -> Tensor:
    return maps.mean((2, 3), keepdim=True)


def _means_suffice(network: Network, maps: Tensor) -> bool:
    """Whether the head says the same of the mean of each map, [batch, channels, 1, 1], as of the map."""
    if maps.ndim != 4:
        return False
    head, draw = deepcopy(network.head), torch.Generator().manual_seed(0)
    for parameter in head.parameters():    # a last layer that begins at zero says the same of anything
        parameter.copy_(torch.rand(parameter.shape, generator=draw))
    try:
        wanted, found = head([maps]), head([_mean(maps)])
    except REFUSALS:    # dense layers over a map of one size
        return False
    return found.shape == wanted.shape and bool((found - wanted).abs().max() <= _TOLERANCE * wanted.abs().max())
