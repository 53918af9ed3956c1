"""Answers explained: in the pixels of the file, with the pointing game by the answer's own box and by true ones."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from lensmith.base.pictures import Place
from lensmith.engine.plan.plan import make_plan
from lensmith.models.network import Network
from lensmith.study.explain.explained_picture import Explainer, Explanation, ToExplain
from lensmith.study.explain.kept_likeness import KeptLikeness
from lensmith.study.explain.quick_forward import quick_forward
from lensmith.values.boxes import Boxes

PLACE = Place("a.png", (60, 80), (0.5, 0.5, 0.0, 1.0))    # letterboxed: a row above and a row below


class OneObject:
    """A task that finds one object whatever it is shown, by the brightness of its box."""

    objects, needs = ("boxes",), ("boxes",)

    def decode(self, output: Tensor) -> dict[str, Any]:
        return {"boxes": Boxes.stack([Boxes(torch.tensor([[10.0, 8, 30, 24]]), torch.tensor([1]),
                                            torch.tensor([0.75]))] * len(output))}

    def evidence(self, output: Tensor, index: int, of: Any = None) -> Tensor:
        return output[:, index]


@pytest.fixture
def explainer(network: Network, tmp_path: Path) -> Explainer:
    plan = make_plan(device="cpu", layout="contiguous")
    return Explainer(network, OneObject(), {"boxes": ("ant", "bee")}, ToExplain(("layer_cam",), check=True),
                     quick_forward(network, plan), KeptLikeness(tmp_path / "kept.json", {}))


def explained(explainer: Explainer, truth: dict[str, Boxes]) -> Explanation:
    picture = torch.full((3, 32, 40), 60, dtype=torch.uint8)
    picture[:, 10:20, 14:26] = 220
    found = explainer.explain(picture, PLACE, Image.new("RGB", (80, 60)), truth)
    (explanation,) = found.explanations
    assert found.file == "a.png"
    return explanation


def test_an_object_stands_in_the_pixels_of_the_file(explainer: Explainer):
    found = explained(explainer, {})
    assert found.corners == (20, 14, 60, 46) and found.map.shape == (60, 80)
    assert found.answer.corners == (10, 8, 30, 24)
    assert found.as_json()["corners"] == (20, 14, 60, 46) and found.as_json()["answer"] == "bee 75.0 %"
    assert found.in_true_box is None and "a true box" not in found.notes


def test_a_map_without_a_place_and_a_picture_with_nothing_to_lose_are_named(explainer: Explainer):
    found = explained(explainer, {})
    assert found.problem is None or "nearly the same" not in found.problem
    even = replace(found, map=torch.full((60, 80), 2.0), likeness=0.1, covered=None)
    assert even.problem == "its map is nearly the same over the whole picture"
    assert replace(even, map=torch.full((60, 80), float("nan"))).problem == even.problem
    assert "a blank picture scores no less, so there is nothing to take away" in even.notes
    assert "nothing to take away" not in replace(even, checked=False).notes


def test_true_boxes_of_the_class_are_pointed_at(explainer: Explainer):
    row, column = divmod(int(explained(explainer, {}).map.nan_to_num(-1).argmax()), 80)
    around = [column - 2.0, row - 2.0, column + 3.0, row + 3.0]
    elsewhere = [0.0, 0.0, 1.0, 1.0]
    for corners, classes, crowd, expected in (
            ([around], [1], None, True), ([elsewhere, around], [1, 1], None, True), ([elsewhere], [1], None, False),
            ([around], [0], None, None), ([around], [1], [True], None),
            ([elsewhere, around], [1, 1], [False, True], False)):
        truth = Boxes(torch.tensor(corners), torch.tensor(classes),
                      crowd=None if crowd is None else torch.tensor(crowd))
        found = explained(explainer, {"boxes": truth})
        assert found.in_true_box is expected, (corners, classes, crowd)
        assert found.in_true_box is None or \
            f"lies {'in' if expected else 'outside of'} a true box of bee" in found.notes
    assert explained(explainer, {"others": truth}).in_true_box is None
