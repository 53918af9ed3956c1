"""What is read of a network between steps: the numbers are those of PyTorch, and what learns stays as it is."""

from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lensmith.data.sources.sample import Batch
from lensmith.engine.activations import activations_of
from lensmith.engine.learner import Report
from lensmith.engine.optimize import leaves
from lensmith.engine.plan.plan import make_plan
from lensmith.engine.run_schemas import problem_with
from lensmith.engine.vitals import Vitals
from lensmith.tasks.classification import Classification
from lensmith.values.labels import Label

torch.manual_seed(0)
PICTURES, LABELS = torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8), torch.arange(16) % 4


class Net(nn.Module):
    """A small network, with a relu as a module and one as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.relu = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()
        self.second, self.drop, self.last = nn.Linear(384, 10), nn.Dropout(0.5), nn.Linear(10, 4)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.relu(self.norm(self.first(images.float() / 255)))
        return self.last(self.drop(torch.sigmoid(self.second(maps.flatten(1)))))


def learner_of(network: nn.Module, **other: Any) -> Any:
    """As much of a learner as is looked at."""
    stepper = SimpleNamespace(done=0, scale=None, leaves=leaves(network))
    batch = Batch(PICTURES, {"label": Label(LABELS)})
    return SimpleNamespace(**{"network": network, "task": Classification(("a", "b", "c", "d")), "stepper": stepper,
                              "plan": make_plan(device="cpu"), "batch": batch} | other)


def always(vitals: Vitals) -> Vitals:
    """The same, whatever it takes, of a run that has taken long."""
    vitals.began -= 100
    vitals._is_time = lambda report, now: True    # type: ignore[method-assign]
    return vitals


def report(step: int, steps: int = 1000) -> Report:
    return Report(step, steps, 0, 1.0)


def test_the_numbers_are_those_of_pytorch_and_nothing_is_changed():
    network = Net().train()
    before, buffers = deepcopy(network.state_dict()), len(list(network.modules()))
    vitals = always(Vitals(learner_of(network)))
    torch.manual_seed(5)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert not vitals.look(report(1))    # the step after it is waited for
    assert torch.rand(1) == drawn
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert len(list(network.modules())) == buffers and all(weight.grad is None for weight in network.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    with torch.no_grad():
        network.first.weight *= 1.01
    assert vitals.look(report(2))
    found = vitals.content
    assert problem_with("vitals.json", found) == ""
    row = found["rows"][0]
    assert found["weights"] == ["first.weight", "second.weight", "last.weight"] and found["pictures"] == 16
    assert row["weights"][1] == pytest.approx(network.second.weight.norm().item(), rel=1e-3)
    assert row["updates"] == [pytest.approx(0.01, rel=1e-2), 0.0, 0.0]
    torch.manual_seed(0)
    copy = deepcopy(network)
    copy.load_state_dict(before)
    loss = nn.functional.cross_entropy(copy(PICTURES), LABELS)
    loss.backward()
    assert row["gradients"][0] == pytest.approx(copy.first.weight.grad.norm().item(), rel=0.5)    # of other dropout
    assert row["loss"] == pytest.approx(loss.item(), rel=0.2)
    assert found["activations"] == [{"name": "relu", "kind": "ReLU"}, {"name": "", "kind": "Sigmoid"}]
    assert row["silent"][1] is None and row["spread"][0] is None and 0 < row["spread"][1] < 0.5
    assert found["norms"] == ["norm"] and row["norm_gaps"][0] > 0 and row["plain_loss"] > 0


def test_dead_and_flat_units_are_counted():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 5), nn.Tanh())
    with torch.no_grad():
        network[0].bias.copy_(torch.tensor([-1e6, -1e6, -1e6, 1e6]))
        network[3].weight.zero_()
    output, found = activations_of(network, lambda: network(PICTURES.float()))
    assert found.silent["1"] == 0.75 and found.spread["4"] == 0 and output.shape == (16, 5)
    assert found.kinds == {"1": "ReLU", "4": "Tanh"}


def test_the_first_look_compares_with_the_statistics_that_came_with_the_weights():
    network = Net().train()
    network(PICTURES)
    network.norm.running_mean -= 5 * network.norm.running_var.sqrt()
    vitals = always(Vitals(learner_of(network)))
    network.norm.momentum = 1.0
    network(PICTURES)    # as a step does, which forgets them
    vitals.look(report(1))
    vitals.look(report(2))
    vitals.look(report(3))
    first, second = (row["norm_gaps"][0] for row in vitals.content["rows"])
    assert first > 3 and second < 0.1


def test_what_is_wrong_with_a_network_is_noted():
    class Odd(Net):
        def __init__(self) -> None:
            super().__init__()
            self.first.requires_grad_(False)
            self.gain, self.idle = nn.Parameter(torch.ones(1, 6, 1, 1)), nn.Linear(2, 2)

        def forward(self, images: Tensor) -> Tensor:
            self.norm.eval()
            maps = self.relu(self.norm(self.first(images.float() / 255))) * self.gain
            return self.last(self.second(maps.flatten(1))).softmax(1)

    network = Odd().train()
    network.norm.eval()
    vitals = always(Vitals(learner_of(network)))
    vitals.look(report(1))
    found = vitals.content
    assert found["frozen"] == ["first.weight", "first.bias"] and found["evaluating"] == ["norm"]
    assert found["unused"] == ["idle.weight", "idle.bias"] and found["decayed_norms"] == ["gain"]
    assert found["probabilities"] is True


def test_a_network_that_cannot_be_looked_at_does_not_end_the_training():
    class NoCopy(Net):
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("cannot be copied")

    vitals = always(Vitals(learner_of(NoCopy())))
    assert not vitals.look(report(1)) and not vitals.look(report(2))
    assert vitals.content["rows"] == [] and vitals.content["note"] == "TypeError: cannot be copied"


class Clock:
    """The processor's time, which passes as it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def process_time(self) -> float:
        return self.now


@pytest.mark.parametrize(("steps", "look", "fewest", "most"), [(2000, 0.02, 20, 32), (60, 0.015, 3, 4),
                                                               (100, 0.004, 8, 17), (50, 0.02, 2, 3)])
def test_it_keeps_to_its_share(monkeypatch: pytest.MonkeyPatch, steps: int, look: float, fewest: int, most: int):
    """Steps of 20 ms, after 2.5 s of preparation: looks may take 1.5 % of the time so far and of a tenth of that to
    come, and are spread over the run."""
    clock = Clock()
    monkeypatch.setattr("lensmith.engine.vitals.time", clock)
    vitals, looks = Vitals(learner_of(Net()), began=-2.5), list[int]()

    def measure(report: Report) -> bool:
        clock.now += look
        looks.append(report.step)
        return True

    monkeypatch.setattr(vitals, "_measure", measure)
    for step in range(1, steps + 1):
        clock.now += 0.02
        vitals.look(report(step, steps))
    assert fewest <= len(looks) <= most and vitals.spent <= 0.02 * (clock.now + 2.5), looks
    assert looks[-1] > 0.5 * steps, looks


def test_what_a_killed_run_saw_after_its_last_checkpoint_is_seen_again():
    rows = [{"step": step, "epoch": 0, "updates": []} for step in (1, 5, 9)]
    learner = learner_of(Net())
    learner.stepper.done = 6
    assert [row["step"] for row in Vitals(learner, {"version": 1, "rows": rows}).content["rows"]] == [1, 5]
    begun_anew = Vitals(learner_of(Net()), {"version": 1, "weights": ["x"], "rows": rows})
    assert begun_anew.content["rows"] == [] and "weights" not in begun_anew.content
