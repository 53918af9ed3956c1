"""Values: stacking, taking, flipping, warping and blending, each against plain NumPy."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.base.pictures import Form, fit_of
from lensmith.values.boxes import Boxes
from lensmith.values.labels import Label, Numbers, Tags
from lensmith.values.semantic_mask import IGNORED, Mask, sampling_grid

DRAW = np.random.default_rng(0)


def boxes(count, seed):
    draw = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=draw) * 20
    corners = torch.cat((corner, corner + 1 + torch.rand(count, 2, generator=draw) * 10), 1)
    return Boxes(corners, torch.randint(0, 3, (count,), generator=draw), crowd=torch.rand(count, generator=draw) < 0.5)


SINGLES = {
    "label": [Label(torch.tensor(i % 3)) for i in range(5)],
    "tags": [Tags(torch.tensor([i % 2, 1, 0.0])) for i in range(5)],
    "numbers": [Numbers(torch.tensor([i * 1.5, -i])) for i in range(5)],
    "boxes": [boxes(count, count) for count in (2, 0, 3, 1, 0)],
    "mask": [Mask(torch.full((3, 4), i)) for i in range(5)],
}


def same(one, other):
    mine, theirs = one._tensors(), other._tensors()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("kind", SINGLES)
def test_stacked_values_give_the_single_ones_back(kind):
    singles = SINGLES[kind]
    stacked = type(singles[0]).stack(singles)
    assert all(same(stacked[i], single) for i, single in enumerate(singles))


@pytest.mark.parametrize("kind", SINGLES)
def test_taking_rows_is_stacking_them(kind):
    singles = SINGLES[kind]
    stacked = type(singles[0]).stack(singles)
    for rows in ([3, 0, 0, 2], [1], [4, 1]):
        assert same(stacked.take(torch.tensor(rows)), type(singles[0]).stack([singles[i] for i in rows]))
    none = stacked.take(torch.tensor([], dtype=torch.int64))
    assert all(len(tensor) == 0 for tensor in none._tensors().values())


@pytest.mark.parametrize("kind", SINGLES)
def test_flipping_twice_is_the_identity(kind):
    stacked = type(SINGLES[kind][0]).stack(SINGLES[kind])
    for tensor, again in zip(stacked._tensors().values(), stacked.flip(4).flip(4)._tensors().values(), strict=True):
        assert torch.allclose(tensor.double(), again.double(), atol=1e-5)


def test_a_flipped_box_holds_the_flipped_pixels():
    picture = np.zeros((6, 10), bool)
    picture[1:4, 2:7] = True
    columns = np.flatnonzero(picture[:, ::-1].any(0))
    flipped = Boxes(torch.tensor([[2.0, 1, 7, 4]]), torch.tensor([0])).flip(10)
    assert flipped.corners.tolist() == [[columns[0], 1, columns[-1] + 1, 4]]


def test_a_flipped_mask_is_mirrored():
    classes = torch.arange(12).view(3, 4)
    assert np.array_equal(Mask(classes).flip(4).classes.numpy(), classes.numpy()[:, ::-1])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.lists(st.floats(-1.5, 1.5), min_size=4, max_size=4),
       st.tuples(st.floats(-10, 10), st.floats(-10, 10)))
def test_a_warped_box_is_the_smallest_around_its_moved_corners_cut_to_the_picture(seed, linear, shift):
    stacked = Boxes.stack([boxes(3, seed), boxes(2, seed + 1)])
    matrix = np.stack([np.array([[linear[0], linear[1], shift[0]], [linear[2], linear[3], shift[1]]]),
                       np.array([[1.0, 0, 3], [0, 2, -4]])]).astype(np.float32)
    wanted, kept = [], []
    for row, (x0, y0, x1, y1) in enumerate(stacked.corners.numpy()):
        own = matrix[int(stacked.image[row])]
        points = np.array([own @ (x, y, 1) for x in (x0, x1) for y in (y0, y1)])
        low, high = points.min(0).clip(0, (30, 20)), points.max(0).clip(0, (30, 20))
        if ((high - low) > 1e-3).all():
            wanted.append([*low, *high])
            kept.append(row)
    found = stacked.warp(torch.from_numpy(matrix), (20, 30))
    assert np.allclose(found.corners.numpy(), np.array(wanted).reshape(-1, 4), atol=1e-3)
    assert torch.equal(found.classes, stacked.classes[kept]) and torch.equal(found.image, stacked.image[kept])
    assert torch.equal(found.crowd, stacked.crowd[kept])


def test_a_mask_moved_by_whole_pixels_is_shifted_and_not_seen_where_nothing_was():
    classes = torch.from_numpy(DRAW.integers(0, 4, (2, 6, 8)))
    matrix = torch.tensor([[[1.0, 0, 2], [0, 1, -1]], [[1, 0, 0], [0, 1, 0]]])
    moved = Mask(classes).warp(matrix, (6, 8)).classes.numpy()
    wanted = np.full((6, 8), IGNORED)
    wanted[:5, 2:] = classes[0, 1:, :6]
    assert np.array_equal(moved[0], wanted) and np.array_equal(moved[1], classes[1])


def test_a_mask_enlarged_twofold_repeats_its_pixels():
    classes = torch.from_numpy(DRAW.integers(0, 4, (1, 3, 5)))
    moved = Mask(classes).warp(torch.tensor([[[2.0, 0, 0], [0, 2, 0]]]), (6, 10)).classes
    assert np.array_equal(moved[0].numpy(), classes[0].numpy().repeat(2, 0).repeat(2, 1))


def test_ignored_pixels_stay_ignored_when_a_mask_is_warped():
    classes = torch.tensor([[[IGNORED, 1], [0, 2]]])
    assert torch.equal(Mask(classes).warp(torch.eye(2, 3)[None], (2, 2)).classes, classes)


def test_the_sampling_grid_of_a_scaling_resizes_as_interpolate_does():
    image = torch.from_numpy(DRAW.random((1, 1, 6, 8))).float()
    grid = sampling_grid(torch.tensor([[[2.0, 0, 0], [0, 2, 0]]]), (6, 8), (12, 16))
    found = F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
    wanted = F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("kind", ["label", "tags", "numbers"])
def test_what_is_said_of_the_whole_picture_does_not_change_when_it_is_warped(kind):
    stacked = type(SINGLES[kind][0]).stack(SINGLES[kind])
    assert stacked.warp(torch.eye(2, 3).repeat(5, 1, 1), (4, 4)) is stacked


def test_blended_labels_share_their_classes_by_weight():
    one, other = Label(torch.tensor([0, 1, 2])), Label(torch.tensor([1, 1, 0]))
    mixed = one.mix(other, torch.tensor([0.75, 0.3, 0.4]), 3)
    wanted = np.zeros((3, 3))
    for row, (mine, its, share) in enumerate(((0, 1, 0.75), (1, 1, 0.3), (2, 0, 0.4))):
        wanted[row, mine] += share
        wanted[row, its] += 1 - share
    assert np.allclose(mixed.scores.numpy(), wanted) and mixed.index.tolist() == [0, 1, 0]


def test_blending_a_blended_label_again_keeps_all_three_classes():
    once = Label(torch.tensor([0])).mix(Label(torch.tensor([1])), torch.tensor([0.5]), 3)
    twice = once.mix(Label(torch.tensor([2])), torch.tensor([0.5]), 3)
    assert np.allclose(twice.scores.numpy(), [[0.25, 0.25, 0.5]])


@pytest.mark.parametrize(("kind", "field"), [("tags", "present"), ("numbers", "values")])
def test_blended_tags_and_numbers_lie_between(kind, field):
    stacked = type(SINGLES[kind][0]).stack(SINGLES[kind])
    other = stacked.take(torch.tensor([4, 3, 2, 1, 0]))
    share = np.array([0.1, 0.2, 0.5, 0.9, 1.0])
    mixed = getattr(stacked.mix(other, torch.from_numpy(share).float(), 3), field)
    wanted = share[:, None] * getattr(stacked, field).numpy() + (1 - share[:, None]) * getattr(other, field).numpy()
    assert np.allclose(mixed.numpy(), wanted, atol=1e-6)


def test_masks_cannot_be_blended_and_say_so():
    stacked = Mask.stack(SINGLES["mask"])
    with pytest.raises(UserError) as caught:
        stacked.mix(stacked, torch.ones(5), 3)
    assert str(caught.value) == ("mixup and cutmix blend labels, tags and numbers; a mask target cannot be blended: "
                                 "set augment.mixup=0 and augment.cutmix=0")


def test_blended_pictures_have_the_boxes_of_both():
    stacked = Boxes.stack(SINGLES["boxes"])    # of 2, 0, 3, 1 and 0 boxes
    other = stacked.take(torch.tensor([2, 3, 4, 0, 1]))
    mixed = stacked.mix(other, torch.tensor([0.5, 1.0, 0.3, 0.0, 0.9]), 3)
    assert torch.bincount(mixed.image, minlength=5).tolist() == [2 + 3, 0, 3 + 0, 2, 0]
    assert torch.equal(mixed[0].corners, torch.cat((stacked[0].corners, other[0].corners)))
    assert torch.equal(mixed[3].classes, other[3].classes)


def test_boxes_go_back_to_the_files_they_came_from():
    sizes, form = [(30, 60), (64, 20), (32, 32)], Form(3, 32, 32, "pad")
    fits = torch.tensor([fit_of(size, form) for size in sizes])
    own = torch.tensor([[3.0, 5, 40, 30], [0, 0, 20, 64], [1, 2, 3, 4]])
    there = own * fits[:, :2].repeat(1, 2) + fits[:, 2:].repeat(1, 2)
    back = Boxes(there, torch.zeros(3, dtype=torch.int64), image=torch.arange(3)).in_files(fits, torch.tensor(sizes))
    assert torch.allclose(back.corners, own, atol=1e-5)
    outside = Boxes(there - 100, torch.zeros(3, dtype=torch.int64), image=torch.arange(3))
    assert outside.in_files(fits, torch.tensor(sizes)).corners.min() == 0


def test_a_cut_box_stays_only_where_enough_of_it_is_left():
    boxes = Boxes(torch.tensor([[0.0, 0, 10, 10], [8, 0, 18, 10], [9.5, 0, 19.5, 10]]), torch.zeros(3).long(),
                  image=torch.zeros(3).long())
    nowhere = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])
    cut = boxes.warp_and_cut(nowhere, torch.tensor([[0.0, 0, 10, 10]]), least=0.1, edge=1.0)
    assert cut.corners.tolist() == [[0, 0, 10, 10], [8, 0, 10, 10]]


def test_the_likeliest_classes_come_first():
    label = Label(torch.tensor(2), torch.tensor([0.2, 0.1, 0.7]))
    assert [index for index, _ in label.top(2)] == [2, 0] and label.top(5)[0][1] == pytest.approx(0.7)
    assert Label(torch.tensor(1)).top(3) == [(1, 1.0)]


def test_every_value_can_be_written_as_json_by_name():
    names = ("cat", "dog", "cow")
    shown = [Label(torch.tensor(1), torch.tensor([0.25, 0.5, 0.25])), Tags(torch.tensor([1.0, 0, 1])),
             Numbers(torch.tensor([1.5, 2, 3])), Boxes(torch.tensor([[0.0, 1, 2, 3]]), torch.tensor([2])),
             Mask(torch.tensor([[0, 1], [1, IGNORED]])), Label(torch.tensor(-1))]
    found = json.loads(json.dumps([one.as_json(names) for one in shown]))
    assert found == [
        {"label": "dog", "scores": {"dog": 0.5, "cat": 0.25, "cow": 0.25}}, {"tags": ["cat", "cow"]},
        {"numbers": {"cat": 1.5, "dog": 2.0, "cow": 3.0}},
        {"boxes": [{"label": "cow", "corners": [0.0, 1.0, 2.0, 3.0]}]}, {"pixels": {"cat": 1, "dog": 2, "cow": 0}},
        {"label": None}]


NUMBER = torch.tensor([2, 0])    # of two classes among three


@pytest.mark.parametrize(("value", "expected"), [
    (Label(torch.tensor([0, 1, -1])), Label(torch.tensor([2, 0, -1]))),
    (Mask(torch.tensor([[[0, 1], [IGNORED, 0]]], dtype=torch.uint8)),
     Mask(torch.tensor([[[2, 0], [IGNORED, 2]]], dtype=torch.uint8))),
    (Boxes(torch.zeros(3, 4), torch.tensor([1, 1, 0]), image=torch.zeros(3)),
     Boxes(torch.zeros(3, 4), torch.tensor([0, 0, 2]), image=torch.zeros(3))),
    (Tags(torch.tensor([[1.0, 0.0], [torch.nan, 1.0]])),
     Tags(torch.tensor([[0.0, torch.nan, 1.0], [1.0, torch.nan, torch.nan]]))),
    (Numbers(torch.tensor([[5.0, 7.0]])), Numbers(torch.tensor([[7.0, torch.nan, 5.0]]))),
], ids=lambda value: type(value).__name__)
def test_a_value_is_numbered_anew(value, expected):
    found = value.renumbered(NUMBER, 3)
    assert type(found) is type(expected)
    for name, tensor in expected._tensors().items():
        torch.testing.assert_close(getattr(found, name), tensor, rtol=0, atol=0, equal_nan=True)
