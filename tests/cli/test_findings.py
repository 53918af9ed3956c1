"""What a data set loses is counted in one line by every verb that reads it, with the command that lists all."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PICTURES = 12


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """A COCO set: a third of the annotations name no picture, one has swapped corners, one picture is not listed."""
    folder = tmp_path / "half"
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for i in range(PICTURES + 1):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"p{i}.png")
        if i < PICTURES:
            images.append({"id": i + 1, "file_name": f"p{i}.png", "width": 48, "height": 40})
            annotations.append({"id": i, "image_id": i + 1, "category_id": 1 + i % 2, "bbox": [4, 5, 20, 15]})
    annotations[0]["bbox"] = [24, 5, -20, 15]
    annotations += [{"id": 100 + i, "image_id": 999, "category_id": 1, "bbox": [1, 1, 5, 5]} for i in range(6)]
    (folder / "annotations.json").write_text(json.dumps({
        "images": images, "annotations": annotations,
        "categories": [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}]}))
    return folder


LOST = "6 of 18 annotations of a picture that the file does not list, left out"
SWAPPED = "1 of 18 boxes with swapped corners, set right"
NOT_LISTED = "1 of 13 pictures in the folder that no file lists, left out"
TRAINING = ("--epochs", "1", "--size", "32", "--plan", "exact", "--batch", "4", "--backbone", "csp", "backbone.width=8",
            "--device", "cpu")


def test_every_verb_tells_what_is_lost(half: Path, tmp_path: Path, command) -> None:
    listing = f"lensmith data show {half} --all lists all"
    shown = command("data", "show", half)
    for text in (f"left out: {LOST}", f"left out: {NOT_LISTED}", f"note: {SWAPPED}", "  images/p0.png"):
        assert f"{text}\n" in shown.out
    assert "  images/p12.png\n" in command("data", "show", half, "--all").out
    converted = command("convert", half, tmp_path / "csv", "--to", "csv")
    (line,) = [line for line in converted.err.splitlines() if line.startswith("left out, changed or guessed: ")]
    assert all(text in line for text in (LOST, SWAPPED, NOT_LISTED)) and line.endswith(listing)

    ended = command("train", half, *TRAINING, "--runs", tmp_path, "--name", "run")
    assert ended.code == 0
    (line,) = [line for line in ended.err.splitlines() if line.startswith("left out, changed or guessed: ")]
    assert LOST in line and line.endswith(f"lensmith data show {tmp_path / 'run'} --all lists all")
    assert ended.err.splitlines()[-1].startswith(f"much of the data was left out: {LOST} (33%). lensmith data show")
    listed = command(*shlex.split(re.search(r"lensmith (data show .*) lists all", line)[1]))
    assert listed.code == 0 and f"left out: {LOST}\n" in listed.out
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"<li>{LOST}</li>" in page and f"<li>{SWAPPED}: images/p0.png</li>" in page
    assert "Nothing was left out" not in page and "Much of the data was left out" in page

    measured = command("val", tmp_path / "run", "--data", half)
    (line,) = [line for line in measured.err.splitlines() if line.startswith("left out, changed or guessed: ")]
    assert LOST in line and line.endswith(listing)


def test_predict_counts_what_it_passes_over_and_cannot_read(trained: Path, tmp_path: Path, command) -> None:
    for i in range(3):
        Image.fromarray(np.full((20, 20, 3), 40 * i, np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "1.png").write_bytes(b"broken")
    for name in ("a.heic", "notes.txt", "b.heic"):
        (tmp_path / name).write_text("x")
    ended = command("predict", trained, tmp_path)
    assert ended.code == 3 and ended.out.count("\n") == 2
    assert f"lensmith: passed over 3 files without a picture's suffix (.heic 2, .txt 1): {tmp_path}/a.heic" in ended.err
    assert ended.err.endswith("lensmith: 1 of 3 files could not be read\n")
    (tmp_path / "1.png").unlink()
    for path in (tmp_path / "a.heic", tmp_path / "notes.txt", tmp_path / "b.heic"):
        path.unlink()
    assert command("predict", trained, tmp_path).err == ""


def test_a_clean_set_has_nothing_to_tell(trained: Path, command) -> None:
    shown = command("data", "show", trained)
    assert shown.code == 0 and "left out" not in shown.out + shown.err and "told" not in shown.out
