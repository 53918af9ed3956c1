"""Maps computed once: what a head learns from them is what it would learn from the pictures."""

import pytest
import torch
from torch import nn

from lensmith.base.errors import DataError
from lensmith.data.batches.loader import Loader
from lensmith.data.sources.in_memory import InMemory
from lensmith.data.sources.sample import Batch
from lensmith.data.sources.subsets import narrowed
from lensmith.engine.evaluate import evaluate
from lensmith.engine.frozen_features import Features
from lensmith.engine.optimize import OPTIMIZERS, leaves
from lensmith.engine.plan.plan import make_plan
from lensmith.engine.schedule import cosine
from lensmith.engine.stepper import Stepper
from lensmith.engine.supervised import LearningSettings, Supervised
from lensmith.models.backbones.stack import stack
from lensmith.models.freeze import freeze
from lensmith.models.network import Network
from lensmith.tasks.classification import Classification

CPU = make_plan(device="cpu", layout="contiguous")
POOLED = [{"conv": 8, "kernel": 3, "stride": 2}, {"batchnorm": True}, "relu", {"globalpool": "mean"}]
FLAT = [{"conv": 8, "kernel": 3, "stride": 2}, {"batchnorm": True}, "relu", {"maxpool": 3}, {"dense": 12}, "relu"]
GREATEST = [*POOLED[:3], {"globalpool": "max"}]


class Counting(nn.Module):
    """A backbone that counts how many pictures it is shown."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.shown = inner, 0
        self.channels, self.strides = inner.channels, inner.strides

    def forward(self, pictures):
        self.shown += len(pictures)
        return self.inner(pictures)


def made(drawn: dict[str, InMemory], layers: list) -> tuple[Network, Classification, dict[str, Loader]]:
    """A network whose backbone is frozen, its task, and loaders."""
    torch.manual_seed(3)
    backbone = Counting(stack(layers, inputs=3, size=(20, 20)))
    parts = {name: narrowed(one.subset(range(40)), ["label"]) for name, one in drawn.items()}
    task = Classification(parts["train"].classes["label"])
    network = Network(backbone, backbone.inner.classifier(len(task.classes)), mean=[100.0] * 3, deviation=[60.0] * 3)
    freeze(network, "backbone")
    if layers is GREATEST:    # as where weights from elsewhere are begun with
        for parameter in network.head.parameters():
            torch.nn.init.zeros_(parameter)
    return network, task, {"train": Loader(parts["train"], 8, seed=5, shuffle=True), "test": Loader(parts["test"], 8)}


def learner(network: Network, task: Classification, train, valid) -> Supervised:
    chosen = leaves(network)
    stepper = Stepper(network, chosen, OPTIMIZERS["adamw"](chosen, rate=0.01), schedule=cosine(), average=0.9)
    return Supervised(network, task, train, valid=valid, stepper=stepper, plan=CPU,
                      settings=LearningSettings(3, seed=1))


@pytest.mark.parametrize(("layers", "kept"), [(POOLED, (8, 1, 1)), (FLAT, (8, 3, 3)), (GREATEST, (8, 9, 9))])
def test_a_head_learns_the_same_from_maps_as_from_pictures(drawn, layers, kept):
    network, task, loaders = made(drawn, layers)
    plain = learner(network, task, loaders["train"], loaders["test"])
    wanted = [report.row for report in plain if report.row]
    shown = network.backbone.shown

    other, _, loaders = made(drawn, layers)
    features = {name: Features(other, one, plan=CPU) for name, one in loaders.items()}
    other.from_maps = True
    probe = learner(other, task, features["train"], features["test"])
    found = [report.row for report in probe if report.row]
    assert shown == 3 * 40 and other.backbone.shown == 80    # the EMA was shown the others
    for one, row in zip(found, wanted, strict=True):
        assert one == pytest.approx(row, rel=1e-4)
    assert next(features["train"].at(0, 0)).images.shape == (8, *kept)
    assert features["train"].notes[0].startswith("the backbone ran once over 40 pictures, in ")
    assert f"from {' x '.join(map(str, kept))} numbers a picture" in features["train"].notes[0]
    # The network that has learned is measured on pictures, without any map.
    probe.judged.from_maps = False
    on_pictures = evaluate(probe.judged, task, loaders["test"], plan=CPU)
    assert on_pictures["accuracy_top1"] == pytest.approx(found[-1]["valid/accuracy_top1"])
    assert on_pictures["loss"] == pytest.approx(found[-1]["valid/loss"], rel=1e-4)


def test_batches_are_the_loaders_own_from_any_position(drawn):
    network, _, loaders = made(drawn, POOLED)
    features = Features(network, loaders["train"], plan=CPU)
    for epoch, position in ((0, 0), (0, 3), (2, 5)):
        wanted = list(loaders["train"].at(epoch, position))
        found = list(features.at(epoch, position))
        assert len(features) == len(loaders["train"]) and len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert torch.equal(one.indices, other.indices)
            assert torch.equal(one.targets["label"].index, other.targets["label"].index)
            with torch.no_grad():
                maps = network.eval().backbone(network.standardise(other.images))[-1].mean((2, 3), keepdim=True)
            torch.testing.assert_close(one.images, maps)


class Losing:
    """A set of which one picture turned out to be bad: it is a row, and in no batch."""

    def __init__(self, whole, bad: set[int]):
        self.whole, self.bad, self.targets, self.classes = whole, bad, whole.targets, whole.classes

    def __len__(self):
        return len(self.whole)


class LosingLoader(Loader):
    def at(self, epoch, position):
        whole = self.dataset.whole
        for rows in self.order(epoch).split(self.batch)[position:]:
            batch = whole.gather(rows[[int(row) not in self.dataset.bad for row in rows]])
            yield Batch(batch.images, batch.targets, batch.places, batch.indices)


def test_a_picture_that_cannot_be_read_is_in_no_batch(drawn, monkeypatch):
    monkeypatch.setattr("lensmith.engine.frozen_features.Loader", LosingLoader)
    network, _, loaders = made(drawn, POOLED)
    first = set(loaders["train"].order(0)[:8].tolist())
    for bad in ({3, 17}, first):
        source = LosingLoader(Losing(loaders["train"].dataset, bad), 8, seed=5, shuffle=True)
        features = Features(network, source, plan=CPU)
        if bad is first:    # the whole first batch
            with pytest.raises(DataError, match="every picture of a batch became unreadable"):
                list(features)
            continue
        seen = torch.cat([batch.indices for batch in features])
        assert set(seen.tolist()) == set(range(40)) - bad
