"""The file of answers: what is written is read again, and what somebody damaged is said in one line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lensmith.base.errors import ModelError
from lensmith.base.pictures import Place
from lensmith.data.sources.sample import Batch
from lensmith.engine.kept_answers import KeptAnswers, read_answers, write_answers
from lensmith.engine.run_folder import ANSWERS_FILE, Run
from lensmith.values.boxes import Boxes
from lensmith.values.labels import Label

CLASSES = {"label": ("cat", "dog"), "boxes": ("cat", "dog"), "angle": ("tilt",)}


def batch(numbers: range, *, named: bool = True) -> Batch:
    count = len(numbers)
    targets = {"label": Label(torch.tensor([number % 2 for number in numbers])), "boxes": one_box_each(count)}
    places = [Place(f"/pets/\udcff{number}.png", (8, 8)) for number in numbers] if named else ()
    return Batch(torch.zeros(count, 3, 8, 8, dtype=torch.uint8), targets, places)


def one_box_each(count: int, *, scored: bool = False) -> Boxes:
    corners = torch.tensor([[1.0, 1.0, 5.0, 6.0]]).repeat(count, 1)
    return Boxes(corners, torch.zeros(count, dtype=torch.int64), torch.full((count,), 0.9) if scored else None,
                 torch.arange(count), None if scored else torch.zeros(count, dtype=torch.bool),
                 None if scored else torch.full((count,), 20.0))


def kept(*, named: bool = True) -> KeptAnswers:
    answers = KeptAnswers(("label", "boxes", "angle"), CLASSES)
    for numbers in (range(3), range(3, 5)):
        said: dict[str, Any] = {"label": Label(torch.zeros(len(numbers), dtype=torch.int64)),
                                "boxes": one_box_each(len(numbers), scored=True)}
        answers.update(batch(numbers, named=named), said)
    return answers


@pytest.fixture
def run(tmp_path: Path) -> Run:
    write_answers(Run(tmp_path), {"test": kept().split()})
    return Run(tmp_path)


def test_answers_are_read_as_they_were_written(run: Run):
    answers = read_answers(run)["test"]
    assert answers.files == tuple(f"/pets/\udcff{number}.png" for number in range(5))
    assert set(answers.targets) == {"label", "boxes"}
    assert answers.targets["label"].columns["truth"].tolist() == [0, 1, 0, 1, 0]
    boxes = answers.targets["boxes"]
    assert boxes.columns["found_image"].tolist() == boxes.columns["true_image"].tolist() == [0, 1, 2, 3, 4]
    assert boxes.counts.measure("mAP50-95", boxes.columns, np.ones((1, 5)), 2) == pytest.approx([1.0])
    assert boxes.names == ("cat", "dog") and boxes.kind == "boxes"


def test_a_run_without_the_file_has_none_and_pictures_without_a_file_a_number(tmp_path: Path):
    assert read_answers(Run(tmp_path)) == {}
    assert kept(named=False).split().files == tuple(f"picture {number}" for number in range(5))


def test_what_is_damaged_is_said(run: Run):
    whole = run.read_state(ANSWERS_FILE)
    columns = whole["splits"]["test"]["targets"]["label"]["columns"]
    for broken, text in (
            ({**columns, "truth": torch.full((5,), 7, dtype=torch.int32)}, r"test: label\.truth has numbers beyond"),
            ({**columns, "truth": torch.zeros(5)}, r"label\.truth is float32 with 1 axes, and must be int32 with 1"),
            ({**columns, "truth": torch.zeros(5, dtype=torch.bfloat16)}, r"label\.truth is bfloat16"),
            ({**columns, "truth": 3}, r"label\.truth is missing"), ({}, r"label\.truth is missing")):
        state = {"splits": {"test": {**whole["splits"]["test"], "targets": {
            "label": {"kind": "label", "names": ["cat", "dog"], "columns": broken}}}}}
        run.write_state(ANSWERS_FILE, state)
        with pytest.raises(ModelError, match=rf"answers\.safetensors is damaged \(test: {text[6:]}|{text}") as caught:
            read_answers(run)
        assert "`lensmith compare --measure` with its run writes it again" in str(caught.value)
    for files in (torch.zeros(3), torch.zeros(2, dtype=torch.uint8), None):
        run.write_state(ANSWERS_FILE, {"splits": {"test": {**whole["splits"]["test"], "files": files}}})
        with pytest.raises(ModelError, match=r"damaged \(test: (files must be a row of bytes|it has 3 files, and 5)"):
            read_answers(run)
    for state in ({}, {"splits": 3}, {"splits": {"test": {"count": -1}}}):
        run.write_state(ANSWERS_FILE, state)
        with pytest.raises(ModelError, match=r"answers\.safetensors .*splits.* writes it again"):
            read_answers(run)
    (run.folder / ANSWERS_FILE).write_bytes(b"\x80nothing")
    with pytest.raises(ModelError, match=r"a pickle, which can run code and is refused.* writes it again"):
        read_answers(run)
