"""Training the NumPy network: an epoch after another, on batches in an order of their own."""

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from lensmith.lessons.numpy_network.layer import Array
from lensmith.lessons.numpy_network.network import NumpyNetwork, Sgd, train_step


@dataclass(frozen=True)
class Examples:
    """Pictures, standardised as the network takes them, and their labels."""

    pictures: Array    # float32 [n, channels, height, width]
    labels: Array      # int64 [n]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class EpochLearned:
    """What an epoch gave, of the answers before each update."""

    epoch: int         # from 1 on
    loss: float
    accuracy: float    # on the training pictures
    seconds: float     # since the training began


def learn(network: NumpyNetwork, train: Examples, *, epochs: int, batch: int, rate: float, momentum: float,
          seed: int) -> Iterator[EpochLearned]:
    """Train by stochastic gradient descent, the rate falling in a straight line to 0; yields after each epoch."""
    optimizer, draw, began = Sgd(rate, momentum), np.random.default_rng(seed), perf_counter()
    batches = max(1, len(train) // batch)
    for epoch in range(epochs):
        order = draw.permutation(len(train))
        loss = right = 0.0
        for number in range(batches):
            rows = order[number * batch : (number + 1) * batch]
            optimizer.rate = rate * (1 - (epoch * batches + number) / (epochs * batches))
            of_batch, logits = train_step(network, train.pictures[rows], train.labels[rows], optimizer)
            loss += of_batch / batches
            right += float((logits.argmax(1) == train.labels[rows]).mean()) / batches
        yield EpochLearned(epoch + 1, loss, right, perf_counter() - began)


def answers(network: NumpyNetwork, pictures: Array) -> Array:
    """The logits [n, classes] of standardised pictures, computed a few hundred at a time."""
    return np.concatenate([network.forward(pictures[row : row + 500]) for row in range(0, len(pictures), 500)])
