"""Losses over pixels, against torch and against their papers' formulas written out one pixel at a time."""

import math

import pytest
import torch
from torch.nn import functional as F

from lensmith.tasks.losses.pixel_losses import dice_loss, lovasz_loss, pixel_entropy


def drawn(seed: int = 0, classes: int = 4, void: float = 0.2) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of two small pictures and a truth without the last class, a part of it void."""
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, classes, 5, 6, generator=draw, dtype=torch.float64) * 2
    truth = torch.randint(classes - 1, (2, 5, 6), generator=draw)
    truth[torch.rand(2, 5, 6, generator=draw) < void] = 255
    return logits, truth


def pixels(logits: torch.Tensor, truth: torch.Tensor) -> list[tuple[list[float], int]]:
    """(chances of the classes, true class) of every known pixel."""
    rows = zip(logits.softmax(1).movedim(1, 3).flatten(0, 2).tolist(), truth.flatten().tolist(), strict=True)
    return [(chances, one) for chances, one in rows if one != 255]


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 1.0, 3.0, 2.0])])
@pytest.mark.parametrize("kind", [torch.int64, torch.uint8])
def test_cross_entropy_is_torchs_own(weights: torch.Tensor | None, kind: torch.dtype) -> None:
    logits, truth = drawn()
    wanted = F.cross_entropy(logits, truth, None if weights is None else weights.double(), ignore_index=255)
    assert torch.allclose(pixel_entropy(logits, truth.to(kind), weights=weights), wanted)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 3.0, 2.0]])
def test_focal_loss_is_the_papers_formula(gamma: float, weights: list[float] | None) -> None:
    logits, truth = drawn(1)
    scale = weights or [1.0] * 4
    known = pixels(logits, truth)
    wanted = sum(-scale[one] * (1 - chances[one]) ** gamma * math.log(chances[one]) for chances, one in known)
    wanted /= sum(scale[one] for _, one in known)
    found = pixel_entropy(logits, truth, weights=None if weights is None else torch.tensor(weights), focal=gamma)
    assert found.item() == pytest.approx(wanted, rel=1e-6)    # weights are float32


@pytest.mark.parametrize("seed", range(3))
def test_dice_is_the_formula_class_by_class(seed: int) -> None:
    logits, truth = drawn(seed)
    known = pixels(logits, truth)
    costs = []
    for kind in {one for _, one in known}:
        both = sum(chances[kind] for chances, one in known if one == kind)
        whole = sum(chances[kind] for chances, _ in known) + sum(one == kind for _, one in known)
        costs.append(1 - 2 * both / whole)
    assert dice_loss(logits, truth).item() == pytest.approx(sum(costs) / len(costs))


@pytest.mark.parametrize("seed", range(3))
def test_lovasz_is_the_extension_of_the_jaccard_loss(seed: int) -> None:
    """Definition 2 of the paper: errors from the worst on, each by how much it adds to the loss of the set so far."""
    logits, truth = drawn(seed)
    known = pixels(logits, truth)
    costs = []
    for kind in {one for _, one in known}:
        errors = [1 - chances[kind] if one == kind else chances[kind] for chances, one in known]
        order = sorted(range(len(known)), key=lambda i: -errors[i])
        cost = before = 0.0
        wrong: set[int] = set()
        real = {i for i, (_, one) in enumerate(known) if one == kind}
        for i in order:
            wrong.add(i)
            taken = {j for j in range(len(known)) if (j in real) != (j in wrong)}
            loss = 1 - len(taken & real) / len(taken | real)
            cost += errors[i] * (loss - before)
            before = loss
        costs.append(cost)
    assert lovasz_loss(logits, truth).item() == pytest.approx(sum(costs) / len(costs))


LOSSES = [pixel_entropy, lambda logits, truth: pixel_entropy(logits, truth, focal=2.0), dice_loss, lovasz_loss]


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_small_steps(loss) -> None:
    logits, truth = drawn(4)
    assert torch.autograd.gradcheck(lambda one: loss(one, truth), logits.requires_grad_())


@pytest.mark.parametrize("loss", LOSSES)
def test_void_pixels_cost_nothing_and_pull_nowhere(loss) -> None:
    logits, truth = drawn(5)
    void = truth == 255
    logits.requires_grad_()
    loss(logits, truth).backward()
    assert not logits.grad.movedim(1, 3)[void].any() and logits.grad.movedim(1, 3)[~void].any()
    other = logits.detach().clone()
    other.movedim(1, 3)[void] = 7.0
    assert torch.equal(loss(other, truth), loss(logits.detach(), truth))


@pytest.mark.parametrize("loss", LOSSES)
def test_void_alone_costs_nothing_and_keeps_the_graph(loss) -> None:
    logits, truth = drawn()
    logits.requires_grad_()
    cost = loss(logits, torch.full_like(truth, 255))
    cost.backward()
    assert cost.item() == 0 and logits.grad is not None and not logits.grad.any()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_sure_and_right_answer_costs_almost_nothing(loss) -> None:
    _, truth = drawn(void=0.0)
    logits = 40.0 * F.one_hot(truth, 4).movedim(3, 1).double()
    assert loss(logits, truth).item() == pytest.approx(0, abs=1e-9)
    assert loss(-logits, truth).item() > 0.9
