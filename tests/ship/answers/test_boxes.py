"""What is said, listed, drawn and written of found boxes, read back by others' readers."""

import contextlib
import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lensmith.base.errors import UserError
from lensmith.ship.answers.boxes import as_rows, coco_results, in_words, yolo_text
from lensmith.ship.predict.overlay import overlaid
from lensmith.ship.predict.prediction import Prediction
from lensmith.ship.predict.write_files import write_predictions
from lensmith.values.boxes import Boxes
from lensmith.values.drawing import colour_of

NAMES = ("ant", "bee", "cat")
FOUND = Boxes(torch.tensor([[10.0, 20, 50, 60], [0, 0, 100, 80], [5.5, 6.25, 7, 9]]), torch.tensor([1, 2, 1]),
              torch.tensor([0.931, 0.802, 0.5]))
NONE = Boxes(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0))


def predicted(file: Path | str, boxes: Boxes = FOUND, *, size: tuple[int, int] = (80, 100),
              from_memory: bool = False) -> Prediction:
    return Prediction(str(file), {"boxes": boxes}, {"boxes": NAMES}, from_memory=from_memory, size=size)


def photo(path: Path, *, size: tuple[int, int] = (100, 80)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 90, 90)).save(path)
    return path


def test_boxes_in_words() -> None:
    assert in_words(FOUND, NAMES, 3) == "bee 93.1 %, cat 80.2 %, bee 50.0 %"
    assert in_words(FOUND, NAMES, 1) == predicted("a.png").text(1) == "bee 93.1 % and 2 more"
    assert in_words(NONE, NAMES, 3) == predicted("a.png", NONE).text() == "no object"


def test_json_and_rows() -> None:
    shown = predicted("a.png").as_json()
    assert shown["file"] == "a.png" and len(shown["boxes"]) == 3
    assert shown["boxes"][2] == {"label": "bee", "score": 0.5, "corners": [5.5, 6.25, 7.0, 9.0]}
    rows = predicted("a.png").rows()
    assert rows == as_rows("a.png", FOUND, NAMES) and len(rows) == 3
    assert rows[0] == {"file": "a.png", "label": "bee", "score": pytest.approx(0.931), "x0": 10, "y0": 20, "x1": 50,
                       "y1": 60}
    assert list(as_rows("a.png", NONE, NAMES)[0].values()) == ["a.png", "", "", "", "", "", ""]
    assert predicted("a.png").row() == {"file": "a.png", "objects": 3}
    assert predicted("a.png").label is None and Prediction("a.png").boxes is None
    assert Prediction("a.png", error="is truncated").rows() == [{"file": "a.png", "error": "is truncated"}]


def test_coco_results_are_read_and_measured_by_pycocotools() -> None:
    results = coco_results(["x/000000000139.jpg", "000000000285.jpg"], [FOUND, NONE])
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"info": {}, "images": [{"id": 139}, {"id": 285}],
                        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(NAMES)],
                        "annotations": [
                            {"id": i, "image_id": 139, "category_id": one, "area": 1600, "iscrowd": 0, "bbox": box}
                            for i, one, box in ((1, 2, [10, 20, 40, 40]), (2, 3, [0, 0, 100, 80]),
                                                (3, 2, [5.5, 6.25, 1.5, 2.75]))]}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)
    assert [row["image_id"] for row in coco_results(["a.jpg", "7.jpg"], [NONE, FOUND])] == [2, 2, 2]
    assert [row["image_id"] for row in coco_results(["x/1.jpg", "y/01.jpg"], [FOUND, NONE])] == [1, 1, 1]
    assert coco_results(["x/1.jpg"], [FOUND])[0]["file_name"] == "1.jpg" and coco_results([], []) == []
    # Of a COCO file's pictures the ids are those of the file; others get numbers that none has.
    known = coco_results(["a.jpg", "b.jpg", "3.jpg"], [FOUND, FOUND, FOUND], None, [2, "x", None])
    assert [row["image_id"] for row in known] == [2] * 3 + ["x"] * 3 + [3] * 3


def test_yolo_text_goes_back_to_the_corners() -> None:
    lines = [list(map(float, line.split())) for line in yolo_text(FOUND, (80, 100)).splitlines()]
    assert lines[0] == [1, 0.3, 0.5, 0.4, 0.5, 0.931]
    for (number, x, y, w, h, score), corners, kind, sure in zip(lines, FOUND.corners, FOUND.classes, FOUND.scores,
                                                                strict=True):
        assert (number, score) == (kind, pytest.approx(float(sure)))
        assert [(x - w / 2) * 100, (y - h / 2) * 80, (x + w / 2) * 100, (y + h / 2) * 80] == \
            pytest.approx(corners.tolist(), abs=1e-4)
    assert yolo_text(NONE, (80, 100)) == ""


def test_boxes_are_drawn_on_the_upright_picture_at_its_own_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6    # the camera was turned
    Image.new("RGB", (3000, 40), (90, 90, 90)).save(tmp_path / "long.jpg", exif=exif)
    found = Boxes(torch.tensor([[10.0, 1000, 30, 2999]]), torch.tensor([0]))
    shown = np.array(overlaid(Prediction(str(tmp_path / "long.jpg"), {"boxes": found}, {"boxes": ("",)})))
    assert shown.shape == (3000, 40, 3) and (shown[1500, 10] == colour_of(0)).all()
    assert abs(shown[:990].astype(int) - 90).max() < 3


def test_every_form_is_written(tmp_path: Path) -> None:
    files = [photo(tmp_path / "one" / "a.png"), photo(tmp_path / "two" / "A.jpg"), photo(tmp_path / "b.v2.png")]
    found = [predicted(files[0]), predicted(files[1], NONE), predicted(files[2]),
             predicted("picture 3", from_memory=True), Prediction("gone.png", error="does not exist")]
    out = tmp_path / "out"
    write_predictions(found, out)
    assert sorted(str(path.relative_to(out)) for path in out.rglob("[!.]*") if path.is_file()) == [
        "00000-a.jpg", "00001-A.jpg", "00002-b.v2.jpg", "coco_results.json", "labels/00000-a.txt",
        "labels/00001-A.txt", "labels/b.v2.txt", "labels/picture 3.txt", "predictions.csv", "predictions.json"]
    assert json.loads((out / "predictions.json").read_text()) == [one.as_json() for one in found]
    results = json.loads((out / "coco_results.json").read_text())
    assert [row["image_id"] for row in results] == [1] * 3 + [3] * 3 + [4] * 3
    with open(out / "predictions.csv", encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["label"] for row in table] == ["bee", "cat", "bee", "", "bee", "cat", "bee", "bee", "cat", "bee", ""]
    assert table[-1]["error"] == "does not exist" and table[3]["file"] == str(files[1])
    assert (out / "labels" / "b.v2.txt").read_text() == yolo_text(FOUND, (80, 100))
    assert (out / "labels" / "00001-A.txt").read_text() == ""    # nothing found is a file without a line
    with Image.open(out / "00002-b.v2.jpg") as shown:
        assert shown.size == (100, 80) and np.abs(np.array(shown).astype(int) - 90).max() > 60
    with Image.open(out / "00001-A.jpg") as plain:
        assert np.abs(np.array(plain).astype(int) - 90).max() < 3


def test_a_picture_that_has_gone_and_a_folder_in_the_way_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gone.png does not exist"):
        write_predictions([predicted(tmp_path / "gone.png")], tmp_path / "out")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "labels").write_text("in the way")
    with pytest.raises(UserError, match=r"other holds what lensmith did not write \(labels\).* predict.out"):
        write_predictions([predicted(photo(tmp_path / "a.png"))], tmp_path / "other")
