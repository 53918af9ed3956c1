"""Memory as the system counts it: what is held while something runs, and nothing of what was held before."""

import mmap
from pathlib import Path

import numpy as np
import pytest

from lensmith.ship.runtimes import memory
from lensmith.ship.runtimes.memory import memory_of

MEGABYTE = 1 << 20


def fresh(size: int) -> int:
    """The sum of so many bytes of memory that the process has not had before: an allocator may keep what is freed."""
    with mmap.mmap(-1, size) as memory:
        total = 0
        for start in range(0, size, 4096):
            memory[start] = 1
            total += 1
    return total


def test_the_peak_of_a_work_is_what_it_holds():
    before = np.ones(64 * MEGABYTE, np.uint8)
    found = memory_of(lambda: fresh(48 * MEGABYTE))
    if found is None:
        pytest.skip("this system does not tell the peak")
    assert 47 * MEGABYTE < found < 60 * MEGABYTE and before[0] == 1
    small = memory_of(lambda: fresh(1 * MEGABYTE))    # the peak before does not count
    assert small is not None and small < 10 * MEGABYTE


def test_a_system_that_does_not_tell_gives_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(memory, "_PEAK", tmp_path / "absent" / "clear_refs")
    assert memory_of(lambda: None) is None
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "absent")
    assert memory_of(lambda: None) is None
