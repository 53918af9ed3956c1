"""What channels cost, how important they are and how many each layer gives, against PyTorch's own counts and sums."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from lensmith.base.pictures import Form
from lensmith.data.sources.sample import Batch
from lensmith.ship.compress import costs
from lensmith.ship.compress.channels import ChannelGraph, cut, left, read_channels
from lensmith.ship.compress.importance import importance
from lensmith.ship.compress.live_memory import live_bytes
from lensmith.ship.compress.shares import FRACTIONS, Curve, chosen_units, masked, sensitivity, shares
from lensmith.values.labels import Label


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
                                    nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.Conv2d(16, 40, 3, stride=2),
                                    nn.ReLU(), nn.ConvTranspose2d(40, 8, 2, 2), nn.Flatten(), nn.Linear(8 * 36, 4))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.layers(pictures.float() / 255)


class Entropy:
    """The loss of a task, and nothing else of one."""

    def loss(self, output: Tensor, targets: dict[str, Label]) -> dict[str, Tensor]:
        return {"label": F.cross_entropy(output, targets["label"].index)}


@pytest.fixture
def network() -> nn.Module:
    return Net().eval()


@pytest.fixture
def graph(network: nn.Module) -> ChannelGraph:
    return read_channels(network, Form(3, 8, 8))


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    pictures = torch.randint(0, 256, (8, 3, 8, 8), generator=generator, dtype=torch.uint8)
    return Batch(pictures, {"label": Label(torch.arange(8) % 4)})


def flops(network: nn.Module) -> int:
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    return counter.get_total_flops()


def bytes_of(network: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())


def test_costs_are_those_of_the_network_that_is_cut(network: nn.Module, graph: ChannelGraph):
    removed = [len(group.units) // 4 for group in graph.groups]
    smaller = cut(network, [unit for group, number in zip(graph.groups, removed, strict=True)
                            for unit in group.units[:number]])
    macs, size = costs.multiply_adds(network, graph), costs.size(network, graph)
    assert 2 * macs(graph.lengths) == flops(network) and size(graph.lengths) == bytes_of(network)
    assert 2 * macs(left(graph, removed)) == flops(smaller) and size(left(graph, removed)) == bytes_of(smaller)
    seconds = costs.seconds(network, graph)
    assert 0 < seconds(left(graph, [len(group.units) // 2 for group in graph.groups])) < 2 * seconds(graph.lengths)


def test_taylor_is_the_slope_of_the_loss_by_a_gate_on_each_slice(network: nn.Module, graph: ChannelGraph, batch: Batch):
    found = importance(network, graph, Entropy(), [batch], "taylor")    # type: ignore[arg-type]
    parameters = dict(network.named_parameters())
    slopes = {}
    for name, dimension in graph.lengths:
        if name in parameters:
            gate = torch.ones(parameters[name].shape[dimension], requires_grad=True)
            shape = [-1 if place == dimension else 1 for place in range(parameters[name].ndim)]
            output = functional_call(network, {name: parameters[name].detach() * gate.view(shape)}, (batch.images,))
            loss = Entropy().loss(output, batch.targets)["label"]    # type: ignore[arg-type]
            slopes[name, dimension] = torch.autograd.grad(loss, gate)[0].abs()
    for group, ranks in zip(graph.groups, found, strict=True):
        expected = [sum(float(slopes[axis][places].sum()) for axis, places in unit.items() if axis in slopes)
                    for unit in group.units]
        assert ranks.tolist() == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_norm_and_scale_are_sums_over_slices(network: nn.Module, graph: ChannelGraph, batch: Batch):
    number, group = next((number, group) for number, group in enumerate(graph.groups)
                         if ("layers.1.weight", 0) in group.places)
    scales = network.layers[1].weight    # type: ignore[index]
    with torch.no_grad():
        scales.copy_(torch.linspace(-2, 1, 16))
    found = importance(network, graph, Entropy(), [], "scale")[number]    # type: ignore[arg-type]
    assert torch.allclose(found, scales.abs())
    lengths = [tensor.flatten(1).norm(dim=1) for tensor in (network.layers[0].weight, network.layers[3].weight,
                                                            network.layers[4].weight.transpose(0, 1))]
    expected = sum(length / length.mean() for length in lengths)
    by_norm = importance(network, graph, Entropy(), [], "norm")[number]    # type: ignore[arg-type]
    assert torch.allclose(by_norm, expected.detach(), rtol=1e-4)
    assert [next(iter(unit.values())).item() for unit in group.units] == list(range(16))


def test_masking_is_undone_and_what_it_costs_never_falls(network: nn.Module, graph: ChannelGraph, batch: Batch):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    ranks = importance(network, graph, Entropy(), [], "norm")    # type: ignore[arg-type]

    def loss() -> float:
        with torch.no_grad():
            return float(Entropy().loss(network(batch.images), batch.targets)["label"])

    curves = sensitivity(network, graph, ranks, loss)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(list(curve.added) == sorted(curve.added) and curve.added[0] == 0 for curve in curves)
    with masked(network, graph, graph.groups[0].units[:3]):
        assert not torch.equal(network.layers[4].weight, before["layers.4.weight"])    # type: ignore[index]


def test_the_group_that_loses_nothing_gives_first(network: nn.Module, graph: ChannelGraph):
    free, dear = Curve((0.0,) * (1 + len(FRACTIONS))), Curve((0.0, *(10 * fraction for fraction in FRACTIONS)))
    curves = [free if number == 1 else dear for number in range(len(graph.groups))]
    cost = costs.multiply_adds(network, graph)
    removed, reached = shares(graph, curves, cost, 0.9)
    assert [bool(number) for number in removed] == [number == 1 for number in range(len(graph.groups))]
    assert reached <= 0.9 and reached == cost(left(graph, removed)) / cost(graph.lengths)
    assert len(graph.groups[1].units) == 40 and (40 - removed[1]) % 4 == 0    # what kernels are made for
    everything, least = shares(graph, curves, cost, 1e-6)
    assert least > 1e-6 and all(number < len(group.units) for group, number
                                in zip(graph.groups, everything, strict=True))


def test_the_least_important_units_are_chosen(graph: ChannelGraph):
    ranks = [torch.arange(len(group.units)).flip(0).float() for group in graph.groups]
    removed = [1, *([0] * (len(graph.groups) - 1))]
    assert chosen_units(graph, ranks, removed) == [graph.groups[0].units[-1]]


def test_a_curve_is_linear_between_what_was_measured():
    curve = Curve((0.0, 1.0, 2.0, 4.0, 10.0))
    assert [curve.at(fraction) for fraction in (0, 0.125, 0.5, 0.625)] == [0.0, 0.5, 2.0, 3.0]


def test_the_memory_of_a_pass_is_that_of_its_fullest_moment():
    class Twice(nn.Module):
        def forward(self, pictures: Tensor) -> Tensor:
            return (pictures.float() * 2).relu()

    assert live_bytes(Twice(), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)) == 2 * 4 * 3 * 8 * 8
