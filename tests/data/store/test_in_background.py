"""Decoding in the background: in order but the asked ones first, what is bad left out, an end that is an end."""

import gc
import os
import threading
import time

import numpy as np
import pytest
import torch

from lensmith.base.picture_headers import BadPicture
from lensmith.base.pictures import Place
from lensmith.data.batches.loader import Loader
from lensmith.data.store import in_background
from lensmith.data.store.in_background import Fill, Filling, Store
from lensmith.values.labels import Label

COUNT = 12


class Making:
    """Makes rows only when it is allowed to, and notes their order."""

    def __init__(self, *, bad: tuple[int, ...] = ()):
        self.allowed, self.made, self.bad = threading.Semaphore(0), list[int](), bad

    def __call__(self, row: int) -> None:
        self.allowed.acquire()
        self.made.append(row)
        if row in self.bad:
            raise BadPicture("is odd")


def until(true, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def filled(*, bad: tuple[int, ...] = ()) -> Filling:
    """Pictures whose every pixel is their row's number."""
    images = torch.zeros(COUNT, 1, 2, 3, dtype=torch.uint8)

    def make(row: int) -> None:
        if row in bad:
            raise BadPicture("is odd")
        images[row] = row

    fill = Fill(COUNT, make)
    store = Store(images, [Place(f"{row}.png", (0, 0)) for row in range(COUNT)], fill)
    fill.start()
    return Filling(store, torch.arange(COUNT), {"label": Label(torch.arange(COUNT) % 3)}, {"label": ("a", "b", "c")})


def test_rows_are_made_in_order_and_once():
    make, finished = Making(), []
    fill = Fill(COUNT, make, threads=1, finish=lambda: finished.append(len(make.made)))
    fill.start()
    make.allowed.release(COUNT)
    assert fill.wait(np.arange(COUNT)).all() and fill.ended.wait(10)
    assert make.made == list(range(COUNT)) and finished == [COUNT]


def test_what_is_waited_for_comes_next():
    make = Making()
    fill = Fill(COUNT, make, threads=1)
    fill.start()
    until(lambda: fill.state[0] == 1)    # in work
    waiting = threading.Thread(target=fill.wait, args=(np.array([9, 7, 3]),))
    waiting.start()
    until(lambda: len(fill._asked) == 3)
    make.allowed.release(4)
    waiting.join(10)
    assert make.made == [0, 9, 7, 3]
    make.allowed.release(COUNT)
    assert fill.ended.wait(10) and make.made == [0, 9, 7, 3, 1, 2, 4, 5, 6, 8, 10, 11]


def test_what_is_asked_for_comes_next_without_being_waited_for():
    make = Making()
    fill = Fill(COUNT, make, threads=1)
    fill.start()
    until(lambda: fill.state[0] == 1)    # in work
    fill.ask(np.array([9, 0, 7]))
    make.allowed.release(4)
    until(lambda: len(make.made) == 4)
    assert make.made == [0, 9, 7, 1]
    make.allowed.release(COUNT)
    assert fill.wait_for_end() is None and sorted(make.made) == list(range(COUNT))


def test_each_who_waits_goes_on_once_its_own_rows_are_made():
    make, ended = Making(bad=(4,)), dict[str, list[bool]]()
    fill = Fill(COUNT, make, threads=1)
    fill.start()
    until(lambda: fill.state[0] == 1)    # in work, before anyone asks for others
    threads = []
    for name, rows in (("first", [3, 4]), ("second", [4, 11])):
        threads.append(threading.Thread(target=lambda *given: ended.update({given[0]: fill.wait(given[1]).tolist()}),
                                        args=(name, np.array(rows))))
        threads[-1].start()
        until(lambda: len(fill._waiters) == len(threads))
    make.allowed.release(3)    # rows 0, 3 and 4
    until(lambda: "first" in ended)
    assert ended == {"first": [True, False]} and len(make.made) == 3
    make.allowed.release(COUNT)
    for thread in threads:
        thread.join(10)
    assert ended == {"first": [True, False], "second": [False, True]} and not fill._waiters


def test_who_waits_when_it_is_closed_is_told():
    make, told = Making(), list[str]()
    fill = Fill(COUNT, make, threads=1)
    fill.start()

    def wait() -> None:
        with pytest.raises(RuntimeError) as raised:
            fill.wait(np.array([11]))
        told.append(str(raised.value))

    waiting = threading.Thread(target=wait)
    waiting.start()
    until(lambda: len(fill._waiters) == 1)
    threading.Timer(0.05, make.allowed.release).start()
    fill.close()
    waiting.join(10)
    assert told == ["the pictures are asked for after their store was closed"]


def test_the_garbage_collector_may_close_it_while_its_lock_is_held():
    fill = Fill(COUNT, Making())

    def close() -> None:
        with fill._lock:
            fill.close()

    closing = threading.Thread(target=close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()


def test_several_threads_make_every_row_once():
    made, lock = [], threading.Lock()

    def make(row: int) -> None:
        with lock:
            made.append(row)

    fill = Fill(500, make, threads=7)
    fill.start()
    rows = np.random.default_rng(1).permutation(500)
    for some in np.array_split(rows, 50):
        assert fill.wait(some).all()
    assert fill.ended.wait(10) and sorted(made) == list(range(500))


def test_while_it_rests_only_what_is_waited_for_is_made():
    make = Making()
    fill = Fill(COUNT, make, threads=2)
    make.allowed.release(100)
    with fill.paused():
        fill.start()
        assert fill.wait(np.array([5, 8])).all()
        time.sleep(0.05)
        assert sorted(make.made) == [5, 8]
    assert fill.ended.wait(10) and len(make.made) == COUNT


def test_nothing_to_make_is_made_at_once():
    fill = Fill(0, Making())
    fill.start()
    assert fill.ended.is_set() and len(fill.wait(np.empty(0, np.int64))) == 0


def test_an_error_in_a_thread_is_raised_where_it_is_waited():
    def make(row: int) -> None:
        if row == 3:
            raise ZeroDivisionError("a bug")

    fill = Fill(COUNT, make, threads=1)
    fill.start()
    with pytest.raises(ZeroDivisionError, match="a bug"):
        fill.wait(np.arange(COUNT))
    assert fill.wait(np.arange(3)).all() and not fill.whole
    with pytest.raises(ZeroDivisionError, match="a bug"):
        fill.wait_for_end()


def test_an_error_at_the_end_is_raised_where_all_is_waited_for():
    def finish() -> None:
        raise ZeroDivisionError("a bug")

    fill = Fill(COUNT, lambda row: None, threads=2, finish=finish)
    store = Store(torch.zeros(COUNT, 1, 1, 1), [Place("", (0, 0))] * COUNT, fill)
    assert store.undecoded == COUNT
    fill.start()
    with pytest.raises(ZeroDivisionError, match="a bug"):
        store.wait()
    assert store.undecoded == 0 and not store.whole and fill.wait(np.arange(COUNT)).all()


def test_it_ends_when_it_is_closed_and_says_so_to_who_asks_later():
    make = Making()
    fill = Fill(COUNT, make, threads=3)
    fill.start()
    make.allowed.release(5)
    until(lambda: len(make.made) == 5)
    threading.Timer(0.05, make.allowed.release, (3,)).start()
    fill.close()
    assert not any(thread.is_alive() for thread in fill._running) and len(make.made) <= 8
    with pytest.raises(RuntimeError, match="after their store was closed"):
        fill.wait(np.arange(COUNT))


def test_threads_end_with_the_last_reference_to_their_store():
    started = threading.Event()

    def make(row: int) -> None:
        started.set()
        time.sleep(0.01)

    fill = Fill(10_000, make, threads=2)
    store = Store(torch.zeros(10_000, 1, 1, 1), [Place("", (0, 0))] * 10_000, fill)
    source = Filling(store, torch.arange(10_000), {}, {})
    fill.start()
    assert started.wait(10)
    del source, store
    gc.collect()
    until(lambda: not any(thread.is_alive() for thread in fill._running))
    assert (fill.state == 0).any()


def test_a_batch_is_what_was_asked_for():
    source = filled()
    rows = torch.tensor([7, 0, 7, 11])
    batch = source.gather(rows)
    assert batch.images[:, 0, 0, 0].tolist() == [7, 0, 7, 11] and torch.equal(batch.indices, rows)
    assert batch.targets["label"].index.tolist() == [1, 0, 1, 2] and batch.places[3].file == "11.png"
    part = source.subset([4, 2])
    assert len(part) == 2 and part.gather(torch.tensor([1])).images[0, 0, 0, 0] == 2 and part.place(0).file == "4.png"
    assert part[0].image.unique().tolist() == [4] and int(part[0].targets["label"].index) == 1


def test_what_is_bad_stays_a_row_and_is_in_no_batch():
    source = filled(bad=(2, 5))
    batch = source.gather(torch.tensor([5, 1, 2, 3]))
    assert batch.indices.tolist() == [1, 3] == batch.images[:, 0, 0, 0].tolist() and len(source) == COUNT
    assert batch.targets["label"].index.tolist() == [1, 0] and len(batch.places) == 2
    assert len(source.gather(torch.tensor([2]))) == 0
    with pytest.raises(BadPicture, match=r"^is odd$"):
        source[5]
    told: list[int] = []
    source.store.wait(told.append)
    assert told == [COUNT] and source.store.whole
    assert [(one.file, one.reason) for one in source.store.bad()] == [("2.png", "is odd"), ("5.png", "is odd")]
    assert source.subset([0, 5]).gather(torch.arange(2)).indices.tolist() == [0]
    assert source.subset([5]).reason(0) == "is odd"


def test_each_thread_decodes_without_a_team_of_pytorch_and_the_others_keep_theirs():
    found: list[tuple[str, int]] = []
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        fill = Fill(8, lambda row: found.append((threading.current_thread().name, torch.get_num_threads())), threads=2)
        fill.start()
        fill.wait_for_end()
        later = threading.Thread(target=lambda: found.append(("later", torch.get_num_threads())))
        later.start()
        later.join()
        assert {threads for _, threads in found[:8]} == {1} and found[0][0].startswith("decode-")
        assert found[8:] == [("later", 2)] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_batches_are_made_by_one_thread_while_pictures_are_decoded():
    counted: list[int] = []

    class Watching:
        changes = True

        def company(self, epoch: int) -> int:
            return 0

        def __call__(self, batch, epoch, partner):
            counted.append(torch.get_num_threads())
            return batch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        make = Making()
        images, fill = torch.zeros(COUNT, 1, 2, 3, dtype=torch.uint8), Fill(COUNT, make, threads=1)
        store = Store(images, [Place(f"{row}.png", (0, 0)) for row in range(COUNT)], fill)
        fill.start()
        make.allowed.release(8)
        batches = Loader(Filling(store, torch.arange(COUNT), {}, {}), 4, augment=Watching()).at(0, 0)
        next(batches), next(batches)
        assert torch.get_num_threads() == 2
        make.allowed.release(COUNT)
        store.wait()
        assert len(list(batches)) == 1
        assert counted == [1, 1, 2] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_threads_that_starve_are_relieved_by_some_that_do_not_give_way(monkeypatch):
    """As where other programs have the cores: the threads that give way get none while somebody waits."""
    monkeypatch.setattr(in_background, "_PATIENCE", 0.05)
    by_row: dict[int, int] = {}

    def make(row: int) -> None:
        time.sleep(0.03)    # without a second of the processor
        by_row[row] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    fill = Fill(40, make, threads=2)
    fill.start()
    assert fill.wait(np.arange(40)).all() and fill.ended.wait(10)
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert sorted(by_row) == list(range(40)) and fill.whole
    assert {by_row[row] for row in range(2)} == {19} and {by_row[row] for row in range(30, 40)} == {own}
    fill.close()
    assert not any(thread.is_alive() for thread in (*fill._running, *fill._standing_by))


def test_threads_that_have_the_cores_are_not_relieved(monkeypatch):
    monkeypatch.setattr(in_background, "_PATIENCE", 0.02)
    monkeypatch.setattr(Fill, "_spent", lambda self: time.monotonic())    # a whole core
    priorities = set()

    def make(row: int) -> None:
        time.sleep(0.01)
        priorities.add(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    fill = Fill(20, make, threads=2)
    fill.start()
    assert fill.wait(np.arange(20)).all() and fill.ended.wait(10)
    fill.close()
    assert priorities == {19}
