"""Masks from the command line to the report: trained, measured, predicted at the files' own size, resumed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lensmith
from lensmith.base.pictures import to_pil
from lensmith.data.formats.drawn_shapes import shapes
from lensmith.models.adapters.torchvision_segmenters import SEGMENTERS
from lensmith.recipe.open_data import open_data
from lensmith.recipe.sections import resolve


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on drawn shapes that learned something."""
    return lensmith.train("shapes", task="segmentation", backbone="stack", epochs=20, batch=10, device="cpu",
                          name="shapes", runs=tmp_path_factory.mktemp("runs"), settings={
                              "data.count": 240, "data.size": 32, "backbone.layers": [
                                  entry for width in (16, 24, 32) for entry in (
                                      {"conv": width, "kernel": 3, "padding": 1, "stride": 2}, "batchnorm", "relu")],
                              "task.width": 8, "optimizer.rate": 1e-2, "plan.mode": "exact", "plan.threads": 1}).folder


def test_a_run_on_masks_has_all_that_a_run_has(trained: Path):
    found = json.loads((trained / "metrics.json").read_text())["test"]
    assert found["mIoU"] > 0.45 and found["pixel_accuracy"] > 0.85
    assert [row["class"] for row in found["details"]["per_class"]] == ["ground", "square", "disc", "triangle"]
    assert "mIoU" in (trained / "report.html").read_text()
    assert list((trained / "pictures").glob("test-worst-*.png"))
    assert 'loss = [\n    "cross_entropy",\n    "dice",\n]' in (trained / "recipe.toml").read_text()
    assert "train/dice" in (trained / "history.csv").read_text()


def test_the_same_numbers_are_measured_again(trained: Path, command):
    ended = command("val", trained, "--json")
    assert ended.code == 0, ended.err
    wanted = json.loads((trained / "metrics.json").read_text())["test"]
    assert json.loads(ended.out)["mIoU"] == pytest.approx(wanted["mIoU"], abs=1e-9)


def test_masks_have_the_size_of_the_files_and_agree_with_the_truth(trained: Path, tmp_path: Path, command):
    test = shapes(count=240, size=32).splits["test"]
    right = total = 0
    for number in range(6):
        picture = to_pil(test.images[number]).resize((96, 96), Image.Resampling.BILINEAR)
        picture.save(tmp_path / f"{number}.png")
    out = tmp_path / "out"
    ended = command("predict", trained, tmp_path, "--out", out, "--json")
    assert ended.code == 0, ended.err
    rows = json.loads(ended.out)
    assert all(row["size"] == [96, 96] and abs(sum(row["mask"].values()) - 1) < 1e-4 for row in rows)
    for number in range(6):
        truth = test.targets["mask"][number].classes.repeat_interleave(3, 0).repeat_interleave(3, 1).numpy()
        with Image.open(out / "masks" / f"{number}.png") as image:
            found = np.array(image)
        right, total = right + (truth == found).sum(), total + truth.size
    assert right / total > 0.85
    assert len(list(out.glob("*.jpg"))) == 6
    (again,) = lensmith.load(trained).predict(tmp_path / "0.png")
    assert again.mask is not None and again.mask.classes.shape == (96, 96)


def test_pictures_with_masks_are_letterboxed_and_the_ground_is_void(tmp_path: Path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for number in range(12):
        size = (60, 30) if number % 2 else (40, 40)
        Image.new("RGB", size, (number, 90, 90)).save(tmp_path / "images" / f"{number}.png")
        Image.new("L", size, number % 3).save(tmp_path / "masks" / f"{number}.png")
    data = open_data(resolve({"data": {"name": "masks", "path": str(tmp_path)}, "pictures": {"size": 32}},
                             trusted=False))
    assert data.form.fit == "pad"
    batch = data.splits["train"].gather(torch.arange(len(data.splits["train"])))
    for place, mask in zip(batch.places, batch.targets["mask"].classes, strict=True):
        assert (mask == 255).sum() == (0 if place.size == (40, 40) else 32 * 16)
        assert len(mask[mask != 255].unique()) == 1


@pytest.mark.parametrize(("arguments", "code", "text"), [
    (["task.loss=huber"], 2, "task 'segmentation': loss must be 'cross_entropy', 'focal', 'dice' or 'lovasz' or"),
    (["task.loss=[]"], 2, "task.loss names one or several losses, each once: cross_entropy, focal, dice, lovasz"),
    (["task.network=fcn4"], 2, "network must be 'unet', 'fcn32', 'fcn16' or 'fcn8'; got 'fcn4'"),
    (["augment.mixup=0.2"], 2, "a mask target cannot be blended: set augment.mixup=0"),
    (["augment.mosaic=0.5"], 2, "augment.mosaic=0.5 puts four pictures together, which only objects can follow"),
])
def test_wrong_settings_are_told_in_a_line(tmp_path: Path, command, arguments, code, text):
    ended = command("train", "shapes", "data.count=24", "data.size=16", "--task", "segmentation", "--epochs", 1,
                    "--device", "cpu", *arguments, "--runs", tmp_path, "-q")
    assert ended.code == code and text in ended.err and ended.err.count("\n") == 1, ended.err


def test_thresholds_are_for_objects(trained: Path, tmp_path: Path, command):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    ended = command("predict", trained, tmp_path / "a.png", "--threshold", "0.5")
    assert ended.code == 2
    assert "predict.threshold=0.5 (--threshold) is for networks that find objects; this one gives mask" in ended.err


@pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", *(
    pytest.param(one, marks=pytest.mark.slow) for one in SEGMENTERS if not one.startswith("lraspp"))])
def test_torchvisions_networks_for_masks_train_and_predict(tmp_path: Path, command, name: str):
    ended = command("train", "shapes", "data.count=24", "data.size=32", "--task", "segmentation", "--backbone", name,
                    "--epochs", 1, "--batch", 4, "--device", "cpu", "plan.threads=1", "--plan", "exact", "--name",
                    "one", "--runs", tmp_path / "runs", "-q")
    assert ended.code == 0, ended.err
    assert "mIoU" in ended.out
    Image.new("RGB", (50, 40)).save(tmp_path / "a.png")
    predicted = command("predict", tmp_path / "runs" / "one", tmp_path / "a.png", "--json")
    assert predicted.code == 0 and json.loads(predicted.out)[0]["size"] == [40, 50], predicted.err


@pytest.mark.parametrize(("arguments", "code", "text"), [
    (["--task", "segmentation", "task.width=8"], 2, "whole, with a decoder of its own: leave out task.network=unet"),
    (["--task", "segmentation", "data.channels=1"], 4, "takes pictures of 3 channels; these have 1"),
    (["--task", "classification"], 4, "makes masks and has no scores for whole pictures: train it with task.name=seg"),
    (["--task", "detection"], 4, "makes masks and has no boxes: train it with task.name=segmentation (--task)"),
])
def test_a_whole_network_says_what_it_cannot(tmp_path: Path, command, arguments, code, text):
    ended = command("train", "shapes", "data.count=24", "data.size=32", "--backbone", "lraspp_mobilenet_v3_large",
                    "--epochs", 1, "--device", "cpu", *arguments, "--runs", tmp_path, "-q")
    assert ended.code == code and text in ended.err and ended.err.count("\n") == 1, ended.err
