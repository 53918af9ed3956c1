"""The quicker form of a network gives its numbers, and leaves it alone."""

import torch
from torch import nn

from lensmith.engine.plan.plan import make_plan
from lensmith.models.network import Network
from lensmith.study.explain.quick_forward import quick_forward
from lensmith.study.explain.subject import Subject


def test_it_gives_what_the_network_gives(network: Network):
    nn.init.normal_(network.backbone.first[1].running_mean, generator=torch.Generator().manual_seed(1))
    pictures = torch.rand(5, 3, 32, 40, generator=torch.Generator().manual_seed(2)) * 255
    before = {name: value.clone() for name, value in network.state_dict().items()}
    forward = quick_forward(network, make_plan(device="cpu", layout="contiguous", precision="float32"))
    for some in (pictures, pictures[:1]):
        found = forward(some)
        torch.testing.assert_close(found.clone(), network(some).detach())
        assert not found.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert isinstance(network.backbone.first[1], nn.BatchNorm2d)


def test_scores_go_by_it_and_slopes_by_the_network(network: Network):
    pictures = torch.rand(300, 3, 8, 8, generator=torch.Generator().manual_seed(2)) * 255
    sizes = []

    def twice(some: torch.Tensor) -> torch.Tensor:
        sizes.append(len(some))
        return 2 * network(some)

    subject = Subject(network, lambda output: output[:, 1], (), 0, twice)
    scores = subject.scores(iter(pictures))
    assert scores.shape == (300,) and not scores.requires_grad and sum(sizes) == 300 and max(sizes) == sizes[0] < 300
    torch.testing.assert_close(scores, 2 * network(pictures)[:, 1].detach())
    torch.testing.assert_close(subject.score(pictures), network(pictures)[:, 1])
    assert subject.scores([]).shape == (0,)
