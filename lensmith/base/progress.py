"""A line every few seconds on work that takes long."""

import time
from collections.abc import Callable

_PAUSE = 5.0    # seconds between two lines


class ProgressLine:
    """Tells `doing 1,200 of 60,000`, at most one line in five seconds."""

    def __init__(self, doing: str, total: int, tell: Callable[[str], object]):
        self.doing, self.total, self.tell = doing, total, tell
        self._last = time.monotonic()    # when the last line was told, or work began

    def __call__(self, done: int) -> None:
        """`done` of the total are done."""
        if time.monotonic() - self._last >= _PAUSE:
            self.tell(f"{self.doing} {done:,} of {self.total:,}")
            self._last = time.monotonic()
