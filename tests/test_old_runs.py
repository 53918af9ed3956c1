"""Run folders that an older commit left when it was killed go on, and end as they did there.

scripts/make_old_runs.py made them. To the bit where this machine and its packages are those of the fixture, else within
the tolerances below: another processor adds in another order.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from lensmith.base.device import environment

OLD_RUNS = Path(__file__).parent / "fixtures" / "old_runs"
CASES = ("classification", "detection", "multitask")
BITS_DEPEND_ON = ("python", "platform", "processor", "packages")    # of environment.json, as resuming has it
CLOCKS = {"time", "waited"}
ADDED = {"baselines"}    # what metrics.json has got of each split since then
WEIGHTS = 1e-3     # the mean difference of a tensor, in what is a training of at most 45 steps
LOSS = 0.02        # the relative difference of a loss of an epoch
ENTRY = 1e-12      # of numbers that no sum over pictures goes into, such as the rate


def state(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The tensors of a checkpoint, and what else it holds."""
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        assert metadata["format"] == "lensmith-checkpoint-1"
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(metadata["tree"])  # noqa: SIM118


def counters(tree: dict[str, Any]) -> dict[str, Any]:
    """Where the learner stands, and the columns and steps of the history."""
    rows = tree["history"]
    return {"keys": list(tree), "learner": list(tree["learner"]), "stepper": list(tree["learner"]["stepper"]),
            "done": tree["learner"]["stepper"]["done"],
            **{name: value for name, value in tree["learner"].items() if isinstance(value, int)},
            "columns": [list(row) for row in rows], "steps": [(row["epoch"], row["step"]) for row in rows]}


def without_clocks(tree: dict[str, Any]) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name not in CLOCKS} for row in tree["history"]]


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_an_older_commit_was_killed_in_ends_as_it_did_there(case: str, tmp_path: Path, command):
    run, old = tmp_path / case, OLD_RUNS / case
    shutil.copytree(old / "run", run)
    _, middle = state(run / "last.safetensors")
    assert middle["learner"]["epoch"] == 1 and middle["learner"]["position"] > 0
    began, now = (json.loads((run / "environment.json").read_text()), environment())
    same = all(began[name] == now[name] for name in BITS_DEPEND_ON)
    ended = command("train", "--resume", run)
    assert ended.code == 0, ended.err
    assert ("its last bits may differ" in ended.err) is not same
    tensors, tree = state(run / "last.safetensors")
    wanted, end = state(old / "end" / "last.safetensors")
    assert tensors.keys() == wanted.keys() and counters(tree) == counters(end)
    for name, tensor in tensors.items():
        assert (tensor.dtype, tensor.shape) == (wanted[name].dtype, wanted[name].shape), name
        if same:
            assert tensor.tobytes() == wanted[name].tobytes(), name
        elif tensor.size:
            gap = np.abs(tensor.astype(np.float64) - wanted[name].astype(np.float64)).mean()
            assert gap <= WEIGHTS * max(1.0, np.abs(wanted[name]).max()), name
    rows, old_rows = without_clocks(tree), without_clocks(end)
    if same:
        assert rows == old_rows
    for row, other in zip(rows, old_rows, strict=True):
        assert row["rate"] == pytest.approx(other["rate"], rel=ENTRY)
        assert row["train/loss"] == pytest.approx(other["train/loss"], rel=LOSS)
    check_metrics(run, old / "end", same=same)


def check_metrics(run: Path, end: Path, *, same: bool) -> None:
    """The splits, the metrics and the counts are those of the end; the values too where all bits are."""
    found, wanted = (json.loads((folder / "metrics.json").read_text()) for folder in (run, end))
    found = {part: {name: value for name, value in one.items() if name not in ADDED} for part, one in found.items()}
    assert {part: list(one) for part, one in found.items()} == {part: list(one) for part, one in wanted.items()}
    assert all(one["count"] == wanted[part]["count"] for part, one in found.items())
    if same:
        assert found == wanted


@pytest.mark.parametrize("case", CASES)
def test_an_old_run_holds_nothing_of_the_machine_that_it_was_made_on(case: str):
    for path in (OLD_RUNS / case).rglob("*"):
        if path.suffix in (".json", ".toml", ".csv"):
            assert not [word for word in ('"/', "'/", "/tmp", "/home", "/root") if word in path.read_text()], path
