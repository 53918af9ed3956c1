"""Gathering with crop and flip, against one pixel at a time, against NumPy's own padding, and as torch wants it."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.library import opcheck

from lensmith.kernels.gather import gather_crop_flip, plain_gather_crop_flip

Arguments = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def drawn(count: int = 9, channels: int = 3, height: int = 6, width: int = 7, batch: int = 20, *, most: int = 4,
          dtype: torch.dtype = torch.uint8, seed: int = 0) -> Arguments:
    draw = torch.Generator().manual_seed(seed)
    pictures = torch.randint(torch.iinfo(dtype).max + 1, (count, channels, height, width), generator=draw)
    across, down = min(most, width - 1), min(most, height - 1)
    return (pictures.to(torch.int32).to(dtype), torch.randint(count, (batch,), generator=draw),
            torch.randint(-across, across + 1, (batch,), generator=draw),
            torch.randint(-down, down + 1, (batch,), generator=draw), torch.rand(batch, generator=draw) < 0.5)


def padded(pictures: Tensor, rows: Tensor, x: Tensor, y: Tensor, flipped: Tensor) -> np.ndarray:
    """One picture at a time, by numpy.pad."""
    stored = pictures.numpy()
    height, width = stored.shape[2:]
    found = []
    for row, right, down, turned in zip(rows.tolist(), x.tolist(), y.tolist(), flipped.tolist(), strict=True):
        wide = np.pad(stored[row], ((0, 0), (height - 1, height - 1), (width - 1, width - 1)), mode="reflect")
        part = wide[:, height - 1 + down : 2 * height - 1 + down, width - 1 + right : 2 * width - 1 + right]
        found.append(part[:, :, ::-1] if turned else part)
    return np.stack(found)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 4), st.sampled_from([1, 3, 4]), st.integers(1, 9), st.integers(1, 9), st.integers(1, 12),
       st.sampled_from([torch.uint8, torch.uint16]), st.integers(0, 8), st.integers(0, 1 << 30))
def test_both_forms_are_numpys_padding_to_the_bit(count: int, channels: int, height: int, width: int, batch: int,
                                                  dtype: torch.dtype, most: int, seed: int) -> None:
    given = drawn(count, channels, height, width, batch, most=most, dtype=dtype, seed=seed)
    wanted = padded(*given)
    for form in (gather_crop_flip, plain_gather_crop_flip):
        found = form(*given)
        assert found.dtype == dtype and found.is_contiguous()
        assert np.array_equal(found.numpy(), wanted)


def test_the_largest_shifts_at_both_ends_of_the_store() -> None:
    pictures = drawn(2)[0]
    corners = torch.cartesian_prod(torch.tensor([0, 1]), torch.tensor([-6, 0, 6]), torch.tensor([-5, 0, 5]),
                                   torch.tensor([0, 1]))
    given = (pictures, *corners[:, :3].contiguous().unbind(1), corners[:, 3].bool())
    assert np.array_equal(gather_crop_flip(*given).numpy(), padded(*given))


@pytest.mark.parametrize("pictures", [drawn()[0].to(memory_format=torch.channels_last), drawn()[0][:, :, ::2],
                                      drawn()[0].expand(9, 3, 6, 7)[::2].repeat_interleave(2, 0)[:9]])
def test_a_store_in_any_memory_layout(pictures: Tensor) -> None:
    _, rows, x, y, flipped = drawn(most=2)
    found = gather_crop_flip(pictures, rows, x, y, flipped)
    assert np.array_equal(found.numpy(), padded(pictures, rows, x, y, flipped)) and found.is_contiguous()


def test_an_empty_batch_is_empty() -> None:
    pictures, *rest = drawn()
    assert gather_crop_flip(pictures, *(values[:0] for values in rest)).shape == (0, 3, 6, 7)


def test_the_store_is_left_as_it_was_and_shared_with_nothing() -> None:
    given = drawn()
    before = given[0].clone()
    gather_crop_flip(*given).zero_()
    assert torch.equal(given[0], before)


@pytest.mark.parametrize(("place", "value", "text"), [
    (1, 9, "a row of 9 is out of range for pictures of 9 x 6 x 7"), (1, -1, "a row of -1 is out of range"),
    (2, 7, "a shift across of 7 is out of range"), (2, -7, "a shift across of 7 is out of range"),
    (3, -6, "a shift down of 6 is out of range")])
def test_what_is_out_of_range_is_refused_and_not_read(place: int, value: int, text: str) -> None:
    given = list(drawn())
    given[place][3] = value
    with pytest.raises(IndexError, match=text):
        gather_crop_flip(*given)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_torch_accepts_the_registration(dtype: torch.dtype) -> None:
    for arguments in (drawn(dtype=dtype), drawn(1, 1, 5, 5, 2, dtype=dtype, most=0)):
        opcheck(gather_crop_flip, arguments)


def test_every_device_has_a_kernel_of_its_own() -> None:
    for device in ("CPU", "CUDA", "MPS"):
        assert torch._C._dispatch_has_kernel_for_dispatch_key("lensmith::gather_crop_flip", device)


def test_a_thread_gathers_while_this_one_computes() -> None:
    given = drawn(batch=400)
    wanted, found = padded(*given), []
    thread = threading.Thread(target=lambda: found.extend(gather_crop_flip(*given) for _ in range(20)))
    thread.start()
    layer = torch.nn.Conv2d(3, 8, 3)
    while thread.is_alive():
        layer(torch.zeros(4, 3, 16, 16)).sum().backward()
    thread.join()
    assert len(found) == 20 and all(np.array_equal(batch.numpy(), wanted) for batch in found)
