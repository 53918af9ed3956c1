"""Memory as the system counts it: what is held while something runs, and nothing of what was held before."""

from pathlib import Path

import numpy as np
import pytest

from lensmith.ship.runtimes import memory
from lensmith.ship.runtimes.memory import memory_of

MEGABYTE = 1 << 20


def test_the_peak_of_a_work_is_what_it_holds():
    before = np.ones(64 * MEGABYTE, np.uint8)
    found = memory_of(lambda: np.ones(48 * MEGABYTE, np.uint8).sum())
    if found is None:
        pytest.skip("this system does not tell the peak")
    assert 47 * MEGABYTE < found < 60 * MEGABYTE and before[0] == 1
    small = memory_of(lambda: np.ones(1 * MEGABYTE, np.uint8).sum())    # the peak before does not count
    assert small is not None and small < 10 * MEGABYTE


def test_a_system_that_does_not_tell_gives_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(memory, "_PEAK", tmp_path / "absent" / "clear_refs")
    assert memory_of(lambda: None) is None
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "absent")
    assert memory_of(lambda: None) is None
