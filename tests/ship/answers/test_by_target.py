"""What is said of one picture, alone and of several targets together: words, JSON, rows of a table, what is drawn."""

import csv
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lensmith.ship.answers import ANSWERS
from lensmith.ship.answers.by_target import by_names, targets_as_json, targets_as_row, targets_in_words
from lensmith.ship.predict.overlay import overlaid
from lensmith.ship.predict.prediction import Prediction
from lensmith.ship.predict.write_files import write_predictions
from lensmith.values.boxes import Boxes
from lensmith.values.labels import Label, Numbers, Tags
from lensmith.values.semantic_mask import Mask
from lensmith.values.value import Value

VALUES: dict[str, Value] = {
    "species": Label(torch.tensor(1), torch.tensor([0.25, 0.75])),
    "breed": Label(torch.tensor(0), torch.tensor([0.6, 0.4])),
    "looks": Tags(torch.tensor([1.0, 0.0, 1.0]), torch.tensor([0.9, 0.1, 0.8])), "size": Numbers(torch.tensor([12.5])),
    "head": Boxes(torch.tensor([[1.0, 2, 11, 12]]), torch.tensor([0]), torch.tensor([0.5])),
    "outline": Mask(torch.tensor([[0, 1], [1, 1]]).to(torch.uint8).repeat_interleave(10, 0).repeat_interleave(10, 1))}
NAMES = {"species": ("cat", "dog"), "breed": ("pug", "poodle"), "looks": ("big", "wet", "happy"), "size": ("kg",),
         "head": ("head",), "outline": ("ground", "pet")}


def test_several_answers_go_by_their_names():
    assert by_names(VALUES) and targets_in_words(VALUES, NAMES, 1) == (
        "species: dog 75.0 %; breed: pug 60.0 %; looks: big, happy; size: kg 12.5; head: head 50.0 %; outline: pet "
        "75.0 % and 1 more")
    shown = json.loads(json.dumps(targets_as_json(VALUES, NAMES, 1)))
    assert shown["species"] == {"label": "dog", "scores": {"dog": 0.75}} and shown["breed"]["label"] == "pug"
    assert shown["looks"]["tags"] == ["big", "happy"] and shown["size"] == {"numbers": {"kg": 12.5}}
    assert shown["head"]["boxes"] == [{"label": "head", "score": 0.5, "corners": [1, 2, 11, 12]}]
    assert shown["outline"] == {"mask": {"pet": 0.75, "ground": 0.25}, "size": [20, 20]}
    assert targets_as_row(VALUES, NAMES, 2) == {
        "species": "dog", "species_score": 0.75, "species2": "cat", "species_score2": 0.25, "breed": "pug",
        "breed_score": 0.6, "breed2": "poodle", "breed_score2": 0.4, "looks": "big;happy", "size_kg": 12.5,
        "head_objects": 1, "outline_pet": 0.75, "outline_ground": 0.25}


def test_one_answer_that_is_called_what_it_is_goes_without_a_name():
    alone: dict[str, Value] = {"label": VALUES["species"]}
    assert not by_names(alone) and by_names({"species": VALUES["species"]})
    assert targets_in_words(alone, {"label": NAMES["species"]}, 2) == "dog 75.0 %, cat 25.0 %"
    assert targets_as_row(alone, {"label": NAMES["species"]}, 1) == {"label": "dog", "score": 0.75}
    assert targets_as_json(alone, {"label": NAMES["species"]}, 1) == {"label": "dog", "scores": {"dog": 0.75}}


def test_each_target_has_files_of_its_own(tmp_path: Path):
    Image.new("RGB", (20, 20), (90, 90, 90)).save(tmp_path / "a.png")
    one = Prediction(str(tmp_path / "a.png"), VALUES, NAMES, size=(20, 20))
    write_predictions([one, Prediction("gone.png", error="does not exist")], tmp_path / "out")
    files = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("[!.]*") if path.is_file()}
    assert files == {"predictions.json", "predictions.csv", "predictions-head.csv", "predictions-outline.csv",
                     "coco_results-head.json", "labels-head/a.txt", "masks-outline/a.png", "00000-a.jpg"}
    with (tmp_path / "out" / "predictions-head.csv").open() as file:
        assert list(csv.DictReader(file)) == [{key: str(value) for key, value in row.items()}
                                              for row in ANSWERS["boxes"].as_rows(one.file, VALUES["head"], ("head",))]
    assert (one.label, one.score) == ("dog", 0.75) and one.boxes is VALUES["head"] and one.mask is VALUES["outline"]


def test_boxes_lie_over_the_mask_and_the_labels_stand_below(tmp_path: Path):
    Image.new("RGB", (200, 200), (90, 90, 90)).save(tmp_path / "a.png")
    values: dict[str, Value] = {"outline": Mask(torch.ones(200, 200, dtype=torch.uint8)),
                                "head": Boxes(torch.tensor([[50.0, 60, 150, 160]]), torch.tensor([0]))}
    both, mask = (np.asarray(overlaid(Prediction(str(tmp_path / "a.png"), own, NAMES)))
                  for own in (values, {"outline": values["outline"]}))
    assert both.shape == mask.shape == (200, 200, 3)
    assert not np.array_equal(both[100, 50], mask[100, 50]) and np.array_equal(both[100, 100], mask[100, 100])
    told = overlaid(Prediction(str(tmp_path / "a.png"), values | {"species": VALUES["species"]}, NAMES))
    assert told.height > 200 and told.width >= 200
