"""Parts of a source: those of some targets, a fraction, without background; how it is ordered and balanced."""

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import UserError
from lensmith.base.hashed_random import BACKGROUND, FRACTION, seed_of
from lensmith.data.sources.kinds.label import stratifying
from lensmith.data.sources.sample import Collection
from lensmith.data.sources.split import apportion
from lensmith.values import OBJECTS, of_kind
from lensmith.values.labels import UNKNOWN


def by_shape(dataset: Any) -> Tensor:
    """int64 [n]: the samples by the ratio of their heights to their widths; in their order where it is the same."""
    sizes = np.array([dataset.place(i).size for i in range(len(dataset))], dtype=np.float64).reshape(-1, 2)
    ratio = sizes[:, 0] / np.maximum(sizes[:, 1], 1)
    return torch.from_numpy(np.argsort(ratio, kind="stable"))


def balancing_weights(collection: Collection, needs: Sequence[str] = ()) -> Tensor:
    """float [n]: one over the number of samples of each sample's class, so that every class is drawn equally often; of
    several labels the one by which a set would be divided (`stratifying`), one of `needs` where these hold any."""
    name = stratifying(narrowed(collection, needs)) or stratifying(collection)
    if name is None:
        given = ", ".join(collection.targets)
        raise UserError(f"loading.balance needs a label per picture; the data set gives {given}")
    label: Any = collection.targets[name]
    index = label.index - UNKNOWN    # the pictures without a label are a class too
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
    name = stratifying(collection)
    kinds = collection.targets[name].index.numpy() if name is not None else np.zeros(len(collection), dtype=np.int64)
    strata = np.unique(kinds, return_inverse=True)[1]
    wanted = np.maximum(apportion(np.bincount(strata), share), 1)
    if wanted.sum() < 2:
        raise UserError(f"loading.fraction={share} leaves {wanted.sum()} of {len(collection)} training pictures: to "
                        f"learn takes at least two, a fraction of {min(1, 2 / len(collection)):.2g}")
    draw = torch.Generator().manual_seed(seed_of(seed, 0, FRACTION))
    order = torch.randperm(len(collection), generator=draw).numpy()
    chosen = [order[strata[order] == stratum][:number] for stratum, number in enumerate(wanted)]
    return collection.subset(np.sort(np.concatenate(chosen)).tolist())


def without_background(collection: Any, most: float, seed: int) -> Any:
    """The collection with at most the share `most` of pictures without a box: all the others, and a seeded choice of
    these."""
    if not 0 <= most <= 1:
        raise UserError(f"loading.background must lie between 0 and 1; got {most}")
    filled = torch.zeros(len(collection), dtype=torch.bool)
    for name in of_kind(collection.targets, *OBJECTS):
        filled[collection.targets[name].image] = True
    empty = (~filled).nonzero()[:, 0]
    room = len(empty) if most == 1 else int(most / (1 - most) * int(filled.sum()) + 1e-9)
    if room >= len(empty):
        return collection
    draw = torch.Generator().manual_seed(seed_of(seed, 0, BACKGROUND))
    filled[empty[torch.randperm(len(empty), generator=draw)[:room]]] = True
    return collection.subset(filled.nonzero()[:, 0].tolist())
