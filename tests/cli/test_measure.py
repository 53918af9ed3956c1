"""The verbs `val` and `compare` as a user types them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def test_val_gives_what_the_run_measured(trained: Path, command):
    for verb in ("val", "validate", "test"):
        ended = command(verb, trained, "--json", "-q")
        found = json.loads(ended.out)
        wanted = json.loads((trained / "metrics.json").read_text())["test"]
        assert ended.code == 0 and found["split"] == "test"
        assert found["accuracy_top1"] == wanted["accuracy_top1"] and found["loss"] == pytest.approx(wanted["loss"])
    shown = command("val", trained, "--split", "train")
    assert shown.code == 0 and shown.out.startswith("train accuracy_top1") and "precision" in shown.out


def test_pictures_of_one_class_are_measured_and_not_learned(trained: Path, tmp_path: Path, command):
    (tmp_path / "one" / "disc").mkdir(parents=True)
    for i in range(4):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(
            tmp_path / "one" / "disc" / f"{i}.png")
    measured = command("val", trained, "--data", tmp_path / "one")
    assert measured.code == 0 and measured.out.startswith("train accuracy_top1 ") and "on 4 pictures" in measured.out
    refused = command("train", tmp_path / "one", "--runs", tmp_path)
    assert refused.code == 3 and "one has one class only, 'disc': to tell classes apart takes at least" in refused.err


@pytest.mark.parametrize(("name", "header", "line"), [
    ("named.csv", "path,label", "{}.png,disc"),
    ("other_name.csv", "path,form,place", "{}.png,disc,garden"),    # the same in every line, as the place is
    ("test_alone.csv", "path,label,split", "{}.png,disc,test"),
])
def test_a_table_of_one_class_is_measured_by_the_classes_of_the_run(trained: Path, tmp_path: Path, command, name: str,
                                                                     header: str, line: str):
    for i in range(4):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(
            tmp_path / f"{i}.png")
    (tmp_path / name).write_text("\n".join([header, *(line.format(i) for i in range(4))]))
    measured = command("val", trained, "--data", tmp_path / name)
    assert measured.code == 0 and measured.out.startswith("train accuracy_top1 ") and "on 4 pictures" in measured.out
    assert command("train", tmp_path / name, "--runs", tmp_path).code == 3
