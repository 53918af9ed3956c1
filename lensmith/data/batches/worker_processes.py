"""Items made by worker processes, in order; by this process where one of the workers dies."""

import multiprocessing
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as Indexed

_MISSED = 2.0    # seconds in which the system tells that a process has died
Asked = TypeVar("Asked")
Made = TypeVar("Made")


def made_by_workers(source: Indexed[Made], asked: Sequence[Asked], *, workers: int,
                    died: Callable[[str], object]) -> Iterator[Made]:
    """`source[one]` for each of `asked`, in order.

    The workers are begun here, by the thread that calls and not by the one that reads later: a process that is forked
    while another thread computes inherits its locks for ever. Where a worker dies `died` is told so in a line, once,
    and what is left is made in this process.
    """
    before = multiprocessing.active_children()
    with warnings.catch_warnings(), _same_signals():
        # As many workers as were asked for: more than cores can pay where files are waited for.
        warnings.filterwarnings("ignore", "This DataLoader will create")
        # A generator of its own, or the workers' seeds, which nobody uses, would be drawn from that of the training.
        reading = iter(DataLoader(source, batch_size=None, sampler=asked, num_workers=workers, collate_fn=_same,
                                  worker_init_fn=_left_in_peace, generator=torch.Generator()))
    begun = [process for process in multiprocessing.active_children() if process not in before]
    return _read(source, asked, reading, begun, died)


def _read(source: Indexed[Made], asked: Sequence[Asked], reading: Iterator[Made] | None, begun: list[BaseProcess],
          died: Callable[[str], object]) -> Iterator[Made]:
    done = 0
    try:
        for made in reading or ():
            done += 1
            yield made
        return
    except Exception as error:
        # A worker that dies while what it sent is being fetched is missed by its socket first, by the system later.
        cut_off = isinstance(error, ConnectionError | EOFError | FileNotFoundError)
        if cut_off:
            wait([process.sentinel for process in begun], timeout=_MISSED)
        dead = [process for process in begun if process.exitcode is not None]
        if (not isinstance(error, RuntimeError) and not cut_off) or not dead:
            for process in begun:    # as long as someone looks at the error, its traceback would keep them
                process.terminate()
            raise
    finally:
        reading = None    # which ends its workers
    died(f"loading worker {dead[0].pid} {_how(dead[0].exitcode or 0)}: this process loads by itself from here on, the "
         "same batches. Fewer workers take less memory: see loading.workers")
    for one in asked[done:]:
        yield source[one]


def _how(code: int) -> str:
    """What the exit code of a process tells."""
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    reasons = {"SIGKILL": ", as the system does where memory runs out", "SIGBUS": ", as where /dev/shm is full"}
    return f"was killed by {name}{reasons.get(name, '')}"


@contextmanager
def _same_signals() -> Iterator[None]:
    """PyTorch's handler of SIGCHLD would raise the death of a worker wherever the main thread is at that moment, in
    the middle of a step; the reader of the batches notices it as well, within seconds."""
    number = getattr(signal, "SIGCHLD", None)    # not on Windows
    before = signal.getsignal(number) if number is not None else None
    yield
    if number is not None and before is not None and signal.getsignal(number) is not before:
        signal.signal(number, before)


def _left_in_peace(worker: int) -> None:
    """Ctrl-C goes to every process of a terminal; the one that reads decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _same(item: Any) -> Any:
    return item
