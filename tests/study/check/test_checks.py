"""The table of the checks: a healthy set has no finding, an outside check is one line, damage is told by its kind."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from lensmith.study import check
from lensmith.study.check.finding import Finding, by_gravity, failing
from lensmith.study.check.known_set import KnownSet
from tests.study.check.conftest import drawn, names


def test_a_healthy_set_has_no_finding(class_set: Path, found):
    assert found(class_set) == {}


def test_an_outside_check_is_one_line(class_set: Path, command, monkeypatch, tmp_path: Path):
    def wide(known: KnownSet) -> Iterator[Finding]:
        yield Finding("wide", "wide", "note", f"{len(known.pictures)} pictures are wider than high", count=1)

    monkeypatch.setitem(check.CHECKS, "wide", check.DataCheck(wide, ("wide",)))
    done = command("check", class_set, "--budget", "0", "--out", tmp_path / "page")
    assert done.code == 0 and "36 pictures are wider than high" in done.out


def test_files_that_cannot_be_read_are_told_by_kind(class_set: Path, found):
    folder = class_set / "train" / "cat"
    (folder / "empty.png").write_bytes(b"")
    whole = folder / "00.png"
    (folder / "cut.png").write_bytes(whole.read_bytes()[:900])
    drawn(900).save(folder / "half.jpg")
    (folder / "half.jpg").write_bytes((folder / "half.jpg").read_bytes()[:500])
    (folder / "text.jpg").write_text("no picture")
    kinds = found(class_set)
    assert names(kinds["empty"][0]) == ["empty.png"]
    assert sorted(names(kinds["truncated"][0])) == ["cut.png", "half.jpg"]
    assert names(kinds["unreadable"][0]) == ["text.jpg"]
    assert kinds["empty"][0].groups[0].captions == ("is empty (0 bytes)",)
    assert [picture.path for picture in kinds["empty"][0].leave_out] == ["train/cat/empty.png"]


def test_light_and_blur_are_measured_beside_the_others(class_set: Path, found):
    folder = class_set / "train" / "dog"
    Image.new("RGB", (48, 40), (90, 120, 60)).save(folder / "blank.png")
    Image.fromarray(np.asarray(drawn(901)) // 9).save(folder / "dark.png")
    Image.fromarray(255 - np.asarray(drawn(902)) // 9).save(folder / "white.png")
    drawn(903).filter(ImageFilter.GaussianBlur(6)).save(folder / "soft.png")
    kinds = found(class_set)
    told = {kind: names(kinds[kind][0]) for kind in ("blank", "dark", "washed-out", "blurred")}
    assert told == {"blank": ["blank.png"], "dark": ["dark.png"], "washed-out": ["white.png"], "blurred": ["soft.png"]}


def test_sizes_and_shapes_beside_the_others(class_set: Path, found):
    folder = class_set / "train" / "dog"
    drawn(904, 9, 9).save(folder / "tiny.png")
    drawn(905, 400, 42).save(folder / "long.png")
    drawn(906, 2400, 2000).save(folder / "huge.png")
    kinds = found(class_set)
    assert {kind: names(kinds[kind][0]) for kind in ("tiny", "odd-shape", "huge")} == {
        "tiny": ["tiny.png"], "odd-shape": ["long.png"], "huge": ["huge.png"]}
    assert kinds["huge"][0].groups[0].captions == ("2400 x 2000",)


def test_colour_modes_and_bits(class_set: Path, found):
    folder = class_set / "train" / "dog"
    drawn(907).convert("L").convert("RGB").save(folder / "gray.png")
    drawn(908).convert("CMYK").save(folder / "inks.jpg")
    Image.fromarray(np.asarray(drawn(909).convert("L")).astype(np.uint16) * 200).save(folder / "deep.png")
    kinds = found(class_set)
    assert sorted(names(kinds["gray-mixed"][0])) == ["deep.png", "gray.png"]
    assert names(kinds["colour-mode"][0]) == ["inks.jpg"] and "CMYK" in kinds["colour-mode"][0].sentence
    assert names(kinds["depth-mixed"][0]) == ["deep.png"]


def test_classes_missing_few_uneven_and_alike(tmp_path: Path, found):
    seed = 2000
    for split, numbers in (("train", {"cat": 40, "Cat ": 3, "dog": 12}), ("test", {"cat": 2, "dog": 2})):
        for name, number in numbers.items():
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(number):
                seed += 1
                drawn(seed, 16, 16).save(tmp_path / split / name / f"{i}.png")
    kinds = found(tmp_path)
    missing = kinds["missing-class"][0]
    assert missing.severity == "warning" and "'Cat '" not in missing.sentence and "Cat  in test" not in missing.sentence
    assert "1 class without any picture in test (Cat )" in missing.sentence
    assert "1 class with fewer than 5 pictures in train (Cat )" in kinds["few"][0].sentence
    # Of 40 and 3 pictures 4 and 1 are taken off for the valid split.
    assert "'cat' has 18 times as many pictures in train as 'Cat ' (36 and 2)" in kinds["imbalance"][0].sentence
    assert "'Cat ' and 'cat'" in kinds["names-alike"][0].sentence


def test_severities_and_words_to_fail_on():
    findings = [Finding("a", "leak", severity, "x") for severity in ("note", "error", "warning")]
    assert [finding.severity for finding in by_gravity(findings)] == ["error", "warning", "note"]
    assert len(failing(findings, "warning")) == 2 and len(failing(findings, "leak")) == 3
    assert not failing(findings, None) and not failing(findings, "blank")
