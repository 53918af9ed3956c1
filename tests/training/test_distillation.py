"""A run that learns from the network of another: what its folder says, and every teacher that is refused."""

import json
import shutil
import tomllib
from pathlib import Path

import pytest

from lensmith.engine.run_folder import Run
from lensmith.recipe.defaults import TEACHER_WEIGHT, TEMPERATURE
from tests.conftest import Command
from tests.training.conftest import Once

COMMON = ("train", "shapes", "data.count=60", "data.size=20", "--epochs", 1, "--device", "cpu", "--quiet")
STUDENT = (*COMMON, "--backbone", "simple")


@pytest.fixture
def teacher(once: Once) -> Path:
    """A run on drawn shapes, trained once."""
    return once("teacher", *COMMON, "--backbone", "lenet")


def test_the_run_says_from_whom_it_learned(tmp_path: Path, teacher: Path, command: Command):
    ended = command(*STUDENT, "--teacher", teacher, "--name", "student", "--runs", tmp_path)
    assert ended.code == 0, ended.err
    run = Run(tmp_path / "student")
    row = run.read_history()[0]
    assert row["train/loss"] == pytest.approx(row["train/label"] + row["train/teacher"], rel=1e-4)
    learner = tomllib.loads((run.folder / "recipe.toml").read_text())["learner"]
    assert (learner["teacher"], learner["teacher_weight"], learner["temperature"]) == \
        (str(teacher), TEACHER_WEIGHT, TEMPERATURE)
    facts = run.read_json("teacher.json")
    assert facts["run"] == str(teacher) and len(facts["fingerprint"]) == 32
    assert command("train", "--resume", run.folder).code == 0    # nothing is left to do
    assert command("doctor", run.folder).code in (0, 1)


def test_a_teacher_that_has_changed_is_refused_when_the_run_goes_on(tmp_path: Path, teacher: Path, command: Command):
    own = tmp_path / "own"
    shutil.copytree(teacher, own)
    ended = command(*STUDENT, "--teacher", own, "--name", "student", "--runs", tmp_path)
    assert ended.code == 0, ended.err
    other = command(*COMMON, "--backbone", "lenet", "--seed", 7, "--name", "other", "--runs", tmp_path)
    assert other.code == 0, other.err
    shutil.copy(tmp_path / "other" / "best.safetensors", own / "best.safetensors")
    ended = command("train", "--resume", tmp_path / "student")
    ended.refused(str(own), "has changed since", "put the teacher's files back, or begin a new run")


def test_a_teacher_that_was_moved_is_found_by_the_changed_recipe(tmp_path: Path, teacher: Path, command: Command):
    own, moved = tmp_path / "own", tmp_path / "moved"
    shutil.copytree(teacher, own)
    assert command(*STUDENT, "--teacher", own, "--name", "student", "--runs", tmp_path).code == 0
    own.rename(moved)
    command("train", "--resume", tmp_path / "student").refused(f"there is no run folder {own}", code=4)
    recipe = tmp_path / "student" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace(str(own), str(moved)))
    assert command("train", "--resume", tmp_path / "student").code == 0


def test_pictures_of_another_size_are_resized_with_a_word(tmp_path: Path, teacher: Path, command: Command):
    ended = command("train", "shapes", "data.count=60", "data.size=20", "--size", 28, "--epochs", 1, "--device", "cpu",
                    "--backbone", "simple", "--teacher", teacher, "--name", "larger", "--runs", tmp_path)
    assert ended.code == 0, ended.err
    assert f"the teacher {teacher} looks at pictures of 20 x 20 pixels: those of 28 x 28 are resized for it" in \
        ended.err


@pytest.mark.parametrize(("arguments", "words"), [
    (("--task", "detection", "--backbone", "csp", "backbone.width=8"),
     ("can teach classes of pictures and of pixels alone, and here boxes is to be learned",)),
    (("pictures.channels=1",), ("looks at pictures of 3 channels, and these have 1 channel",)),
    (("learner.probe=true", "--weights", "TEACHER", "--backbone", "lenet"),
     ("learns from maps, and a teacher has to look at pictures",)),
    (("learner.temperature=0",), ("temperature must be greater than 0; got 0",)),
    (("learner.teacher_weight=1.5",), ("teacher_weight must be less than or equal to 1; got 1.5",)),
    (("--task", "segmentation", "--backbone", "csp", "backbone.width=8"),
     ("learned label, and mask is to be learned",)),
])
def test_what_cannot_be_taught_is_refused(tmp_path: Path, teacher: Path, command: Command, arguments: tuple[str, ...],
                                          words: tuple[str, ...]):
    given = [str(teacher) if argument == "TEACHER" else argument for argument in arguments]
    command(*STUDENT, *given, "--teacher", teacher, "--runs", tmp_path / "runs").refused(*words)
    assert not (tmp_path / "runs").exists()


def test_a_teacher_of_other_classes_is_refused_by_their_names(tmp_path: Path, teacher: Path, photos: Path,
                                                              command: Command):
    names = sorted(folder.name for folder in photos.iterdir())
    (photos / names[0]).rename(photos / "zebra")
    ended = command("train", photos, "--epochs", 1, "--backbone", "simple", "--teacher", teacher, "--quiet", "--runs",
                    tmp_path / "runs")
    ended.refused("has other classes of label: it does not know zebra and it knows", names[0])


@pytest.mark.parametrize("setting", ["learner.temperature=2.0", "learner.teacher_weight=0.5"])
def test_what_is_of_a_teacher_needs_one(tmp_path: Path, command: Command, setting: str):
    command(*STUDENT, setting, "--runs", tmp_path).refused(setting, "there is none: give learner.teacher", "--teacher")


def test_a_teacher_that_is_none_is_named(tmp_path: Path, teacher: Path, command: Command):
    ended = command(*STUDENT, "--teacher", tmp_path / "nobody", "--runs", tmp_path)
    ended.refused("there is no run folder", "nobody", code=4)
    empty = tmp_path / "empty"
    shutil.copytree(teacher, empty)
    (empty / "best.safetensors").unlink()
    command(*STUDENT, "--teacher", empty, "--runs", tmp_path).refused(str(empty / "best.safetensors"), code=4)


def test_masks_are_taught_too(tmp_path: Path, command: Command):
    masks = ("train", "shapes", "data.count=40", "data.size=16", "--task", "segmentation", "--backbone", "csp",
             "backbone.width=8", "task.width=4", "--epochs", 1, "--device", "cpu", "--quiet", "--runs", tmp_path)
    assert command(*masks, "--name", "teacher").code == 0
    ended = command(*masks, "--teacher", tmp_path / "teacher", "learner.teacher_weight=1.0", "--name", "student")
    assert ended.code == 0, ended.err
    row = Run(tmp_path / "student").read_history()[0]
    assert row["train/teacher"] > 0 and row["train/cross_entropy"] == 0
    assert json.loads((tmp_path / "student" / "teacher.json").read_text())["run"] == str(tmp_path / "teacher")
