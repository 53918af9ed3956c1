"""Learning on a GPU: exact resume at any step, float16 with a scaled loss, too little memory, and what is drawn."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from lensmith.data.sources.sample import Batch
from lensmith.engine.checkpoint import read_state, write_state
from lensmith.engine.optimize import OPTIMIZERS, leaves
from lensmith.engine.plan.plan import Plan, exact, make_plan
from lensmith.engine.schedule import cosine
from lensmith.engine.stepper import Stepper
from lensmith.engine.supervised import LearningSettings, Supervised
from lensmith.values.labels import Label


def learner(plan: Plan, network: nn.Module, task, batches, *, optimizer: str = "adamw", epochs: int = 2) -> Supervised:
    placed = plan.place(deepcopy(network))
    chosen = leaves(placed)
    stepper = Stepper(placed, chosen, OPTIMIZERS[optimizer](chosen, rate=0.01), schedule=cosine(), clip=1.0,
                      average=0.9, scaled=plan.precision == "float16")
    return Supervised(placed, task, batches, valid=batches[:2], stepper=stepper, plan=plan,
                      settings=LearningSettings(epochs, seed=5))


def states(learning: Supervised) -> list[torch.Tensor]:
    networks = (learning.network, learning.judged)
    return [value.clone() for network in networks for value in network.state_dict().values()]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_stopping_after_any_step_and_going_on_gives_the_same_bits(gpu, network, task, batches, tmp_path, optimizer):
    plan = exact(device=gpu)
    whole = learner(plan, network, task, batches, optimizer=optimizer)
    for number, _ in enumerate(whole):
        write_state(tmp_path / f"{number}.safetensors", whole.state_dict())
    wanted = states(whole)
    for stopped in (0, 3, 6, 9):    # within the first epoch, at its end, within the second
        going_on = learner(plan, network, task, batches, optimizer=optimizer)
        going_on.load_state_dict(read_state(tmp_path / f"{stopped}.safetensors"))
        for _ in going_on:
            pass
        assert all(map(torch.equal, states(going_on), wanted)), stopped


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_every_precision_and_layout_learns(gpu, network, task, batches, precision, layout):
    plan = make_plan(device=gpu, precision=precision, layout=layout)
    learning = learner(plan, network, task, batches, epochs=10)
    losses = [report.loss for report in learning if report.row is None]
    assert sum(losses[-6:]) < 0.5 * sum(losses[:6])
    kernel = learning.network.backbone.layers[3].weight
    assert kernel.is_contiguous(memory_format=torch.channels_last if layout == "channels_last" else
                                torch.contiguous_format)


def test_a_gradient_that_overflows_in_float16_halves_the_scale_and_moves_nothing(gpu, network, task, batches, tmp_path):
    learning = learner(make_plan(device=gpu, precision="float16"), network, task, batches)
    assert learning.stepper.scale is not None
    learning.stepper.scale.value = 2.0**40    # no gradient of this fits into 16 bits
    before = [parameter.clone() for parameter in learning.network.parameters()]
    steps = iter(learning)
    next(steps)
    assert learning.stepper.scale.value == 2.0**39
    assert all(map(torch.equal, before, learning.network.parameters()))
    write_state(tmp_path / "state.safetensors", learning.state_dict())
    other = learner(make_plan(device=gpu, precision="float16"), network, task, batches)
    other.load_state_dict(read_state(tmp_path / "state.safetensors"))
    assert other.stepper.scale is not None and other.stepper.scale.value == 2.0**39
    for _ in steps:
        pass
    assert any(not torch.equal(one, now) for one, now in zip(before, learning.network.parameters(), strict=True))
    assert learning.stepper.scale.value < 2.0**39


def test_what_the_network_draws_depends_on_the_step_alone(gpu, network, task, batches):
    """Dropout on the GPU: other work that draws there between two steps changes nothing."""
    plain = learner(exact(device=gpu), network, task, batches)
    for _ in plain:
        pass
    disturbed = learner(exact(device=gpu), network, task, batches)
    for _ in disturbed:
        torch.rand(1000, device=gpu)
    assert all(map(torch.equal, states(plain), states(disturbed)))


class Wide(nn.Module):
    """Keeps 128 numbers of each pixel for the gradient, and no norm: cutting a batch changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.widen, self.narrow = nn.Conv2d(3, 128, 1), nn.Conv2d(128, 3, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.narrow(self.widen(images.float() / 255).sigmoid()).mean((2, 3))


def test_a_step_that_does_not_fit_is_cut_into_micro_batches(gpu, task):
    draw = torch.Generator().manual_seed(0)
    batch = Batch(torch.randint(0, 256, (64, 3, 256, 256), dtype=torch.uint8, generator=draw),
                  {"label": Label(torch.randint(0, 3, (64,), generator=draw))})
    torch.manual_seed(0)
    network, plan = Wide(), exact(device=gpu)

    def learned() -> Supervised:
        placed = plan.place(deepcopy(network))
        chosen = leaves(placed)
        stepper = Stepper(placed, chosen, OPTIMIZERS["sgd"](chosen, rate=0.1), schedule=cosine())
        return Supervised(placed, task, [batch], valid=None, stepper=stepper, plan=plan, settings=LearningSettings(1))

    whole = learned()
    for _ in whole:
        pass
    peak = torch.cuda.max_memory_reserved(gpu)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(gpu).total_memory
    torch.cuda.set_per_process_memory_fraction(0.6 * peak / total, gpu)
    try:
        cut = learned()
        notes = [report.note for report in cut if report.note]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, gpu)
    assert cut.micro_batches > 1
    assert notes[0].startswith("not enough memory for a step on 64 pictures at once")
    for one, other in zip(whole.network.parameters(), cut.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
