"""Learning: the loop against one written out by hand, resume at every step, and what stops it."""

import math
from copy import deepcopy

import pytest
import torch
from torch import nn

from lensmith.base.errors import ModelError, Stopped, UserError
from lensmith.data.batches.augment import Augment
from lensmith.data.batches.loader import Loader
from lensmith.data.sources.in_memory import InMemory
from lensmith.data.sources.sample import Batch
from lensmith.data.sources.subsets import narrowed
from lensmith.engine.checkpoint import read_state, write_state
from lensmith.engine.evaluate import evaluate
from lensmith.engine.optimize import OPTIMIZERS, leaves
from lensmith.engine.plan.plan import Plan, make_plan
from lensmith.engine.schedule import constant, cosine
from lensmith.engine.stepper import Stepper
from lensmith.engine.supervised import LearningSettings, Supervised
from lensmith.models.backbone import Backbone
from lensmith.models.network import Network
from lensmith.tasks.classification import Classification
from lensmith.values.labels import Label

CPU = make_plan(device="cpu")


class Small(Backbone):
    """Batch norm and dropout, as what a resume must not disturb."""

    channels, strides = (8,), (2,)

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2))

    def forward(self, images):
        return [self.layers(images)]


def learner(drawn: dict[str, InMemory], *, how: Plan = CPU, optimizer: str = "adamw", average: float = 0.9,
            accumulate: int = 1, epochs: int = 2, train=None) -> Supervised:
    torch.manual_seed(1)
    part = narrowed(drawn["train"].subset(range(50)), ["label"])
    task = Classification(part.classes["label"], smoothing=0.1)
    backbone = Small()
    network = Network(backbone, task.head(backbone), mean=[100.0] * 3, deviation=[60.0] * 3)
    how.place(network)
    chosen = leaves(network)
    stepper = Stepper(network, chosen, OPTIMIZERS[optimizer](chosen, rate=0.01), schedule=cosine(), clip=1.0,
                      average=average)
    augment = Augment(flip=True, crop_padding=2, mixup=0.3, seed=5, classes=part.classes, length=len(part))
    loader = train if train is not None else Loader(part, 8, seed=5, shuffle=True, augment=augment)
    return Supervised(network, task, loader, valid=Loader(drawn["test"].subset(range(20)), 8), stepper=stepper,
                      plan=how, settings=LearningSettings(epochs, accumulate, seed=5))


def states(one: Supervised) -> list[torch.Tensor]:
    return [value.clone() for value in (*one.network.state_dict().values(), *one.judged.state_dict().values())]


@pytest.mark.parametrize(("how", "optimizer", "accumulate"), [
    (CPU, "adamw", 1), (CPU, "sgd", 2), (CPU, "muon", 3),
    (make_plan(device="cpu", precision="bfloat16", layout="channels_last"), "adamw", 1),
    (make_plan(device="cpu", precision="bfloat16", layout="channels_last"), "sgd", 1)])
def test_stopping_after_any_step_and_going_on_gives_the_same_bits(drawn, tmp_path, how, optimizer, accumulate):
    whole = learner(drawn, how=how, optimizer=optimizer, accumulate=accumulate)
    rows = [report.row for report in whole if report.row]
    wanted = states(whole)
    for stop in (1, 3, 7, 9):
        first = learner(drawn, how=how, optimizer=optimizer, accumulate=accumulate)
        for number, _ in enumerate(first, start=1):
            if number == stop:
                break
        write_state(tmp_path / "last.safetensors", first.state_dict())
        second = learner(drawn, how=how, optimizer=optimizer, accumulate=accumulate)
        second.load_state_dict(read_state(tmp_path / "last.safetensors"))
        torch.rand(17)    # whatever the process drew meanwhile must not matter
        found = [report.row for report in second if report.row]
        assert all(torch.equal(a, b) for a, b in zip(states(second), wanted, strict=True)), stop
        assert found == rows[len(rows) - len(found) :]


def test_the_loop_equals_one_written_out_by_hand(drawn):
    """Without augmentation, dropout or averaging: plain PyTorch, step by step."""
    batches = list(Loader(drawn["train"].subset(range(48)), 16))
    one = learner(drawn, average=0.0, train=batches, optimizer="sgd")
    one.network.backbone.layers[3] = nn.Identity()
    one.stepper.schedule, one.stepper.clip = constant(), 0.0
    twin = deepcopy(one.network)
    optimizer = torch.optim.SGD([{"params": [p for p in twin.parameters() if p.ndim > 1], "weight_decay": 5e-4},
                                 {"params": [p for p in twin.parameters() if p.ndim == 1], "weight_decay": 0.0}],
                                lr=0.01, momentum=0.9, nesterov=True)
    losses = [report.loss for report in one if report.row is None]
    twin.train()
    for step in range(6):
        batch = batches[step % 3]
        loss = nn.functional.cross_entropy(twin(batch.images), batch.targets["label"].index, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert losses[step] == pytest.approx(loss.item(), rel=1e-4)
    for own, other in zip(one.network.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(own, other, atol=1e-5)


def test_reports_count_steps_and_epochs(drawn):
    one = learner(drawn, accumulate=2)
    reports = list(one)
    assert [report.step for report in reports if report.row is None] == list(range(1, 9))
    assert reports[-1].epoch == 2 and reports[-1].steps == 8 == reports[-1].step
    row = next(report.row for report in reports if report.row)
    assert {"epoch", "step", "rate", "train/loss", "valid/loss", "valid/accuracy_top1"} <= set(row)


def test_the_epochs_loss_is_the_mean_over_its_samples(drawn):
    batches = list(Loader(drawn["train"].subset(range(40)), 16))
    one = learner(drawn, train=batches, epochs=1)
    losses = [report.loss for report in one if report.row is None]
    report = learner(drawn, train=batches, epochs=1)
    row = next(found.row for found in report if found.row)
    assert row["train/loss"] == pytest.approx(sum(loss * len(batch) for loss, batch in
                                                  zip(losses, batches, strict=True)) / 40)


def test_a_loss_that_is_not_finite_stops_and_names_what_it_saw(drawn):
    one = learner(drawn)
    with torch.no_grad():
        one.network.head.dense.weight[0, 0] = math.inf
    with pytest.raises(Stopped) as raised:
        list(one)
    text = str(raised.value)
    assert "the loss is not finite at step 0 (epoch 1" in text and "label nan" in text
    assert "Take a lower rate with optimizer.rate" in text and "shapes#" in text.split("the batch's files: ")[1]
    assert raised.value.code == 6


def test_a_state_of_another_network_is_refused(drawn):
    one, other = learner(drawn), learner(drawn)
    next(iter(one))
    state = one.state_dict()
    other.network.head = nn.Linear(3, 3)
    with pytest.raises(ModelError, match="is a checkpoint of another network"):
        other.load_state_dict(state)


def test_unlabelled_pictures_cost_nothing_and_break_nothing(drawn):
    part = drawn["train"].subset(range(16))
    batches = [Batch(part.images[:8], {"label": Label(torch.full((8,), -1))}),
               Batch(part.images[8:], {"label": part.subset(range(8, 16)).targets["label"]})]
    one = learner(drawn, train=batches, epochs=1)
    losses = [report.loss for report in one if report.row is None]
    assert losses[0] == 0 and losses[1] > 0


def test_evaluate_leaves_the_weights_alone_and_counts_every_sample(drawn):
    one = learner(drawn)
    before = states(one)
    found = evaluate(one.network, one.task, Loader(drawn["test"], 7), plan=CPU)
    assert found["count"] == len(drawn["test"])
    assert all(torch.equal(a, b) for a, b in zip(states(one), before, strict=True))


@pytest.mark.parametrize(("settings", "text"), [({"epochs": 0}, "learner.epochs must be at least 1; got 0"),
                                                ({"accumulate": 0}, "learner.accumulate must be at least 1; got 0")])
def test_wrong_settings_are_refused(drawn, settings, text):
    with pytest.raises(UserError, match=text):
        learner(drawn, **settings)


WRONG = [None, "1", -1, 10**30, 2.5, [], {}, True, torch.zeros(3, 5)]


def places(node, path=()):
    """The path of every entry of a state, with those of the entries within it."""
    for key, value in node.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from places(value, (*path, key))


def changed(node, path, value):
    key, *rest = path
    return node | {key: changed(node[key], rest, value) if rest else value}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_a_state_with_a_wrong_entry_is_refused_or_goes_on(drawn, optimizer: str):
    """No entry of another type, size or shape ends in an error that is not the user's."""
    one = learner(drawn, optimizer=optimizer)
    steps = iter(one)
    for _ in range(9):    # into the second epoch
        next(steps)
    state = deepcopy(one.state_dict())
    refused = 0
    for path in places(state):
        for value in WRONG:
            other = learner(drawn, optimizer=optimizer)
            try:
                other.load_state_dict(changed(state, path, value))
                next(iter(other), None)
            except UserError as error:
                refused += 1
                assert "\n" not in str(error)
    assert refused > 50
