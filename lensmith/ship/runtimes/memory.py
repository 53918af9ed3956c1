"""How much memory something takes, as the system counts it."""

import gc
import re
from collections.abc import Callable
from pathlib import Path

from lensmith.base.device import give_back_freed_memory

_STATUS, _PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_BEGIN_ANEW = "5"    # written into clear_refs: the peak becomes what is held now (proc(5))


class MemoryPeak:
    """The most that this process holds beyond what it holds now. Only Linux tells, and not in every container."""

    def __init__(self) -> None:
        gc.collect()
        give_back_freed_memory()
        self.before = _kilobytes("VmRSS")
        try:
            _PEAK.write_text(_BEGIN_ANEW)
        except OSError:
            self.before = None

    def so_far(self) -> int | None:
        """Bytes; None where the system does not tell."""
        peak = _kilobytes("VmHWM")
        return None if peak is None or self.before is None else 1024 * max(0, peak - self.before)


def memory_of(work: Callable[[], object]) -> int | None:
    """The most bytes that `work` holds while it runs; None where the system does not tell."""
    peak = MemoryPeak()
    work()
    return peak.so_far()


def _kilobytes(name: str) -> int | None:
    try:
        found = re.search(rf"{name}:\s+(\d+) kB", _STATUS.read_text())
    except OSError:
        return None
    return int(found[1]) if found else None
