import json
from pathlib import Path

import pytest

from lensmith.engine.plan import plan_cache as memory
from lensmith.engine.plan.candidates import Choice, Wanted
from lensmith.engine.plan.plan import Plan
from tests.engine.plan.test_time_candidates import LAYERS, batch_of, network_of


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LENSMITH_CACHE", str(tmp_path))
    return tmp_path / "plans"


def test_a_choice_is_remembered_by_all_that_it_depends_on(kept: Path, monkeypatch: pytest.MonkeyPatch):
    network, batch, wanted = network_of(LAYERS), batch_of(), Wanted("cpu")
    key = memory.cache_key(wanted, network, batch, means="sgd")
    assert key == memory.cache_key(wanted, network_of(LAYERS), batch_of(), means="sgd")
    others = {memory.cache_key(Wanted("cpu", "float32"), network, batch, means="sgd"),
              memory.cache_key(wanted, network_of(LAYERS[:1]), batch, means="sgd"),
              memory.cache_key(wanted, network, batch_of(23), means="sgd"),
              memory.cache_key(wanted, network, batch, means="adam")}
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    others.add(memory.cache_key(wanted, network, batch, means="sgd"))
    assert len(others | {key}) == 6
    assert memory.recall(key) is None
    memory.remember(key, Choice(Plan("cpu", "bfloat16", "channels_last", 1), "timed", other_load=0.1))
    found = memory.recall(key)
    assert found is not None and found.plan.precision == "bfloat16" and found.source == "the cache"


def test_a_damaged_choice_is_made_anew(kept: Path):
    memory.remember("a", Choice(Plan("cpu", "float32", "contiguous", 1), "timed"))
    for content in ("{", "[]", "3", '{"device": "cpu"}', json.dumps({"precision": "float8", "timings": []})):
        (kept / "a.json").write_text(content)
        assert memory.recall("a") is None


def test_a_choice_of_a_busy_moment_is_not_kept(kept: Path):
    memory.remember("a", Choice(Plan("cpu", "float32", "contiguous", 1), "timed", other_load=0.6))
    assert memory.recall("a") is None


def test_a_cache_that_cannot_be_written_does_not_end_the_run(kept: Path):
    kept.write_text("a file where the folder should be")
    memory.remember("a", Choice(Plan("cpu", "float32", "contiguous", 1), "timed"))
    assert memory.recall("a") is None


def test_old_choices_go(kept: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "_MANY", 2)
    for name in "abc":
        memory.remember(name, Choice(Plan("cpu", "float32", "contiguous", 1), "timed"))
    assert len(list(kept.glob("*.json"))) == 2 and memory.recall("c") is not None
