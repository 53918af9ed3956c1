"""Which channels go together: a network without some of them computes what the whole one does where nothing reads them,
and the network that is built again from the shapes of its file computes the same bits."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from lensmith.base.errors import ModelError
from lensmith.base.pictures import Form
from lensmith.data.sources.in_memory import InMemory
from lensmith.models.network import Network
from lensmith.models.widths import narrow, widths_in
from lensmith.ship.compress.channels import ChannelGraph, Unit, check_runs, cut, read_channels
from lensmith.ship.compress.shares import masked
from tests.test_contract import FAMILIES, LONG, SMALL, TASKS, made

FAST = [("csp", 32, "detection"), ("lenet", 20, "tagging"), ("stack", 20, "multitask"),
        ("resnet18", 32, "segmentation"), ("shufflenet_v2_x0_5", 32, "classification")]
SIZES = {**dict.fromkeys(SMALL, 32), **LONG, **FAMILIES}
SLOW = [(name, size, task) for name, size in SIZES.items() for task in TASKS if (name, size, task) not in FAST]
# Of a layer norm the mean changes with the channels, so that what is left computes something else.
OTHER_STATISTICS = ("convnext_tiny",)


def outputs(network: nn.Module, pictures: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return [leaf for leaf in tree_leaves(network(pictures)) if isinstance(leaf, Tensor)]


def with_statistics(network: nn.Module) -> nn.Module:
    """The network in evaluation mode, with batch norm that does something."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in ((module.weight, 0.5, 1.5), (module.bias, -0.2, 0.2),
                                      (module.running_mean, -0.2, 0.2), (module.running_var, 0.5, 1.5)):
                tensor.data.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
    return network.eval()


def halved(graph: ChannelGraph) -> list[Unit]:
    return [unit for group in graph.groups for unit in group.units[::2]]


@pytest.mark.parametrize("pair", [*FAST, *(pytest.param(pair, marks=pytest.mark.slow) for pair in SLOW)],
                         ids=lambda pair: f"{pair[0]}-{pair[2]}")
def test_half_of_the_channels(pair: tuple[str, int, str], drawn: dict[str, InMemory]):
    backbone, size, task = pair
    network, _, data = made(backbone, size, task, drawn)
    fresh = deepcopy(network)
    with_statistics(network)
    graph = read_channels(network, Form(3, size, size))
    smaller = cut(network, halved(graph))
    pictures = data.images[:2]
    before, after = outputs(network, pictures), outputs(smaller, pictures)
    assert [tensor.shape for tensor in after] == [tensor.shape for tensor in before]
    assert numbers_in(smaller) < 0.8 * numbers_in(network)
    if backbone not in OTHER_STATISTICS:
        with masked(network, graph, halved(graph)):
            expected = outputs(network, pictures)
        for ours, its in zip(after, expected, strict=True):
            torch.testing.assert_close(ours, its, rtol=1e-3, atol=1e-4 * float(its.float().abs().max()))
    assert all(torch.equal(one, two) for one, two in zip(before, outputs(network, pictures), strict=True))
    narrow(fresh, widths_in(fresh, {name: tuple(tensor.shape) for name, tensor in smaller.state_dict().items()}))
    fresh.load_state_dict(smaller.state_dict())
    assert all(torch.equal(one, two) for one, two in zip(after, outputs(fresh.eval(), pictures), strict=True))
    again = read_channels(fresh, Form(3, size, size))    # and it can be cut once more
    assert [tensor.shape for tensor in outputs(cut(fresh, halved(again)), pictures)] == [each.shape for each in before]


def numbers_in(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


class Wired(nn.Module):
    """A network of one's own: `forward` does what a test is about between two convolutions."""

    def __init__(self, between: object, middle: int = 8, outputs: int = 3):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(middle, 6, 3, padding=1)
        self.last, self.between = nn.Conv2d(6, outputs, 1), between

    def forward(self, pictures: Tensor) -> Tensor:
        return self.last(self.second(self.between(self.first(pictures.float()))))    # type: ignore[operator]


def sets_of(network: nn.Module, layer: str) -> list[list[int]]:
    """The outputs of a layer that go together, a list each."""
    graph = read_channels(network, Form(3, 8, 8))
    axis = (f"{layer}.weight", 0)
    return sorted(unit[axis].tolist() for group in graph.groups for unit in group.units if axis in unit)


def shuffled(maps: Tensor) -> Tensor:
    batch, channels, height, width = maps.shape
    return maps.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, channels, height, width)


@pytest.mark.parametrize(("between", "middle", "expected"), [
    (lambda maps: maps.relu(), 8, [[n] for n in range(8)]),
    (lambda maps: torch.cat((maps, maps.relu()), 1), 16, [[n] for n in range(8)]),
    (lambda maps: sum(maps.chunk(2, 1)), 4, [[n, n + 4] for n in range(4)]),
    (shuffled, 8, [[n, n + 4] for n in range(4)]),
    (lambda maps: maps + maps.flip(1), 8, [[n, 7 - n] for n in range(4)]),
    (lambda maps: maps[:, :4], 4, []),                       # chosen by their place
    (lambda maps: maps.softmax(1), 8, []),
    (lambda maps: maps + maps.mean(1, keepdim=True), 8, []),
    (lambda maps: maps * torch.ones(8, 1, 1), 8, []),        # a constant that keeps its length
    (lambda maps: F.avg_pool2d(maps, 2) * 2, 8, [[n] for n in range(8)]),
], ids=["relu", "joined", "chunks", "shuffle", "sum", "slice", "softmax", "mean", "constant", "pool"])
def test_what_goes_together(between: object, middle: int, expected: list[list[int]]):
    assert sets_of(Wired(between, middle), "first") == expected


def test_outputs_keep_their_channels():
    network = Wired(lambda maps: maps)
    graph = read_channels(network, Form(3, 8, 8))
    assert all(("last.weight", 0) not in group.places for group in graph.groups)
    assert [group.name for group in graph.groups] == ["first", "second"]


def test_grouped_convolutions_and_group_norms_lose_whole_groups():
    network = Wired(nn.Sequential(nn.GroupNorm(4, 8), nn.Conv2d(8, 8, 3, padding=1, groups=2)))
    graph = read_channels(network, Form(3, 8, 8))
    (units,) = [group.units for group in graph.groups if group.name == "first"]
    assert [unit["first.weight", 0].tolist() for unit in units] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    smaller = cut(network, units[:1])
    assert (smaller.between[0].num_groups, smaller.between[1].groups, smaller.between[1].in_channels) == (2, 1, 4)
    assert smaller(torch.zeros(1, 3, 8, 8)).shape == (1, 3, 8, 8)


def test_a_shared_layer_is_cut_once():
    layer = nn.Conv2d(8, 8, 3, padding=1)
    network = Wired(nn.Sequential(layer, layer))
    smaller = cut(network, halved(read_channels(network, Form(3, 8, 8))))
    assert smaller.between[0] is smaller.between[1] and smaller.between[0].weight.shape[:2] == (4, 4)


def test_a_network_that_cannot_be_read_is_named_by_its_layer():
    class Broken(nn.Module):
        def forward(self, maps: Tensor) -> Tensor:
            return maps.view(5, 7)

    with pytest.raises(ModelError, match=r"^the channels of between\.1 cannot be read \(.*: this network cannot be "
                                         r"compressed$"):
        read_channels(Wired(nn.Sequential(nn.ReLU(), Broken())), Form(3, 8, 8))


def test_numbers_of_channels_in_the_code_are_found_by_running_it():
    class Fixed(nn.Module):
        def forward(self, maps: Tensor) -> Tensor:
            return maps.reshape(len(maps), 8, -1, 8)

    network = Wired(nn.Sequential(nn.ReLU(), Fixed()))
    smaller = cut(network, halved(read_channels(network, Form(3, 8, 8))))
    with pytest.raises(ModelError, match=r"^second cannot be run with fewer channels \(.*: numbers of channels are "
                                         "written into its code"):
        check_runs(smaller, Form(3, 8, 8))


def test_a_network_that_can_lose_nothing_says_which_layer_needs_all():
    class Mixing(nn.Module):
        def forward(self, maps: Tensor) -> Tensor:
            return maps.softmax(1)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.mix, self.last = nn.Conv2d(3, 8, 3), Mixing(), nn.Conv2d(8, 4, 1)

        def forward(self, pictures: Tensor) -> Tensor:
            return self.last(self.mix(self.first(pictures.float())))

    with pytest.raises(ModelError, match=r"^no channel of this network can be left out: mix \(softmax over channels\) "
                                         "needs them$"):
        read_channels(Net(), Form(3, 8, 8))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "densenet121", "squeezenet1_1"])
def test_channels_go_together_as_in_torch_pruning(name: str):
    """Of one channel of each layer, in all layers. That package reads no `csp` and no ShuffleNet."""
    pruning = pytest.importorskip("torch_pruning")
    from torchvision.models import get_model

    network = get_model(name, weights=None, num_classes=3).eval()
    network.register_forward_pre_hook(lambda _, arguments: (arguments[0].float(),))
    graph = read_channels(network, Form(3, 64, 64))
    theirs = pruning.DependencyGraph().build_dependency(network, example_inputs=torch.zeros(1, 3, 64, 64))
    names = {module: path for path, module in network.named_modules()}
    compared = 0
    for group in graph.groups:
        weight, unit = f"{group.name}.weight", group.units[1]
        if (weight, 0) not in unit or len(unit[weight, 0]) > 1:
            continue
        root = network.get_submodule(group.name)
        found = theirs.get_pruning_group(root, theirs.get_pruner_of_module(root).prune_out_channels,
                                         idxs=unit[weight, 0].tolist())
        expected = {(names[dependency.layer], theirs.is_out_channel_pruning_fn(dependency.pruning_fn),
                     tuple(sorted(places))) for dependency, places in found if dependency.layer in names}
        ours = {(path.rpartition(".")[0], path not in graph.calls or dimension != graph.calls[path].taking,
                 tuple(places.tolist())) for (path, dimension), places in unit.items()}
        assert ours == expected, group.name
        compared += 1
    assert compared > 10


def test_a_network_of_lensmith_is_read_from_its_own_pictures(drawn: dict[str, InMemory]):
    network, _, _ = made("lenet", 20, "classification", drawn)
    assert isinstance(network, Network)
    graph = read_channels(network, Form(3, 20, 20))
    flat = next(group for group in graph.groups if any(name.startswith("head") for name, _ in group.places))
    assert set(flat.places.values()) == {1, 4}    # a channel of the last map is 2 x 2 inputs of the first dense layer
