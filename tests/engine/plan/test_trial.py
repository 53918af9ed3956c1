import pytest
import torch
from torch.nn import functional as F

from lensmith.engine.plan.plan import Plan
from lensmith.engine.plan.trial import Trial
from tests.engine.plan.test_time_candidates import LAYERS, TASK, batch_of, network_of


def test_a_trial_gives_the_gradient_that_autograd_gives():
    network, batch = network_of(LAYERS), batch_of()
    loss, found = Trial(Plan("cpu", "float32", "channels_last", 1), network, TASK).gradient(batch)
    expected = F.cross_entropy(network(batch.images), batch.targets["label"].index)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    for one, other in zip(found, network.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad, rtol=1e-4, atol=1e-6)
