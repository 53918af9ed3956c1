"""Recipes in YAML: our sections, Ultralytics' arguments, and descriptions of data sets, which are none."""

from pathlib import Path

import pytest

from lensmith.base.errors import DataError
from lensmith.recipe.from_source import recipe_for
from lensmith.recipe.yaml_recipes import read_yaml_recipe


def written(folder: Path, text: str, name: str = "one.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_our_sections_are_a_recipe(tmp_path):
    path = written(tmp_path, "data: {name: shapes, count: 60}\nbackbone:\n  name: lenet\nlearner: {epochs: 2}\n")
    assert recipe_for(path) == {"data": {"name": "shapes", "count": 60}, "backbone": {"name": "lenet"},
                                "learner": {"epochs": 2}}


def test_the_arguments_of_ultralytics_are_a_recipe(tmp_path):
    path = written(tmp_path, "task: detect\nmode: train\nmodel: resnet18\ndata: shapes\nepochs: 2\nimgsz: 64\n"
                             "lr0: 0.01\nbatch: 8\ndevice: 0\nfreeze: 10\noptimizer: auto\npretrained: false\n"
                             "exist_ok: false\nproject: out\nhsv_h: 0.015\npatience: 5\ntime: null\namp: true\n")
    assert recipe_for(path) == {
        "data": {"name": "shapes"}, "task": {"name": "detection"}, "backbone": {"name": "resnet18"},
        "learner": {"epochs": 2, "freeze": 10, "weights": "none", "patience": 5}, "pictures": {"size": 64},
        "optimizer": {"rate": 0.01}, "loading": {"batch": 8}, "plan": {"device": "cuda:0"}}
    notes = read_yaml_recipe(path).notes
    assert any("counts blocks" in note for note in notes) and any("never overwritten" in note for note in notes)
    assert "project is --runs here, an option of the command" in notes
    assert notes[-1] == "passed over, with no setting of the kind here: mode, hsv_h"


@pytest.mark.parametrize("text", ["names: [a, b]\ntrain: images\nepochs: 3\n", "a: 1\n", "- 1\n- 2\n", "{", "", "\x00",
                                  "train: images\nval: images\nnc: 2\n"])
def test_a_description_of_a_set_and_what_is_neither_are_no_recipes(tmp_path, text):
    assert read_yaml_recipe(written(tmp_path, text)) is None
    with pytest.raises(DataError):
        recipe_for(written(tmp_path, text, "a.txt"))


def test_a_file_that_is_neither_ends_with_the_code_of_data(command, tmp_path):
    command("train", written(tmp_path, "a: 1\nb: 2\n"), "--dry-run").refused("one.yaml", code=3)


def test_sections_and_other_keys_are_not_mixed(tmp_path):
    with pytest.raises(DataError) as refused:
        read_yaml_recipe(written(tmp_path, "data: {name: shapes}\nepochs: 3\n"))
    assert "has the section 'data' of a recipe, and beside it 'epochs', which is none: known sections are run, data" \
        in str(refused.value)


def test_yaml_that_would_run_code_is_not_read(tmp_path):
    assert read_yaml_recipe(written(tmp_path, "data: !!python/object/apply:os.system ['touch ran']\n")) is None
    assert not (tmp_path / "ran").exists()


def test_what_is_otherwise_here_is_told(command, tmp_path):
    ended = command("train", written(tmp_path, "model: lenet\ndata: shapes\nepochs: 2\nmosaic: 1.0\n"), "--dry-run")
    assert ended.code == 0 and "epochs = 2" in ended.out
    assert ended.err == "passed over, with no setting of the kind here: mosaic\n"
