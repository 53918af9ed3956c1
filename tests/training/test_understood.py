"""What a training says that it has understood, before its first step and when it goes on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lensmith
from lensmith.training.begin_or_resume import Session, begin_session, resume_session
from lensmith.training.understood import data_name

SHAPES = "of 60 pictures (45 train, 5 valid, 10 test); classification by lenet"


def begun(tmp_path: Path, recipe: dict[str, Any]) -> tuple[Session, list[str]]:
    """The session of a recipe, and what was told until then."""
    told: list[str] = []
    recipe = {"plan": {"mode": "exact"}, "data": {"name": "shapes", "count": 60, "size": 20}} | recipe
    return begin_session(recipe, runs=tmp_path / "runs", tell=told.append), told


@pytest.mark.parametrize(("path", "name"), [
    ("/sets/coco128/data.yaml", "coco128"), ("/sets/coco128.yaml", "coco128"), ("/sets/pets", "pets"),
    ("/sets/pets/Labels.csv", "pets"), ("/sets/pets/breeds.csv", "breeds"), ("/sets/data", "data"),
    ("/sets/cars/train/_annotations.coco.json", "train"), ("/data.yaml", "data")])
def test_a_set_has_the_name_of_its_file_or_of_its_folder(path: str, name: str):
    assert data_name({"data": {"name": "x", "path": path}}) == name
    assert data_name({"data": {"name": "python:Pets"}}) == "Pets"


@pytest.mark.parametrize(("recipe", "text"), [
    ({"backbone": {"name": "lenet"}}, f"shapes: 3 classes {SHAPES} from scratch at 20 pixels"),
    ({"backbone": {"name": "lenet"}, "pictures": {"size": [16, 24], "channels": 1}},
     f"shapes: 3 classes {SHAPES} from scratch at 16 x 24 pixels, gray"),
    ({"backbone": {"name": "lenet"}, "learner": {"freeze": 1}},
     f"shapes: 3 classes {SHAPES} from scratch at 20 pixels, with 1 block frozen"),
    ({"backbone": {"name": "lenet"}, "learner": {"unfreeze": [1], "epochs": 2}},
     f"shapes: 3 classes {SHAPES} from scratch at 20 pixels, head first"),
    ({"task": {"name": "detection"}, "backbone": {"name": "simple"}},
     "shapes: 60 boxes of 3 classes in 60 pictures (45 train, 5 valid, 10 test); detection by simple from scratch at "
     "20 pixels"),
    ({"task": {"name": "segmentation"}, "backbone": {"name": "simple"}},
     "shapes: masks of 4 classes in 60 pictures (45 train, 5 valid, 10 test); segmentation by simple from scratch at "
     "20 pixels"),
    ({"task": {"name": "instances"}, "backbone": {"name": "simple"}},
     "shapes: 60 objects of 3 classes in 60 pictures (45 train, 5 valid, 10 test); instances by simple from scratch at "
     "20 pixels"),
    ({"task": {"name": "multitask", "parts": ["label", "boxes"]}, "backbone": {"name": "simple"}},
     "shapes: label (3 classes), boxes (60 boxes of 3 classes) in 60 pictures (45 train, 5 valid, 10 test); multitask "
     "by simple from scratch at 20 pixels")])
def test_one_line_says_data_task_network_and_size(recipe: dict[str, Any], text: str, tmp_path: Path):
    session, told = begun(tmp_path, recipe)
    assert told[0] == session.understood == text and told.count(text) == 1


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Twelve pictures with two tags, an age, and a class that is known of eleven."""
    draw, rows = np.random.default_rng(0), ["path,marks,age,kind"]
    for i in range(12):
        Image.fromarray(draw.integers(0, 255, (16, 16, 3), np.uint8)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{'a;b' if i % 2 else 'b'},{i + 0.5},{'xy'[i % 2] if i else ''}")
    (tmp_path / "flies.csv").write_text("\n".join(rows))
    return tmp_path / "flies.csv"


@pytest.mark.parametrize(("target", "text"), [
    ("marks", "flies: 2 tags of 12 pictures (10 train, 1 valid, 1 test); tagging by lenet from scratch at 16 pixels"),
    ("age", "flies: age from 0.5 to 11.5 of 12 pictures (10 train, 1 valid, 1 test); regression by lenet from scratch "
            "at 16 pixels"),
    (["age", "kind"], "flies: age (from 0.5 to 11.5), kind (2 classes in 11) of 12 pictures (10 train, 1 valid, 1 "
                      "test); multitask by lenet from scratch at 16 pixels")])
def test_tags_numbers_and_several_targets_of_a_table(target: Any, text: str, table: Path, tmp_path: Path):
    _, told = begun(tmp_path, {"data": {"name": "table", "path": str(table), "target": target} |
                               ({"kind": "tags"} if target == "marks" else {}),
                               "backbone": {"name": "lenet"}})
    assert told[:2] == ["decoding 12 pictures", text]


def test_many_numbers_are_counted(tmp_path: Path, table: Path):
    lines = table.read_text().splitlines()
    table.write_text("\n".join([f"{lines[0]},b,c,d", *(f"{line},1,2,{i}" for i, line in enumerate(lines[1:]))]))
    _, told = begun(tmp_path, {"data": {"name": "table", "path": str(table), "target": ["age", "b", "c", "d"],
                                        "kind": "numbers"}, "backbone": {"name": "lenet"}})
    assert told[1].startswith("flies: 4 numbers (age, b, c ...) of 12 pictures")


def test_starting_weights_and_a_resumed_run_are_named(tmp_path: Path):
    first, _ = begun(tmp_path, {"backbone": {"name": "lenet"}, "run": {"name": "first"}, "learner": {"epochs": 2},
                                "loading": {"batch": 20}})
    reports = iter(first)
    next(reports), next(reports), next(reports)    # two steps, and one of the second epoch
    told: list[str] = []
    resume_session(first.run.folder, tell=told.append)
    assert told[-1] == f"{first.understood}; begins anew: it had not saved anything yet"
    for _ in reports:
        pass
    resume_session(first.run.folder, tell=told.append)
    assert told[-1] == f"{first.understood}; has learned all of its 2 epochs"
    weights = str(first.run.folder)
    session, _ = begun(tmp_path, {"learner": {"weights": weights}})
    assert f"by lenet from weights of {weights} at 20 pixels" in session.understood
    probe, _ = begun(tmp_path, {"learner": {"weights": weights, "probe": True}})
    assert probe.understood.endswith(" at 20 pixels, the head alone")


def test_a_run_goes_on_in_the_middle_of_an_epoch(tmp_path: Path):
    session, _ = begun(tmp_path, {"backbone": {"name": "lenet"}, "run": {"name": "one", "save_every": 0.0},
                                  "learner": {"epochs": 3}, "loading": {"batch": 20}})
    reports = iter(session)
    for _ in range(5):    # two steps, their epoch, and two more steps, of which the first is saved by then
        next(reports)
    told: list[str] = []
    resumed = resume_session(session.run.folder, tell=told.append)
    assert resumed.job.learner.stepper.done == 4
    assert told[-1] == f"{session.understood}; goes on with epoch 2 of 3, at step 4 of 9"


def test_the_run_and_its_report_keep_the_line(tmp_path: Path):
    trained = lensmith.train("shapes", backbone="lenet", epochs=1, runs=tmp_path,
                             settings={"data.count": 60, "data.size": 20, "plan.mode": "exact"})
    line = json.loads((trained.folder / "run.json").read_text())["understood"]
    assert line == f"shapes: 3 classes {SHAPES} from scratch at 20 pixels"
    assert line in (trained.folder / "report.html").read_text()
