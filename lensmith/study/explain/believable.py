"""How far an explanation can be believed: by weights that know nothing, and by covering what it names."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.base.hashed_random import seed_of
from lensmith.study.explain.subject import Subject

STEPS = 20             # pictures between the whole one and the blank one
_ALIKE = 0.7           # rank correlation with the map of random weights from which a method is not believed
_PATCHES = 14          # a side, that are covered one after another in a random order
_DRAWS = 3             # of random weights
_CELLS = 1024          # of a map, at which two are compared: neighbouring pixels say the same


@torch.no_grad()
def with_random_weights(subject: Subject, number: int = 0) -> Subject:
    """The same network with weights that know nothing: of every parameter with two axes and more the values are drawn
    from a normal distribution of the same mean and deviation (Adebayo et al. 2018, arXiv 1810.03292). `number` draws
    others."""
    network = deepcopy(subject.network)
    drawn = torch.Generator().manual_seed(seed_of(subject.seed, 1, number))
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.copy_(torch.randn(parameter.shape, generator=drawn).to(parameter) * parameter.std() +
                            parameter.mean())
    return replace(subject, network=network, forward=None)


def likeness_to_random(subject: Subject, picture: Tensor, explain: Callable[[Subject, Tensor], Tensor],
                       found: Tensor) -> float:
    """The rank correlation of an explanation with that of the same network with random weights, without their signs,
    the mean over a few draws: near 1 the method shows the picture and not what was learned."""
    others = (explain(with_random_weights(subject, number), picture) for number in range(_DRAWS))
    return sum(rank_correlation(found.abs(), other.abs()) for other in others) / _DRAWS


def is_believable(likeness: float) -> bool:
    """Whether an explanation depends on what was learned."""
    return likeness < _ALIKE


def rank_correlation(one: Tensor, other: Tensor) -> float:
    """Spearman's correlation of two maps [height, width], averaged to about a thousand cells; 0 where one is flat."""
    height, width = one.shape
    step = max(1, round((height * width / _CELLS) ** 0.5))
    ranks = [_ranks(F.avg_pool2d(map_[None, None].double(), step, ceil_mode=True).flatten()) for map_ in (one, other)]
    deviations = [rank - rank.mean() for rank in ranks]
    norm = deviations[0].norm() * deviations[1].norm()
    return float((deviations[0] * deviations[1]).sum() / norm) if norm > 0 else 0.0


def _ranks(values: Tensor) -> Tensor:
    """float64: the rank of each value, equal ones the mean of theirs."""
    _, place, counts = values.unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    return (last - (counts.double() - 1) / 2)[place]


@dataclass(frozen=True)
class Covered:
    """What the score does when pixels are taken away from the picture, or given to a blank one, most important first.

    The areas are means of the scores over the steps, on a scale where the blank picture has 0 and the whole one 1.
    """

    deletion: float            # lower is better
    insertion: float           # higher is better
    deletion_at_random: float
    insertion_at_random: float

    @property
    def beats_random(self) -> bool:
        """Whether the map names pixels that matter more than any."""
        return self.insertion - self.deletion > self.insertion_at_random - self.deletion_at_random

    def in_words(self) -> str:
        """`deletion 0.21 (at random 0.43), insertion 0.64 (0.50)`"""
        return (f"deletion {self.deletion:.2f} (at random {self.deletion_at_random:.2f}), insertion "
                f"{self.insertion:.2f} ({self.insertion_at_random:.2f})")


def covered(subject: Subject, picture: Tensor, found: Tensor) -> Covered | None:
    """Deletion and insertion (Petsiuk, Das and Saenko 2018, arXiv 1806.07421) by an explanation, and in a random order
    of patches; None where the whole picture scores no more than a blank one, so that there is nothing to lose.
    """
    blank = subject.blank.expand_as(picture)
    low, high = subject.scores([blank, picture]).tolist()
    if high <= low:
        return None
    drawn = torch.Generator().manual_seed(seed_of(subject.seed, 2))
    patches = F.interpolate(torch.rand(1, 1, _PATCHES, _PATCHES, generator=drawn), found.shape)[0, 0]
    by_chance = patches + 1e-3 * torch.rand(found.shape, generator=drawn)
    areas = []
    for order in (found, by_chance):
        rank = order.flatten().argsort(descending=True, stable=True).argsort().view(order.shape).to(picture.device)
        cuts = [round(step / STEPS * rank.numel()) for step in range(STEPS + 1)]
        for first, second in ((blank, picture), (picture, blank)):
            scores = subject.scores(torch.where(rank < cut, first, second) for cut in cuts)
            areas.append(float((scores.mean() - low) / (high - low)))
    return Covered(*areas)


def largest_in_boxes(found: Tensor, corners: Tensor) -> bool:
    """The pointing game (Zhang et al. 2016, arXiv 1608.00507): whether the largest value of a map [height, width], of
    which some may be NaN, lies in one of the boxes, float [n, 4]: x0 y0 x1 y1 in its pixels."""
    row, column = divmod(int(found.nan_to_num(float("-inf")).argmax()), found.shape[1])
    place = torch.tensor([column + 0.5, row + 0.5])
    return bool(((corners[:, :2] <= place) & (place <= corners[:, 2:])).all(1).any())
