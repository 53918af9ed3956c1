"""Threads that compute beside others: on each of them PyTorch starts no OpenMP threads."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it PyTorch computes on the calling thread alone. Its OpenMP threads would spin on the cores on which other
    threads decode, which made the first epoch a fifth longer on two cores."""
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def start_thread(work: Callable[[], object], *, name: str) -> threading.Thread:
    """A daemon thread that does `work`, on which PyTorch starts no OpenMP threads. It runs when this returns."""
    begun = threading.Event()

    def alone() -> None:
        # PyTorch gives a thread the default number at its first use, over what was set before: so it is asked first.
        torch.get_num_threads()
        torch.set_num_threads(1)
        begun.set()
        work()

    thread = threading.Thread(target=alone, name=name, daemon=True)
    thread.start()
    begun.wait()
    # Setting the number also sets the default that later threads take. This sets the default back.
    torch.set_num_threads(torch.get_num_threads())
    return thread
