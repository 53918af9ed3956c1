"""Weights half way between equal and balanced ones."""

import pytest
import torch

from lensmith.tasks.losses.picture_losses import balanced_weights, root_weights


def test_the_mean_weight_of_a_pixel_is_one_and_ratios_are_roots() -> None:
    counts = torch.tensor([900, 100, 0])
    weights = root_weights(counts)
    assert float((weights * counts).sum() / counts.sum()) == pytest.approx(1)
    assert float(weights[1] / weights[0]) == pytest.approx(3) and weights[2] == 1
    assert float(balanced_weights(counts)[1] / balanced_weights(counts)[0]) == pytest.approx(9)
