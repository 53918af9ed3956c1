"""Large pictures by tiles, from the command line on: sizes, what comes of small ones, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lensmith
from lensmith.base.pictures import to_pil
from lensmith.data.formats.drawn_shapes import shapes


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on the drawn shapes: pixels, objects and classes."""
    folder = tmp_path_factory.mktemp("runs")
    for task, backbone, epochs in (("segmentation", "simple2", 8), ("detection", "csp", 1),
                                   ("classification", "lenet", 1)):
        lensmith.train("shapes", task=task, epochs=epochs, batch=16, rate=5e-3, device="cpu", name=task,
                       backbone=backbone, runs=folder, settings={"data.count": 150, "data.size": 32,
                                                                 "plan.mode": "exact", "plan.threads": 1})
    return folder


@pytest.fixture(scope="module")
def drawn_pictures() -> list[Image.Image]:
    train = shapes(count=24, size=32, seed=7).splits["train"]
    return [to_pil(train[i].image) for i in range(12)]


def test_a_picture_of_the_networks_size_is_one_tile(runs: Path, drawn_pictures):
    for task in ("segmentation", "detection"):
        trained = lensmith.load(runs / task)
        plain, tiled = (trained.predict(drawn_pictures[:4], tiles=tiles, threshold=threshold) for tiles in (None, 1)
                        for threshold in [0.01 if task == "detection" else None])
        for one, other in zip(plain, tiled, strict=True):
            assert other.size == one.size == (32, 32)
            if task == "segmentation":
                assert torch.equal(other.mask.classes, one.mask.classes)
            else:
                assert len(one.boxes.classes) and torch.equal(other.boxes.classes, one.boxes.classes)
                torch.testing.assert_close(other.boxes.corners, one.boxes.corners)


def test_a_large_picture_is_written_at_its_own_size(runs: Path, drawn_pictures, tmp_path: Path, command):
    sheet = Image.new("RGB", (150, 84), (110, 110, 110))
    for i, picture in enumerate(drawn_pictures[:8]):
        sheet.paste(picture, (36 * (i % 4) + 3, 40 * (i // 4) + 3))
    sheet.save(tmp_path / "sheet.png")
    (tmp_path / "broken.png").write_bytes(b"")
    ended = command("predict", runs / "segmentation", tmp_path / "sheet.png", tmp_path / "broken.png", "--tiles", 1,
                    "--out", tmp_path / "out")
    assert ended.code == 3 and "broken.png is empty (0 bytes)" in ended.err
    mask = np.asarray(Image.open(tmp_path / "out" / "masks" / "sheet.png"))
    assert mask.shape == (84, 150)
    trained = lensmith.load(runs / "segmentation")
    twice = trained.predict(sheet.resize((300, 168), Image.Resampling.BILINEAR), tiles=0.5)[0].mask.classes.numpy()
    assert twice.shape == (168, 300)
    assert (twice[::2, ::2] == mask).mean() > 0.85    # the same network on nearly the same pixels
    found = json.loads(command("predict", runs / "detection", tmp_path / "sheet.png", "--tiles", 1, "--threshold", 0.01,
                               "--json", "--classes", "disc").out)
    assert {one["label"] for one in found[0]["boxes"]} == {"disc"}


@pytest.mark.parametrize(("task", "tiles", "told"), [
    ("classification", 1, "predict.tiles (--tiles) is for a network of one task, objects or a class for each pixel"),
    ("segmentation", 0, "predict.tiles=0 (--tiles) is how large the picture is made before it is divided: accepted"),
    ("segmentation", "nan", "predict.tiles=nan (--tiles) is how large the picture is made before it is divided"),
])
def test_what_cannot_be_divided_is_refused(runs: Path, tmp_path: Path, command, drawn_pictures, task, tiles, told):
    drawn_pictures[0].save(tmp_path / "a.png")
    ended = command("predict", runs / task, tmp_path / "a.png", "--tiles", tiles)
    assert ended.code == 2 and told in ended.err and ended.err.count("\n") == 1


def test_a_film_and_a_picture_that_would_be_too_large_are_refused(runs: Path, tmp_path: Path, command):
    (tmp_path / "film.mp4").write_bytes(b"")
    ended = command("predict", runs / "segmentation", tmp_path / "film.mp4", "--tiles", 1)
    assert ended.code == 2 and "film.mp4 is a film: leave one of the two out" in ended.err
    Image.new("L", (4000, 3000)).save(tmp_path / "large.png")
    ended = command("predict", runs / "segmentation", tmp_path / "large.png", "--tiles", 4)
    assert ended.code == 3 and "large.png would have 16000 x 12000 pixels, 4 times as large; at most 178,000,000" in \
        ended.err
