"""Pictures chosen by class: of every class as many, as far as it has them."""

import numpy as np
import torch

from lensmith.base.pictures import Place
from lensmith.data.sources.in_memory import InMemory
from lensmith.data.sources.subsets import evenly_by_class
from lensmith.values.boxes import Boxes
from lensmith.values.labels import Label, Numbers


def source(**targets) -> InMemory:
    number = 60
    return InMemory(torch.zeros(number, 1, 2, 2, dtype=torch.uint8), targets, dict.fromkeys(targets, ("a", "b", "c")),
                    places=[Place(str(row), (2, 2)) for row in range(number)])


LABELS = torch.tensor([0] * 45 + [1] * 12 + [2] * 3)


def test_every_class_has_as_many_until_it_has_no_more():
    one = source(label=Label(LABELS))
    for number, wanted in ((3, [1, 1, 1]), (9, [3, 3, 3]), (15, [6, 6, 3]), (40, [25, 12, 3]), (99, [45, 12, 3])):
        rows = evenly_by_class(one, ["label"], number)
        assert rows == sorted(set(rows)) and torch.bincount(LABELS[rows]).tolist() == wanted, number
    assert evenly_by_class(one, ["label"], 9) == evenly_by_class(one, ["label"], 9)
    assert set(evenly_by_class(one, ["label"], 9)) <= set(evenly_by_class(one, ["label"], 15))
    assert evenly_by_class(one, ["label"], 9) != list(range(9))


def test_of_objects_pictures_of_the_rarest_class_are_not_left_out():
    corners = torch.tensor([[0.0, 0, 1, 1]]).expand(60, 4)
    boxes = Boxes(corners, LABELS, torch.ones(60), image=torch.arange(60))
    rows = evenly_by_class(source(boxes=boxes), ["boxes"], 6)
    assert torch.bincount(LABELS[rows]).tolist() == [2, 2, 2]


def test_what_a_set_is_not_divided_by_is_chosen_by_hash():
    rows = evenly_by_class(source(numbers=Numbers(torch.arange(60.0)[:, None])), ["numbers"], 20)
    assert len(rows) == 20 and np.std(rows) > 10    # spread over the set
