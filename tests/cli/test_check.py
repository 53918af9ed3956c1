"""The verb `check`: what a user reads, the exit code, the page, and the list that training takes."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.study.check.conftest import drawn, write_class_set

CHECK = ("check", "--budget", "0")    # without a probe, which is trained for suspicious labels


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    """Two classes in train and test; one test picture is a mirrored training picture, one training file is empty."""
    write_class_set(tmp_path / "set", {"train": 10, "test": 5}, 24, 24, digits=1)
    Image.open(tmp_path / "set/train/dog/3.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(
        tmp_path / "set/test/dog/copy.png")
    (tmp_path / "set/train/cat/none.png").write_bytes(b"")
    return tmp_path / "set"


def test_the_table_says_what_was_found_and_where_all_of_it_is(leaking: Path, command, tmp_path: Path):
    before = {path: path.read_bytes() for path in leaking.rglob("*.png")}
    done = command(*CHECK, leaking, "split.valid=0", "--out", tmp_path / "page")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "32 pictures looked at: 1 error, 1 warning"
    assert re.fullmatch(r"error +leak +1 picture with nearly the contents of another .*\(train and test\): what is "
                        "measured on them was learned", lines[1])
    assert lines[2] == "warning  empty  1 picture of 0 bytes: training leaves each out"
    assert f"every picture of each: lensmith check {leaking} split.valid=0 --all" in lines
    assert lines[-1] == f"the page with the pictures: {tmp_path / 'page' / 'check.html'}"
    assert {path: path.read_bytes() for path in leaking.rglob("*.png")} == before
    whole = command(*CHECK, leaking, "split.valid=0", "--out", tmp_path / "page", "--all").out
    assert "  train train/dog/3.png (dog) = test test/dog/copy.png (dog) 1.000" in whole
    assert "train/cat/none.png (is empty (0 bytes))" in whole


def test_the_page_shows_the_pictures(leaking: Path, command, tmp_path: Path):
    command(*CHECK, leaking, "--out", tmp_path / "page")
    page = (tmp_path / "page" / "check.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == 2 and "train/dog/3.png" in page and "http" not in page.replace(
        "http-equiv", "")
    (tmp_path / "page" / "check.html").write_text("mine")
    refused = command(*CHECK, leaking, "--out", tmp_path / "page")
    assert refused.code == 2 and "was changed after lensmith wrote it" in refused.err and "--out" in refused.err


def test_the_page_goes_to_a_place_that_is_said(leaking: Path, command, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "the page with the pictures: checks/set/check.html" in command(*CHECK, "set").out
    assert (tmp_path / "checks" / "set" / "check.html").is_file()


def test_json_has_all_and_writes_no_page(leaking: Path, command, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = json.loads(command(*CHECK, leaking, "--json").out)
    assert told["pictures"] == 32 and told["page"] is None and not (tmp_path / "checks").exists()
    assert told["splits"] == {"train": 18, "valid": 2, "test": 11}
    leak = told["findings"][0]
    assert (leak["kind"], leak["severity"], leak["count"], leak["leave_out"]) == ("leak", "error", 1,
                                                                               ["train/dog/3.png"])
    assert [picture["path"] for picture in leak["groups"][0]["pictures"]] == ["train/dog/3.png", "test/dog/copy.png"]


@pytest.mark.parametrize(("word", "code"), [("leak", 3), ("duplicates", 3), ("error", 3), ("warning", 3), ("note", 3),
                                            ("empty", 3), ("blank", 0), ("contradiction", 0)])
def test_the_exit_code_is_by_severity_check_or_kind(leaking: Path, command, word: str, code: int):
    done = command(*CHECK, leaking, "--json", "--fail-on", word)
    assert done.code == code and (f"--fail-on {word}: " in done.err) == (code == 3)


def test_an_unknown_word_to_fail_on_is_one_line(leaking: Path, command):
    done = command(*CHECK, leaking, "--json", "--fail-on", "leek")
    assert done.code == 2 and "unknown finding for --fail-on 'leek'. Did you mean 'leak'?" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_list_is_written_that_training_takes(leaking: Path, command, tmp_path: Path):
    file, runs = tmp_path / "list.csv", tmp_path / "runs"
    done = command(*CHECK, leaking, "--json", "--write-list", file)
    assert f"lensmith train {leaking} data.leave_out={file}" in done.err
    assert file.read_text().splitlines() == ["picture,reason", "train/dog/3.png,error: leak",
                                             "train/cat/none.png,warning: empty"]
    again = command(*CHECK, leaking, "--json", "--write-list", file)
    assert again.code == 2 and "is not written over" in again.err
    arguments = ("--backbone", "lenet", "--epochs", "1", "--runs", runs, "--device", "cpu", "--name")
    command("train", leaking, *arguments, "all")
    command("train", leaking, *arguments, "listed", f"data.leave_out={file}")
    whole, listed = (json.loads((runs / name / "data.json").read_text()) for name in ("all", "listed"))
    assert whole["fingerprint"] != listed["fingerprint"]
    names = [name for split in listed["files"].values() for name in split]
    assert "train/dog/3.png" not in names and "test/dog/copy.png" in names
    assert (runs / "listed" / "leave_out.csv").read_bytes() == file.read_bytes()
    assert 'leave_out = "leave_out.csv"' in (runs / "listed" / "recipe.toml").read_text()
    file.unlink()    # the run folder has its own copy
    assert command("val", runs / "listed").code == 0
    assert command(*CHECK, leaking, f"data.leave_out={runs / 'listed' / 'leave_out.csv'}", "--json", "--fail-on",
                   "warning").code == 0


def test_a_list_of_other_pictures_is_one_line(leaking: Path, command, tmp_path: Path):
    (tmp_path / "list.csv").write_text("picture,reason\ntrain/cow/1.png,leak\n")
    for verb in ((*CHECK, leaking, "--json"), ("train", leaking, "--runs", tmp_path / "runs")):
        done = command(*verb, f"data.leave_out={tmp_path / 'list.csv'}")
        assert done.code == 3 and "names 1 picture that the set does not hold (train/cow/1.png)" in done.err
        assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_a_set_of_one_class_is_one_line(tmp_path: Path, command):
    (tmp_path / "set" / "cat").mkdir(parents=True)
    for i in range(4):
        drawn(i, 24, 24).save(tmp_path / "set" / "cat" / f"{i}.png")
    done = command(*CHECK, tmp_path / "set", "--json")
    assert done.code == 3 and "has one class only, 'cat'" in done.err and len(done.err.splitlines()) == 1


def test_a_set_in_memory_is_checked(command):
    told = json.loads(command(*CHECK, "shapes", "data.count=60", "data.size=20", "--json", "-q").out)
    assert told["pictures"] == 60 and not any(finding["severity"] == "error" for finding in told["findings"])


def test_a_picture_in_memory_that_is_there_twice(command, tmp_path: Path):
    """Pictures of CIFAR's files have no file of their own: the same one in train and test is a leak all the same."""
    draw = np.random.default_rng(0)
    records = np.concatenate((np.arange(60)[:, None] % 10, draw.integers(0, 256, (60, 3072))), 1).astype(np.uint8)
    records[55] = records[5]
    for number, name in enumerate([*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]):
        (tmp_path / name).write_bytes(records[10 * number : 10 * number + 10].tobytes())
    (tmp_path / "batches.meta.txt").write_text("\n".join(f"class{i}" for i in range(10)))
    done = command(*CHECK, "cifar10", f"data.path={tmp_path}", "--json", "-q", "split.valid=0")
    leak = next(finding for finding in json.loads(done.out)["findings"] if finding["kind"] == "leak")
    assert [picture["path"] for picture in leak["groups"][0]["pictures"]] == ["cifar10-train#5", "cifar10-test#5"]
    assert leak["severity"] == "error" and leak["leave_out"] == ["cifar10-train#5"]
