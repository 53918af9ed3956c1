"""Subsets of a data set: some of its targets, a fraction, less background; and its orders: by shape, balanced."""

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import UserError
from lensmith.base.hashed_random import BACKGROUND, CALIBRATION, FRACTION, hashed, seed_of
from lensmith.data.sources.kinds import TARGETS
from lensmith.data.sources.kinds.label import stratifying
from lensmith.data.sources.sample import Collection
from lensmith.data.sources.split import apportion
from lensmith.values import OBJECTS, of_kind
from lensmith.values.labels import UNKNOWN


def by_shape(dataset: Any) -> Tensor:
    """int64 [n]: the samples ordered by height / width of their pictures; those of one ratio keep their order."""
    sizes = np.array([dataset.place(i).size for i in range(len(dataset))], dtype=np.float64).reshape(-1, 2)
    ratio = sizes[:, 0] / np.maximum(sizes[:, 1], 1)
    return torch.from_numpy(np.argsort(ratio, kind="stable"))


def balancing_weights(collection: Collection, needs: Sequence[str] = ()) -> Tensor:
    """float [n]: how often each sample is drawn, so that every class is drawn equally often.

    It is 1 / (samples of the same class). Of several labels the classes are those of `stratifying`, which looks at the
    targets `needs` first. A picture of objects counts for its rarest one (`by_rarest_object`). Raises UserError where
    there is neither.
    """
    name = stratifying(narrowed(collection, needs)) or stratifying(collection)
    objects = of_kind(collection.targets if name is None else narrowed(collection, needs).targets, *OBJECTS)
    if objects and name not in needs:
        return by_rarest_object(collection.targets[objects[0]], len(collection))
    if name is None:
        raise UserError("loading.balance needs a label per picture, or objects; the data set gives "
                        f"{', '.join(collection.targets)}")
    label: Any = collection.targets[name]
    index = label.index - UNKNOWN    # the pictures without a label are a class too
    return (1.0 / torch.bincount(index).clamp(min=1).float())[index]


def by_rarest_object(objects: Any, length: int) -> Tensor:
    """float [length]: weights by which each class that is the rarest in some picture is drawn equally often.

    objects: stacked boxes or masks. The class of a picture is the one among its objects that the fewest pictures show;
    crowd regions count for nothing. Pictures without any object are drawn as often as without weights.
    """
    there = torch.ones(len(objects.classes), dtype=torch.bool) if objects.crowd is None else ~objects.crowd
    image, classes = objects.image[there], objects.classes[there]
    number = int(classes.max()) + 1 if len(classes) else 1
    shows = torch.zeros(length, number, dtype=torch.bool)
    shows[image, classes] = True
    pictures = shows.sum(0)    # of each class
    rarity = torch.where(shows, pictures, length + 1)
    rarest, has_objects = rarity.argmin(1), shows.any(1)
    counts = torch.bincount(rarest[has_objects], minlength=number)
    groups = int((counts > 0).sum())
    # The pictures with objects keep their sum, their number: those without weigh 1 each.
    even = has_objects.sum() / max(1, groups) / counts.clamp(min=1)
    return torch.where(has_objects, even[rarest], 1.0).float()


def narrowed(collection: Any, needs: Sequence[str]) -> Any:
    """The collection with the targets `needs` alone: others would be gathered, warped and blended for nothing."""
    narrow = copy(collection)
    narrow.targets = {name: collection.targets[name] for name in needs}
    return narrow


def limited(collection: Any, fraction: float, seed: int) -> Any:
    """A fraction of a collection, drawn by the seed, for a quick try: of each class where there are labels, and at
    least one sample of each."""
    if not 0 < fraction <= 1:
        raise UserError(f"loading.fraction must lie above 0 and at most 1; got {fraction}")
    if fraction == 1:
        return collection
    name = stratifying(collection)
    classes = collection.targets[name].index.numpy() if name is not None else np.zeros(len(collection), dtype=np.int64)
    strata = np.unique(classes, return_inverse=True)[1]
    wanted = np.maximum(apportion(np.bincount(strata), fraction), 1)
    if wanted.sum() < 2:
        raise UserError(f"loading.fraction={fraction} leaves {wanted.sum()} of {len(collection)} training pictures: to "
                        f"learn takes at least two, a fraction of {min(1, 2 / len(collection)):.2g}")
    draw = torch.Generator().manual_seed(seed_of(seed, 0, FRACTION))
    order = torch.randperm(len(collection), generator=draw).numpy()
    chosen = [order[strata[order] == stratum][:number] for stratum, number in enumerate(wanted)]
    return collection.subset(np.sort(np.concatenate(chosen)).tolist())


def without_background(collection: Any, most: float, seed: int) -> Any:
    """The collection with at most the fraction `most` of pictures without an object: all the others, and some of these,
    drawn by the seed."""
    if not 0 <= most <= 1:
        raise UserError(f"loading.background must lie between 0 and 1; got {most}")
    kept = torch.zeros(len(collection), dtype=torch.bool)
    for name in of_kind(collection.targets, *OBJECTS):
        kept[collection.targets[name].image] = True
    empty = (~kept).nonzero()[:, 0]
    room = len(empty) if most == 1 else int(most / (1 - most) * int(kept.sum()) + 1e-9)
    if room >= len(empty):
        return collection
    draw = torch.Generator().manual_seed(seed_of(seed, 0, BACKGROUND))
    kept[empty[torch.randperm(len(empty), generator=draw)[:room]]] = True
    return collection.subset(kept.nonzero()[:, 0].tolist())


def evenly_by_class(collection: Collection, needs: Sequence[str], number: int) -> list[int]:
    """So many rows, ascending, in which every class of the first of the targets `needs` that a set is divided by has
    as many as any other, as far as it has them; chosen by hash. All rows where there are no more."""
    rows = hashed(np.arange(len(collection)), CALIBRATION).argsort(kind="stable")
    kinds = [(TARGETS[collection.targets[name].kind], name) for name in needs]
    stratum = next((kind.strata(collection, [name]) for kind, name in kinds if kind.strata is not None),
                   np.zeros(len(collection), dtype=np.int64))[rows]
    # The place of each row among those of its class: all first ones come before all second ones.
    order = np.argsort(stratum, kind="stable")
    starts = np.searchsorted(stratum[order], stratum)
    place = np.empty(len(rows), dtype=np.int64)
    place[order] = np.arange(len(rows))
    return sorted(rows[np.argsort(place - starts, kind="stable")][:number].tolist())
