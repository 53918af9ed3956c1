"""The cosine between two gradients. What is refused by it is tested with the candidates."""

import torch

from lensmith.engine.plan.check_gradient import gradient_cosine


def test_gradient_cosine():
    gradient, other = [torch.tensor([1.0, 0.0]), torch.tensor([0.0])], [torch.tensor([0.0, 2.0]), torch.tensor([0.0])]
    assert gradient_cosine(gradient, gradient) == 1 and gradient_cosine(gradient, other) == 0
    assert gradient_cosine(gradient, [-value for value in gradient]) == -1
    assert not gradient_cosine(gradient, [value * float("nan") for value in gradient]) >= 0
