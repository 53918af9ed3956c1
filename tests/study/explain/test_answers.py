"""Which answers of each kind are explained."""

import pytest
import torch

from lensmith.base.errors import UserError
from lensmith.study.explain.answers import EXPLAINED, explained_answers
from lensmith.values import KINDS
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks
from lensmith.values.labels import Label, Numbers, Tags
from lensmith.values.semantic_mask import Mask
from lensmith.values.value import Value

NAMES = ("ant", "bee", "cat", "dog", "eel")
CORNERS = torch.tensor([[0.0, 0, 8, 8], [4, 4, 12, 12], [1, 1, 3, 3], [2, 2, 9, 9]])
FOUND = (CORNERS, torch.tensor([1, 2, 1, 3]), torch.tensor([0.3, 0.9, 0.8, 0.4]))
PIXELS = torch.tensor([[0, 0, 0], [4, 4, 2], [4, 4, 1]])


@pytest.mark.parametrize(("value", "expected"), [
    (Label(torch.tensor(1), torch.tensor([0.1, 0.6, 0.1, 0.1, 0.1])), [("bee", 0.6)]),
    (Tags(torch.zeros(5), torch.tensor([0.9, 0.1, 0.6, 0.2, 0.55])), [("ant", 0.9), ("cat", 0.6), ("eel", 0.55)]),
    (Tags(torch.zeros(5), torch.tensor([0.1, 0.1, 0.4, 0.2, 0.3])), [("cat", 0.4)]),
    (Numbers(torch.tensor([3.0, 4.0])), [("ant", None), ("bee", None)]),
    (Boxes(*FOUND), [("cat", 0.9), ("bee", 0.8), ("dog", 0.4)]),
    (Masks(*FOUND, bits=torch.zeros(4, 16, 2, dtype=torch.uint8)), [("cat", 0.9), ("bee", 0.8), ("dog", 0.4)]),
    (Mask(PIXELS), [("eel", None), ("ant", None), ("bee", None)])])
def test_the_likeliest_answers_of_a_kind(value: Value, expected: list[tuple[str, float | None]]):
    answers = explained_answers({"what": value}, {"what": NAMES})
    assert [answer.name for answer in answers][:2] == [name for name, _ in expected][:2]
    assert len(answers) == len(expected)
    for answer, (_, score) in zip(answers, expected, strict=True):
        assert answer.score == (None if score is None else pytest.approx(score))
        assert answer.target == "what" and NAMES[answer.number] == answer.name


def test_every_kind_has_its_answers():
    assert set(EXPLAINED) == set(KINDS)


def test_a_class_that_is_named_is_explained_whatever_is_said():
    label = Label(torch.tensor(1), torch.tensor([0.1, 0.6, 0.1, 0.1, 0.1]))
    (answer,) = explained_answers({"label": label}, {"label": NAMES}, "dog")
    assert (answer.name, answer.in_words()) == ("dog", "dog 10.0 %")
    boxes = explained_answers({"boxes": Boxes(*FOUND)}, {"boxes": NAMES}, "bee")
    assert [answer.corners for answer in boxes] == [(1, 1, 3, 3), (0, 0, 8, 8)]
    assert not explained_answers({"boxes": Boxes(*FOUND)}, {"boxes": NAMES}, "eel")
    (pixels,) = explained_answers({"mask": Mask(PIXELS)}, {"mask": NAMES}, "dog")
    assert pixels.in_words() == "dog"


def test_of_several_targets_those_that_have_the_class():
    values = {"label": Label(torch.tensor(0), torch.tensor([0.9, 0.1])), "numbers": Numbers(torch.tensor([2.0]))}
    names = {"label": ("ant", "bee"), "numbers": ("age",)}
    answers = explained_answers(values, names)
    assert [answer.target for answer in answers] == ["label", "numbers"]
    assert [answer.in_words() for answer in answers] == ["label: ant 90.0 %", "numbers: age 2"]
    assert [answer.target for answer in explained_answers(values, names, "age")] == ["numbers"]


def test_an_unknown_class_is_refused_with_the_nearest():
    many = tuple(f"class {number}" for number in range(40))
    label = Label(torch.tensor(0), torch.rand(40))
    with pytest.raises(UserError) as refused:
        explained_answers({"label": label}, {"label": many}, "clas 7")
    said = str(refused.value)
    assert said.startswith("unknown class 'clas 7'. Did you mean 'class 7'? The network knows 40: class 0, class 1, ")
    assert said.endswith("class 9 ...")
