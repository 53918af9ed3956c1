"""The running statistics of batch norm: each batch's factor by plain arithmetic, and the EMA's against PyTorch's."""

from collections.abc import Iterator
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from lensmith.data.batches.loader import Loader
from lensmith.data.sources.in_memory import InMemory
from lensmith.data.sources.subsets import narrowed
from lensmith.engine.checkpoint import read_state, write_state
from lensmith.engine.optimize import OPTIMIZERS, leaves
from lensmith.engine.plan.plan import make_plan
from lensmith.engine.running_statistics import RunningStatistics, moving_norms, retake, usual_norm_floor
from lensmith.engine.schedule import cosine
from lensmith.engine.stepper import Stepper
from lensmith.engine.supervised import LearningSettings, Supervised
from lensmith.models.backbone import Backbone, LossHead
from lensmith.models.freeze import freeze
from lensmith.models.network import Network
from lensmith.tasks.classification import Classification

CPU = make_plan(device="cpu")
OWN = 0.01    # the momentum of torchvision's MobileNetV3


class Normed(Backbone):
    """A norm behind the pictures, whose statistics do not depend on any weight, and one behind a convolution."""

    channels, strides = (6,), (1,)

    def __init__(self):
        super().__init__()
        self.first, self.conv, self.second = nn.BatchNorm2d(3, momentum=OWN), nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.second(self.conv(self.first(images))).relu()]


def network_of(task: Classification) -> Network:
    torch.manual_seed(1)
    backbone = Normed()
    return Network(backbone, task.head(backbone), mean=[100.0] * 3, deviation=[60.0] * 3)


def learner(drawn: dict[str, InMemory], *, floor: float, network: Network | None = None, average: float = 0.0,
            accumulate: int = 1, epochs: int = 2) -> Supervised:
    part = narrowed(drawn["train"].subset(range(50)), ["label"])
    task = Classification(part.classes["label"])
    network = network if network is not None else network_of(task)
    chosen = leaves(network)
    stepper = Stepper(network, chosen, OPTIMIZERS["adamw"](chosen, rate=0.01), schedule=cosine(), average=average)
    return Supervised(network, task, Loader(part, 8, seed=5, shuffle=True), valid=Loader(drawn["test"], 8),
                      stepper=stepper, plan=CPU, settings=LearningSettings(epochs, accumulate, 5, norm_floor=floor))


def batches_of(one: Supervised) -> Iterator[np.ndarray]:
    """float64 [batch, 3, height, width]: the standardised pictures in the order in which they are learned from."""
    for epoch in range(one.settings.epochs):
        for batch in one.train.at(epoch, 0):
            yield one.network.standardise(batch.images).double().numpy()


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean, unbiased variance) by channel."""
    return values.mean((0, 2, 3)), values.transpose(1, 0, 2, 3).reshape(values.shape[1], -1).var(1, ddof=1)


def expected(one: Supervised, factors: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """The running statistics of the first norm after all batches, of which each is followed by its factor."""
    mean, variance = np.zeros(3), np.ones(3)
    for factor, batch in zip(factors, batches_of(one), strict=True):
        own_mean, own_variance = moments(batch)
        mean, variance = (1 - factor) * mean + factor * own_mean, (1 - factor) * variance + factor * own_variance
    return mean, variance


@pytest.mark.parametrize(("floor", "accumulate", "factors"), [
    (0.0, 1, [OWN] * 14),
    (0.3, 1, [1, 1 / 2, 1 / 3] + [0.3] * 11),
    (0.3, 4, [1, 1 / 2, 1 / 3] + [0.3] * 11),    # a batch moves them, a step of several batches does not
    (0.001, 1, [1 / number for number in range(1, 15)]),
    (1.0, 1, [1.0] * 14)])
def test_each_batch_counts_by_its_factor(drawn, floor, accumulate, factors):
    one = learner(drawn, floor=floor, accumulate=accumulate)
    list(one)
    norm = one.network.backbone.first
    for found, wanted in zip((norm.running_mean, norm.running_var), expected(one, factors), strict=True):
        assert np.allclose(found.numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_micro_batches_together_count_as_their_batch_does(drawn):
    one = learner(drawn, floor=0.2)
    one.micro_batches = 4
    list(one)
    mean, variance = np.zeros(3), np.ones(3)
    for number, batch in enumerate(batches_of(one)):
        factor = max(OWN, 0.2, 1 / (number + 1))
        pieces = np.array_split(batch, 4) if len(batch) == 8 else [batch]    # of the last two pictures none is alone
        own_mean, own_variance = (sum(len(piece) / len(batch) * moments(piece)[which] for piece in pieces)
                                  for which in (0, 1))
        mean, variance = (1 - factor) * mean + factor * own_mean, (1 - factor) * variance + factor * own_variance
    norm = one.network.backbone.first
    assert np.allclose(norm.running_mean.numpy(), mean, rtol=1e-4, atol=1e-5)
    assert np.allclose(norm.running_var.numpy(), variance, rtol=1e-4, atol=1e-5)


def test_a_norm_with_a_larger_momentum_keeps_its_own():
    norm = nn.BatchNorm2d(2, momentum=0.5)
    assert [RunningStatistics(norm, 0.1).momentum(norm, learned) for learned in (0, 1, 2, 500)] == [1, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("floor", [0.0, 0.3])
def test_what_is_seen_of_a_norm_between_the_steps_is_its_own(drawn, floor):
    one = learner(drawn, floor=floor, average=0.9)
    before = str(one.network)
    for report in one:
        assert [norm.momentum for norm in (one.network.backbone.first, one.network.backbone.second)] == [OWN, 0.1]
        assert str(one.network) == before == str(one.judged), report
    assert one.state_dict()["network"].keys() == network_of(one.task).state_dict().keys()


@pytest.mark.parametrize("other", [
    lambda: nn.BatchNorm2d(3, momentum=None), lambda: nn.BatchNorm2d(3, track_running_stats=False),
    lambda: nn.InstanceNorm2d(3, track_running_stats=True), lambda: nn.BatchNorm2d(3, momentum=0.0)])
def test_other_norms_are_left_alone(drawn, other):
    ends = []
    for floor in (0.0, 0.5):
        one = learner(drawn, floor=0.0)
        network = deepcopy(one.network)
        network.backbone.first, network.backbone.second = other(), nn.Identity()
        assert not moving_norms(network)
        one = learner(drawn, floor=floor, network=network, average=0.9)
        list(one)
        ends.append([*one.network.state_dict().values(), *one.judged.state_dict().values()])
    assert all(torch.equal(first, second) for first, second in zip(*ends, strict=True))


def test_a_frozen_norm_keeps_its_statistics_in_the_network_and_in_the_ema(drawn):
    task = Classification(drawn["train"].classes["label"])
    network = network_of(task)
    network.backbone.first.running_mean.fill_(0.25)
    freeze(network, "backbone.first")
    one = learner(drawn, floor=0.3, network=network, average=0.9)
    list(one)
    for found in (one.network, one.judged):
        assert torch.equal(found.backbone.first.running_mean, torch.full((3,), 0.25))
        assert not torch.equal(found.backbone.second.running_mean, torch.zeros(6))


def test_a_compiled_network_is_compiled_once_and_has_the_same_statistics():
    graphs: list[int] = []

    def count(module: torch.fx.GraphModule, inputs: list[Tensor]):
        graphs.append(1)
        return module.forward

    torch.manual_seed(2)
    plain = nn.Sequential(nn.BatchNorm2d(3, momentum=OWN), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=0.2))
    compiled = deepcopy(plain)
    compiled.compile(backend=count, dynamic=False)
    pair = [(plain, RunningStatistics(plain, 0.05)), (compiled, RunningStatistics(compiled, 0.05, compiled=True))]
    for learned in range(30):
        images = torch.randn(4, 3, 8, 8)
        for network, statistics in pair:
            with statistics.moved(learned):
                network(images).sum().backward()
    assert len(graphs) == 1
    for first, second in zip(plain.buffers(), compiled.buffers(), strict=True):
        assert torch.allclose(first, second, rtol=1e-5, atol=1e-6)
    assert [norm.momentum for norm in moving_norms(compiled).values()] == [OWN, 0.2]


def test_the_statistics_of_the_ema_are_those_that_pytorch_takes(drawn):
    """torch.optim.swa_utils.update_bn over the same batches, of the weights that the EMA has after each epoch."""
    one = learner(drawn, floor=0.3, average=0.9)
    for report in one:
        if report.row is not None:
            twin = deepcopy(one.judged)
            update_bn([batch.images for batch in one.train.at(report.epoch - 1, 0)], twin)
            for name, wanted in twin.state_dict().items():
                if "tracked" not in name:
                    assert torch.allclose(one.judged.state_dict()[name], wanted, rtol=1e-4, atol=1e-5), name
    assert one.judged.backbone.first.num_batches_tracked == 2 * len(one.train)


def test_a_norm_that_no_batch_reaches_or_that_gets_no_number_keeps_its_statistics():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.aside, self.empty = nn.BatchNorm2d(3), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

        def forward(self, images: Tensor) -> Tensor:
            assert not self.training
            self.empty(images[:0])
            return self.used(images)

    network = Odd().eval()
    before = [tensor.clone() for norm in (network.aside, network.empty) for tensor in norm.state_dict().values()]
    images = torch.randn(6, 3, 4, 4) + 5
    retake(network, {"used", "aside", "empty"}, [images[:3], images[3:]], CPU)
    after = [tensor for norm in (network.aside, network.empty) for tensor in norm.state_dict().values()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert torch.allclose(network.used.running_mean, images.mean((0, 2, 3)), atol=1e-5)
    assert not any(module.training for module in network.modules())
    assert network.used.momentum == 0.1 and network.used.num_batches_tracked == 0


def test_a_network_that_looks_at_targets_needs_none_for_its_statistics():
    class Looking(LossHead):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(6)

        def forward(self, maps: list[Tensor], size=None) -> Tensor:
            assert not self.training, "in training mode such a head has no output without targets"
            return self.norm(maps[0]).mean((1, 2, 3))

    backbone = Normed()
    network = Network(backbone, Looking(), mean=[0.0] * 3, deviation=[1.0] * 3)
    retake(network, set(moving_norms(network)), [torch.randn(4, 3, 8, 8)], CPU)
    assert not torch.equal(network.head.norm.running_mean, torch.zeros(6))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_stopping_after_any_step_and_going_on_gives_the_same_bits(drawn, tmp_path, accumulate):
    def states(one: Supervised) -> list[Tensor]:
        return [tensor.clone() for tensor in (*one.network.state_dict().values(), *one.judged.state_dict().values())]

    whole = learner(drawn, floor=0.2, average=0.9, accumulate=accumulate)
    rows = [report.row for report in whole if report.row]
    number_of_reports = whole.steps + 2
    for stop in range(1, number_of_reports):
        first = learner(drawn, floor=0.2, average=0.9, accumulate=accumulate)
        for number, _ in enumerate(first, start=1):
            if number == stop:
                break
        write_state(tmp_path / "last.safetensors", first.state_dict())
        second = learner(drawn, floor=0.2, average=0.9, accumulate=accumulate)
        second.load_state_dict(read_state(tmp_path / "last.safetensors"))
        second.network.eval()    # whatever was done with the network meanwhile must not matter
        found = [report.row for report in second if report.row]
        assert all(torch.equal(one, other) for one, other in zip(states(second), states(whole), strict=True)), stop
        assert found == rows[len(rows) - len(found):]


@pytest.mark.parametrize(("batches", "floor"), [(1, 0.1), (46, 0.1), (100, 0.046), (750, 0.00613), (15_000, 0.000307)])
def test_the_usual_floor_forgets_an_epoch_to_one_percent_and_reads_well(batches, floor):
    assert usual_norm_floor(batches) == floor
    assert batches < 46 or 0.005 < (1 - floor) ** batches < 0.0101


def test_what_the_network_draws_is_the_same_with_and_without_it(drawn):
    numbers = [torch.stack([torch.rand(3) for _ in learner(drawn, floor=floor, average=0.9)]) for floor in (0.0, 0.3)]
    assert torch.equal(*numbers)
