"""What a run never learned from, as `lensmith check DATA --run RUN` asks it: of its own data, of others, of none."""

import json
from pathlib import Path

import pytest

import lensmith
from lensmith.base.errors import DataError, UserError
from lensmith.training.trained import Trained


@pytest.fixture(name="run")
def _run(photos: Path, tmp_path: Path) -> Trained:
    return lensmith.train(str(photos), epochs=3, size=20, runs=tmp_path / "runs", seed=1)


def section(path: object) -> dict[str, str]:
    return {"name": "folder", "path": str(path)}


def test_of_its_own_data_a_run_is_asked_about_what_was_held_out(run: Trained, photos: Path):
    held_out = run.held_out(photos, section(photos))
    files = run.run.read_json("data.json")["files"]
    assert set(held_out.loaders) == {"valid", "test"} and held_out.targets == ("label",)
    assert held_out.paths == files["valid"] + files["test"] and not set(held_out.paths) & set(files["train"])
    assert held_out.logits("label").shape == (len(held_out.paths), 3)
    names = [path.partition("/")[0] for path in held_out.paths]
    assert [held_out.classes["label"][index] for index in held_out.labels("label").index] == names


def test_of_other_data_it_is_asked_about_all(run: Trained, photos: Path, tmp_path: Path):
    other = tmp_path / "other"
    photos.rename(other)
    assert len(run.held_out(other, section(other)).paths) == 60


def test_a_run_that_learned_from_everything_cannot_judge(photos: Path, tmp_path: Path):
    run = lensmith.train(str(photos), epochs=1, size=20, runs=tmp_path / "runs",
                         settings={"split.valid": 0.0, "split.test": 0.0})
    with pytest.raises(UserError) as error:
        run.held_out(photos, section(photos))
    assert str(error.value) == (f"{run.run} learned from all of its pictures, so that it cannot tell which of them are "
                                "annotated wrongly: train again with split.valid=0.2, or leave the run out")


def test_data_that_have_changed_are_refused(run: Trained, photos: Path):
    next(photos.rglob("*.png")).unlink()
    with pytest.raises(DataError, match="the data of .* have changed since it was trained"):
        run.held_out(photos, section(photos))


def test_check_asks_the_run(run: Trained, photos: Path, command):
    ended = command("check", photos, "--run", run.folder, "--json")
    assert ended.code == 0, ended.err
    findings = {finding["kind"]: finding for finding in json.loads(ended.out)["findings"]
                if finding["check"] == "suspicious-labels"}
    told = " ".join(finding["sentence"] for finding in findings.values())
    assert "linear probe" not in told and "small network" not in told
