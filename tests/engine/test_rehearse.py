"""What the parts of a run take, told from a few batches, on a clock that is moved by hand."""

from pathlib import Path

import pytest
import torch
from torch import nn

from lensmith.data.batches.loader import Loader
from lensmith.data.sources.in_memory import InMemory
from lensmith.data.sources.subsets import narrowed
from lensmith.engine import rehearse as rehearsing
from lensmith.engine.forecast import END, MEASURING
from lensmith.engine.optimize import OPTIMIZERS, leaves
from lensmith.engine.plan.plan import make_plan
from lensmith.engine.rehearse import Beginning, Pace, rehearse
from lensmith.engine.schedule import cosine
from lensmith.engine.stepper import Stepper
from lensmith.engine.supervised import LearningSettings, Supervised
from lensmith.models.backbone import Backbone
from lensmith.models.network import Network
from lensmith.tasks.classification import Classification

LOADING, MOVING, MEASURED, SAVING = 0.01, 0.5, 0.2, 0.25    # seconds of a batch, a step, a measured batch, a checkpoint
PICTURES = {"train": 48, "valid": 36, "test": 30}


class Clock:
    """In the place of the module `time`."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Small(Backbone):
    channels, strides = (8,), (2,)

    def __init__(self):
        super().__init__()
        self.layers = nn.Conv2d(3, 8, 3, 2, 1)

    def forward(self, images):
        return [self.layers(images)]


class Timed(Loader):
    """A loader each of whose batches takes `seconds`."""

    clock, seconds = Clock(), 0.0

    def at(self, epoch, position):
        for batch in super().at(epoch, position):
            self.clock.now += self.seconds
            yield batch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rehearsing, "time", clock)
    return clock


def learner(drawn: dict[str, InMemory], clock: Clock, *, accumulate: int = 1, valid: bool = True) -> Supervised:
    part = narrowed(drawn["train"].subset(range(48)), ["label"])
    task, backbone = Classification(part.classes["label"]), Small()
    network = Network(backbone, task.head(backbone), mean=[100.0] * 3, deviation=[60.0] * 3)
    chosen = leaves(network)
    stepper = Stepper(network, chosen, OPTIMIZERS["sgd"](chosen), schedule=cosine())
    plain_move, plain_state = stepper.move, stepper.state_dict

    def move() -> None:
        clock.now += MOVING
        plain_move()

    def state_dict() -> dict:
        clock.now += SAVING
        return plain_state()

    stepper.move, stepper.state_dict = move, state_dict
    train = Timed(part, 8, shuffle=True)
    measured = Timed(narrowed(drawn["test"].subset(range(36)), ["label"]), 8)
    for loader, seconds in ((train, LOADING), (measured, MEASURED)):
        loader.clock, loader.seconds = clock, seconds
    return Supervised(network, task, train, valid=measured if valid else None, stepper=stepper,
                      plan=make_plan(device="cpu"), settings=LearningSettings(3, accumulate))


def test_a_pace_says_how_many_epochs_end_in_time():
    pace = Pace(step=0.5, steps=10, epoch_end=1.0, once=2.0, final=4.0)
    assert pace.epoch == 6.0
    for seconds, epochs in ((0.0, 0), (11.9, 0), (12.0, 1), (17.9, 1), (18.0, 2), (606.0, 100)):
        assert pace.epochs_within(seconds) == epochs
        assert epochs == 0 or 2.0 + 4.0 + epochs * 6.0 <= seconds < 2.0 + 4.0 + (epochs + 1) * 6.0


@pytest.mark.parametrize(("accumulate", "seconds"), [(1, 0.6), (1, 1.7), (1, 60.0), (2, 3.0)])
def test_steps_measurements_and_checkpoints_are_told_from_a_few(drawn, clock, tmp_path, accumulate, seconds):
    one = learner(drawn, clock, accumulate=accumulate)
    before = torch.get_rng_state()
    pace = rehearse(one, seconds=seconds, epoch=0, pictures=PICTURES, undecoded=lambda: 0, folder=tmp_path / "runs")
    step = MOVING + accumulate * LOADING
    assert pace.step == pytest.approx(step) and pace.steps == 6 / accumulate
    assert pace.epoch_end == pytest.approx(5 * MEASURED + SAVING)    # five batches, of which two were measured
    assert pace.once == 0.0 and pace.final == pytest.approx(MEASURED / 8 * 66 + END)
    # Two steps to warm up, and as many more as there is time for, but no more than an epoch has.
    assert one.stepper.done == 2 + max(1, min(6 // accumulate, int(seconds / step)))
    assert torch.equal(torch.get_rng_state(), before) and not list(tmp_path.iterdir())


def test_without_a_held_out_split_measuring_is_guessed_from_a_step(drawn, clock, tmp_path):
    pace = rehearse(learner(drawn, clock, valid=False), seconds=1.0, epoch=0, pictures={"train": 48, "test": 30},
                    undecoded=lambda: 0, folder=tmp_path)
    assert pace.epoch_end == pytest.approx(SAVING)
    assert pace.final == pytest.approx(MEASURING * (MOVING + LOADING) * 6 / 48 * 30 + END)


def test_pictures_that_are_yet_to_be_decoded_cost_the_first_epoch(drawn, clock, tmp_path):
    left = iter([100, 60])    # 40 pictures are decoded while batches are drawn
    pace = rehearse(learner(drawn, clock), seconds=0.4, epoch=0, pictures=PICTURES, undecoded=lambda: next(left),
                    folder=tmp_path)
    drawn_for = 2 * MEASURED + LOADING    # two batches of the held-out split, and one to train on: that is 0.4 s
    assert pace.once == pytest.approx(60 * drawn_for / 40)
    assert pace.step == pytest.approx(MOVING + LOADING)


def test_the_first_batches_are_those_of_the_loader(drawn):
    loader = Loader(narrowed(drawn["train"].subset(range(48)), ["label"]), 8, shuffle=True)
    first = Beginning(loader, 3)
    assert len(first) == 3 and len(Beginning(loader, 100)) == len(loader)
    found, wanted = list(first.at(4, 1)), list(loader.at(4, 1))[:2]
    assert all(torch.equal(a.images, b.images) for a, b in zip(found, wanted, strict=True))
    assert len(first.asked) == 3 and first.pictures == 8
    assert len(list(first)) == 3


def test_where_nothing_can_be_saved_saving_takes_no_time(drawn, clock, tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no")

    monkeypatch.setattr(rehearsing, "TemporaryDirectory", refuse)
    pace = rehearse(learner(drawn, clock), seconds=1.0, epoch=0, pictures=PICTURES, undecoded=lambda: 0,
                    folder=Path("/nowhere/at/all"))
    assert pace.epoch_end == pytest.approx(5 * MEASURED)
