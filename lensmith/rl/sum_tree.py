"""A tree of sums, by which one of many entries is drawn with a probability of its own."""

import numpy as np
from numpy.typing import NDArray


class SumTree:
    """Entries of 0 or more. Each inner node is the sum of its two children and computed from these alone, so that a
    tree built anew from the same entries has the same bits."""

    def __init__(self, size: int):
        self.size = size
        self.leaves = 1 << max(0, size - 1).bit_length()
        self.nodes = np.zeros(2 * self.leaves)    # node 1 is the root; the children of i are 2 i and 2 i + 1

    @property
    def total(self) -> float:
        return float(self.nodes[1])

    def entries(self) -> NDArray[np.float64]:    # [size]
        return self.nodes[self.leaves:self.leaves + self.size]

    def put(self, indices: NDArray[np.int64], values: NDArray[np.float64] | float) -> None:
        """Change entries, and the sums above them. Of an index that comes twice the last value counts."""
        nodes = indices + self.leaves
        self.nodes[nodes] = values
        while nodes[0] > 1:
            nodes = np.unique(nodes >> 1)
            self.nodes[nodes] = self.nodes[2 * nodes] + self.nodes[2 * nodes + 1]

    def find(self, sums: NDArray[np.float64]) -> NDArray[np.int64]:
        """For each of `sums` the entry at which the running sum of all entries passes it; never one that is 0."""
        nodes, remaining = np.ones(len(sums), dtype=np.int64), sums.copy()
        while nodes[0] < self.leaves:
            left = self.nodes[2 * nodes]
            # By rounding a number may lie beyond both children; an empty one is then not entered.
            right = (remaining >= left) & (self.nodes[2 * nodes + 1] > 0)
            remaining -= np.where(right, left, 0.0)
            nodes = 2 * nodes + right
        return nodes - self.leaves
