"""The feature maps of a frozen backbone, computed once: batches for a head that learns alone, a linear probe."""

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
from lensmith.models.trial_forward import REFUSALS, in_evaluation_mode

# The mean of a map, taken here or by the head, differs by rounding alone: by at most this fraction of the greatest
# output.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class _Maps:
    """The last map of every picture of a set."""

    maps: Tensor        # float32 [n, channels, height, width]
    computed: Tensor    # bool [n]: False where the picture turned out to be bad


class Features:
    """The batches of a loader with the backbone's last map in the place of the pictures, for a Network `from_maps`.

    The backbone runs once over all pictures, not augmented, when the first batch is asked for. It then has the weights
    that the network has, in a resumed run those of the checkpoint. Where the head takes the mean of the map, only the
    mean is kept. Invariant: `at(epoch, position)` gives the batches of `at(epoch, 0)` after the first `position`.
    """

    def __init__(self, network: Network, loader: Loader, *, plan: Plan):
        self.network, self.loader, self.plan = network, loader, plan
        self.notes: list[str] = []
        self._maps: _Maps | None = None

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        return self.at(0, 0)

    @property
    def dropped(self) -> dict[str, str]:
        """Pictures that could not be read any more: file -> reason."""
        return self.loader.dropped

    def at(self, epoch: int, position: int) -> Iterator[Batch]:
        """The batches of `epoch` from `position` on. The maps are computed here, on the thread that asks first."""
        if self._maps is None:
            began = time.perf_counter()
            self._maps = self._compute()
            self.notes.append(f"the backbone ran once over {count(len(self._maps.computed), 'picture')}, in "
                              f"{time.perf_counter() - began:.1f} s: the head learns from "
                              f"{' x '.join(map(str, self._maps.maps.shape[1:]))} numbers a picture")
        return self._batches(self._maps, epoch, position)

    def _batches(self, maps: _Maps, epoch: int, position: int) -> Iterator[Batch]:
        order = self.loader.order(epoch).split(self.loader.batch)[: len(self)]
        targets = self.loader.dataset.targets    # type: ignore[attr-defined]    # of a Collection
        for samples in order[position:]:
            rows = samples[maps.computed[samples]]
            if not len(rows):
                raise DataError("every picture of a batch became unreadable: is the disk still there?")
            yield Batch(maps.maps[rows], {name: value.take(rows) for name, value in targets.items()}, indices=rows)

    def _compute(self) -> _Maps:
        pictures = Loader(self.loader.dataset, self.loader.batch, workers=self.loader.workers)
        pictures.device = self.plan.device
        computed = torch.zeros(len(self.loader.dataset), dtype=torch.bool)
        maps, pooled = torch.empty(0), False
        with in_evaluation_mode(self.network):
            for batch in pictures:
                with self.plan.precise():
                    last = self.network.backbone(self.network.standardise(self.plan.arrange(batch.images)))[-1]
                last = last.float()
                if not len(maps):
                    pooled = _means_suffice(self.network, last)
                kept = (_mean(last) if pooled else last).cpu()
                if not len(maps):
                    maps = torch.zeros(len(computed), *kept.shape[1:])
                maps[batch.indices], computed[batch.indices] = kept, True
        self.loader.dropped.update(pictures.dropped)
        return _Maps(maps, computed)


def _mean(maps: Tensor) -> Tensor:
    return maps.mean((2, 3), keepdim=True)


def _means_suffice(network: Network, maps: Tensor) -> bool:
    """Whether the head gives the same output for the mean of each map, [batch, channels, 1, 1], as for the map."""
    if maps.ndim != 4:
        return False
    head, draw = deepcopy(network.head), torch.Generator().manual_seed(0)
    for parameter in head.parameters():    # A last layer that begins at zero gives the same output for anything.
        parameter.copy_(torch.rand(parameter.shape, generator=draw))
    try:
        of_maps, of_means = head([maps]), head([_mean(maps)])
    except REFUSALS:    # The head has dense layers over a map of one size.
        return False
    return of_means.shape == of_maps.shape and bool(
        (of_means - of_maps).abs().max() <= _TOLERANCE * of_maps.abs().max())
