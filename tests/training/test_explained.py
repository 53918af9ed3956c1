"""The true boxes of the pictures that are explained."""

from pathlib import Path

import pytest
import torch
from PIL import Image

import lensmith
from lensmith.base.errors import UserError
from lensmith.engine.run_folder import Run
from lensmith.training.explained import boxes_of_pictures, worst_pictures


def test_true_boxes_stand_in_the_pixels_of_the_files(tmp_path: Path):
    data = tmp_path / "data"
    for number in range(8):
        for folder in ("images", "labels"):
            (data / folder).mkdir(parents=True, exist_ok=True)
        Image.effect_noise((60, 40 + number), 80).convert("RGB").save(data / "images" / f"{number}.png")
        (data / "labels" / f"{number}.txt").write_text(f"{number % 2} 0.5 0.5 0.5 0.5\n")
    run = lensmith.train(data, backbone="simple", epochs=1, runs=tmp_path / "runs", device="cpu",
                         settings={"task.width": 8, "pictures.size": 32, "data.name": "yolo"})
    opened = lensmith.load(run.folder).own_data(None, lambda text: None)
    wanted = data / "images" / "3.png"
    found = boxes_of_pictures(opened, [wanted, Image.new("RGB", (4, 4)), tmp_path / "none.png"])
    assert list(found) == [str(wanted)]
    boxes = found[str(wanted)]["boxes"]
    torch.testing.assert_close(boxes.corners, torch.tensor([[15.0, 43 / 4, 45.0, 3 * 43 / 4]]), atol=1e-3, rtol=0)
    assert boxes.classes.tolist() == [1]


def test_worst_errors_are_found_beside_a_table_and_in_the_folders_of_annotations(tmp_path: Path):
    for name in ("set/images/a.png", "elsewhere/b.png", "set/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    rows = [{"picture": "pictures/0.png", "file": name, "target": "label", "truth": "x", "predicted": "y", "score": 1.0}
            for name in ("images/a.png", "b.png", "c.png", "gone.png", "c.png")]
    run.write_json("metrics.json", {"test": {"worst": rows}})
    run.write_json("data.json", {"source": {"picture_folders": {"test": str(tmp_path / "elsewhere")}}})
    assert worst_pictures(run, tmp_path / "set" / "labels.csv") == \
        [tmp_path / "set/images/a.png", tmp_path / "elsewhere/b.png", tmp_path / "set/c.png"]
    run.write_json("metrics.json", {"test": {"worst": rows[3:4]}})
    with pytest.raises(UserError, match="lists no wrong answer whose picture is a file that is still there"):
        worst_pictures(run, tmp_path / "set")
