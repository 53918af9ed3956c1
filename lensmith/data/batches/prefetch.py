"""Prefetch: items made before they are asked for, on a thread of its own where that pays."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Generic, Self, TypeVar

import torch

from lensmith.base.threads_without_openmp import start_thread

T = TypeVar("T")
_LEAST = 0.001    # seconds: a thread pays for items that take longer; to hand one over costs a tenth of this
_FRACTION = 0.05  # of the reader's time: a thread pays where making the items takes more of it, for it can win no more
_LOOKED_AT = 3    # items in a row must take that long, so that one interruption starts no thread


class Prefetch(Generic[T]):
    """The items of an iterator, unchanged and in its order.

    As long as they are made quickly the reader's own thread makes them. Once making them takes a noticeable fraction of
    the reader's time another thread does, and has at most `depth` items ready. The items are the same either way. What
    the iterator raises is raised in the reader, with its own traceback, after the items before it.
    """

    def __init__(self, items: Iterator[T], depth: int = 2):
        """items: belong to this object from now on, which closes them in the end. As a thread may make them they must
            neither draw from PyTorch's generators nor depend on the reader's inference mode.
        depth: the items that may be ready at a time.
        """
        self.waited = 0.0    # seconds that the reader has waited for items so far
        self._items, self._depth = items, depth
        self._looked_at: deque[tuple[float, float]] = deque(maxlen=_LOOKED_AT)    # (asked for at, took)
        self._thread: threading.Thread | None = None
        self._made: deque[T] = deque()
        self._error: BaseException | None = None    # what ended the thread; StopIteration at the end
        self._closed = False
        self._change = threading.Condition()        # guards the three above

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        if self._closed:
            raise StopIteration
        began = time.perf_counter()
        try:
            if self._thread is None and self._worth_it():
                self._thread = start_thread(self._make, name="prefetch")
            return self._fetch() if self._thread is not None else next(self._items)
        except BaseException:
            self.close()
            raise
        finally:
            took = time.perf_counter() - began
            self.waited += took
            self._looked_at.append((began, took))

    def _worth_it(self) -> bool:
        if len(self._looked_at) < _LOOKED_AT:
            return False
        took = [seconds for _, seconds in self._looked_at]
        return min(took) >= _LEAST and sum(took) >= _FRACTION * (time.perf_counter() - self._looked_at[0][0])

    def _make(self) -> None:
        try:
            with torch.no_grad():
                while self._wait_for_room():
                    item = next(self._items)
                    with self._change:
                        self._made.append(item)
                        self._change.notify_all()
        except BaseException as error:    # for the reader, whatever it is
            with self._change:
                self._error = error
                self._change.notify_all()

    def _wait_for_room(self) -> bool:
        """Wait until another item is wanted; False where none ever will be."""
        with self._change:
            self._change.wait_for(lambda: self._closed or len(self._made) < self._depth)
            return not self._closed

    def _fetch(self) -> T:
        with self._change:
            self._change.wait_for(lambda: self._made or self._error is not None)
            if self._made:
                item = self._made.popleft()
                self._change.notify_all()
                return item
            assert self._error is not None
            raise self._error

    def close(self) -> None:
        """End the thread, once the item that it is making is made, and the iterator beneath it; may be called again."""
        with self._change:
            self._closed = True
            self._made.clear()
            self._change.notify_all()
        if self._thread is not None:
            self._thread.join()
        end = getattr(self._items, "close", None)    # a generator's; it ends the processes that it reads from
        if end is not None:
            end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: Any) -> None:
        self.close()
