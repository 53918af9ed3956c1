"""Files that a set names as they lay on another machine: with backslashes, from another folder, or by a whole path."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path


class Finder:
    """Finds named files or folders below some folders. What the last one needed is tried first for the next."""

    def __init__(self, bases: Sequence[Path], *, keep: int = 1,
                 exists: Callable[[Path], bool] = os.path.isfile) -> None:
        """`keep`: how many steps of a name have to be there; the others may be those of another machine."""
        self.bases, self.keep, self.exists = list(dict.fromkeys(bases)), keep, exists
        self._last: tuple[Path, int] | None = None

    def find(self, name: str) -> Path | None:
        """The first that is there: as it is named, with slashes for backslashes, then without its first steps."""
        named = next((base / name for base in self.bases if self.exists(base / name)), None)
        if named is not None:
            return Path(os.path.normpath(named))
        steps = [step for step in name.replace("\\", "/").split("/") if step not in ("", ".")]
        deepest = max(0, len(steps) - self.keep)
        tries = [(base, dropped) for dropped in range(deepest + 1) for base in self.bases]
        for base, dropped in [*([self._last] if self._last is not None else []), *tries]:
            if dropped > deepest:
                continue
            path = base.joinpath(*steps[dropped:])
            if self.exists(path):
                self._last = (base, dropped)
                return Path(os.path.normpath(path))
        return None
