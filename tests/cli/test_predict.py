"""The verb `predict` as a user types it: files, folders, patterns, and what cannot be read."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image


def test_predict_takes_files_folders_and_patterns(trained: Path, photos: Path, command, tmp_path: Path):
    whole = json.loads(command("predict", trained, photos, "--json").out)
    assert len(whole) == 60
    pattern = json.loads(command("predict", trained, f"{photos}/*/*.png", "--json").out)
    assert {one["file"]: one["label"] for one in pattern} == {one["file"]: one["label"] for one in whole}
    first = whole[0]["file"]
    shown = command("predict", trained, first, "--out", tmp_path / "out", "--top", "2")
    assert shown.code == 0 and shown.out.startswith(f"{first}: {whole[0]['label']} ")
    assert json.loads((tmp_path / "out" / "predictions.json").read_text())[0]["label"] == whole[0]["label"]
    assert (tmp_path / "out" / "predictions.csv").read_text().startswith("file,label,score,label2,score2\n")
    truth = sorted(photos.rglob("*"))
    refused = command("predict", trained, photos, "--out", photos)
    assert refused.code == 2 and "holds what lensmith did not write" in refused.err and "(--out), a new" in refused.err
    assert refused.out == "" and sorted(photos.rglob("*")) == truth    # before anything was predicted
    with Image.open(next((tmp_path / "out").glob("00000-*.png"))) as drawn:
        assert max(drawn.size) >= 224
    right = sum(Path(one["file"]).parent.name == one["label"] for one in whole)
    assert right > 30    # of 60 in three classes


def test_predict_names_what_it_cannot_read_and_goes_on(trained: Path, photos: Path, command):
    good = next(photos.rglob("*.png"))
    bad = photos / "broken.png"
    bad.write_bytes(good.read_bytes()[:50])
    ended = command("predict", trained, good, bad)
    assert ended.code == 3
    assert ended.out.count("\n") == 1 and f"lensmith: {bad} " in ended.err
    found = json.loads(command("predict", trained, bad, good, "--json").out)
    assert "error" in found[0] and "label" in found[1]


def test_a_trained_network_gives_the_same_answers_after_loading(trained: Path, photos: Path, command):
    once = command("predict", trained, photos, "--json").out
    assert once == command("predict", trained, photos, "--json").out


def test_predicting_what_is_not_there(trained: Path, command, tmp_path: Path):
    (tmp_path / "cat.png").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    for source, text in ((tmp_path / "cta.png", "Did you mean 'cat.png'?"), (tmp_path / "empty", "holds no picture"),
                         (tmp_path / "*.jpg", "no file matches")):
        ended = command("predict", trained, source)
        assert ended.code == 3 and text in ended.err


@pytest.mark.parametrize("file", ["best.safetensors", "plan.json", "data.json", "recipe.toml"])
def test_run_files_with_strange_content_are_refused(trained: Path, command, photos: Path, tmp_path: Path, file: str):
    from lensmith.engine.checkpoint import write_state

    broken = tmp_path / "broken"
    shutil.copytree(trained, broken)
    if file == "best.safetensors":
        write_state(broken / file, {"something": 1})
    else:
        (broken / file).write_text('{"device": "mps", "colour": 3}' if file.endswith("json") else "[colour]\nred = 1\n")
    ended = command("predict", broken, photos)
    assert ended.code == 4 and file in ended.err and ended.err.count("\n") == 1


def test_damaged_and_foreign_checkpoints_are_refused(trained: Path, command, photos: Path, tmp_path: Path):
    broken = tmp_path / "broken"
    shutil.copytree(trained, broken)
    (broken / "best.safetensors").write_bytes((trained / "best.safetensors").read_bytes()[:-9])
    ended = command("predict", broken, photos)
    assert ended.code == 4 and "damaged" in ended.err
    (broken / "best.safetensors").write_bytes((trained / "best.safetensors").read_bytes())
    text = (broken / "recipe.toml").read_text().replace('name = "lenet"', 'name = "lenet3x3"')
    (broken / "recipe.toml").write_text("\n".join(line for line in text.splitlines()
                                                  if not line.startswith(("activation", "pool"))))
    ended = command("predict", broken, photos)
    assert ended.code == 4 and "is a checkpoint of another network" in ended.err
