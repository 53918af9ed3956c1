"""Worker processes: in order, ended with their reader, and replaced by this process where one dies."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from lensmith.data.batches import worker_processes as workers
from lensmith.data.batches.prefetch import Prefetch
from lensmith.data.batches.worker_processes import made_by_workers


class Squares(Dataset[tuple[int, int]]):
    """The square of a number, and the process that made it; it kills itself where it is asked to."""

    def __init__(self, dies_at: int = -1, how: signal.Signals | int = signal.SIGKILL):
        self.dies_at, self.how, self.parent = dies_at, how, os.getpid()

    def __len__(self) -> int:
        return 1_000

    def __getitem__(self, number: int) -> tuple[int, int]:
        if number < 0:
            raise RuntimeError(f"no worker makes {number}")
        if number == self.dies_at and os.getpid() != self.parent:
            if isinstance(self.how, signal.Signals):
                os.kill(os.getpid(), self.how)
            os._exit(self.how)
        return number * number, os.getpid()


def nobody_left() -> bool:
    deadline = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not multiprocessing.active_children()


@pytest.mark.parametrize("prefetched", [False, True])
def test_workers_make_everything_in_order_and_end(prefetched: bool):
    died: list[str] = []
    state, handler = torch.get_rng_state(), signal.getsignal(signal.SIGCHLD)
    made = made_by_workers(Squares(), list(range(40)), workers=3, died=died.append)
    found = list(Prefetch(made)) if prefetched else list(made)
    assert [square for square, _ in found] == [number * number for number in range(40)] and not died
    assert len({process for _, process in found}) == 3 and os.getpid() not in {process for _, process in found}
    assert torch.equal(torch.get_rng_state(), state) and signal.getsignal(signal.SIGCHLD) is handler
    assert nobody_left()


class Deaf(Squares):
    """Whether Ctrl-C is ignored where it is asked."""

    def __getitem__(self, number: int) -> Any:
        return signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_ctrl_c_is_for_the_reader_to_decide():
    made = list(made_by_workers(Deaf(), list(range(4)), workers=2, died=lambda why: None))
    assert made == [True] * 4 and not Deaf()[0]


@pytest.mark.parametrize("prefetched", [False, True])
@pytest.mark.parametrize("read", [0, 5])
def test_a_reader_that_stops_early_ends_the_workers(prefetched: bool, read: int):
    made = made_by_workers(Squares(), list(range(100)), workers=2, died=lambda why: None)
    reader = Prefetch(made) if prefetched else made
    for _ in range(read):
        next(reader)
    assert len(multiprocessing.active_children()) == 2
    reader.close()    # type: ignore[attr-defined]
    del reader, made
    assert nobody_left()


@pytest.mark.parametrize(("how", "text"), [
    (signal.SIGKILL, "was killed by SIGKILL, as the system does where memory runs out"),
    pytest.param(7, "ended with exit code 7", marks=pytest.mark.slow)])
def test_a_worker_that_dies_is_named_and_this_process_goes_on(how: signal.Signals | int, text: str):
    died: list[str] = []
    made = made_by_workers(Squares(25, how), list(range(40)), workers=2, died=died.append)
    with Prefetch(made) as reader:
        found = list(reader)
    assert [square for square, _ in found] == [number * number for number in range(40)]
    assert found[0][1] != os.getpid() == found[-1][1] and nobody_left()
    assert len(died) == 1 and died[0].startswith("loading worker ") and text in died[0]
    assert int(died[0].split()[2]) in {process for _, process in found[:25]}
    assert died[0].endswith("this process loads by itself from here on, the same batches. Fewer workers take less "
                            "memory: see loading.workers")


def test_an_error_in_a_worker_is_no_death():
    died: list[str] = []
    with pytest.raises(RuntimeError, match="no worker makes -1"):
        list(made_by_workers(Squares(), [1, 2, -1, 3], workers=2, died=died.append))
    assert not died and nobody_left()


PROGRAM = """
import multiprocessing, os, signal, sys, time
from lensmith.data.batches.prefetch import Prefetch
from lensmith.data.batches import worker_processes as workers
from lensmith.data.batches.worker_processes import made_by_workers

class Slow:
    def __len__(self): return 1000
    def __getitem__(self, number): time.sleep(0.01); return number

with Prefetch(made_by_workers(Slow(), list(range(1000)), workers=2, died=print)) as reader:
    for number in reader:
        if number == 8:
            print(*[child.pid for child in multiprocessing.active_children()], flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no process groups")
def test_ctrl_c_ends_reader_thread_and_workers(tmp_path: Path):
    started = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, start_new_session=True)
    assert started.stdout is not None
    workers = [int(one) for one in started.stdout.readline().split()]
    os.killpg(started.pid, signal.SIGINT)    # as a terminal sends it: to all of them
    out, err = started.communicate(timeout=20)
    assert len(workers) == 2 and out == ""
    assert err.rstrip().splitlines()[-1] == "KeyboardInterrupt" and err.count("Traceback") == 1
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


@pytest.mark.parametrize("error", [ConnectionResetError("reset by peer"), EOFError(), FileNotFoundError("socket")])
def test_a_worker_that_dies_while_its_batch_is_fetched_is_missed_too(error: Exception):
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    process.join()
    told: list[str] = []

    def reading():
        yield "a"
        raise error

    made = workers._read(Letters(), [0, 1, 2], reading(), [process], told.append)
    assert list(made) == ["a", "b", "c"]
    assert len(told) == 1 and f"loading worker {process.pid}" in told[0]


# Ends as a process does that the system ends, only that it takes longer: first its files, then the exit code.
CLOSES_ITS_FILES_FIRST = """
import os, signal, time
os.closerange(3, 1024)
time.sleep(0.5)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no process ends by parts")
def test_a_worker_that_is_dying_still_is_waited_for():
    process = multiprocessing.get_context("spawn").Process(target=exec, args=(CLOSES_ITS_FILES_FIRST,))
    process.start()
    told: list[str] = []

    def reading():
        raise EOFError
        yield

    assert wait([process.sentinel], timeout=60) == [process.sentinel]    # by which it is not yet known how it ended
    assert list(workers._read(Letters(), [0, 1, 2], reading(), [process], told.append)) == ["a", "b", "c"]
    assert len(told) == 1 and f"loading worker {process.pid} was killed by SIGKILL" in told[0]


def test_a_worker_that_died_while_the_others_were_started_is_known():
    begun: list[Any] = []
    process = workers._listing(begun).Process(target=int)
    process.start()
    process.join()
    assert not multiprocessing.active_children() and begun == [process] and process.exitcode == 0


class Letters:
    def __getitem__(self, row: int) -> str:
        return "abc"[row]


def test_another_mistake_of_a_connection_is_not_taken_for_a_death():
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    process.start()

    def reading():
        raise ConnectionResetError("of the user's own data base")
        yield

    with pytest.raises(ConnectionResetError, match="data base"):
        list(workers._read(Letters(), [0], reading(), [process], print))
    process.join(10)
    assert process.exitcode == -signal.SIGTERM
