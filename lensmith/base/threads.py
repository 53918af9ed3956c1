"""Threads that compute beside others: on each of them PyTorch works without a team of its own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it PyTorch computes on the calling thread alone: its team would spin for the cores on which others decode,
    which made the first epoch a fifth longer on two."""
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
    """A daemon thread that does `work`, on which PyTorch computes alone; it runs when this returns."""
    begun = threading.Event()

    def alone() -> None:
        # Asked for first, since PyTorch gives a thread the default at its first use, over what was set before.
        torch.get_num_threads()
        torch.set_num_threads(1)
        begun.set()
        work()

    thread = threading.Thread(target=alone, name=name, daemon=True)
    thread.start()
    begun.wait()
    # The number of threads is each thread's own, but for a default that later ones take: put that one back.
    torch.set_num_threads(torch.get_num_threads())
    return thread
