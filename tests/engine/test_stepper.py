"""Accumulation, clipping, the EMA of the weights, loss scaling and restored states, each against a plain form."""

import pytest
import torch

from lensmith.base.errors import UserError
from lensmith.engine.optimize import OPTIMIZERS, leaves, sgd
from lensmith.engine.schedule import constant
from lensmith.engine.stepper import Stepper
from tests.engine.test_optimize import loss_of, network, step


def test_accumulated_halves_equal_the_mean_of_their_gradients():
    net, twin = network(), network()
    chosen = leaves(net)
    stepper = Stepper(net, chosen, sgd(chosen, rate=0.1, momentum=0.0, decay=0.0), schedule=constant())
    stepper.add(loss_of(net, 1), weight=0.5)
    assert stepper.done == 0
    stepper.add(loss_of(net, 2), weight=0.5)
    stepper.move()
    ((loss_of(twin, 1) + loss_of(twin, 2)) / 2).backward()
    for own, other in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(own, other - 0.1 * other.grad, atol=1e-6)


def test_clipping_bounds_the_step():
    net, before = network(), network()
    chosen = leaves(net)
    stepper = Stepper(net, chosen, sgd(chosen, rate=1.0, momentum=0.0, decay=0.0), schedule=constant(), clip=1e-3)
    step(stepper, loss_of(net, 1))
    pairs = zip(net.parameters(), before.parameters(), strict=True)
    moved = sum((a.detach() - b.detach()).square().sum() for a, b in pairs).sqrt()
    assert float(moved) == pytest.approx(1e-3, rel=1e-3)


def test_the_ema_of_the_weights_follows_the_stated_recursion():
    net = network()
    chosen = leaves(net)
    stepper = Stepper(net, chosen, sgd(chosen, rate=0.1), schedule=constant(), average=0.9)
    stepper.steps = 20
    wanted = {name: value.clone() for name, value in net.state_dict().items()}
    for number in range(1, 21):
        step(stepper, loss_of(net, number))
        decay = min(0.9, (1 + number) / (10 + number))
        for name, value in net.state_dict().items():
            wanted[name] = decay * wanted[name] + (1 - decay) * value if value.is_floating_point() else value.clone()
    for name, value in stepper.ema.state_dict().items():
        assert torch.allclose(value, wanted[name], atol=1e-6), name


def test_wrong_clip_and_average_are_refused():
    net = network()
    chosen = leaves(net)
    for settings, text in (({"clip": -1.0}, "learner.clip"), ({"average": 1.0}, "learner.average")):
        with pytest.raises(UserError, match=text):
            Stepper(net, chosen, sgd(chosen), schedule=constant(), **settings)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_restored_state_goes_on_with_the_same_bits(name: str, layout):
    """Also through plain row-major memory, as safetensors keeps it: the trap of fused optimizers."""
    def make():
        net = network().to(memory_format=layout)
        chosen = leaves(net)
        stepper = Stepper(net, chosen, OPTIMIZERS[name](chosen, rate=0.01), schedule=constant(), average=0.9)
        stepper.steps = 10
        return net, stepper

    net, stepper = make()
    for number in range(5):
        step(stepper, loss_of(net, number))
    weights = {key: value.contiguous().clone() for key, value in net.state_dict().items()}
    state = stepper.state_dict()
    state["moments"] = {leaf: {key: value.contiguous().clone() if torch.is_tensor(value) else value
                               for key, value in moments.items()} for leaf, moments in state["moments"].items()}
    state["average"] = {key: value.contiguous().clone() for key, value in state["average"].items()}
    other, restored = make()
    other.load_state_dict(weights)
    restored.load_state_dict(state)
    for number in range(5, 10):
        step(stepper, loss_of(net, number))
        step(restored, loss_of(other, number))
    for own, its in zip((*net.state_dict().values(), *stepper.ema.state_dict().values()),
                        (*other.state_dict().values(), *restored.ema.state_dict().values()), strict=True):
        assert torch.equal(own, its)


def test_a_scaled_loss_moves_the_weights_alike():
    net, twin = network(), network()
    steppers = []
    for one, scaled in ((net, False), (twin, True)):
        chosen = leaves(one)
        steppers.append(Stepper(one, chosen, sgd(chosen, rate=0.1), schedule=constant(), clip=1.0, scaled=scaled))
    for number in range(5):
        step(steppers[0], loss_of(net, number))
        step(steppers[1], loss_of(twin, number))
    for own, other in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(own, other)


def test_a_step_that_overflows_is_left_out_and_the_scale_halved():
    net = network()
    chosen = leaves(net)
    stepper = Stepper(net, chosen, sgd(chosen, rate=0.1), schedule=constant(), average=0.9, scaled=True)
    before = [one.detach().clone() for one in net.parameters()]
    step(stepper, loss_of(net, 0) * float("inf"))
    assert all(torch.equal(one, other) for one, other in zip(net.parameters(), before, strict=True))
    assert stepper.scale is not None and stepper.scale.value == 32768 and stepper.done == 1
    stepper.scale.fitting = 1999
    step(stepper, loss_of(net, 1))
    assert stepper.scale.value == 65536 and stepper.scale.fitting == 0
    assert not torch.equal(next(net.parameters()), before[0])
    other = Stepper(net, chosen, sgd(chosen, rate=0.1), schedule=constant(), average=0.9, scaled=True)
    stepper.scale.value = 8.0
    other.load_state_dict(stepper.state_dict())
    assert other.scale is not None and other.scale.value == 8
