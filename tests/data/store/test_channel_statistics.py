"""Mean and deviation of the pictures: right, and the same to the bit kept or streamed."""

import numpy as np
import pytest
import torch

from lensmith.base.errors import DataError
from lensmith.base.picture_headers import BadPicture
from lensmith.base.pictures import Form, Place
from lensmith.data.sources.in_memory import InMemory, Numbered
from lensmith.data.sources.sample import Sample
from lensmith.data.store.channel_statistics import lacking_variation, statistics


class Streamed:
    """Pictures that are given one by one."""

    def __init__(self, inner: InMemory):
        self.inner, self.classes, self.asked = inner, inner.classes, list[int]()
        self.give = inner.__getitem__

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, i: int) -> Sample:
        self.asked.append(i)
        return self.give(i)


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


@pytest.mark.parametrize("size", [(16, 16), (19, 27), (40, 64), (300, 301)])
def test_the_sums_are_exact_for_pictures_of_any_size(size: tuple[int, int]):
    values = np.random.default_rng(0).integers(0, 256, (5, 3, *size), dtype=np.uint8)
    values[:, 1] = 255
    values[0, 1, 0, 0] = 0    # the squares of all others are as large as they can be
    data = InMemory(torch.from_numpy(values), {}, {}, places=Numbered("noise", size, np.arange(5)))
    whole = values.astype(np.int64).transpose(1, 0, 2, 3).reshape(3, -1)
    pixels = whole.shape[1]
    total, square = whole.sum(1).tolist(), (whole * whole).sum(1).tolist()
    assert statistics(data) == ([one / pixels for one in total],
                                [((two * pixels - one * one) / pixels**2) ** 0.5
                                 for one, two in zip(total, square, strict=True)])


@pytest.mark.parametrize("count", [1, 37, 4_000, 4_001, 9_999])
@pytest.mark.parametrize(("most", "dtype"), [(256, np.uint8), (65_536, np.uint16)])
def test_kept_and_streamed_pictures_give_the_same_bits(count: int, most: int, dtype: type):
    data = noise(count, most=most, dtype=dtype)
    streamed = Streamed(data)
    assert statistics(data) == statistics(streamed)
    asked = np.sort(streamed.asked)
    assert len(asked) == min(count, 4_000) == len(set(asked))
    assert asked[0] == 0 and np.diff(asked, append=count).max() <= -(-count // 4_000)


def test_of_photos_a_thousand_are_enough():
    photos = InMemory(torch.zeros(1_500, 1, 97, 96, dtype=torch.uint8), {}, {},
                      places=Numbered("photos", (97, 96), np.arange(1_500)))
    chosen = torch.arange(1_000) * 1_500 // 1_000
    photos.images[chosen] = 10
    assert statistics(photos) == ([10.0], [1.0])
    smaller = InMemory(photos.images[:, :, :96], {}, {}, places=photos.places)
    assert statistics(smaller)[0] == pytest.approx([20 / 3])


def test_bad_pictures_are_left_out_of_the_estimate():
    data = noise(50)
    streamed = Streamed(data)

    def bad(i: int) -> Sample:
        if i % 7 == 3 or 16 <= i < 32:    # a whole group that is summed together is bad
            raise BadPicture("is odd")
        return data[i]

    streamed.give = bad
    good = [i for i in range(50) if i % 7 != 3 and not 16 <= i < 32]
    assert statistics(streamed) == statistics(data.subset(good))


def test_where_every_picture_is_bad_it_is_said():
    streamed = Streamed(noise(5))

    def bad(i: int) -> Sample:
        raise BadPicture("is odd")

    streamed.give = bad
    with pytest.raises(DataError, match=r"^none of the pictures can be decoded: .* pictures.on_bad=refuse$"):
        statistics(streamed)


def test_a_channel_that_never_changes_gets_deviation_one():
    data = InMemory(torch.full((10, 2, 4, 4), 9, dtype=torch.uint8), {}, {}, places=[])
    data.images[0, 0, 0, 0] = 10
    mean, deviation = statistics(data)
    assert mean[1] == 9 and deviation[1] == 1 and 0 < deviation[0] < 1


@pytest.mark.parametrize(("pictures", "form", "said"), [
    (torch.full((4, 1, 6, 6), 3, dtype=torch.uint8), Form(1, 6, 6), "each of 4 pictures that were looked at has one "),
    (torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).repeat(1, 1, 6, 6) * 60, Form(1, 6, 6), "has one shade alone"),
    (torch.arange(144, dtype=torch.uint8).view(4, 1, 6, 6) % 2, Form(1, 6, 6), "lie within a shade of each other"),
    ((torch.arange(144).view(4, 1, 6, 6) % 200).to(torch.uint16), Form(1, 6, 6, bits=16), "has one shade alone"),
    ((torch.arange(144).view(4, 1, 6, 6) % 2 * 300).to(torch.uint16), Form(1, 6, 6, bits=16), "deviation is 1.5e+02"),
    ((torch.arange(144).view(4, 1, 6, 6) % 200).to(torch.uint16), Form(1, 6, 6, bits=16, values=(0, 255)), ""),
    (torch.arange(144, dtype=torch.uint8).view(4, 1, 6, 6), Form(1, 6, 6), "")])
def test_pictures_that_show_nothing_are_said(pictures: torch.Tensor, form: Form, said: str):
    told = lacking_variation(InMemory(pictures, {}, {}, places=[Place(str(i), form.size) for i in range(4)]), form)
    assert said in told and bool(told) == bool(said)
    assert not told or "pictures.bits and pictures.values" in told
