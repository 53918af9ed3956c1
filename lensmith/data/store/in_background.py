"""Pictures that threads decode in the background while a training learns from the first of them already."""

import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from lensmith.base.picture_headers import BadPicture
from lensmith.base.pictures import Place
from lensmith.base.threads_without_openmp import start_thread
from lensmith.data.sources.in_memory import take_pictures
from lensmith.data.sources.picture_form import Bad
from lensmith.data.sources.sample import Batch, Sample
from lensmith.values.value import Value

_WAITING, _IN_WORK, _READY, _BAD = range(4)
_TOGETHER = 64    # pictures that are waited for at a time where all are
_PATIENCE = 1.0    # seconds of waiting after which it is asked whether the threads that are waited for starve:
_STARVED = 0.3     # they had less than this fraction of one core meanwhile


class Fill:
    """Makes rows on threads of its own, in their order, but those first that someone waits for.

    The threads give way to all others. Where other programs take the cores they then starve, and whoever waits for them
    with them, also through the interpreter's lock, which a thread that starves may hold. So others that do not give way
    stand by, and take over for good once somebody has waited for threads that got no core.

    Invariant: a row goes once from waiting to in work to ready or bad. What is ready is read without a lock.
    """

    def __init__(self, count: int, make: Callable[[int], None], *, finish: Callable[[], object] = lambda: None,
                 threads: int | None = None):
        """count: the rows.
        make: makes one row; raises BadPicture where that cannot be.
        finish: called once all rows are made.
        threads: None: one more than there are cores, since each now and then waits for the interpreter's lock.
        """
        self.make, self.finish, self.threads = make, finish, threads or (os.cpu_count() or 1) + 1
        self.state = np.full(count, _WAITING, dtype=np.uint8)
        self.reasons: dict[int, str] = {}         # of the bad rows
        self.ended = threading.Event()            # all is made and `finish` has been called, or a thread failed
        self._next, self._left, self._stopped, self._paused = 0, count, False, False
        self._taken_over = False    # whether the threads that do not give way have the work
        self._asked: deque[int] = deque()
        # Guards all from `_next` on; re-entrant, since the garbage collector may call close() on a thread that has it.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)    # there is something to make again, or never will be
        self._waiters: list[_Waiter] = []
        self._failure: BaseException | None = None
        self._running: list[threading.Thread] = []    # that give way
        self._standing_by: list[threading.Thread] = []

    def start(self) -> None:
        if not self._left:
            self._end()
            return
        # Daemons: else the interpreter would wait for the last picture when it ends; close() ends them at exit.
        number = min(self.threads, self._left)
        self._running = [start_thread(self._work_giving_way, name=f"decode-{i}") for i in range(number)]
        if sys.platform == "linux":    # elsewhere none gives way
            self._standing_by = [start_thread(self._work, name=f"decode-{number + i}") for i in range(number)]

    def wait(self, rows: np.ndarray) -> np.ndarray:
        """Wait until `rows` (int64 [n]) are made; -> bool [n]: which of them are ready, not bad.

        Raises the error that ended a thread, where one did.
        """
        if not (self.state[rows] >= _READY).all():
            self.ask(rows)
            with self._lock:
                waiter = _Waiter({row for row in rows.tolist() if self.state[row] < _READY}, self._lock)
                self._waiters.append(waiter)
                try:
                    while waiter.lacks:
                        if self._failure is not None:
                            raise self._failure
                        if self._stopped:
                            raise RuntimeError("the pictures are asked for after their store was closed")
                        self._wait_for(waiter)
                finally:
                    self._waiters.remove(waiter)
        is_ready: np.ndarray = self.state[rows] == _READY
        return is_ready

    def _wait_for(self, waiter: "_Waiter") -> None:
        """Wait until there may be something new; where that takes long, let no thread starve."""
        if self._taken_over or not self._standing_by:
            waiter.done.wait()
            return
        began, spent = time.monotonic(), self._spent()
        if not waiter.done.wait(_PATIENCE) and self._spent() - spent < _STARVED * (time.monotonic() - began):
            self._taken_over = True
            self._changed.notify_all()

    def _spent(self) -> float:
        """Seconds of the processor that the threads that give way have had."""
        total = 0
        for thread in self._running:
            with suppress(OSError, ValueError, IndexError):    # one that has ended, or a kernel that does not count
                with open(f"/proc/self/task/{thread.native_id}/stat", encoding="ascii", errors="replace") as file:
                    fields = file.read().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])    # utime and stime of proc(5)
        return total / os.sysconf("SC_CLK_TCK")

    def ask(self, rows: np.ndarray) -> None:
        """Have `rows` (int64 [n]) made next, after those asked for before, without waiting for them."""
        with self._lock:
            self._asked.extend(row for row in rows.tolist() if self.state[row] == _WAITING)
            self._changed.notify_all()

    def wait_for_end(self) -> None:
        """Wait until all is made and finished. Raises the error that ended a thread, where one did."""
        self.ended.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def whole(self) -> bool:
        """Whether all is made and finished."""
        return self.ended.is_set() and self._failure is None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within it only what is waited for is made: for when something else is timed."""
        self._paused = True
        try:
            yield
        finally:
            with self._lock:
                self._paused = False
                self._changed.notify_all()

    def close(self) -> None:
        """End the threads, each after the picture it has in work; what is not made by then never is."""
        with self._lock:
            self._stop()
        for thread in (*self._running, *self._standing_by):
            if thread is not threading.current_thread():
                thread.join()

    def _work_giving_way(self) -> None:
        _give_way()
        self._work(gives_way=True)

    def _work(self, *, gives_way: bool = False) -> None:
        try:
            while (row := self._take(gives_way=gives_way)) is not None:
                reason = None
                try:
                    self.make(row)
                except BadPicture as error:
                    reason = str(error)
                if self._made(row, reason):
                    self._end()
        except BaseException as error:    # a bug, or no memory: whoever waits is told, on its own thread
            with self._lock:
                self._failure = self._failure or error
                self._stop()
            self.ended.set()

    def _stop(self) -> None:
        """Make nothing more; whoever waits is told. Called with the lock."""
        self._stopped = True
        self._changed.notify_all()
        for waiter in self._waiters:
            waiter.done.notify()

    def _take(self, *, gives_way: bool) -> int | None:
        """The next row to make; None where there is none for this thread."""
        with self._lock:
            while not self._stopped and self._left and not (gives_way and self._taken_over):
                if not (gives_way or self._taken_over):
                    self._changed.wait()
                    continue
                while self._asked:
                    if self.state[row := self._asked.popleft()] == _WAITING:
                        self.state[row] = _IN_WORK
                        return row
                if self._paused:
                    self._changed.wait()
                    continue
                if self._next == len(self.state):
                    break
                row, self._next = self._next, self._next + 1
                if self.state[row] == _WAITING:
                    self.state[row] = _IN_WORK
                    return row
            return None

    def _made(self, row: int, reason: str | None) -> bool:
        """Note a row; -> whether it was the last."""
        with self._lock:
            if reason is not None:
                self.reasons[row] = reason
            self.state[row] = _READY if reason is None else _BAD
            self._left -= 1
            for waiter in self._waiters:
                waiter.lacks.discard(row)
                if not waiter.lacks:
                    waiter.done.notify()
            if not self._left:
                self._changed.notify_all()    # those that stand by need not any longer
            return not self._left

    def _end(self) -> None:
        self.finish()
        self.ended.set()


class _Waiter:
    """A thread that waits for rows. It is woken when all of them are made: to wake it for each would take the time of
    the threads that make them."""

    def __init__(self, lacks: set[int], lock: Any):    # threading.RLock is no type
        self.lacks, self.done = lacks, threading.Condition(lock)


class Store:
    """The pictures of all splits of a run in one tensor, that is being filled. The threads end with the last reference,
    or with the process."""

    def __init__(self, images: Tensor, places: list[Place], fill: Fill, *, notes: list[str] | None = None,
                 close: Callable[[], object] | None = None):
        """images: uint8 or uint16 [n, channels, height, width], filled by `fill`.
        places: of rows that are not ready the file is known, and its size where its header was read.
        fill: makes the rows.
        notes: where those who fill it write what came up.
        close: called in the end, instead of fill.close.
        """
        self.images, self.places, self.fill = images, places, fill
        self.notes = notes if notes is not None else []
        weakref.finalize(self, close or fill.close)

    @property
    def whole(self) -> bool:
        """Whether every picture has been decoded, or found to be bad."""
        return self.fill.whole

    @property
    def undecoded(self) -> int:
        """How many pictures are yet to be decoded."""
        return int((self.fill.state < _READY).sum())

    def bad(self) -> list[Bad]:
        """The pictures found so far that cannot be used."""
        return [Bad(self.places[row].file, reason) for row, reason in sorted(self.fill.reasons.items())]

    def wait(self, progress: Callable[[int], object] = lambda done: None) -> None:
        """Wait until all is decoded; `progress` is called with the number of pictures now and then. Raises the error
        that ended a thread, where one did."""
        count = len(self.places)
        for first in range(0, count, _TOGETHER):
            self.fill.wait(np.arange(first, min(first + _TOGETHER, count)))
            progress(min(first + _TOGETHER, count))
        self.fill.wait_for_end()


class Filling:
    """A set whose pictures are some rows of a Store. What is asked for is waited for.

    A picture that turns out to be bad stays a row of the set, so that the order of the others does not depend on when
    it was found; every batch is given without it.
    """

    def __init__(self, store: Store, rows: Tensor, targets: dict[str, Value], classes: dict[str, tuple[str, ...]], *,
                 groups: np.ndarray | None = None):
        self.store, self.rows, self.targets, self.classes = store, rows, targets, classes
        self.groups = groups

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Sample:
        """Raises BadPicture, whose message is the reason alone, where the file could not be decoded."""
        row = int(self.rows[i])
        if not self.store.fill.wait(np.array([row]))[0]:
            raise BadPicture(self.reason(i))
        return Sample(self.store.images[row], {name: value[i] for name, value in self.targets.items()},
                      self.store.places[row])

    def ask(self, rows: Tensor) -> None:
        """Have the samples `rows` (int64 [n]) decoded next, without waiting for them."""
        self.store.fill.ask(self.rows[rows].numpy())

    def place(self, i: int) -> Place:
        """Where sample `i` comes from; how it is fitted is not known before it is decoded."""
        return self.store.places[int(self.rows[i])]

    def reason(self, i: int) -> str:
        """Why a sample was found to be bad."""
        return self.store.fill.reasons[int(self.rows[i])]

    def gather(self, rows: Tensor) -> Batch:
        """The samples `rows` (int64 [batch]) as a batch, without those that are bad: `indices` says which are left."""
        stored = self.rows[rows]
        ready = torch.from_numpy(self.store.fill.wait(stored.numpy()))
        if not ready.all():
            rows, stored = rows[ready], stored[ready]
        targets = {name: value.take(rows) for name, value in self.targets.items()}
        return Batch(take_pictures(self.store.images, stored), targets,
                     [self.store.places[row] for row in stored.tolist()], rows)

    def subset(self, rows: Sequence[int]) -> Self:
        chosen = torch.as_tensor(np.asarray(rows, dtype=np.int64))
        return type(self)(self.store, self.rows[chosen],
                          {name: value.take(chosen) for name, value in self.targets.items()}, self.classes,
                          groups=None if self.groups is None else self.groups[chosen.numpy()])


def _give_way() -> None:
    """Give this thread the lowest priority: two of PyTorch's threads that wait for each other are many times slower
    where a third one takes a core from them. Linux alone has a priority for each thread."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
