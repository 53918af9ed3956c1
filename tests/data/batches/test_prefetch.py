"""Items made ahead: the same ones, in order, and nothing left behind however the reading ends."""

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
from lensmith.data.batches.prefetch import Ahead


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
    return any(thread.name == "batches ahead" for thread in threading.enumerate())


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 30])
@pytest.mark.parametrize("depth", [1, 2])
def test_items_come_unchanged_in_their_order_and_none_past_the_end(count: int, depth: int):
    seen: list[int] = []
    with Ahead(slow(count, seen), depth) as ahead:
        assert list(ahead) == list(range(count)) == list(seen[:-1])
        assert list(ahead) == []
    assert seen[-1] == -1 and seen.count(-1) == 1 and not running()


def test_a_thread_makes_slow_items_while_the_reader_works():
    seen: list[int] = []
    with Ahead(slow(20, seen), 2) as ahead:
        assert list(islice(ahead, 6)) == [0, 1, 2, 3, 4, 5] and running()
        deadline = time.monotonic() + 10
        while len(seen) < 8 and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.05)
        assert seen == list(range(8))    # two ahead, and no more however long the reader takes
        assert list(ahead) == list(range(6, 20))


def test_quick_items_need_no_thread():
    with Ahead(iter(range(100))) as ahead:
        assert list(islice(ahead, 50)) == list(range(50)) and not running()


@pytest.fixture
def clock(monkeypatch) -> Callable[[], int]:
    """A clock for Ahead alone, that goes on by one second each time it is looked at."""
    look = counting().__next__
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=look))
    return look


def test_items_that_take_little_beside_the_reader_need_no_thread(clock):
    with Ahead(iter(range(8))) as ahead:
        for number in ahead:
            for _ in range(300):
                clock()
            assert number >= 0 and not running()
        assert ahead.waited == 15    # 8 items and the end; from the fourth on with one look more, whether a thread pays


def test_waiting_is_counted_whoever_makes_the_items(clock):
    makers = []

    def looking() -> Iterator[int]:
        for number in range(10):
            makers.append(threading.current_thread().name)
            yield number

    with Ahead(looking()) as ahead:
        for _ in ahead:
            clock()
        assert makers == ["MainThread"] * 3 + ["batches ahead"] * 7
        assert ahead.waited == 12    # 10 items and the end, and one look more before the thread is begun


@pytest.mark.parametrize("at", [0, 1, 10])
def test_an_error_comes_after_the_items_before_it_with_its_own_traceback(at: int):
    def failing() -> Iterator[int]:
        yield from slow(at, [])
        raise OSError("no such disk")

    read = []
    with Ahead(failing()) as ahead, pytest.raises(OSError, match="no such disk") as raised:
        for number in ahead:
            read.append(number)
    assert read == list(range(at)) and not running()
    assert "failing" in [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert list(ahead) == []


@pytest.mark.parametrize("read", [0, 1, 8])
def test_a_reader_that_stops_early_leaves_no_thread_and_an_ended_iterator(read: int):
    seen: list[int] = []
    ahead = Ahead(slow(100, seen))
    assert list(islice(ahead, read)) == list(range(read))
    ahead.close()
    ahead.close()
    assert not running() and list(ahead) == [] and len(seen) < 15
    assert read == 0 or seen[-1] == -1


def test_an_error_of_the_reader_ends_the_thread():
    seen: list[int] = []
    with pytest.raises(KeyError), Ahead(slow(100, seen)) as ahead:
        for number in ahead:
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
        with Ahead(looking()) as ahead:
            list(ahead)
        other = threading.Thread(target=later)
        other.start()
        other.join()
        assert found[0] == ("MainThread", 2, True) and found[9] == ("batches ahead", 1, False)
        assert found[-1] == ("later", 2, True) and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
