"""How many boxes there are, how large, and where, counted by hand."""

import json

import pytest
import torch

from lensmith.data.sources.box_statistics import box_statistics
from lensmith.values.boxes import Boxes

CORNERS = torch.tensor([[0.0, 0, 10, 10], [95, 45, 100, 50], [0, 0, 100, 50], [10, 10, 90, 40]])
BOXES = Boxes(CORNERS, torch.tensor([0, 2, 0, 1]), image=torch.tensor([0, 0, 1, 3]),
              crowd=torch.tensor([False, False, False, True]),
              area=torch.tensor([float("nan"), 25, 9999, 2400]))
SIZES = torch.tensor([[50, 100]] * 5)    # height, width


def test_boxes_are_counted_by_class_size_and_picture() -> None:
    found = box_statistics(BOXES, SIZES, ("ant", "bee", "cat"))
    assert {name: found[name] for name in ("pictures", "boxes", "crowd", "background")} == {
        "pictures": 5, "boxes": 3, "crowd": 1, "background": 3}
    assert found["per_class"] == {"ant": 2, "bee": 0, "cat": 1}
    assert found["sizes"] == {"small": 2, "medium": 0, "large": 1}    # the third by its given area
    assert found["per_picture"] == [3, 1, 1]
    assert json.loads(json.dumps(found)) == found


def test_histograms_are_of_shares_and_the_map_of_centres() -> None:
    found = box_statistics(BOXES, SIZES, ("ant", "bee", "cat"))
    for name, bins in (("width", {2: 1, 1: 1, 19: 1}), ("height", {4: 1, 2: 1, 19: 1})):    # 0.1, 0.05, 1; 0.2, 0.1, 1
        counts = found[name]["counts"]
        assert {i: n for i, n in enumerate(counts) if n} == bins and len(counts) == 20
        assert (found[name]["low"], found[name]["high"]) == (0, 1)
    # 0.02, 0.005 and 1 of the picture: -1.7, -2.3 and 0 in steps of a quarter from -5 on.
    assert {i: n for i, n in enumerate(found["area"]["counts"]) if n} == {13: 1, 10: 1, 19: 1}
    cells = {(row, column): n for row, line in enumerate(found["centres"]) for column, n in enumerate(line) if n}
    assert cells == {(1, 0): 1, (15, 15): 1, (8, 8): 1}


def test_pictures_of_their_own_sizes_and_many_boxes() -> None:
    corners = torch.tensor([[0.0, 0, 50, 50]]).repeat(30, 1)
    boxes = Boxes(corners, torch.zeros(30, dtype=torch.int64), image=torch.tensor([0] * 29 + [1]))
    found = box_statistics(boxes, torch.tensor([[50, 50], [500, 100]]), ("ant",))
    assert found["width"]["counts"][19] == 29 and found["width"]["counts"][10] == 1
    assert found["per_picture"] == [0, 1] + [0] * 18 + [1]    # the last counts twenty or more


@pytest.mark.parametrize("pictures", [0, 3])
def test_without_boxes_all_is_nought(pictures: int) -> None:
    none = Boxes(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), image=torch.zeros(0, dtype=torch.int64))
    found = box_statistics(none, torch.full((pictures, 2), 9), ("ant",))
    assert found["boxes"] == 0 and found["background"] == pictures and found["per_class"] == {"ant": 0}
