"""What stands for an unknown target, and that it is told from a known one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lensmith.base.errors import DataError
from lensmith.base.picture_headers import Header
from lensmith.data.sources.kinds.semantic_mask import NoMask
from lensmith.data.sources.mask_files import MaskFiles
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.unknown_targets import check_part_name, counts_of, known_in, spread_over
from lensmith.values.boxes import Boxes
from lensmith.values.labels import UNKNOWN, Label, Numbers, Tags
from lensmith.values.semantic_mask import IGNORED, Mask
from lensmith.values.value import Value

HEADERS = [Header(30, 40, gray=True, deep=False), None, Header(20, 10, gray=True, deep=False),
           Header(50, 60, gray=True, deep=False)]
ROWS = np.array([3, 0])    # the pictures of which something is said, not in their order


class AllOnes:
    """The mask of a picture in class 1."""

    def is_stored(self, header: Header) -> bool:
        return False

    def read(self, size: tuple[int, int], orientation: int = 1) -> np.ndarray:
        return np.ones(size, dtype=np.uint8)


def of_two() -> dict[str, Value]:
    """One value of each kind, stacked for the two pictures of ROWS; two classes."""
    return {
        "kind": Label(torch.tensor([1, 0])), "marks": Tags(torch.tensor([[1.0, 0.0], [0.0, torch.nan]])),
        "age": Numbers(torch.tensor([[2.5], [7.0]])), "outline": MaskFiles((AllOnes(), AllOnes())),
        "ground": Mask(torch.ones(2, 3, 3, dtype=torch.uint8)),
        "head": Boxes(torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]]), torch.tensor([1, 0]), image=torch.tensor([0, 1]))}


def spread() -> Files:
    names = dict.fromkeys(of_two(), ("a", "b"))
    targets = {name: spread_over(value, ROWS, HEADERS, classes=2) for name, value in of_two().items()}
    return Files([Path(f"{i}.png") for i in range(4)], targets, names, root=Path())


def test_what_is_known_comes_to_its_rows_and_the_rest_is_unknown():
    found = spread().targets
    assert found["kind"].index.tolist() == [0, UNKNOWN, UNKNOWN, 1]
    assert found["marks"].present[3].tolist() == [1, 0] and bool(found["marks"].present[1:3].isnan().all())
    assert found["age"].values[[0, 3], 0].tolist() == [7.0, 2.5] and bool(found["age"].values[1:3].isnan().all())
    assert [isinstance(mask, NoMask) for mask in found["outline"].masks] == [False, True, True, False]
    assert bool((found["outline"].masks[1].read((3, 2)) == IGNORED).all())
    assert found["ground"].classes[:, 0, 0].tolist() == [1, IGNORED, IGNORED, 1]


def test_unknown_boxes_are_a_crowd_over_the_whole_picture_for_every_class():
    boxes = spread().targets["head"]
    rows = zip(boxes.image.tolist(), boxes.classes.tolist(), boxes.crowd.tolist(), boxes.corners.tolist(), strict=True)
    # Of picture 1, which cannot be read, the size is not known, and it will be left out.
    assert list(rows) == [(0, 0, False, [5, 6, 7, 8]), (2, 0, True, [0, 0, 10, 20]), (2, 1, True, [0, 0, 10, 20]),
                          (3, 1, False, [1, 2, 3, 4])]


def test_areas_of_annotations_stay_and_crowds_have_their_own():
    own = Boxes(torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([0]), image=torch.tensor([0]), area=torch.tensor([9.0]))
    found = spread_over(own, np.array([2]), HEADERS, classes=1)
    assert found.area.tolist() == [30 * 40, 9, 50 * 60] and found.crowd.tolist() == [True, False, True]


def test_known_and_unknown_are_told_apart_and_counted():
    source = spread()
    for name in source.targets:
        said = [True, False, False, True] if name != "head" else [True, True, False, True]
        assert known_in(source, name).tolist() == said, name
    counts = counts_of(source)
    assert counts["kind"] == {"kind": "label", "known": 2, "unknown": 2, "per_class": {"a": 1, "b": 1}}
    assert counts["marks"]["per_class"] == {"a": 1, "b": 0} and counts["head"]["per_class"] == {"a": 1, "b": 1}
    assert counts["outline"] == {"kind": "mask", "known": 2, "unknown": 2}
    assert counts["age"] == {"kind": "numbers", "known": 2, "unknown": 2}


@pytest.mark.parametrize(("corners", "classes", "crowd"), [
    ([[0.0, 0, 9, 9]], [0], [True]),                                   # one class alone has a crowd
    ([[0.0, 0, 9, 9], [0, 0, 9, 9]], [0, 1], [True, False]),           # an object as large as the picture
    ([[0.0, 0, 9, 9], [0, 0, 9, 8]], [0, 1], [True, True]),            # crowds at two places
    ([[0.0, 0, 9, 9], [0, 0, 9, 9]], [1, 1], [True, True]),            # two of one class
    ([], [], [])])                                                     # a picture without objects
def test_other_boxes_than_the_sign_are_known(corners, classes, crowd):
    boxes = Boxes(torch.tensor(corners).view(-1, 4), torch.tensor(classes, dtype=torch.int64),
                  image=torch.zeros(len(classes), dtype=torch.int64), crowd=torch.tensor(crowd, dtype=torch.bool))
    source = Files([Path("a.png")], {"head": boxes, "kind": Label(torch.tensor([0]))},
                   {"head": ("a", "b"), "kind": ("a", "b")}, root=Path())
    assert known_in(source, "head").all()


def test_where_boxes_are_all_that_is_learned_a_crowd_is_a_crowd():
    source = spread()
    source.targets = {"boxes": source.targets["head"]}
    source.classes = {"boxes": ("a", "b")}
    assert known_in(source, "boxes").all()


def test_unknown_boxes_stay_so_whatever_is_done_to_the_picture():
    """Of a crowd that is cut even a small part stays: without it, what it covers would count as ground."""
    boxes = spread_over(of_two()["head"], np.array([1, 0]), HEADERS[:1] + HEADERS[2:3] + HEADERS[3:], classes=2)
    zoomed = torch.tensor([[8.0, 0, 0], [0, 8, 0]]).expand(3, 2, 3)
    placed = boxes.warp_and_cut(zoomed, torch.tensor([0.0, 0, 60, 50]).expand(3, 4), least=0.1, edge=1.0)
    crowds = placed.chosen(placed.crowd)
    assert crowds.corners.tolist() == [[0, 0, 60, 50]] * 2 and crowds.image.tolist() == [2, 2]


def test_the_name_of_a_part_is_a_word():
    check_part_name("Länge_2", "here")
    for name in ("", "hair colour", "2nd", "a.b", "_a-b"):
        with pytest.raises(DataError, match=r"^here: .* cannot be the name of a part: accepted is one word"):
            check_part_name(name, "here")
