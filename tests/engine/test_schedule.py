"""Schedules against PyTorch's own."""

import pytest
import torch

from lensmith.base.errors import UserError
from lensmith.engine.schedule import SCHEDULES, constant, cosine, linear, one_cycle

STEPS = 40


def rates(make) -> list[float]:
    """The rate before each step, by one of PyTorch's schedulers on a peak of 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    found = []
    for _ in range(STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def ours(schedule) -> list[float]:
    return [schedule(step / STEPS) for step in range(STEPS)]


def test_cosine_equals_pytorch():
    assert ours(cosine(final=0.1)) == pytest.approx(
        rates(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.1)), abs=1e-9)


def test_linear_equals_pytorch():
    assert ours(linear(warmup=0.0)) == pytest.approx(
        rates(lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 1e-12, STEPS)), abs=1e-9)


def test_one_cycle_equals_pytorch():
    # PyTorch counts the peak as a step of its own: its rise ends at pct_start * total_steps - 1.
    wanted = rates(lambda o: torch.optim.lr_scheduler.OneCycleLR(
        o, 1.0, total_steps=STEPS + 1, pct_start=(0.25 * STEPS + 1) / (STEPS + 1), div_factor=25,
        final_div_factor=4000, cycle_momentum=False))
    assert ours(one_cycle(rise=0.25, start=1 / 25, final=1e-5)) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_stays_within_the_peak_and_reaches_it(name: str):
    factors = ours(SCHEDULES[name]())
    assert max(factors) == pytest.approx(1.0, abs=0.01) and min(factors) >= 0


def test_warmup_rises_in_a_straight_line():
    assert ours(constant(warmup=0.25))[:11] == pytest.approx([i / 10 for i in range(11)])


@pytest.mark.parametrize("make", [constant, cosine, linear])
def test_a_fraction_is_a_fraction(make):
    with pytest.raises(UserError, match=r"schedule.warmup is a fraction of the run, 0 .. 1; got 5"):
        make(warmup=5)
    with pytest.raises(UserError, match=r"schedule.rise is a fraction of the run, 0 .. 1; got -1"):
        one_cycle(rise=-1)
