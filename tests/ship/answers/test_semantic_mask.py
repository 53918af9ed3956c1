"""What is said, listed, drawn and written of found masks."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.base.errors import DataError
from lensmith.ship.answers.semantic_mask import as_json, as_rows, in_words
from lensmith.ship.predict.prediction import Prediction
from lensmith.ship.predict.write_files import write_predictions
from lensmith.values.drawing import colour_of
from lensmith.values.semantic_mask import Mask

NAMES = ("ground", "cat", "dog")
CLASSES = torch.zeros(6, 10, dtype=torch.uint8)
CLASSES[:3, :4], CLASSES[:, 9] = 2, 255
FOUND = Mask(CLASSES)


def predicted(file: Path | str, mask: Mask = FOUND, *, from_memory: bool = False) -> Prediction:
    return Prediction(str(file), {"mask": mask}, {"mask": NAMES}, from_memory=from_memory, size=(6, 10))


def test_words_rows_and_json_count_what_is_not_void() -> None:
    assert in_words(FOUND, NAMES, 3) == predicted("a.png").text() == "ground 77.8 %, dog 22.2 %"
    assert in_words(FOUND, NAMES, 1) == "ground 77.8 % and 1 more"
    assert as_rows("a.png", FOUND, NAMES) == predicted("a.png").rows() == [
        {"file": "a.png", "label": "ground", "share": 0.777778, "pixels": 42},
        {"file": "a.png", "label": "dog", "share": 0.222222, "pixels": 12}]
    assert predicted("a.png").as_json() == {"file": "a.png", "mask": {"ground": 0.777778, "dog": 0.222222},
                                            "size": [6, 10]}
    assert as_json(FOUND, NAMES)["size"] == [6, 10] and predicted("a.png").mask is FOUND
    assert Prediction("a.png").mask is None


def test_masks_are_written_as_numbers_with_a_palette_and_over_their_pictures(tmp_path: Path) -> None:
    files = [tmp_path / "one" / "a.png", tmp_path / "two" / "a.png", tmp_path / "one" / "b.png"]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (10, 6), (90, 90, 90)).save(file)
    out = tmp_path / "out"
    write_predictions([*map(predicted, files), Prediction("c.png", error="is truncated"),
                       predicted("picture 4", from_memory=True)], out)
    assert sorted(path.name for path in (out / "masks").iterdir()) == ["00000-a.png", "00001-a.png", "b.png",
                                                                       "picture 4.png"]
    with Image.open(out / "masks" / "b.png") as image:
        assert image.mode == "P" and np.array_equal(np.array(image), CLASSES.numpy())
        colours = np.array(image.convert("RGB"))
    assert tuple(colours[0, 0]) == colour_of(2) and tuple(colours[5, 0]) == colour_of(0)
    assert tuple(colours[0, 9]) == (0, 0, 0)
    shown = sorted(path.name for path in out.glob("*.jpg"))
    assert shown == ["00000-a.jpg", "00001-a.jpg", "00002-b.jpg"]
    with Image.open(out / shown[0]) as image:
        assert image.size == (10, 6)
    with open(out / "predictions.csv", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 9 and rows[0]["label"] == "ground" and rows[6]["error"] == "is truncated"
    assert len(json.loads((out / "predictions.json").read_text())) == 5


def test_a_picture_that_has_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone.png does not exist"):
        write_predictions([predicted(tmp_path / "gone.png")], tmp_path / "out")
