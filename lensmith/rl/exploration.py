"""How actions are tried that do not look best: with a small probability any, or each by how good it looks.

What is drawn is a function of the seed and the moment, so that a restart draws the same.
"""

import numpy as np
import torch
from torch import Tensor

from lensmith.base.hashed_random import hashed, seed_of

# The streams of what is drawn while playing; none is to be changed, since runs that go on rely on them.
ANY, POLICY, SAMPLES, SHUFFLE, NOISE, MEASURE, WEIGHTS = 11, 12, 13, 14, 15, 16, 17


def linear_decay(start: float, end: float, done: float, over: float) -> float:
    """From `start` to `end` in a straight line, while the fraction `done` of the run goes from 0 to `over`."""
    return end if done >= over else start + (end - start) * done / over


def drawn(seed: int, moment: int, stream: int, copies: int) -> Tensor:
    """float64 [copies] in [0, 1): one number for each copy of the world in this moment."""
    # What is the same for all is hashed as one integer first, which is several times quicker than as arrays.
    bits = hashed(seed_of(seed, moment, stream), np.arange(copies)) >> np.uint64(11)    # a float64 holds 53 bits
    return torch.from_numpy(bits.astype(np.float64) / float(1 << 53))


def epsilon_greedy(values: Tensor, epsilon: float, *, seed: int, moment: int) -> Tensor:
    """int64 [copies]: any action with probability `epsilon`, else the one of the greatest of `values` [copies,
    actions]."""
    copies, actions = values.shape
    best = values.argmax(1)
    if epsilon <= 0:
        return best
    numbers = drawn(seed, moment, ANY, copies)
    # A number below epsilon is, divided by it, in [0, 1) and uniform again; by rounding it may come to 1.
    anything = (numbers / epsilon * actions).long().clamp(max=actions - 1)
    return torch.where(numbers < epsilon, anything, best)


def softmax_over(values: Tensor, temperature: float, *, seed: int, moment: int) -> Tensor:
    """int64 [copies]: an action with probability exp(Q / temperature) / sum (Boltzmann exploration; Sutton and Barto
    2018, section 2.8)."""
    return sampled(torch.log_softmax(values.double() / temperature, 1), seed=seed, moment=moment)


def sampled(log_probabilities: Tensor, *, seed: int, moment: int) -> Tensor:
    """int64 [copies]: an action by its probability, from `log_probabilities` [copies, actions]."""
    sums = log_probabilities.double().exp().cumsum(1)
    numbers = drawn(seed, moment, POLICY, len(sums)).unsqueeze(1)
    # The last sum may fall short of 1 by rounding, and a number beyond it would name an action that does not exist.
    return (numbers >= sums[:, :-1]).sum(1)
