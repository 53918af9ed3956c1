"""A run that is begun anew with the mend of what was found in it."""

import json
from pathlib import Path

import pytest

from lensmith.base.errors import UserError
from lensmith.engine.run_folder import Run
from lensmith.study.doctor.diagnosis import Diagnosis
from lensmith.training.mend import mending

LOW = Diagnosis("1", "the rate is too low", "--rate 0.01", 0.9, grave=True, settings={"optimizer.rate": 0.01},
                fault="rate too low")
BY_HAND = Diagnosis("1", "two softmaxes", "take one out", 0.97, grave=True, fault="softmax twice")
MILD = Diagnosis("1", "overfitting", "augment.mixup=0.2", 0.6, grave=False, settings={"augment.mixup": 0.2},
                 fault="overfitting")


def test_the_most_certain_that_settings_mend():
    run = Run(Path("runs/one"))
    assert mending(run, [LOW, MILD]) == LOW
    assert mending(run, [BY_HAND, LOW]) == LOW
    with pytest.raises(UserError, match="runs/one: softmax twice is not mended by a setting: take one out. Then train "
                                        "again: lensmith train runs/one"):
        mending(run, [BY_HAND, MILD])
    with pytest.raises(UserError, match="nothing was found in runs/one, so there is nothing to mend"):
        mending(run, [])


@pytest.mark.slow
def test_it_trains_again_and_says_whether_it_helped(command, tmp_path: Path):
    common = ("data.count=400", "data.size=20", "--backbone", "lenet3x3", "--epochs", 12, "--batch", 16, "--runs",
              tmp_path, "--plan", "exact", "-q", "split.valid=0.2")
    command("train", "shapes", *common, "--name", "slow", "--rate", 1e-7)
    ended = command("doctor", tmp_path / "slow", "--mend")
    assert ended.code == 0, ended.err
    assert "rate too low" in ended.err and "training again with optimizer.rate=" in ended.err
    assert ended.out.startswith("it helped: valid accuracy_top1 0.")
    assert str(tmp_path / "shapes-lenet3x3-1") in ended.out
    recipe = (tmp_path / "shapes-lenet3x3-1" / "recipe.toml").read_text()
    assert "rate = 1e-07" not in recipe
    found = json.loads(command("doctor", tmp_path / "shapes-lenet3x3-1", "--json").out)["faults"]
    assert not any(fault["grave"] for fault in found), found


def test_what_does_not_go_together_is_refused(command, tmp_path: Path):
    ended = command("doctor", "shapes", "--rates", "--mend")
    assert ended.code == 2 and "--rates is of a recipe and --mend of a run: leave one of the two out" in ended.err
    ended = command("doctor", tmp_path, "optimizer.rate=1")
    assert ended.code == 2
    assert "settings, --steps and --out go with --rates; got optimizer.rate=1 (--rate). To train with" in ended.err
    (tmp_path / "old.svg").write_text("mine")
    ended = command("doctor", "shapes", "--rates", "--out", tmp_path / "old.svg")
    assert ended.code == 2 and "old.svg is there already: name a new file" in ended.err
    assert "curve.png is no .svg" in command("doctor", "shapes", "--rates", "--out", tmp_path / "curve.png").err


def test_the_range_test_of_the_command(command, tmp_path: Path):
    ended = command("doctor", "shapes", "data.count=90", "data.size=16", "backbone.name=lenet3x3", "plan.mode=exact",
                    "--rates", "--steps", 30, "--out", tmp_path / "curve.svg", "-q")
    lines = ended.out.splitlines()
    assert ended.code == 0 and lines[0].split() == ["rate", "loss"], ended.err
    assert "Take --rate" in lines[-2] and lines[-1] == f"curve {tmp_path / 'curve.svg'}"
    assert (tmp_path / "curve.svg").read_text().startswith("<svg")
