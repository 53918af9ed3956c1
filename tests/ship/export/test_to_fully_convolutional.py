"""`lensmith convert RUN NEW --convolutional`, and what the new run says of pictures of any size."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lensmith
from lensmith.base.pictures import to_pil
from lensmith.data.formats.drawn_shapes import shapes
from lensmith.ship.predict.score_map import ScoreMap


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LeNet on the drawn shapes, which pads nothing."""
    return lensmith.train("shapes", epochs=6, batch=20, device="cpu", name="shapes", backbone="lenet", rate=3e-3,
                          runs=tmp_path_factory.mktemp("runs"),
                          settings={"data.count": 900, "data.size": 20, "plan.threads": 1, "plan.mode": "exact"}).folder


@pytest.fixture(scope="module")
def whole(trained: Path) -> Path:
    from lensmith.cli.conversions import converted

    told = converted([str(trained), str(trained.parent / "whole")], to=None, names=None, images="link", trust=False,
                     command="lensmith convert", convolutional=True)
    assert told == {"run": str(trained.parent / "whole"), "size": "20 x 20", "window": "2 x 2 cells"}
    return trained.parent / "whole"


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    drawn = shapes(count=40, size=20, seed=5).splits["train"]
    return [to_pil(drawn[i].image) for i in range(12)]


def test_pictures_of_the_training_size_get_the_same_scores(trained: Path, whole: Path, pictures):
    before, after = lensmith.load(trained), lensmith.load(whole)
    assert after.recipe["task"]["window"] == [2, 2]
    for one, other in zip(before.predict(pictures), after.predict(pictures), strict=True):
        assert other.label == one.label and other.map is None
        torch.testing.assert_close(other.values["label"].scores, one.values["label"].scores, rtol=1e-5, atol=1e-5)


def test_it_measures_the_same_and_is_a_run_like_any_other(trained: Path, whole: Path, command):
    first, second = (json.loads(command("val", one, "--json").out) for one in (trained, whole))
    assert second["accuracy_top1"] == first["accuracy_top1"] > 0.6
    assert second["loss"] == pytest.approx(first["loss"], rel=1e-5)
    facts = json.loads((whole / "run.json").read_text())
    assert facts["status"] == "converted" and facts["reason"] == f"from {trained}"
    shown = command("inspect", whole)
    assert shown.code == 0 and "head.layers.dense1" in shown.out and "Conv2d" in shown.out
    again = command("train", whole, "--epochs", 1, "--name", "again", "--runs", whole.parent, "--weights", whole)
    assert again.code == 0, again.err


def test_a_larger_picture_has_the_score_of_each_part_of_it(trained: Path, whole: Path, pictures):
    sheet = Image.new("RGB", (40, 60))
    for i, picture in enumerate(pictures[:6]):
        sheet.paste(picture, (20 * (i % 2), 20 * (i // 2)))
    one = lensmith.load(whole).predict(sheet)[0]
    assert one.map is not None and one.map.scores.shape == (3, 11, 6)    # LeNet's stride is 4
    assert one.map.window == (20 / 60, 20 / 40)
    own = lensmith.load(trained)
    for row in range(11):
        for column in range(6):
            cut = own.predict(sheet.crop((4 * column, 4 * row, 4 * column + 20, 4 * row + 20)))[0]
            torch.testing.assert_close(one.map.scores[:, row, column], cut.values["label"].scores, rtol=1e-4, atol=1e-5)
    assert one.as_json()["map"]["labels"][0][0] == own.predict(pictures[0])[0].label
    assert one.text(3).split("; ")[1].startswith("of 66 places: ")


def test_a_smaller_picture_is_enlarged_to_the_training_size(whole: Path, pictures):
    found = lensmith.load(whole).predict([pictures[0].resize((10, 30)), pictures[0].resize((7, 7))])
    assert found[0].map is not None and found[0].map.scores.shape[2] == 1 and found[1].map is None


def test_the_command_writes_the_map_over_the_picture(whole: Path, pictures, tmp_path: Path, command):
    sheet = Image.new("RGB", (120, 100), (90, 90, 90))
    sheet.paste(pictures[0].resize((60, 60)), (30, 20))
    sheet.save(tmp_path / "sheet.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    ended = command("predict", whole, tmp_path / "sheet.png", tmp_path / "broken.png", "--out", tmp_path / "out")
    assert ended.code == 3 and "sheet.png: " in ended.out and "places: " in ended.out
    assert "broken.png is not a picture in a format that Pillow reads" in ended.err
    drawn = np.asarray(Image.open(tmp_path / "out" / "00000-sheet.jpg"))
    assert drawn.shape[0] > 100 and drawn.shape[1] >= 120    # with a caption
    assert (np.abs(drawn[:100, :120].astype(int) - np.asarray(sheet)) > 30).mean() > 0.3
    told = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert len(told[0]["map"]["labels"]) == 21 and len(told[0]["map"]["scores"][0]) == 26


def test_the_colours_of_a_map_lie_where_its_windows_are():
    scores = torch.zeros(3, 1, 5)
    scores[0, 0, :2], scores[2, 0, 2:] = 1, 1
    places = ScoreMap(scores, (1.0, 0.2))._positions(1, 100)
    assert places[9] == pytest.approx(0, abs=0.03) and places[90] == pytest.approx(4, abs=0.03)
    assert places[50] == pytest.approx(2, abs=0.03) and places.diff().min() >= 0
    assert ScoreMap(scores, (1.0, 0.2)).likeliest(("a", "b", "c")) == [("c", 3), ("a", 2)]


def refused(command, code, *arguments):
    ended = command("convert", *arguments, "--convolutional")
    assert ended.code == code and ended.err.count("\n") == 1, ended.err
    return ended.err


def test_what_has_no_such_form_says_why(trained: Path, whole: Path, tmp_path: Path, command):
    assert "is fully convolutional already: lensmith predict" in refused(command, 2, whole, tmp_path / "new")
    assert "got --convolutional with a" in refused(command, 2, "a")
    lensmith.train("shapes", epochs=1, device="cpu", name="tags", backbone="simple", runs=tmp_path, task="segmentation",
                   settings={"data.count": 30, "data.size": 20, "plan.mode": "exact"})
    assert "the fully convolutional form is for runs of task 'classification'; " in \
        refused(command, 2, tmp_path / "tags", tmp_path / "new")
    lensmith.train("shapes", epochs=1, device="cpu", name="norm", backbone="stack", runs=tmp_path, settings={
        "data.count": 30, "data.size": 20, "plan.mode": "exact",
        "backbone.layers": [{"conv": 4, "kernel": 3}, {"flatten": True}, {"batchnorm": True}]})
    assert "its layer batchnorm1, a BatchNorm1d, looks at the whole map" in refused(command, 4, tmp_path / "norm",
                                                                                   tmp_path / "new")
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1200, 3))
    run = lensmith.train("shapes", epochs=1, device="cpu", name="own", backbone=module, runs=tmp_path,
                         settings={"data.count": 30, "data.size": 20, "plan.mode": "exact"}).folder
    assert "was trained on a Python object as its backbone" in refused(command, 4, run, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert "exists" in refused(command, 2, trained, whole)
