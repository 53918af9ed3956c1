"""When another way to compute is taken for the same: by how much float32 may differ, and what 16 bits need."""

import pytest
import torch
from torch import Tensor

from lensmith.base.pictures import Form
from lensmith.ship.runtimes.candidates import Candidate
from lensmith.ship.runtimes.choice import Way
from lensmith.ship.runtimes.file_facts import FileFacts, TargetFacts
from lensmith.training.same_answers import SameAnswers
from lensmith.values.boxes import Boxes
from lensmith.values.labels import Label

FLOAT32, BFLOAT16 = Candidate("torch", "float32", 1), Candidate("torch", "bfloat16", 1)
PICTURES = torch.zeros((4, 3, 100, 50), dtype=torch.uint8)


def facts(kind: str) -> FileFacts:
    target = TargetFacts(kind, ("a", "b"), 0.5 if kind == "boxes" else None)
    return FileFacts({kind: target}, Form(3, 100, 50), True, {"name": "any"}, None, "0")


def labels(scores: Tensor) -> Way:
    """Says the scores of as many pictures as come."""
    return Way(lambda pictures: scores[: len(pictures)], lambda output: {"label": Label(output.argmax(1), output)})


def boxes(corners: Tensor) -> Way:
    """Says one box a picture."""
    def decode(number: int) -> dict[str, Boxes]:
        return {"boxes": Boxes(corners[:number], torch.zeros(number, dtype=torch.int64), torch.ones(number),
                               torch.arange(number))}
    return Way(len, decode)


@pytest.mark.parametrize(("difference", "same"), [(0.9e-4, True), (1.1e-4, False), (float("nan"), False)])
def test_a_probability_may_differ_by_a_ten_thousandth_of_the_largest(difference: float, same: bool):
    scores = torch.tensor([[0.8, 0.2]]).repeat(4, 1)
    check = SameAnswers(lambda: labels(scores), facts("label"))
    problem = check.problem(FLOAT32, labels(scores + torch.tensor([difference * 0.8, 0.0])), PICTURES)
    assert (problem == "") is same, problem
    if not same:
        assert problem.startswith("its answers differ from those of float32 by ")


@pytest.mark.parametrize(("difference", "same"), [(0.009, True), (0.011, False)])
def test_a_corner_may_differ_by_a_ten_thousandth_of_the_longer_edge(difference: float, same: bool):
    corners = torch.tensor([[10.0, 10.0, 40.0, 90.0]]).repeat(4, 1)
    check = SameAnswers(lambda: boxes(corners), facts("boxes"))
    assert (check.problem(FLOAT32, boxes(corners + difference), PICTURES) == "") is same
    assert check.problem(FLOAT32, boxes(corners + 20), PICTURES) == "only 0.0 % of its answers are those of float32"


def test_16_bits_need_99_of_100_answers_on_held_out_pictures():
    scores = torch.rand((200, 2), generator=torch.Generator().manual_seed(0))
    held_out = [torch.zeros((200, 3, 8, 8), dtype=torch.uint8)]
    check = SameAnswers(lambda: labels(scores), facts("label"), lambda: held_out)
    for wrong, same in ((2, True), (3, False)):
        other = scores.clone()
        other[:wrong] = other[:wrong].flip(1)
        problem = check.problem(BFLOAT16, labels(other + 0.01), PICTURES)
        assert (problem == "") is same, problem
    assert problem == "98.5 % of its answers on 200 pictures are those that they are compared with"
    none = SameAnswers(lambda: labels(scores), facts("label"), list)
    assert none.problem(BFLOAT16, labels(scores), PICTURES) == \
        "there are no held-out pictures to compare its answers in bfloat16 on"


def test_the_precision_of_a_file_is_compared_with_itself_on_the_pictures_in_use():
    scores = torch.tensor([[0.8, 0.2], [0.3, 0.7], [0.8, 0.2], [0.8, 0.2]])
    check = SameAnswers(lambda: labels(scores), facts("label"))
    int8 = Candidate("openvino", "int8", 1)
    assert check.problem(int8, labels(scores + torch.tensor([0.05, 0.0])), PICTURES) == ""
    assert check.problem(int8, labels(scores.flip(1)), PICTURES).startswith("0.0 % of its answers on 4 pictures")
