"""Checkpoints: what goes in comes out, whole or not at all, and nothing in one can run."""

import errno
import os
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lensmith.base.errors import ModelError, Stopped
from lensmith.engine import checkpoint
from lensmith.engine.checkpoint import read_state, write_state

STATE = {"weights": {"a.b": torch.randn(3, 4, 2, 2).to(memory_format=torch.channels_last), "step": torch.tensor(7.0)},
         "epoch": 3, "rate": 0.1 + 0.2, "rows": [{"loss": 1e-9}, {"loss": float("-inf")}], "name": "ä", "none": None,
         "deep": torch.arange(4, dtype=torch.bfloat16)}


def test_a_state_comes_back_the_same(tmp_path: Path):
    write_state(tmp_path / "one.safetensors", STATE)
    found = read_state(tmp_path / "one.safetensors")
    assert torch.equal(found["weights"]["a.b"], STATE["weights"]["a.b"])
    assert found["weights"]["step"].shape == () and found["deep"].dtype == torch.bfloat16
    assert {key: found[key] for key in ("epoch", "rate", "rows", "name", "none")} == \
        {key: STATE[key] for key in ("epoch", "rate", "rows", "name", "none")}
    assert os.listdir(tmp_path) == ["one.safetensors"]


@settings(max_examples=40, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers(-2**60, 2**60) | st.floats(allow_nan=False) | st.text(),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
                    max_leaves=12))
def test_any_tree_of_plain_values_comes_back(tmp_path_factory: pytest.TempPathFactory, tree):
    path = tmp_path_factory.mktemp("tree") / "one.safetensors"
    write_state(path, {"tree": tree})
    assert read_state(path)["tree"] == tree


def test_shared_memory_is_kept_apart(tmp_path: Path):
    whole = torch.arange(6.0)
    write_state(tmp_path / "one.safetensors", {"a": whole[:3], "b": whole[:3], "c": whole})
    assert read_state(tmp_path / "one.safetensors")["b"].tolist() == [0, 1, 2]


def test_a_write_that_fails_leaves_the_last_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "one.safetensors"
    write_state(path, {"epoch": 1})

    def full(tensors, aside, metadata):
        aside.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(Stopped, match=r"the disk is full: .*one.safetensors could not be written.*last whole file was"):
        write_state(path, {"epoch": 2})
    assert read_state(path) == {"epoch": 1} and os.listdir(tmp_path) == ["one.safetensors"]


class Hostile:
    def __reduce__(self):
        return os.system, ("touch ran",)


def damaged(whole: bytes) -> dict[str, bytes]:
    return {"truncated": whole[:-20], "header": b"\xff" * 8 + whole[8:], "empty": b"", "text": b"hello",
            "flipped": whole[:12] + b"#" + whole[13:]}


def test_damaged_files_are_refused_in_words(tmp_path: Path):
    path = tmp_path / "one.safetensors"
    write_state(path, STATE)
    for kind, content in damaged(path.read_bytes()).items():
        path.write_bytes(content)
        with pytest.raises(ModelError) as raised:
            read_state(path)
        assert str(path) in str(raised.value) and "damaged" in str(raised.value), kind


def test_a_pickle_is_refused_and_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "last.safetensors"
    path.write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(ModelError, match="is a pickle, which can run code and is refused"):
        read_state(path)
    torch.save({"a": torch.ones(2)}, path)
    with pytest.raises(ModelError, match="is a pickle, which can run code and is refused"):
        read_state(path)
    assert not (tmp_path / "ran").exists()


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path):
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "one.safetensors")
    with pytest.raises(ModelError, match="is not a checkpoint of this version: its format is 'none'"):
        read_state(tmp_path / "one.safetensors")


def test_a_checkpoint_that_is_not_there(tmp_path: Path):
    with pytest.raises(ModelError, match="there is no checkpoint at .*: training saves one after each epoch"):
        read_state(tmp_path / "one.safetensors")
