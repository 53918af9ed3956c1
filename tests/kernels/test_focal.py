"""The focal cost against autograd of its plain form, torchvision's, the written formula, and as torch wants it."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.autograd.graph import saved_tensors_hooks
from torch.library import opcheck
from torchvision.ops import sigmoid_focal_loss as torchvisions

from lensmith.kernels import focal
from lensmith.kernels.focal import focal_costs, plain_sigmoid_focal_loss, sigmoid_focal_gradient, sigmoid_focal_loss

SETTINGS = [{}, {"alpha": 0.25}, {"weights": torch.tensor([0.5, 2.0, 1.0, 0.0])},
            {"alpha": 0.9, "weights": torch.tensor([0.5, 2.0, 1.0, 0.1])}]


def drawn(*shape: int, soft: bool = True, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(4)
    shape = shape or (7, 4)
    targets = torch.rand(shape, generator=draw, dtype=dtype)
    return torch.randn(shape, generator=draw, dtype=dtype) * 4, targets if soft else targets.round()


def both(logits: Tensor, targets: Tensor, *rest: float, **settings: float | Tensor) -> list[tuple[Tensor, Tensor]]:
    """(costs, gradient) of the operator and of the plain form, each cost with a weight of its own in the sum."""
    found = []
    for form in (sigmoid_focal_loss, plain_sigmoid_focal_loss):
        leaf = logits.clone().requires_grad_()
        costs = form(leaf, targets, *rest, **settings)
        scale = torch.linspace(-1, 2, costs.numel(), dtype=costs.dtype).view(costs.shape)
        found.append((costs, torch.autograd.grad((costs * scale).sum(), leaf)[0]))
    return found


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 3.3])
def test_without_the_dispatcher_costs_and_gradients_are_the_operators(gamma: float, settings: dict) -> None:
    logits, targets = drawn()
    costs, slope = both(logits, targets, gamma, **settings)[0]
    leaf = logits.requires_grad_()
    found = focal_costs(leaf, targets, gamma, **settings)
    scale = torch.linspace(-1, 2, found.numel()).view(found.shape)
    assert torch.equal(found, costs) and torch.equal(torch.autograd.grad((found * scale).sum(), leaf)[0], slope)


def test_large_costs_are_the_same_in_inference_mode() -> None:
    logits, targets = drawn(2048, 80)
    wanted = focal_costs(logits, targets, 2.0)
    with torch.inference_mode():
        found = focal_costs(logits.clone(), targets, 2.0)
    assert torch.equal(found, wanted) and found.is_inference()


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 3.3])
def test_costs_and_gradients_are_those_of_the_plain_form(gamma: float, settings: dict) -> None:
    (costs, slope), (wanted, wanted_slope) = both(*drawn(), gamma, **settings)
    assert costs.dtype == slope.dtype == torch.float32
    assert torch.allclose(costs, wanted, rtol=1e-5, atol=1e-6)
    assert torch.allclose(slope, wanted_slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("alpha", [None, 0.25])
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_costs_and_gradients_are_torchvisions_where_the_truth_is_yes_or_no(gamma: float, alpha: float | None) -> None:
    logits, targets = drawn(soft=False)
    mine, its = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    costs = sigmoid_focal_loss(mine, targets, gamma, alpha)
    wanted = torchvisions(its, targets, alpha=-1 if alpha is None else alpha, gamma=gamma)
    assert torch.allclose(costs, wanted, rtol=1e-5, atol=1e-6)
    found, grad = (torch.autograd.grad(each.sum(), leaf)[0] for each, leaf in ((costs, mine), (wanted, its)))
    assert torch.allclose(found, grad, rtol=1e-5, atol=1e-6)


def test_costs_are_the_written_formula() -> None:
    logits, targets = drawn(dtype=torch.float64)
    chance, truth = 1 / (1 + np.exp(-logits.numpy())), targets.numpy()
    wanted = 0.3 * truth * (1 - chance) ** 1.7 * -np.log(chance) - 0.7 * (1 - truth) * chance**1.7 * np.log(1 - chance)
    found = sigmoid_focal_loss(logits, targets, 1.7, 0.3)
    assert found.dtype == torch.float64 and np.allclose(found.numpy(), wanted, rtol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_gradient_is_that_of_differences_and_so_is_its_own(gamma: float) -> None:
    logits, targets = drawn(2, 4, dtype=torch.float64)
    weights = torch.tensor([0.5, 2.0, 1.0, 0.0], dtype=torch.float64)
    for settings in ({}, {"alpha": 0.9, "weights": weights}):
        for check in (gradcheck, gradgradcheck):
            for form in (sigmoid_focal_loss, focal_costs):
                assert check(partial(form, targets=targets, gamma=gamma, **settings), logits.requires_grad_())


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")    # opcheck's own
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_torch_accepts_the_registrations(dtype: torch.dtype) -> None:
    logits, targets = drawn()
    leaf = logits.to(dtype).requires_grad_()
    opcheck(sigmoid_focal_loss, (leaf, targets, 2.0))
    opcheck(sigmoid_focal_loss, (leaf, targets, 0.5, 0.25, torch.ones(4)))
    opcheck(sigmoid_focal_loss, (drawn(4, 7)[0].t(), targets, 2.0))
    opcheck(sigmoid_focal_gradient, (torch.ones(7, 4), leaf.detach(), targets, 2.0))


def test_every_device_has_kernels_of_its_own() -> None:
    for name in ("sigmoid_focal_loss", "sigmoid_focal_gradient"):
        for device in ("CPU", "CUDA", "MPS"):
            assert torch._C._dispatch_has_kernel_for_dispatch_key(f"lensmith::{name}", device)


@pytest.mark.parametrize(("dtype", "settings"), [(torch.float32, SETTINGS[0]), (torch.bfloat16, SETTINGS[3])])
def test_parts_are_joined_to_the_whole(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, settings: dict) -> None:
    logits, targets = drawn(5, 9, 4)
    logits = logits.to(dtype)
    wanted = both(logits, targets, 2.0, **settings)[0]
    monkeypatch.setattr(focal, "_PART", 8)
    for transposed in (False, True):
        if transposed:    # no longer in the order of the memory
            logits, targets = (tensor.transpose(0, 1).contiguous().transpose(0, 1) for tensor in (logits, targets))
        for one, other in zip(both(logits, targets, 2.0, **settings)[0], wanted, strict=True):
            assert one.is_contiguous() and one.dtype == other.dtype
            assert torch.allclose(one, other, rtol=1e-5 if one.dtype == torch.float32 else 1e-2, atol=1e-7)


@pytest.mark.parametrize("part", [1 << 15, 4])
def test_a_target_that_is_not_known_costs_nothing(monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    monkeypatch.setattr(focal, "_PART", part)
    logits, targets = drawn()
    targets[2] = targets[3, 1] = float("nan")
    costs, slope = both(logits, targets, 2.0)[0]
    known = ~targets.isnan()
    assert (costs[~known] == 0).all() and (slope[~known] == 0).all()
    assert (costs[known] > 0).all() and (slope[known] != 0).all()


def test_a_network_that_has_diverged_is_not_hidden() -> None:
    logits, targets = drawn()
    logits[1, 2] = float("nan")
    assert sigmoid_focal_loss(logits, targets, 2.0).isnan().sum() == 1


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_costs_and_gradients_are_finite_however_sure_the_network_is(gamma: float) -> None:
    logits = torch.tensor([[-500.0, -90.0, -20.0, 0.0, 20.0, 90.0, 500.0]]).repeat(2, 1)
    for costs, slope in both(logits, torch.tensor([[0.0], [1.0]]).repeat(1, 7), gamma):
        assert costs.isfinite().all() and slope.isfinite().all()


@pytest.mark.parametrize("form", [sigmoid_focal_loss, focal_costs])
def test_only_logits_and_targets_are_kept(form: Callable[..., Tensor]) -> None:
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    logits, targets = drawn(64, 80)
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        form(logits.bfloat16().requires_grad_(), targets, 2.0)
    assert [(tensor.dtype, tensor.shape) for tensor in kept] == \
        [(torch.bfloat16, (64, 80)), (torch.float32, (64, 80))]


def test_a_batch_without_rows_costs_nothing() -> None:
    costs, slope = both(*(tensor[:0] for tensor in drawn()), 2.0)[0]
    assert costs.shape == slope.shape == (0, 4)


def test_what_has_no_gradient_says_so() -> None:
    logits, targets = drawn()
    for form in (sigmoid_focal_loss, focal_costs):
        with pytest.raises(NotImplementedError, match="a gradient for its logits alone: detach targets and weights"):
            form(logits, targets.requires_grad_(), 2.0)
    with pytest.raises(ValueError, match=r"logits of \[7, 4\] and targets of \[6, 4\] do not pair"):
        sigmoid_focal_loss(logits, targets.detach()[:6], 2.0)


def test_a_network_with_the_cost_can_be_exported() -> None:
    class Costed(nn.Module):
        def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
            return focal_costs(logits, targets, 2.0).sum()

    given = drawn()
    program = torch.export.export(Costed(), given)
    assert "lensmith.sigmoid_focal_loss" in str(program.graph)
    assert torch.equal(program.module()(*given), Costed()(*given))


def test_the_cost_alone_imports_no_compiler() -> None:
    program = ("import sys, torch\nfrom lensmith.kernels.focal import focal_costs\n"
               "focal_costs(torch.ones(3, 2, requires_grad=True), torch.ones(3, 2), 2.0).sum().backward()\n"
               "print('torch._dynamo' in sys.modules)\n")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
