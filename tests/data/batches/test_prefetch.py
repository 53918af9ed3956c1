"""Items prefetched: the same ones, in order, and nothing left behind however the reading ends."""

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from itertools import count as counting
from itertools import islice
from types import SimpleNamespace

import pytest
import torch

from lensmith.data.batches import prefetch as module
from lensmith.data.batches.prefetch import Prefetch


def slow(count: int, seen: list[int], *, seconds: float = 0.004) -> Iterator[int]:
    """Numbers that take long enough for a thread; `seen` gets each as it is begun, and -1 at the end."""
    try:
        for number in range(count):
            seen.append(number)
            time.sleep(seconds)
            yield number
    finally:
        seen.append(-1)


def running() -> bool:
    return any(thread.name == "prefetch" for thread in threading.enumerate())


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 30])
@pytest.mark.parametrize("depth", [1, 2])
def test_items_come_unchanged_in_their_order_and_none_past_the_end(count: int, depth: int):
    seen: list[int] = []
    with Prefetch(slow(count, seen), depth) as prefetch:
        assert list(prefetch) == list(range(count)) == list(seen[:-1])
        assert list(prefetch) == []
    assert seen[-1] == -1 and seen.count(-1) == 1 and not running()


def test_a_thread_makes_slow_items_while_the_reader_works():
    seen: list[int] = []
    with Prefetch(slow(20, seen), 2) as prefetch:
        assert list(islice(prefetch, 6)) == [0, 1, 2, 3, 4, 5] and running()
        deadline = time.monotonic() + 10
        while len(seen) < 8 and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.05)
        assert seen == list(range(8))    # two ahead, and no more however long the reader takes
        assert list(prefetch) == list(range(6, 20))


def test_quick_items_need_no_thread():
    with Prefetch(iter(range(100))) as prefetch:
        assert list(islice(prefetch, 50)) == list(range(50)) and not running()


@pytest.fixture
def clock(monkeypatch) -> Callable[[], int]:
    """A clock for Prefetch alone, that goes on by one second each time it is looked at."""
    look = counting().__next__
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=look))
    return look


def test_items_that_take_little_beside_the_reader_need_no_thread(clock):
    with Prefetch(iter(range(8))) as prefetch:
        for number in prefetch:
            for _ in range(300):
                clock()
            assert number >= 0 and not running()
        assert prefetch.waited == 15    # 8 items and the end; from the fourth on with one look more


def test_waiting_is_counted_whoever_makes_the_items(clock):
    makers = []

    def looking() -> Iterator[int]:
        for number in range(10):
            makers.append(threading.current_thread().name)
            yield number

    with Prefetch(looking()) as prefetch:
        for _ in prefetch:
            clock()
        assert makers == ["MainThread"] * 3 + ["prefetch"] * 7
        assert prefetch.waited == 12    # 10 items and the end, and one look more before the thread is begun


@pytest.mark.parametrize("at", [0, 1, 10])
def test_an_error_comes_after_the_items_before_it_with_its_own_traceback(at: int):
    def failing() -> Iterator[int]:
        yield from slow(at, [])
        raise OSError("no such disk")

    read = []
    with Prefetch(failing()) as prefetch, pytest.raises(OSError, match="no such disk") as raised:
        for number in prefetch:
            read.append(number)
    assert read == list(range(at)) and not running()
    assert "failing" in [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert list(prefetch) == []


@pytest.mark.parametrize("read", [0, 1, 8])
def test_a_reader_that_stops_early_leaves_no_thread_and_an_ended_iterator(read: int):
    seen: list[int] = []
    prefetch = Prefetch(slow(100, seen))
    assert list(islice(prefetch, read)) == list(range(read))
    prefetch.close()
    prefetch.close()
    assert not running() and list(prefetch) == [] and len(seen) < 15
    assert read == 0 or seen[-1] == -1


def test_an_error_of_the_reader_ends_the_thread():
    seen: list[int] = []
    with pytest.raises(KeyError), Prefetch(slow(100, seen)) as prefetch:
        for number in prefetch:
            if number == 7:
                raise KeyError(number)
    assert not running() and seen[-1] == -1


def test_the_thread_has_one_thread_of_pytorch_and_no_gradient_and_the_others_keep_theirs():
    before = torch.get_num_threads()
    found = []

    def looking() -> Iterator[None]:
        for _ in slow(10, []):
            found.append((threading.current_thread().name, torch.get_num_threads(), torch.is_grad_enabled()))
            yield None

    def later() -> None:
        found.append(("later", torch.get_num_threads(), torch.is_grad_enabled()))

    torch.set_num_threads(2)
    try:
        with Prefetch(looking()) as prefetch:
            list(prefetch)
        other = threading.Thread(target=later)
        other.start()
        other.join()
        assert found[0] == ("MainThread", 2, True) and found[9] == ("prefetch", 1, False)
        assert found[-1] == ("later", 2, True) and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
