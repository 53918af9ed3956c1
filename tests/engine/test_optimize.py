"""Optimizers and groups of parameters, each against a plain form."""

import pytest
import torch
from torch import nn

from lensmith.base.errors import UserError
from lensmith.engine.optimize import OPTIMIZERS, Leaf, adamw, leaves, muon, sgd
from lensmith.engine.schedule import constant
from lensmith.engine.stepper import Stepper


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten(),
                         nn.Linear(16, 5))


def loss_of(net: nn.Module, seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    return nn.functional.cross_entropy(net(torch.randn(6, 3, 6, 6)), torch.arange(6) % 5)


def test_decay_is_left_off_biases_and_norms():
    decays = {leaf.name: leaf.decay for leaf in leaves(network())}
    assert decays["0.weight"] == decays["5.weight"] == 1
    assert decays["0.bias"] == decays["1.weight"] == decays["1.bias"] == 0


def test_groups_set_rates_and_decays_by_name():
    net = network()
    found = {leaf.name: leaf for leaf in leaves(net, [{"match": "0.*", "rate": 0.1, "decay": 0.5}])}
    assert found["0.weight"].rate == 0.1 and found["0.weight"].decay == 0.5 and found["3.weight"].rate == 1
    groups = adamw(list(found.values()), rate=0.01)[0].param_groups
    assert sorted({group["peak"] for group in groups}) == pytest.approx([0.001, 0.01])


def test_further_factors_multiply_the_rates_of_groups():
    found = {leaf.name: leaf.rate for leaf in leaves(network(), [{"match": "0.*", "rate": 0.1}],
                                                     rates={"0.weight": 0.25, "3.weight": 0.5})}
    assert found == {"0.weight": 0.025, "0.bias": 0.1, "1.weight": 1.0, "1.bias": 1.0, "3.weight": 0.5, "3.bias": 1.0,
                     "5.weight": 1.0, "5.bias": 1.0}


def step(stepper: Stepper, loss: torch.Tensor) -> None:
    stepper.add(loss)
    stepper.move()


@pytest.mark.parametrize(("groups", "text"), [
    ([{"match": "backbon.*"}], "no parameter matches 'backbon.*'"),
    ([{"rate": 0.1}], "an entry has match, rate and decay"),
    ([{"match": "*", "speed": 1}], "an entry has match, rate and decay"),
    ([{"match": 5}], "an entry has match, rate and decay"),
    ([{"match": "*", "rate": float("nan")}], "an entry has match, rate and decay")])
def test_wrong_groups_are_refused(groups, text):
    with pytest.raises(UserError) as raised:
        leaves(network(), groups)
    assert text in str(raised.value)


def test_what_has_the_rate_0_stands_still_and_has_no_gradient():
    net = network()
    before = [one.detach().clone() for one in net.parameters()]
    chosen = leaves(net, [{"match": "0.*", "rate": 0}])
    stepper = Stepper(net, chosen, sgd(chosen, rate=0.1), schedule=constant())
    stepper.add(loss_of(net, 0))
    assert [name for name, one in net.named_parameters() if one.grad is None] == ["0.weight", "0.bias"]
    stepper.move()
    still = [torch.equal(one, other) for one, other in zip(net.parameters(), before, strict=True)]
    assert still[:2] == [True, True] and not any(still[2:])
    with pytest.raises(UserError, match="every parameter has the rate 0, so that nothing learns"):
        leaves(network(), [{"match": "*", "rate": 0}])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_a_loss(name: str):
    net = network()
    chosen = leaves(net)
    stepper = Stepper(net, chosen, OPTIMIZERS[name](chosen, rate=0.02), schedule=constant())
    stepper.steps = 30
    first = loss_of(net, 1).item()
    for _ in range(30):
        step(stepper, loss_of(net, 1))
    assert loss_of(net, 1).item() < 0.6 * first
    assert stepper.done == 30


def test_sgd_is_plain_sgd():
    net, twin = network(), network()
    chosen = leaves(net)
    stepper = Stepper(net, chosen, sgd(chosen, rate=0.1, momentum=0.0, decay=0.0), schedule=constant())
    step(stepper, loss_of(net, 2))
    loss_of(twin, 2).backward()
    for own, other in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(own, other - 0.1 * other.grad, atol=1e-7)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_steps_as_pytorchs_own_class_does_to_the_bit(name: str):
    net, kinds = network(), {kind.__name__: kind for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW,
                                                              torch.optim.Muon)}
    for own in OPTIMIZERS[name](leaves(net)):
        groups = [{**group, "params": [nn.Parameter(one.detach().clone()) for one in group["params"]]}
                  for group in own.param_groups]
        plain = kinds[type(own).__name__](groups, lr=1.0)    # a group holds its own settings
        for number in range(3):
            for ours, theirs in zip(own.param_groups, plain.param_groups, strict=True):
                for one, other in zip(ours["params"], theirs["params"], strict=True):
                    one.grad = torch.randn(one.shape, generator=torch.Generator().manual_seed(number))
                    other.grad = one.grad.clone()
            own.step()
            plain.step()
        for ours, theirs in zip(own.param_groups, plain.param_groups, strict=True):
            assert all(torch.equal(*pair) for pair in zip(ours["params"], theirs["params"], strict=True))


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "muon"])
def test_weights_in_channels_last_learn_as_others_and_are_matrices_to_the_optimizer(name: str):
    """Their moments are told in the weights' shape, and as those of a network in the other layout are."""
    told = []
    for layout in (torch.contiguous_format, torch.channels_last):
        net = network().to(memory_format=layout)
        chosen = leaves(net)
        stepper = Stepper(net, chosen, OPTIMIZERS[name](chosen, rate=0.01), schedule=constant())
        for number in range(3):
            step(stepper, loss_of(net, number))
        told.append((net.state_dict(), stepper.state_dict()["moments"]))
        axes = {one.ndim for group in stepper.optimizers[0].param_groups for one in group["params"]}
        assert (4 in axes) == (layout is torch.contiguous_format)
        assert all(one.grad is None for group in stepper.optimizers[0].param_groups for one in group["params"])
    weights = [key for key, one in told[0][0].items() if one.ndim > 1]    # a bias before batch norm learns rounding
    assert len(weights) == 3
    for key in weights:
        assert torch.allclose(told[0][0][key], told[1][0][key], atol=1e-5)
        for kind, value in told[0][1][key].items():
            assert not torch.is_tensor(value) or torch.allclose(value, told[1][1][key][kind], atol=1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_muon_moves_the_convolution_by_an_orthogonal_matrix(layout):
    """One step of Muon without decay moves a weight by rate times a matrix whose singular values are near 1."""
    net = network().to(memory_format=layout)
    before = net[3].weight.detach().clone()
    chosen = leaves(net)
    stepper = Stepper(net, chosen, muon(chosen, rate=0.1, decay=0.0), schedule=constant())
    step(stepper, loss_of(net, 1))
    moved = (before - net[3].weight.detach()).flatten(1)
    values = torch.linalg.svdvals(moved) / 0.1
    assert float(values.min()) > 0.5 and float(values.max()) < 1.5
    assert not torch.equal(net[5].weight, network()[5].weight)    # the last layer moves too, by AdamW


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_normalised_muon_steps_from_one_norm_whatever_the_weights_were(layout):
    """What a step makes of a weight and of ten times that weight is the same where a norm stands behind it."""
    class Normed(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(),
                             nn.Linear(128, 5))

    found = []
    for factor in (1.0, 10.0):
        torch.manual_seed(3)
        net = Normed().to(memory_format=layout)
        net[0].weight.data.mul_(factor)
        chosen = leaves(net)
        stepper = Stepper(net, chosen, muon(chosen, rate=0.25, decay=0.0, normalise=True), schedule=constant())
        before = net[0].weight.detach() * 8**0.5 / net[0].weight.detach().norm()
        step(stepper, loss_of(net, 1))
        moved = (net[0].weight.detach() - before).flatten(1)
        assert float(torch.linalg.svdvals(moved).median()) == pytest.approx(0.25, rel=0.3)
        found.append(net[0].weight.detach().clone())
    assert torch.allclose(found[0], found[1], atol=1e-2)


def test_normalised_muon_leaves_alone_what_stands_still_for_now():
    net = network()
    chosen = leaves(net)
    stepper = Stepper(net, chosen, muon(chosen, normalise=True), schedule=constant())
    net[0].requires_grad_(False)
    before = net[0].weight.detach().clone(), net[3].weight.detach().clone()
    step(stepper, loss_of(net, 1))
    assert torch.equal(net[0].weight, before[0]) and not torch.equal(net[3].weight, before[1])


def test_muon_needs_matrices():
    with pytest.raises(UserError, match="'muon' needs a convolution or a dense layer"):
        muon([Leaf("bias", nn.Parameter(torch.zeros(3)), 1.0, 0.0)])


@pytest.mark.parametrize(("name", "settings", "text"), [
    ("adam", {"rate": 0.0}, "optimizer.rate must be above 0; got 0.0"),
    ("sgd", {"decay": -1.0}, "optimizer.decay must be 0 or more; got -1.0")])
def test_wrong_settings_are_refused(name, settings, text):
    with pytest.raises(UserError) as raised:
        OPTIMIZERS[name](leaves(network()), **settings)
    assert text in str(raised.value)
