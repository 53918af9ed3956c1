"""ChannelNumbers for the channels of a network, and which of them can only be left out together."""

from collections.abc import Iterable

import torch
from torch import Tensor

FIXED = 0    # the number of whatever stays


class ChannelNumbers:
    """Each channel of each tensor has a number. Those that are tied form one set (union-find); what is tied to FIXED
    stays."""

    def __init__(self) -> None:
        self.parents = [FIXED]

    def fresh(self, count: int) -> Tensor:
        """int64 [count]: numbers that nothing has yet."""
        first = len(self.parents)
        self.parents += range(first, first + count)
        return torch.arange(first, first + count)

    def find(self, number: int) -> int:
        """The least number of the set that this one is in."""
        root = number
        while self.parents[root] != root:
            root = self.parents[root]
        while self.parents[number] != root:    # the next search is shorter
            self.parents[number], number = root, self.parents[number]
        return root

    def tie(self, ours: Tensor, others: Tensor) -> None:
        """Tie the numbers at each position of two tensors of one shape."""
        ours, others = torch.broadcast_tensors(ours, others)
        different = ours != others
        if not different.any():
            return
        pairs = torch.unique(ours[different] * len(self.parents) + others[different])
        for pair in pairs.tolist():
            first, second = self.find(pair // len(self.parents)), self.find(pair % len(self.parents))
            self.parents[max(first, second)] = min(first, second)

    def fix(self, numbers: Iterable[Tensor]) -> None:
        """Tie all of these to what stays."""
        for some in numbers:
            self.tie(some, torch.zeros_like(some))


def varies(numbers: Tensor) -> list[int]:
    """The dimensions along which the numbers differ."""
    return [dimension for dimension in range(numbers.ndim) if numbers.shape[dimension] > 1
            and not torch.equal(numbers, numbers.narrow(dimension, 0, 1).expand_as(numbers))]


def same_along(numbers: Tensor, dimensions: Iterable[int]) -> Tensor | None:
    """The numbers with these dimensions of length one; None where they differ along them, whatever is FIXED aside, as
    the zeros of a padding are."""
    for dimension in dimensions:
        most = numbers.amax(dimension, keepdim=True)
        if not ((numbers == most) | (numbers == FIXED)).all():
            return None
        numbers = most
    return numbers
