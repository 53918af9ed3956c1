"""Masks brought back to the size of their file: the exact inverse of how the picture was fitted."""

import pytest
import torch
from torch.nn import functional as F

from lensmith.base.pictures import Form, Place, fit_of
from lensmith.values.semantic_mask import Mask


def place(size: tuple[int, int], form: Form) -> Place:
    return Place("a.png", size, fit_of(size, form))


def smooth(size: tuple[int, int], classes: int = 3) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, classes, 4, 4, generator=draw)
    return F.interpolate(coarse, size, mode="bicubic")[0].softmax(0)


@pytest.mark.parametrize("size", [(64, 64), (200, 150), (31, 47)])
def test_scores_are_interpolated_as_torch_does(size: tuple[int, int]) -> None:
    scores = smooth((64, 64))
    found = Mask(scores.argmax(0), scores).in_file(place(size, Form(3, 64, 64, "squash")), (64, 64))
    wanted = F.interpolate(scores[None], size, mode="bilinear", align_corners=False)[0].argmax(0)
    assert found.classes.dtype == torch.uint8 and found.scores is None
    assert (found.classes == wanted).float().mean() > 0.999    # rounding, where two classes are alike
    if size == (64, 64):
        assert torch.equal(found.classes.long(), scores.argmax(0))


def test_parts_of_a_large_mask_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = smooth((32, 32))
    whole = Mask(scores.argmax(0), scores).in_file(place((90, 70), Form(3, 32, 32, "squash")), (32, 32))
    monkeypatch.setattr("lensmith.values.semantic_mask._AT_ONCE", 500)
    parts = Mask(scores.argmax(0), scores).in_file(place((90, 70), Form(3, 32, 32, "squash")), (32, 32))
    assert torch.equal(whole.classes, parts.classes)


@pytest.mark.parametrize("with_scores", [True, False])
@pytest.mark.parametrize("size", [(50, 100), (100, 50), (97, 33), (400, 300)])
def test_the_ground_of_a_letterbox_has_no_part(size: tuple[int, int], with_scores: bool) -> None:
    """Left half class 0, right half class 1 in the file; whatever is said of the ground around it, class 2."""
    form = Form(3, 64, 64, "pad")
    where = place(size, form)
    column, row = (torch.arange(64) + 0.5 for _ in range(2))
    x, y = (column - where.fit[2]) / where.fit[0], (row - where.fit[3]) / where.fit[1]
    classes = (x >= size[1] / 2).long().expand(64, 64).clone()
    classes[(y < 0) | (y >= size[0])] = 2
    classes[:, (x < 0) | (x >= size[1])] = 2
    scores = F.one_hot(classes, 3).movedim(2, 0).float() if with_scores else None
    found = Mask(classes, scores).in_file(where, (64, 64)).classes
    assert found.shape == size and set(found.unique().tolist()) == {0, 1}
    edge = (found == 1).sum(1)
    assert (edge - size[1] / 2).abs().max() <= 1 / where.fit[0]


def test_what_was_cut_away_is_not_known() -> None:
    form = Form(3, 32, 32, "crop")
    found = Mask(torch.ones(32, 32).long()).in_file(place((64, 128), form), form.size).classes
    assert (found[:, 32:96] == 1).all() and (found[:, :32] == 255).all() and (found[:, 96:] == 255).all()
