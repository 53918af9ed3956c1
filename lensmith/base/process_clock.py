"""How long this process has been running."""

import os
import time
from pathlib import Path

_IMPORTED = time.monotonic()
_STARTED = 19    # the field of /proc/self/stat behind the process's name that holds its start, in ticks after boot


def process_age() -> float:
    """Seconds since this process was started; where the system does not tell, since this module was imported."""
    since_import = time.monotonic() - _IMPORTED
    try:
        # The name stands in brackets and may hold spaces and brackets.
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[_STARTED]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):    # not Linux
        return since_import
    return max(age, since_import)
