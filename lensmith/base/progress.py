"""A line every few seconds on work that takes long, and times in words."""

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


def duration(seconds: float) -> str:
    """`45 s`, `2 min 10 s`, `25 min`, `3 h 20 min`: as exactly as one wants to know it."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 595:
        minutes, rest = divmod(round(whole / 5) * 5, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(whole / 60), 60)
    return (f"{hours} h" + (f" {minutes} min" if minutes else "")) if hours else f"{minutes} min"
