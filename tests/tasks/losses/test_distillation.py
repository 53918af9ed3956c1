"""The divergence from a teacher against NumPy, and the gradient that Hinton's paper gives for high temperatures."""

import numpy as np
import pytest
import torch

from lensmith.tasks.losses.distillation import teacher_divergence


def softened(logits: np.ndarray, temperature: float) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) / temperature)
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("shape", [(6, 5), (2, 3, 4, 7)])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_it_is_the_mean_divergence_of_the_softened_answers(shape: tuple[int, ...], temperature: float):
    drawn = np.random.default_rng(0)
    logits, teacher = (3 * drawn.normal(size=shape).astype(np.float32) for _ in range(2))
    ours, theirs = softened(logits, temperature), softened(teacher, temperature)
    wanted = temperature**2 * (theirs * (np.log(theirs) - np.log(ours))).sum(1).mean()
    found = teacher_divergence(torch.from_numpy(logits), torch.from_numpy(teacher), temperature=temperature)
    assert found.item() == pytest.approx(wanted, rel=1e-5)


def test_the_same_answers_cost_nothing_whatever_is_added_to_all_classes():
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert teacher_divergence(logits, logits + 7, temperature=2.0).item() == pytest.approx(0, abs=1e-6)


def test_at_a_high_temperature_it_draws_the_logits_together():
    """Equation 4 of the paper: the gradient is (z - v) / N of logits whose mean is 0."""
    generator = torch.Generator().manual_seed(1)
    logits, teacher = (torch.randn(1, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    logits, teacher = logits - logits.mean(), teacher - teacher.mean()
    logits.requires_grad_()
    teacher_divergence(logits, teacher, temperature=100.0).backward()
    assert torch.allclose(logits.grad, (logits - teacher).detach() / 8, atol=2e-3)


def test_certain_answers_give_finite_numbers():
    logits = torch.tensor([[300.0, -300.0]], requires_grad=True)
    loss = teacher_divergence(logits, torch.tensor([[-300.0, 300.0]]), temperature=1.0)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()
