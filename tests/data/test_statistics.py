"""Mean and deviation of the pictures: right, and the same to the bit kept or streamed."""

import numpy as np
import pytest
import torch

from lensmith.data.memory import InMemory, Numbered
from lensmith.data.sample import Sample
from lensmith.data.statistics import statistics


class Streamed:
    """Pictures that are given one by one."""

    def __init__(self, inner: InMemory):
        self.inner, self.classes, self.asked = inner, inner.classes, list[int]()

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, i: int) -> Sample:
        self.asked.append(i)
        return self.inner[i]


def noise(count: int, *, most: int = 256, dtype: type = np.uint8) -> InMemory:
    draw = np.random.default_rng(count)
    values = (draw.random((count, 3, 5, 7)) * most * np.array([1, 0.5, 0.1]).reshape(3, 1, 1)).astype(dtype)
    return InMemory(torch.from_numpy(values), {}, {}, places=Numbered("noise", (5, 7), np.arange(count)))


@pytest.mark.parametrize(("most", "dtype"), [(256, np.uint8), (65_536, np.uint16)])
def test_both_numbers_equal_numpys(most: int, dtype: type):
    data = noise(300, most=most, dtype=dtype)
    mean, deviation = statistics(data)
    values = data.images.numpy().astype(np.float64)
    assert mean == pytest.approx(values.mean((0, 2, 3)), rel=1e-12)
    assert deviation == pytest.approx(values.std((0, 2, 3)), rel=1e-9)


@pytest.mark.parametrize("count", [1, 37, 4_000, 4_001, 9_999])
@pytest.mark.parametrize(("most", "dtype"), [(256, np.uint8), (65_536, np.uint16)])
def test_kept_and_streamed_pictures_give_the_same_bits(count: int, most: int, dtype: type):
    data = noise(count, most=most, dtype=dtype)
    streamed = Streamed(data)
    assert statistics(data) == statistics(streamed)
    asked = np.sort(streamed.asked)
    assert len(asked) == min(count, 4_000) == len(set(asked))
    assert asked[0] == 0 and np.diff(asked, append=count).max() <= -(-count // 4_000)


def test_a_channel_that_never_changes_gets_deviation_one():
    data = InMemory(torch.full((10, 2, 4, 4), 9, dtype=torch.uint8), {}, {}, places=[])
    data.images[0, 0, 0, 0] = 10
    mean, deviation = statistics(data)
    assert mean[1] == 9 and deviation[1] == 1 and 0 < deviation[0] < 1
