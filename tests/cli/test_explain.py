"""The verb `explain`: the page, the pictures, the JSON, and what is refused in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lensmith
from lensmith.study.explain.methods import METHODS
from lensmith.study.report.page import report

QUICK = ("--set", "samples=2", "--set", "steps=3", "--set", "masks=12")


def test_every_method_explains_a_picture(trained: Path, photos: Path, tmp_path: Path, command):
    picture = next(photos.rglob("*.png"))
    out = tmp_path / "why"
    ended = command("explain", trained, picture, "--method", "all", *QUICK, "--check", "--out", out, "--json")
    assert ended.code == 0, ended.err
    said = json.loads(ended.out)
    (one,) = said["pictures"]
    assert said["page"] == str(out / "explain.html") and one["file"] == str(picture)
    assert [each["method"] for each in one["explanations"]] == list(METHODS)
    facts = json.loads((out / "explanations.json").read_text())["explanations"]
    for each in facts:
        with Image.open(out / each["picture"]) as drawn, Image.open(picture) as original:
            assert drawn.size == original.size
        assert -1 <= each["likeness_to_random"] <= 1
        assert bool(each["layers"]) == METHODS[each["method"]].of_maps
    page = (out / "explain.html").read_text()
    assert all(name in page for name in METHODS) and "Selvaraju" in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_worst_errors_of_the_report_by_themselves(trained: Path, tmp_path: Path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = command("explain", trained)
    if ended.code:    # a run on a drawn set has no files
        assert ended.code == 2 and "lists no wrong answer whose picture is a file" in ended.err
        assert f"lensmith explain {trained} photos/*.jpg" in ended.err


def test_worst_errors_that_are_files_stand_in_the_report(photos: Path, tmp_path: Path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = lensmith.train(photos, epochs=1, backbone="lenet", settings={"split.test": 0.4}, runs=tmp_path / "runs")
    wrong = [row["file"] for row in run.metrics["test"]["worst"]]
    heading = "What it looked at in its worst errors"
    assert heading not in (run.folder / "report.html").read_text()
    ended = command("explain", run.folder)
    assert wrong and ended.code == 0
    *each, page, told = ended.out.splitlines()
    assert [line.split(": ")[0] for line in each] == [str(photos / name) for name in wrong[:6]]
    assert page == f"the page with the maps: {run.folder}/explained/explain.html"
    assert told == f"they stand in the report too: {run.folder}/report.html"
    text = report(run.folder).read_text()    # as whatever makes it again
    assert heading in text and text.count('alt="grad_cam of ') == len(each)
    assert run.metrics["test"]["worst"][0]["truth"] in text and "by now" not in text
    assert command("explain", run.folder, "--json").code == 0    # its own page is replaced
    facts = json.loads((run.folder / "run.json").read_text())
    (run.folder / "run.json").write_text(json.dumps({**facts, "best_epoch": 7}))
    assert f"of the weights after epoch {facts['best_epoch']}, and the best are those after epoch 7 by now" in \
        report(run.folder).read_text()
    elsewhere = command("explain", run.folder, "--out", tmp_path / "why")
    assert "report" not in elsewhere.out and (tmp_path / "why" / "explain.html").is_file()


def test_a_link_in_the_run_folder_is_not_written_through(photos: Path, tmp_path: Path, command):
    run = lensmith.train(photos, epochs=1, backbone="lenet", settings={"split.test": 0.4}, runs=tmp_path / "runs")
    (tmp_path / "elsewhere").mkdir()
    (run.folder / "explained").symlink_to(tmp_path / "elsewhere")
    ended = command("explain", run.folder)
    assert ended.code == 2 and "is a link to" in ended.err and "or name another folder with --out" in ended.err
    assert not list((tmp_path / "elsewhere").iterdir())


def test_from_python_with_arrays(trained: Path, photos: Path):
    network = lensmith.load(trained)
    with Image.open(next(photos.rglob("*.png"))) as opened:
        picture = opened.copy()
    (found,) = network.explain(picture, method=("occlusion", "grad_cam"), wanted=network.names["label"][1], patches=4)
    assert [each.method for each in found.explanations] == ["occlusion", "grad_cam"]
    for each in found.explanations:
        assert each.map.shape == picture.size[::-1] and each.answer.name == network.names["label"][1]
        assert np.isfinite(each.map.numpy()).all()


def test_a_picture_that_is_named_twice_is_explained_once(trained: Path, photos: Path):
    picture = next(photos.rglob("*.png"))
    network = lensmith.load(trained)
    assert [one.file for one in network.explain([picture, str(picture), picture.parent])].count(str(picture)) == 1


@pytest.mark.parametrize(("options", "expected"), [
    (["--method", "gradcam"], "unknown method 'gradcam'. Did you mean 'grad_cam'? Known: eigen_cam, grad_cam,"),
    (["--class", "sqare"], "unknown class 'sqare'."),
    (["--layer", "nowhere"], "the network has no layer 'nowhere'."),
    (["--method", "saliency", "--layer", "backbone"], "saliency is not made of the maps of a layer: leave --layer out"),
    (["--set", "masks"], "--set masks: a setting is given as key=number"),
    (["--set", "masks=-3"], "--set masks=-3: accepted are numbers above 0"),
    (["--method", "rise", "--set", "steps=4"], "none of rise has a setting 'steps'. Settings are those of smooth")])
def test_what_cannot_be_is_refused_in_one_line(options: list[str], expected: str, trained: Path, photos: Path,
                                               tmp_path: Path, command):
    ended = command("explain", trained, next(photos.rglob("*.png")), *options, "--out", tmp_path / "why")
    assert ended.code == 2 and expected in ended.err and len(ended.err.splitlines()) == 1
    assert not (tmp_path / "why").exists()


def test_a_method_that_cannot_apply_is_named_with_those_that_can(photos: Path, tmp_path: Path, command):
    (tmp_path / "my_net.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, inputs, outputs):\n"
        "        super().__init__()\n"
        "        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(16 * inputs, outputs))\n"
        "    def forward(self, images):\n"
        "        return self.layers(images[:, :, :4, :4])\n")
    run = lensmith.train(photos, epochs=1, backbone=f"{tmp_path / 'my_net.py'}:Net", runs=tmp_path / "runs", trust=True)
    asked = ("explain", run.folder, next(photos.rglob("*.png")), "--trust", "--out", tmp_path / "why")
    ended = command(*asked)
    assert ended.code == 2 and len(ended.err.splitlines()) == 1
    assert "grad_cam is made of maps, and no layer of this network gives one with more than one cell: take saliency, " \
        "smooth_grad, integrated_gradients, guided_backpropagation, occlusion, rise" in ended.err
    ended = command(*asked, "--method", "guided_backpropagation")
    assert ended.code == 2 and "this network has none: take smooth_grad or integrated_gradients" in ended.err
    assert command(*asked, "--method", "saliency").code == 0


def test_a_picture_that_cannot_be_read_is_named(trained: Path, photos: Path, tmp_path: Path, command):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    ended = command("explain", trained, broken, next(photos.rglob("*.png")), "--out", tmp_path / "why")
    assert ended.code == 3 and str(broken) in ended.err and "grad_cam" in ended.out


def test_a_folder_of_the_users_is_not_written_into(trained: Path, photos: Path, command):
    ended = command("explain", trained, next(photos.rglob("*.png")), "--out", photos)
    assert ended.code == 2 and "nothing of yours is written over" in ended.err
