"""Numbers against scikit-learn, standard units that travel with the weights, a box learnt."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from torch import Tensor, nn

from lensmith.base.errors import DataError, UserError
from lensmith.models.backbone import Backbone
from lensmith.models.network import Network
from lensmith.tasks.metrics.numbers import NumberMetrics
from lensmith.tasks.regression import Regression, Standard
from lensmith.values.labels import Numbers

BOX = ("x0", "y0", "x1", "y1")


class Tiny(Backbone):
    channels, strides = (16,), (4,)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU())

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.layers(images)]

    def classifier(self, outputs: int) -> nn.Module:
        return Flat(16 * 16, outputs)


class Flat(nn.Module):
    """A box needs to know where things are, which a pooled head forgets."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.dense = nn.Linear(inputs, outputs)

    def forward(self, maps: list[Tensor]) -> Tensor:
        return self.dense(maps[-1].flatten(1))


def boxes(pictures: int, seed: int) -> tuple[Tensor, Tensor]:
    """Bright rectangles on 16 x 16 pixels, uint8 [n, 1, 16, 16], and their corners, float32 [n, 4]."""
    draw = torch.Generator().manual_seed(seed)
    start = torch.randint(0, 8, (pictures, 2), generator=draw)
    size = torch.randint(3, 9, (pictures, 2), generator=draw)
    images = torch.full((pictures, 1, 16, 16), 30, dtype=torch.uint8)
    for image, (x, y), (width, height) in zip(images, start.tolist(), size.tolist(), strict=True):
        image[0, y:y + height, x:x + width] = 220
    return images, torch.cat((start, start + size), 1).float()


def measured(found: Tensor, truth: Tensor, *, batch: int = 7) -> NumberMetrics:
    kept = Regression(tuple(f"q{i}" for i in range(truth.shape[1]))).metrics()
    for start in range(0, len(truth), batch):
        part = slice(start, start + batch)
        kept.update({"numbers": Numbers(found[part])}, {"numbers": Numbers(truth[part])})
    return kept


@given(st.integers(1, 4), st.integers(2, 40), st.integers(0, 2**31), st.sampled_from([0.0, 1e3, 1e6]))
@settings(deadline=None, max_examples=40)
def test_the_numbers_are_those_of_scikit_learn(quantities: int, pictures: int, seed: int, shift: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    truth = torch.randn(pictures, quantities, generator=draw) * 5 + shift
    found = truth + torch.randn(pictures, quantities, generator=draw)
    got = measured(found, truth).result()
    truth, found = truth.double().numpy(), found.double().numpy()
    assert got["MAE"] == pytest.approx(metrics.mean_absolute_error(truth, found))
    assert got["RMSE"] == pytest.approx(metrics.root_mean_squared_error(truth, found))
    assert got["R2"] == pytest.approx(metrics.r2_score(truth, found), rel=1e-6, abs=1e-6)
    for i, row in enumerate(got["details"]["per_class"]):
        assert row["class"] == f"q{i}" and row["support"] == pictures
        assert row["MAE"] == pytest.approx(metrics.mean_absolute_error(truth[:, i], found[:, i]))
        assert row["RMSE"] == pytest.approx(metrics.root_mean_squared_error(truth[:, i], found[:, i]))
        assert row["R2"] == pytest.approx(metrics.r2_score(truth[:, i], found[:, i]), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6, 33.3])
def test_a_constant_truth_scores_as_in_scikit_learn(constant: float) -> None:
    truth = torch.full((9, 1), constant)
    for found, wanted in ((truth, 1.0), (truth + 1, 0.0)):
        assert measured(found, truth).result()["R2"] == metrics.r2_score(truth, found) == wanted
    assert measured(truth[:1], truth[:1]).result()["R2"] == 1


def test_intervals_are_those_of_resampled_pictures() -> None:
    draw = np.random.default_rng(0)
    truth = draw.normal(size=(150, 2))
    found = truth + draw.normal(size=(150, 2)) * 0.5
    got = measured(torch.from_numpy(found).float(), torch.from_numpy(truth).float()).result()
    draws = {"MAE": [], "RMSE": [], "R2": []}
    for _ in range(800):
        rows = draw.integers(150, size=150)
        draws["MAE"].append(metrics.mean_absolute_error(truth[rows], found[rows]))
        draws["RMSE"].append(metrics.root_mean_squared_error(truth[rows], found[rows]))
        draws["R2"].append(metrics.r2_score(truth[rows], found[rows]))
    for name, values in draws.items():
        assert got["intervals"][name] == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=0.015)
        assert got["intervals"][name][0] < got[name] < got["intervals"][name][1]


def test_the_truth_against_itself_is_one() -> None:
    truth = torch.randn(20, 3) * 100
    got = measured(truth, truth).result()
    assert got["R2"] == 1 and got["MAE"] == got["RMSE"] == 0


def test_the_scatter_is_evenly_picked() -> None:
    truth = torch.arange(2000.0)[:, None]
    pairs = measured(truth + 0.5, truth).result()["details"]["scatter"]["q0"]
    assert len(pairs) == 500 and pairs[0] == [0, 0.5] and pairs[-1] == [1999, 1999.5]
    steps = np.diff([pair[0] for pair in pairs])
    assert steps.min() >= 3 and steps.max() <= 5
    assert measured(truth[:3], truth[:3]).result()["details"]["scatter"]["q0"] == [[0, 0], [1, 1], [2, 2]]


def test_numbers_that_are_not_known_are_not_counted() -> None:
    truth, found = torch.randn(30, 2), torch.randn(30, 2)
    whole = measured(found[::2], truth[::2]).result()["details"]["per_class"][1]
    truth[1::2, 1] = float("nan")
    got = measured(found, truth).result()
    assert got["details"]["per_class"][1] == pytest.approx(whole | {"class": "q1"}) and whole["support"] == 15
    assert got["details"]["count"] == 30
    assert len(got["details"]["scatter"]["q0"]) == 30 and len(got["details"]["scatter"]["q1"]) == 15


def test_nothing_to_measure_is_said() -> None:
    with pytest.raises(DataError, match=r"^nothing to measure: no picture of this split has a number for x0, y0"):
        Regression(BOX).metrics().result()
    truth = torch.tensor([[1.0, float("nan")]])
    with pytest.raises(DataError, match="no picture of this split has a number for q1"):
        measured(truth, truth).result()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_diverged_network_is_measured_without_a_crash_and_never_well(value: float) -> None:
    truth = torch.randn(9, 2)
    assert not measured(torch.full((9, 2), value), truth).result()["R2"] > -1


def test_merged_pairs_are_those_of_one_process() -> None:
    truth, found = torch.randn(30, 2), torch.randn(30, 2)
    first, second = measured(found[:11], truth[:11]), measured(found[11:], truth[11:])
    first.merge(second.state())
    assert first.result() == measured(found, truth).result()


def test_the_output_is_in_standard_units_and_decode_in_the_files() -> None:
    values = torch.tensor([[1000.0, 0.1], [3000.0, 0.1]])
    task = Regression(("price", "constant"), targets=Numbers(values))
    assert task.mean.tolist() == pytest.approx([2000, 0.1]) and task.deviation.tolist() == [1000, 1]
    output = task.head(Tiny())([torch.zeros(2, 16, 4, 4)])
    loss = task.loss(output._replace(values=torch.tensor([[-1.0, 0], [1, 0]])), {"numbers": Numbers(values)})
    assert loss["numbers"].item() == pytest.approx(0, abs=1e-12)
    found = task.decode(Standard(torch.tensor([[0.5, 0.0]], dtype=torch.bfloat16), task.mean, task.deviation))
    assert found["numbers"].values.dtype == torch.float32
    assert found["numbers"].values.tolist() == [pytest.approx([2500, 0.1])]
    assert torch.equal(task.evidence(output, 1), output.values[:, 1])


def test_standardising_leaves_out_what_is_not_known() -> None:
    task = Regression(("a",), targets=Numbers(torch.tensor([[1.0], [float("nan")], [3.0]])))
    assert task.mean.tolist() == [2] and task.deviation.tolist() == [1]


@pytest.mark.parametrize("kind", ["squared", "absolute", "huber"])
def test_each_loss_is_the_distance_in_standard_units(kind: str) -> None:
    values = torch.randn(8, 2) * 7 + 3
    task = Regression(("a", "b"), targets=Numbers(values), loss=kind)
    outputs = torch.randn(8, 2)
    standard = (values - values.mean(0)) / values.std(0, correction=0)
    wanted = {"squared": nn.functional.mse_loss, "absolute": nn.functional.l1_loss,
              "huber": nn.functional.huber_loss}[kind](outputs, standard)
    found = task.loss(Standard(outputs, task.mean, task.deviation), {"numbers": Numbers(values)})
    assert torch.allclose(found["numbers"], wanted, rtol=1e-4)


def test_mean_and_deviation_travel_with_the_weights() -> None:
    images, corners = boxes(6, 0)
    trained = Regression(BOX, targets=Numbers(corners))
    network = Network(Tiny(), trained.head(Tiny()), mean=[100.0], deviation=[80.0])
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    loaded = Regression(BOX)    # as prediction builds it, without a training set
    other = Network(Tiny(), loaded.head(Tiny()), mean=[0.0], deviation=[1.0])
    other.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    wanted = trained.decode(network(images))["numbers"].values
    assert torch.equal(loaded.decode(other(images))["numbers"].values, wanted)


def test_one_box_per_picture_is_learnt() -> None:
    torch.manual_seed(0)
    (images, corners), (unseen, truth) = boxes(256, 1), boxes(64, 2)
    task = Regression(BOX, targets=Numbers(corners))
    backbone = Tiny()
    network = Network(backbone, task.head(backbone), mean=[60.0], deviation=[70.0])
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        task.loss(network(images), {"numbers": Numbers(corners)})["numbers"].backward()
        optimizer.step()
    kept = task.metrics()
    with torch.no_grad():
        kept.update(task.decode(network(unseen)), {"numbers": Numbers(truth)})
    got = kept.result()
    assert got["R2"] > 0.8 and got["MAE"] < 1.0    # pixels


@pytest.mark.parametrize(("settings", "message"), [
    ({"loss": "mse"}, r"unknown task.loss 'mse'. Known: squared, absolute, huber."),
    ({"loss": "huber", "delta": 0.0}, r"task.delta must be above 0; got 0.0"),
    ({"delta": 2.0}, r"task.delta belongs to the Huber loss, and task.loss is 'squared': set task.loss=\"huber\""),
])
def test_a_setting_that_cannot_be_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Regression(("a",), **settings)


@pytest.mark.parametrize(("value", "message"), [
    (float("inf"), "the quantity 'b' is infinite in places in the training set"),
    (float("nan"), "the quantity 'b' is never given in the training set"),
])
def test_numbers_that_cannot_be_learnt_are_refused(value: float, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Regression(("a", "b"), targets=Numbers(torch.tensor([[1.0, value], [2.0, value]])))
