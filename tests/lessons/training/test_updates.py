"""The formulas of the optimizers, number by number, against PyTorch's own in float64."""

import pytest
import torch
from torch import nn

from lensmith.lessons.training.updates import UPDATES, explain_update

OPTIMIZERS = {
    "plain": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_weight_moves_as_the_formula_says(make):
    weight = nn.Parameter(torch.tensor([0.7], dtype=torch.float64))
    optimizer = make([weight])
    for gradient in (0.3, -0.2, 0.05):    # from the second step on there is something to remember
        before = weight.item()
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        moments = {key: value.item() for key, value in optimizer.state[weight].items() if value is not None}
        update = explain_update(type(optimizer).__name__, before, gradient, optimizer.param_groups[0], moments)
        optimizer.step()
        assert update is not None and update.after == pytest.approx(weight.item(), abs=1e-14)
        assert update.lines[0].startswith("g = ") and update.lines[-1].startswith("w = ")
        assert update.lines[-1].endswith(f"= {update.after:.7g}")


def test_the_lines_are_arithmetic_that_holds():
    group = {"lr": 0.5, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}
    update = explain_update("SGD", 2.0, 0.4, group, {"momentum_buffer": 1.0})
    assert update is not None
    for line in update.lines[1:]:
        left, value = line.split(" = ", 1)[1].split(",")[0].rsplit(" = ", 1)
        assert eval(left) == pytest.approx(float(value)), line
    assert update.after == pytest.approx(2 - 0.5 * (0.6 + 0.9 * (0.9 + 0.6)))


def test_an_optimizer_of_whole_matrices_has_no_formula_for_one_weight():
    assert "Muon" not in UPDATES and explain_update("Muon", 1.0, 1.0, {}, {}) is None
