"""The verb `compare` as a user types it, with runs that were trained."""

import json
import shutil
import tomllib
from pathlib import Path

import pytest
import tomli_w


@pytest.fixture
def other(trained: Path, tmp_path: Path) -> Path:
    """The same run with another setting."""
    copy = Path(shutil.copytree(trained, tmp_path / "other"))
    recipe = tomllib.loads((copy / "recipe.toml").read_text())
    recipe["run"]["save_every"] = 61.0
    (copy / "recipe.toml").write_text(tomli_w.dumps(recipe))
    return copy


def test_runs_are_compared_by_what_they_kept(trained: Path, other: Path, tmp_path: Path, command):
    ended = command("compare", trained, other, "--out", tmp_path / "page.html")
    assert ended.code == 0, ended.err
    assert "Settings that differ" in ended.out and "run.save_every" in ended.out
    assert f"{trained} and {other} have the same accuracy_top1 on the same" in ended.out
    assert "million multiply-adds" in ended.out and "ms a picture" in ended.out
    plain = json.loads(command("compare", trained, other, "--json").out)
    kept = json.loads((trained / "metrics.json").read_text())["test"]["accuracy_top1"]
    assert plain["verdicts"][0]["standings"][0]["score"] == pytest.approx(kept)
    assert plain["verdicts"][0]["standings"][1]["p"] == 1
    assert "Which is better" in (tmp_path / "page.html").read_text()


def test_older_runs_are_measured_again_and_all_on_other_data(trained: Path, other: Path, command):
    whole = (other / "answers.safetensors").read_bytes()
    (other / "answers.safetensors").unlink()
    without = command("compare", trained, other)
    assert without.code == 0 and "--measure measures again" in without.out
    again = command("compare", trained, other, "--measure", "-q")
    assert again.code == 0 and "have the same accuracy_top1 on the same" in again.out
    assert len((other / "answers.safetensors").read_bytes()) == len(whole)
    on_other = json.loads(command("compare", trained, other, "--data", trained, "--json", "-q").out)
    assert on_other["verdicts"][0]["pictures"] and on_other["verdicts"][0]["standings"][1]["p"] == 1


def test_what_is_wrong_is_one_line(trained: Path, tmp_path: Path, command):
    for words, code, text in (
            (["compare", trained], 2, "a comparison takes two runs or more"),
            (["compare", tmp_path / "no-*"], 2, "no measured run matches"),
            (["compare", trained, tmp_path / "none"], 4, "there is no run folder")):
        ended = command(*words)
        assert text in ended.err and len(ended.err.strip().splitlines()) == 1 and ended.code == code
