"""A run that is looked at learns the same bits as one that is not, and keeps what was seen in its folder."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lensmith.api import resume, train
from lensmith.engine.learner import Report
from lensmith.engine.run_folder import Run
from lensmith.engine.vitals import Vitals
from lensmith.study.doctor import diagnose
from lensmith.study.doctor.facts import facts_of

LAYERS = [{"conv": 6, "kernel": 3, "stride": 2}, "batchnorm", "relu", {"dropout": 0.2}, {"dense": 12}, "sigmoid"]
SETTINGS = {"data.count": 120, "data.size": 16, "plan.mode": "exact", "plan.threads": 1, "learner.average": 0.9,
            "augment.flip": True, "augment.mixup": 0.2, "backbone.layers": LAYERS, "run.save_every": 0.0}


@pytest.fixture
def at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run this short has no time to be looked at by itself."""
    monkeypatch.setattr(Vitals, "_is_time", lambda self, report, now: True)


def trained(runs: Path, name: str, **settings: Any) -> Path:
    run = train("shapes", backbone="stack", epochs=2, batch=16, name=name, runs=runs, settings=SETTINGS | settings)
    return run.folder


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {f"{file}.{name}": tensor for file in ("last", "best")
            for name, tensor in load_file(folder / f"{file}.safetensors").items()}


def same(one: Path, other: Path) -> bool:
    wanted, got = tensors(one), tensors(other)
    return wanted.keys() == got.keys() and all(torch.equal(tensor, got[name]) for name, tensor in wanted.items())


def test_what_is_learned_is_the_same_to_the_bit(tmp_path: Path, at_every_step: None):
    on, off = trained(tmp_path, "on"), trained(tmp_path, "off", **{"run.vitals": False})
    assert same(on, off) and not (off / "vitals.json").exists()
    rows = Run(on).facts("vitals.json")["rows"]
    assert [row["step"] for row in rows] == list(range(1, rows[-1]["step"] + 1, 2)) and len(rows) >= 5
    assert all(ratio > 0 for row in rows[:-1] for ratio in row["updates"])
    assert isinstance(diagnose(facts_of(Run(on))), list) and isinstance(diagnose(facts_of(Run(off))), list)


class Killed(Exception):
    pass


def test_a_run_that_is_killed_goes_on_to_the_same_bits_with_what_was_seen(tmp_path: Path, at_every_step: None):
    whole = trained(tmp_path, "whole", **{"run.vitals": False})

    def die(report: Report) -> None:
        if report.step == 9:
            raise Killed

    with pytest.raises(Killed):
        train("shapes", backbone="stack", epochs=2, batch=16, name="killed", runs=tmp_path, settings=SETTINGS, show=die)
    seen = json.loads((tmp_path / "killed" / "vitals.json").read_text())["rows"]
    resume(tmp_path / "killed")
    rows = json.loads((tmp_path / "killed" / "vitals.json").read_text())["rows"]
    assert same(whole, tmp_path / "killed") and rows[: len(seen) - 1] == seen[:-1] and len(rows) > len(seen)
    assert [row["step"] for row in rows] == sorted({row["step"] for row in rows})


def test_a_damaged_file_does_not_keep_a_run_from_going_on(tmp_path: Path, at_every_step: None):
    folder = trained(tmp_path, "one")
    (folder / "vitals.json").write_text('{"rows": [{"step": -1}]}')
    assert resume(folder).folder == folder
