"""What is predicted of a picture does not depend on the pictures beside it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from lensmith.base.pictures import Form
from lensmith.engine.plan.plan import Plan, exact, make_plan
from lensmith.models.backbones.csp import csp
from lensmith.models.network import Network
from lensmith.ship.predict.predict_files import predict_pictures
from lensmith.ship.predict.prediction import Prediction
from lensmith.tasks.detection import Detection
from lensmith.tasks.nms import best_points
from lensmith.values.boxes import Boxes

NAMES = ("red", "blue")
FORM = Form(3, 96, 96, "pad")
FREE = make_plan(device="cpu", threads=1)


class Watched(nn.Module):
    """A network that keeps what it was given."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.given: list[Tensor] = []

    def forward(self, images: Tensor) -> object:
        self.given += list(images.clone())
        return self.network(images)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    backbone = csp(inputs=3, size=FORM.size, width=8)
    return Network(backbone, Detection(NAMES, width=16).head(backbone), mean=[120.0] * 3, deviation=[60.0] * 3).eval()


def drawn(seed: int, width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def found(network: nn.Module, pictures: Sequence[Image.Image], plan: Plan = FREE) -> list[Prediction]:
    task = Detection(NAMES, width=16).with_thresholds(0.0, 1.0)    # every box, so that all can be compared
    return list(predict_pictures(network, task, pictures, form=FORM, plan=plan, names={"boxes": NAMES}))


def by_place(prediction: Prediction) -> tuple[Tensor, Tensor]:
    """The corners and scores of all boxes, in an order that does not depend on the last digits of a score."""
    boxes = prediction.boxes
    assert isinstance(boxes, Boxes) and boxes.scores is not None
    order = np.lexsort((boxes.classes.numpy(), *boxes.corners.round(decimals=2).T.numpy()))
    return boxes.corners[order], boxes.scores[order]


LANDSCAPE, PORTRAIT, SQUARE = drawn(1, 96, 40), drawn(2, 40, 96), drawn(3, 60, 60)
COMPANIES = [[LANDSCAPE, PORTRAIT], [PORTRAIT, LANDSCAPE, SQUARE], [drawn(4, 192, 80), LANDSCAPE],
             [*(drawn(seed, 96, 40) for seed in range(5, 12)), LANDSCAPE, PORTRAIT]]


@pytest.mark.parametrize("company", COMPANIES)
def test_the_network_is_given_the_same_pixels_whatever_is_beside_them(network: nn.Module, company: list) -> None:
    alone, beside = Watched(network), Watched(network)
    found(alone, [LANDSCAPE])
    found(beside, company)
    assert alone.given[0].shape == (3, 64, 96)    # without the padding that only the portrait needs
    assert sum(torch.equal(alone.given[0], given) for given in beside.given) == 1


@pytest.mark.parametrize("company", COMPANIES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_other_neighbours_change_the_last_digits_of_scores_alone(network: nn.Module, company: list,
                                                                 precision: str) -> None:
    plan, bound = replace(FREE, precision=precision), {"float32": 1e-5, "bfloat16": 0.02}[precision]
    number = company.index(LANDSCAPE)
    alone, beside = found(network, [LANDSCAPE], plan)[0], found(network, company, plan)[number]
    if precision == "float32":
        for mine, other in zip(by_place(alone), by_place(beside), strict=True):
            torch.testing.assert_close(other, mine, rtol=0, atol=max(1e-3, 1e-5 * float(mine.max())))
    scores, others = (one.boxes.scores.sort().values for one in (alone, beside))    # type: ignore[union-attr]
    assert (scores - others).abs().max() <= bound * scores.max()


@pytest.mark.parametrize("company", COMPANIES)
def test_an_exact_plan_gives_the_same_bits(network: nn.Module, company: list) -> None:
    plan = exact(device="cpu", threads=1)
    alone = found(network, [LANDSCAPE], plan)[0].boxes
    beside = found(network, company, plan)[company.index(LANDSCAPE)].boxes
    assert alone is not None and beside is not None and alone.scores is not None and beside.scores is not None
    assert torch.equal(alone.corners, beside.corners) and torch.equal(alone.scores, beside.scores)
    assert torch.equal(alone.classes, beside.classes)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_batches_of_one_shape_give_the_same_bits(network: nn.Module, precision: str) -> None:
    plan = replace(FREE, precision=precision)
    first, second = (found(network, [drawn(seed, 96, 40), LANDSCAPE, drawn(seed + 1, 96, 40)], plan)[1].boxes
                     for seed in (20, 30))
    assert first is not None and second is not None and torch.equal(first.corners, second.corners)
    assert first.scores is not None and second.scores is not None and torch.equal(first.scores, second.scores)


def test_equal_scores_keep_their_order_beside_any_other_picture() -> None:
    draw = torch.Generator().manual_seed(0)
    mine = (torch.rand(1, 3000, 2, generator=draw) * 8).round() / 8    # nine values, so that most are equal
    mine[mine > 0.8] *= torch.rand(1, generator=draw)
    _, points, classes, scores = best_points(mine, 0.6, stable=True)
    for seed in range(5):
        other = torch.rand(1, 3000, 2, generator=torch.Generator().manual_seed(seed))
        image, *found_beside = best_points(torch.cat((mine, other)), 0.6, stable=True)
        for one, beside in zip((points, classes, scores), found_beside, strict=True):
            assert torch.equal(one, beside[image == 0])
    ties = scores.diff() == 0
    assert ties.any() and ((points * 2 + classes).diff()[ties] > 0).all()
