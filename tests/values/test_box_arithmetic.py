"""The arithmetic of boxes against torchvision's and against what can be counted by hand."""

import pytest
import torch
from torch import Tensor
from torchvision import ops

from lensmith.values.box_arithmetic import area, batched_nms, diou_nms, iou, nms, pairwise_iou, soft_nms


def drawn(count: int, seed: int = 0, *, wide: float = 80) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=draw) * 300 - 20    # some begin outside the picture
    return torch.cat((corner, corner + torch.rand(count, 2, generator=draw) * wide + 1), 1)


def scored(count: int, seed: int = 1) -> Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed))


def test_areas_and_overlaps_are_torchvisions() -> None:
    a, b = drawn(70), drawn(50, 2)
    torch.testing.assert_close(area(a), ops.box_area(a))
    torch.testing.assert_close(pairwise_iou(a, b), ops.box_iou(a, b))
    torch.testing.assert_close(iou(a[:50], b), ops.box_iou(a[:50], b).diagonal())
    assert area(torch.tensor([[5.0, 5, 3, 9]])).item() == 0    # the wrong way round


@pytest.mark.parametrize(("kind", "oracle"), [
    ("giou", ops.generalized_box_iou_loss), ("diou", ops.distance_box_iou_loss), ("ciou", ops.complete_box_iou_loss)])
def test_overlaps_and_their_gradients_are_those_of_torchvisions_losses(kind, oracle) -> None:
    ours, theirs = (drawn(400, wide=200).double().requires_grad_() for _ in range(2))
    other = drawn(400, 3, wide=200).double()
    value, loss = iou(ours, other, kind), oracle(theirs, other)
    torch.testing.assert_close(1 - value, loss, atol=1e-6, rtol=1e-6)
    (-value).sum().backward()
    loss.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-4)


def test_the_same_box_overlaps_by_one_and_distant_ones_are_told_apart() -> None:
    box = torch.tensor([[10.0, 20, 40, 60]])
    for kind in ("iou", "giou", "diou", "ciou"):
        assert iou(box, box, kind).item() == pytest.approx(1, abs=1e-6)
        near, far = iou(box, box + 100, kind).item(), iou(box, box + 300, kind).item()
        assert near == far == 0 if kind == "iou" else far < near < 0


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
def test_empty_boxes_have_finite_overlaps_and_gradients(kind) -> None:
    empty = torch.tensor([[5.0, 5, 5, 5], [5, 5, 5, 9], [9, 9, 3, 3]], requires_grad=True)
    value = iou(empty, torch.tensor([[5.0, 5, 5, 5], [0, 0, 10, 10], [0, 0, 10, 10]]), kind)
    value.sum().backward()
    assert value.isfinite().all() and empty.grad.isfinite().all()


def test_suppression_is_torchvisions() -> None:
    corners, scores = drawn(500), scored(500)
    for threshold in (0.3, 0.7):
        assert torch.equal(nms(corners, scores, threshold=threshold), ops.nms(corners, scores, threshold))


def test_groups_do_not_suppress_each_other_however_large_their_numbers() -> None:
    corners, scores = drawn(600), scored(600)
    groups = torch.randint(0, 7, (600,), generator=torch.Generator().manual_seed(4)) * 1_000_003 - 5
    kept = batched_nms(corners, scores, groups, 0.4)
    alone = torch.cat([rows[ops.nms(corners[rows], scores[rows], 0.4)] for group in groups.unique()
                       for rows in [(groups == group).nonzero()[:, 0]]])
    assert set(kept.tolist()) == set(alone.tolist()) and len(kept) < 600
    assert (scores[kept].diff() <= 0).all()
    assert batched_nms(corners[:0], scores[:0], groups[:0], 0.4).shape == (0,)


def test_equal_scores_keep_the_first() -> None:
    box = torch.tensor([[0.0, 0, 10, 10]]).repeat(4, 1)
    same = torch.full((4,), 0.5)
    assert batched_nms(box, same, torch.tensor([1, 0, 1, 0]), 0.5).tolist() == [0, 1]
    assert nms(box, same, threshold=0.5).tolist() == diou_nms(box, same, threshold=0.5).tolist() == [0]


def test_diou_spares_boxes_with_other_centres() -> None:
    corners = torch.tensor([[0.0, 0, 100, 20], [40, 0, 140, 20], [0, 0, 100, 18]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    # The second overlaps the first by 60 / 140 of its area; its centre is 40 of a diagonal of 141 away.
    assert iou(corners[0], corners[1]).item() == pytest.approx(60 / 140)
    assert nms(corners, scores, threshold=0.4).tolist() == [0]
    assert diou_nms(corners, scores, threshold=0.4).tolist() == [0, 1]
    assert diou_nms(corners[:0], scores[:0], threshold=0.4).shape == (0,)


def softened(corners: Tensor, scores: Tensor, *, kind: str, sigma: float, threshold: float, least: float) -> dict:
    """The paper's figure 2 line by line, in Python's own numbers."""
    left = {row: float(score) for row, score in enumerate(scores)}
    overlap, kept = ops.box_iou(corners, corners).tolist(), {}
    while left:
        best = max(left, key=lambda row: left[row])
        if left[best] < least:
            break
        kept[best] = left.pop(best)
        for row in left:
            shared = overlap[best][row]
            left[row] *= 2.718281828459045 ** (-shared**2 / sigma) if kind == "gaussian" else \
                1 - shared if shared > threshold else 1
    return kept


@pytest.mark.parametrize("kind", ["gaussian", "linear"])
def test_soft_suppression_is_that_of_the_paper(kind) -> None:
    corners, scores = drawn(80, wide=150), scored(80)
    wanted = softened(corners, scores, kind=kind, sigma=0.5, threshold=0.3, least=0.05)
    rows, lowered = soft_nms(corners, scores, kind=kind, least=0.05)
    assert rows.tolist() == list(wanted) and 5 < len(wanted) < 80
    assert lowered.tolist() == pytest.approx(list(wanted.values()), abs=1e-5)
    assert [len(part) for part in soft_nms(corners[:0], scores[:0], kind=kind)] == [0, 0]
