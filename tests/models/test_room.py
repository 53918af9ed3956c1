"""Networks that have no room are refused before they are built."""

import pytest
import torch
from torch import nn

from lensmith.base.errors import UserError
from lensmith.models.room import check_room


def test_a_network_beyond_the_memory_is_refused_and_takes_none():
    with pytest.raises(UserError, match=r"backbone 'wide' would take 4,000\.0 GB, and .* GB of memory are free: take"):
        check_room(lambda: nn.Linear(1_000_000, 1_000_000, bias=False), "backbone 'wide'")


def test_a_network_without_end_is_refused():
    with pytest.raises(UserError, match=r"backbone 'deep' has more than 10,000 parameters: take fewer layers"):
        check_room(lambda: nn.Sequential(*(nn.Linear(1, 1) for _ in range(10**9))), "backbone 'deep'")


def test_one_that_fits_passes_and_draws_no_random_number():
    torch.manual_seed(0)
    first = torch.rand(3)
    torch.manual_seed(0)
    assert check_room(lambda: nn.Linear(100, 100), "x") is None and torch.equal(torch.rand(3), first)
    assert nn.Linear(2, 2).weight.device.type == "cpu"    # nothing is left behind


def test_what_cannot_be_built_is_left_to_whoever_builds_it():
    def fails() -> nn.Module:
        raise ZeroDivisionError

    assert check_room(fails, "x") is None
