"""Items made by worker processes, in order; by this process where one of the workers dies."""

import multiprocessing
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as Indexed

_MISSED = 2.0    # seconds within which the system says that a process has died
Key = TypeVar("Key")
Item = TypeVar("Item")


def made_by_workers(source: Indexed[Item], keys: Sequence[Key], *, workers: int,
                    died: Callable[[str], object]) -> Iterator[Item]:
    """`source[key]` for each of the `keys`, in order.

    The processes start when this is called, on the thread that calls and not on the one that reads later: a process
    that is forked while another thread computes inherits its locks for ever. Where one of them dies `died` is called,
    once, with a line that says so, and this process makes the items that remain.
    """
    begun: list[BaseProcess] = []
    with warnings.catch_warnings(), _same_signals():
        # As many workers as were asked for: more than cores can pay where files are waited for.
        warnings.filterwarnings("ignore", "This DataLoader will create")
        # A generator of its own, or the workers' seeds, which nobody uses, would be drawn from that of the training.
        reading = iter(DataLoader(source, batch_size=None, sampler=keys, num_workers=workers, collate_fn=_unchanged,
                                  worker_init_fn=_ignore_ctrl_c, generator=torch.Generator(),
                                  multiprocessing_context=_listing(begun)))
    return _read(source, keys, reading, begun, died)


def _read(source: Indexed[Item], keys: Sequence[Key], reading: Iterator[Item] | None, begun: list[BaseProcess],
          died: Callable[[str], object]) -> Iterator[Item]:
    done = 0
    try:
        for item in reading or ():
            done += 1
            yield item
        return
    except Exception as error:
        # Where a worker dies while its item is fetched its socket fails first; the system notices the death later.
        cut_off = isinstance(error, ConnectionError | EOFError | FileNotFoundError)
        if cut_off:
            gone = wait([process.sentinel for process in begun], timeout=_MISSED)
            for process in begun:
                # A dying process closes its sentinel, as all its files, before the system has its exit code.
                if process.sentinel in gone:
                    process.join()
        dead = [process for process in begun if process.exitcode is not None]
        if (not isinstance(error, RuntimeError) and not cut_off) or not dead:
            for process in begun:    # as long as someone looks at the error, its traceback would keep them
                process.terminate()
            raise
    finally:
        reading = None    # which ends its workers
    ending = _how_it_ended(dead[0].exitcode or 0)
    died(f"loading worker {dead[0].pid} {ending}: this process loads by itself from here on, the same batches. Fewer "
         "workers take less memory: see loading.workers")
    for key in keys[done:]:
        yield source[key]


def _listing(processes: list[BaseProcess]) -> BaseContext:
    """The usual way to start processes, each of which is put into the list. multiprocessing.active_children() leaves
    out one that has died already, as a worker may before the last one is started."""
    context = copy(multiprocessing.get_context())
    make = context.Process

    def listed(*arguments: Any, **settings: Any) -> BaseProcess:
        processes.append(make(*arguments, **settings))
        return processes[-1]

    context.Process = listed    # type: ignore[assignment, misc]
    return context


def _how_it_ended(code: int) -> str:
    """An exit code in words, as `was killed by SIGKILL, as the system does where memory runs out`."""
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    reasons = {"SIGKILL": ", as the system does where memory runs out", "SIGBUS": ", as where /dev/shm is full"}
    return f"was killed by {name}{reasons.get(name, '')}"


@contextmanager
def _same_signals() -> Iterator[None]:
    """Keep PyTorch from handling SIGCHLD: its handler raises the death of a worker in the main thread, wherever that is
    at the moment, even in the middle of a step. Who reads the batches notices the death too, within seconds."""
    number = getattr(signal, "SIGCHLD", None)    # not on Windows
    before = signal.getsignal(number) if number is not None else None
    yield
    if number is not None and before is not None and signal.getsignal(number) is not before:
        signal.signal(number, before)


def _ignore_ctrl_c(worker: int) -> None:
    """Ctrl-C goes to every process of a terminal, and the process that reads decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _unchanged(item: Any) -> Any:
    return item
