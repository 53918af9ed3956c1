"""Every loss against torch, torchvision, scikit-learn or its written formula."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from lensmith.tasks.losses.picture_losses import balanced_weights, class_entropy, distance, tag_entropy
from lensmith.values.labels import Label

COMBINATIONS = list(itertools.product((False, True), (None, [0.5, 2.0, 1.0, 0.1]), (0.0, 0.1), (0.0, 0.5, 2.0)))


def drawn(batch: int = 7, classes: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(2)
    logits = torch.randn(batch, classes, generator=draw) * 3
    return logits, torch.randint(classes, (batch,), generator=draw), torch.rand(batch, classes, generator=draw)


def numpy_entropy(logits: Tensor, goal: np.ndarray, weights: list[float] | None, smoothing: float, focal: float,
                  hard: bool) -> float:
    """The formulas of the papers, one picture and one class at a time."""
    total = divisor = 0.0
    classes = goal.shape[1]
    for row, wanted in zip(logits.double().numpy(), goal, strict=True):
        chances = np.exp(row) / np.exp(row).sum()
        for k in range(classes):
            weight = 1.0 if weights is None else weights[k]
            share = (1 - smoothing) * wanted[k] + smoothing / classes
            total -= weight * share * (1 - chances[k]) ** focal * np.log(chances[k])
            divisor += weight * wanted[k] if hard else wanted[k]
    return total / divisor


@pytest.mark.parametrize(("soft", "weights", "smoothing", "focal"), COMBINATIONS)
def test_class_entropy_is_the_written_formula(soft: bool, weights: list[float] | None, smoothing: float,
                                              focal: float) -> None:
    logits, index, shares = drawn()
    shares = shares / shares.sum(1, keepdim=True)
    truth = Label(index, shares) if soft else Label(index)
    found = class_entropy(logits, truth, weights=None if weights is None else torch.tensor(weights),
                          smoothing=smoothing, focal=focal)
    goal = shares.double().numpy() if soft else np.eye(4)[index.numpy()]
    assert found.item() == pytest.approx(numpy_entropy(logits, goal, weights, smoothing, focal, not soft), rel=1e-5)


@pytest.mark.parametrize(("soft", "weights", "smoothing"), dict.fromkeys(
    (soft, None if weights is None else tuple(weights), smoothing) for soft, weights, smoothing, _ in COMBINATIONS))
def test_class_entropy_equals_torch_with_its_gradient(soft: bool, weights: tuple[float, ...] | None,
                                                      smoothing: float) -> None:
    logits, index, shares = drawn()
    shares = shares / shares.sum(1, keepdim=True)
    weight = None if weights is None else torch.tensor(weights)
    mine, its = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    found = class_entropy(mine, Label(index, shares if soft else None), weights=weight, smoothing=smoothing)
    wanted = F.cross_entropy(its, shares if soft else index, weight, label_smoothing=smoothing)
    assert torch.allclose(found, wanted, rtol=1e-5)
    assert torch.allclose(torch.autograd.grad(found, mine)[0], torch.autograd.grad(wanted, its)[0], atol=1e-6)


@pytest.mark.parametrize("focal", [0.0, 2.0])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 2.0, 1.0, 0.1])])
def test_pictures_without_a_label_cost_nothing(weights: Tensor | None, focal: float) -> None:
    logits, index, _ = drawn()
    index[[1, 4]] = -1
    found = class_entropy(logits, Label(index), weights=weights, smoothing=0.1, focal=focal)
    known = index >= 0
    wanted = class_entropy(logits[known], Label(index[known]), weights=weights, smoothing=0.1, focal=focal)
    assert torch.allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("focal", [0.0, 2.0])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 2.0, 1.0, 0.1])])
def test_a_batch_without_any_label_costs_zero_and_keeps_its_graph(weights: Tensor | None, focal: float) -> None:
    logits = drawn()[0].requires_grad_()
    loss = class_entropy(logits, Label(torch.full((7,), -1)), weights=weights, smoothing=0.1, focal=focal)
    assert loss.item() == 0
    assert torch.equal(torch.autograd.grad(loss, logits)[0], torch.zeros(7, 4))


def test_a_blend_with_a_picture_without_a_label_costs_only_its_known_share() -> None:
    logits, index, _ = drawn(batch=2)
    mixed = Label(index).mix(Label(torch.tensor([-1, -1])), torch.tensor([0.7, 0.7]), 4)
    assert torch.allclose(class_entropy(logits, mixed), F.cross_entropy(logits, index), rtol=1e-5)


def test_weights_of_zero_for_all_that_came_give_a_finite_loss() -> None:
    logits = drawn()[0]
    loss = class_entropy(logits, Label(torch.zeros(7, dtype=torch.int64)), weights=torch.tensor([0.0, 1, 1, 1]),
                         smoothing=0.1)
    assert loss.isfinite()


@pytest.mark.parametrize("focal", [0.5, 1.0, 2.0])
def test_the_focal_gradient_is_finite_where_the_network_is_sure(focal: float) -> None:
    logits = torch.tensor([[80.0, -80.0], [-80.0, 80.0]], requires_grad=True)
    loss = class_entropy(logits, Label(torch.tensor([0, 0])), focal=focal)
    assert torch.autograd.grad(loss, logits)[0].isfinite().all()
    tags = torch.tensor([[80.0, -80.0], [-80.0, 80.0]], requires_grad=True)
    assert torch.autograd.grad(tag_entropy(tags, torch.eye(2), focal=focal), tags)[0].isfinite().all()


def test_half_precision_outputs_cost_what_they_cost_in_full() -> None:
    logits, index, shares = drawn()
    half = logits.bfloat16()
    for focal in (0.0, 2.0):
        found = class_entropy(half, Label(index), focal=focal)
        assert found.dtype == torch.float32
        assert torch.equal(found, class_entropy(half.float(), Label(index), focal=focal))
        assert torch.equal(tag_entropy(half, shares, focal=focal), tag_entropy(half.float(), shares, focal=focal))
    assert torch.equal(distance(half, shares), distance(half.float(), shares))


def test_autocast_does_not_reach_into_the_losses() -> None:
    logits, index, shares = drawn()
    with torch.autocast("cpu", torch.bfloat16):
        found = [class_entropy(logits, Label(index)), class_entropy(logits, Label(index), focal=2.0),
                 tag_entropy(logits, shares), distance(logits, shares)]
    wanted = [class_entropy(logits, Label(index)), class_entropy(logits, Label(index), focal=2.0),
              tag_entropy(logits, shares), distance(logits, shares)]
    assert found == wanted and all(loss.dtype == torch.float32 for loss in found)


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 2.0, 1.0, 0.1])])
def test_tag_entropy_equals_torch(weights: Tensor | None) -> None:
    logits, _, shares = drawn()
    for present in (shares, shares.round()):
        wanted = F.binary_cross_entropy_with_logits(logits, present, pos_weight=weights)
        assert torch.allclose(tag_entropy(logits, present, weights=weights), wanted, rtol=1e-5)


@pytest.mark.parametrize("focal", [0.0, 1.0, 2.0])
def test_focal_tag_entropy_equals_torchvision(focal: float) -> None:
    logits, _, shares = drawn()
    wanted = sigmoid_focal_loss(logits, shares.round(), alpha=-1, gamma=focal, reduction="mean")
    assert torch.allclose(tag_entropy(logits, shares.round(), focal=focal), wanted, rtol=1e-4)


@pytest.mark.parametrize("kind", ["squared", "absolute", "huber"])
def test_distance_is_the_written_formula(kind: str) -> None:
    logits, _, shares = drawn()
    error = np.abs(logits.double().numpy() - shares.double().numpy())
    wanted = {"squared": error**2, "absolute": error,
              "huber": np.where(error < 0.7, error**2 / 2, 0.7 * (error - 0.35))}[kind].mean()
    assert distance(logits, shares, kind=kind, delta=0.7).item() == pytest.approx(wanted, rel=1e-5)


def test_what_is_not_known_costs_nothing_and_leaves_no_gradient() -> None:
    logits, _, shares = drawn()
    logits.requires_grad_()
    shares[0, 1] = shares[3] = float("nan")
    known = ~shares.isnan()
    entropy = F.binary_cross_entropy_with_logits(logits[known], shares[known])
    for loss, wanted in ((tag_entropy(logits, shares), entropy),
                         (distance(logits, shares), F.mse_loss(logits[known], shares[known]))):
        assert torch.allclose(loss, wanted, rtol=1e-5)
        gradient = torch.autograd.grad(loss, logits)[0]
        assert gradient.isfinite().all() and (gradient[~known] == 0).all() and (gradient[known] != 0).all()
    for loss in (tag_entropy(logits, shares * float("nan")), distance(logits, shares * float("nan"))):
        assert loss.item() == 0
        assert torch.equal(torch.autograd.grad(loss, logits)[0], torch.zeros(7, 4))


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    labels = np.array([0] * 5 + [2] * 90 + [3] * 1)
    wanted = compute_class_weight("balanced", classes=np.array([0, 2, 3]), y=labels)
    found = balanced_weights(torch.bincount(torch.from_numpy(labels), minlength=4))
    assert np.allclose(found[[0, 2, 3]], wanted)
    assert found[1] == 1    # never met
