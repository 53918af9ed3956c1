"""Whatever stands in a file, reading it gives a value or a UserError; thousands of damaged files, in the slow tier."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lensmith.base.errors import UserError
from lensmith.data.formats.idx import read_idx
from lensmith.data.formats.tables.table import open_table
from lensmith.engine.checkpoint import read_state, write_state
from lensmith.models.weights import read_weights
from lensmith.recipe import schema as recipes
from lensmith.recipe.sections import resolve

pytestmark = pytest.mark.slow
LONG = settings(max_examples=1_500, deadline=None, suppress_health_check=list(HealthCheck))
IDX = bytes([0, 0, 8, 3]) + np.array([2, 3, 4], ">u4").tobytes() + bytes(24)
CSV = b"path,label,split\na.png,cat,train\nb.png,dog,test\n\"c,d.png\",cat,valid\n"
TOML = (b'[data]\nname = "shapes"\ncount = 40\n[backbone]\nname = "stack"\nlayers = [{conv = 8, kernel = 3}, "relu"]\n'
        b'[learner]\nepochs = 3\ngroups = [{match = "*", rate = 0.5}]\n[augment]\nresized_crop = [0.5, 1.0]\n')


def mutated(whole: bytes) -> st.SearchStrategy[bytes]:
    """The file with a few bytes changed, put in, or cut off."""
    def change(edits: list[tuple[int, int, int]]) -> bytes:
        data = bytearray(whole)
        for kind, place, value in edits:
            at = place % (len(data) + 1)
            if kind == 0 and at < len(data):
                data[at] = value
            elif kind == 1:
                data.insert(at, value)
            elif kind == 2:
                del data[at : at + value % 9]
            elif kind == 3:
                del data[at:]
        return bytes(data)

    return st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10_000), st.integers(0, 255)), min_size=1,
                    max_size=5).map(change)


@LONG
@given(mutated(IDX))
def test_idx(tmp_path: Path, content: bytes):
    (tmp_path / "one").write_bytes(content)
    try:
        read_idx(tmp_path / "one")
    except UserError as error:
        assert str(error)


@LONG
@given(mutated(CSV))
def test_tables(tmp_path: Path, content: bytes):
    (tmp_path / "one.csv").write_bytes(content)
    try:
        open_table(str(tmp_path / "one.csv"))
    except UserError as error:
        assert "one.csv" in str(error)


@LONG
@given(mutated(TOML))
def test_recipes(tmp_path: Path, content: bytes):
    (tmp_path / "one.toml").write_bytes(content)
    try:
        resolve(recipes.read_recipe(tmp_path / "one.toml"), trusted=False)
    except UserError as error:
        assert str(error)


@LONG
@given(st.data())
def test_checkpoints_and_weights(tmp_path: Path, data: st.DataObject):
    import torch

    path = tmp_path / "one.safetensors"
    if not path.exists():
        write_state(path, {"weights": {"a": torch.arange(4.0), "b": torch.ones(2, 2)}, "epoch": 1})
        (tmp_path / "whole").write_bytes(path.read_bytes())
    path.write_bytes(data.draw(mutated((tmp_path / "whole").read_bytes())))
    for read in (read_state, read_weights):
        try:
            read(path)
        except UserError as error:
            assert str(path) in str(error)
