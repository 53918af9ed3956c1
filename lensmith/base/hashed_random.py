"""Random numbers as a function of their purpose: the same for any order, any number of workers, any restart."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

# The streams of what is drawn for a set of pictures, apart from those of the augmentation. The numbers of existing runs
# follow from these: they are not to be changed.
ORDER, FRACTION, BACKGROUND, HEAD, CALIBRATION = 1, 2, 3, 4, 5

_STEP, _MASK = 0x9E3779B97F4A7C15, (1 << 64) - 1
_GOLDEN = np.uint64(_STEP)


def _scramble(state: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def hashed(*keys: int | Sequence[int] | np.ndarray) -> np.ndarray:
    """uint64 of the broadcast shape of `keys`: a hash of all of them, in order."""
    state = np.zeros(1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for key in keys:
            word = np.array([key & _MASK], dtype=np.uint64) if isinstance(key, int) else \
                np.asarray(key, dtype=np.int64).reshape(-1).view(np.uint64)
            state = _scramble((state ^ _scramble(word + _GOLDEN)) + _GOLDEN)
    return state


def seed_of(*keys: int) -> int:
    """One seed, 0 .. 2^63 - 1, from several numbers: `hashed` of them, halved."""
    state = 0
    for key in keys:
        state = _scramble_one((state ^ _scramble_one(key + _STEP)) + _STEP)
    return state >> 1


def _scramble_one(state: int) -> int:
    """`_scramble` for one Python integer: ten times quicker than an array of one."""
    state &= _MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return state ^ (state >> 31)


def uniform(keys: np.ndarray, stream: int | np.ndarray) -> Tensor:
    """float32 [n] in [0, 1): one number for each of `keys` (uint64 [n], from `hashed`) in this stream, or each in a
    stream of its own (int64 [n])."""
    bits = hashed(keys.view(np.int64), stream) >> np.uint64(40)    # A float32 holds 24 bits exactly.
    return torch.from_numpy(bits.astype(np.float32) / np.float32(1 << 24))
