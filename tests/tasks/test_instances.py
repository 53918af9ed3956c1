"""Objects with their pixels: the truth said perfectly comes back, the loss of masks by hand, learning by heart."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.data.formats.drawn_shapes import shapes
from lensmith.engine.optimize import adamw, leaves
from lensmith.engine.schedule import cosine
from lensmith.engine.stepper import Stepper
from lensmith.models.backbones import BACKBONES
from lensmith.models.heads.points import BINS
from lensmith.models.heads.prototypes import MaskedPoints
from lensmith.models.network import Network
from lensmith.tasks.instances import Instances
from lensmith.values.instance_masks import Masks, pack_bits

KINDS = ("square", "disc", "triangle")


def perfect(truth: Masks, pictures: int, size: int) -> MaskedPoints:
    """An output that says the truth: each object at the point nearest to its middle, with a prototype of its own."""
    centres = torch.tensor([((x + 0.5) * 8, (y + 0.5) * 8) for y in range(size // 8) for x in range(size // 8)])
    strides = torch.full((len(centres),), 8.0)
    logits = torch.full((pictures, len(centres), 3), -20.0)
    sides = torch.full((pictures, len(centres), 4, BINS), -60.0)
    coefficients = torch.zeros(pictures, len(centres), len(truth.classes))
    cells = F.avg_pool2d(truth.pixels()[:, None].float(), 4)[:, 0]
    prototypes = (cells * 2 - 1).expand(pictures, -1, -1, -1) * 5
    for row, (corners, kind, image) in enumerate(zip(truth.corners, truth.classes, truth.image, strict=True)):
        point = (centres - (corners[:2] + corners[2:]) / 2).square().sum(1).argmin()
        logits[image, point, kind] = 6.0
        coefficients[image, point, row] = 1.0
        far = torch.cat((centres[point] - corners[:2], corners[2:] - centres[point])) / 8
        for side, distance in enumerate(far.tolist()):
            share = torch.tensor([1 - distance % 1, distance % 1]).clamp(min=1e-20)
            sides[image, point, side, int(distance) : int(distance) + 2] = share.log()
    return MaskedPoints(logits, sides, centres, strides, coefficients, prototypes.contiguous(),
                        torch.tensor([size, size]))


def some(size: int = 64) -> Masks:
    pixels = torch.zeros(3, size, size, dtype=torch.bool)
    pixels[0, 12:44, 8:28] = pixels[1, 8:24, 40:60] = pixels[2, 8:56, 4:52] = True
    pixels[2, 20:32, 20:32] = False
    corners = torch.tensor([[8.0, 12, 28, 44], [40, 8, 60, 24], [4, 8, 52, 56]])
    return Masks(corners, torch.tensor([0, 2, 1]), image=torch.tensor([0, 0, 2]), bits=pack_bits(pixels))


def test_the_truth_said_perfectly_comes_back():
    truth, task = some(), Instances(KINDS)
    output = perfect(truth, 3, 64)
    found = task.decode(output)["masks"]
    assert found.image.tolist() == [0, 0, 2] and found.margins is None
    order = [*found.classes[:2].argsort().tolist(), 2]
    assert found.classes[order].tolist() == [0, 2, 1]
    assert torch.allclose(found.corners[order], truth.corners, atol=1e-2)
    shared = (found.pixels()[order] & truth.pixels()).flatten(1).sum(1) / \
        (found.pixels()[order] | truth.pixels()).flatten(1).sum(1)
    assert (shared > 0.97).all()
    metrics = task.metrics()
    metrics.update({"masks": found}, {"masks": truth}, count=3)
    assert metrics.result()["mask_mAP50-95"] == pytest.approx(1)
    smooth = Instances(KINDS)
    smooth.keeps_margins = True
    assert smooth.decode(output)["masks"].margins.shape == (3, 16, 16)
    assert task.loss(output, {"masks": truth})["mask"] < 0.1


def test_the_loss_of_masks_is_the_mean_over_the_true_box():
    """One picture, one object, one point: by hand."""
    torch.manual_seed(0)
    pixels = torch.zeros(1, 32, 32, dtype=torch.bool)
    pixels[0, 8:24, 8:16] = True
    truth = Masks(torch.tensor([[8.0, 8, 24, 24]]), torch.tensor([1]), image=torch.tensor([0]), bits=pack_bits(pixels))
    output = perfect(truth, 1, 32)
    prototypes = torch.randn(1, 1, 8, 8)
    task = Instances(KINDS, mask_weight=1.0)
    output = output._replace(prototypes=prototypes)
    found = task.detection.assigned_loss(output.points(), truth)
    margin = (output.coefficients[0, :, 0, None, None] * prototypes[0, 0])[:, 2:6, 2:6]
    wanted = torch.zeros(4, 4)
    wanted[:, :2] = 1
    costs = F.binary_cross_entropy_with_logits(margin, wanted.expand_as(margin), reduction="none").mean((1, 2))
    by_hand = (costs * found.assignment.quality[0]).sum() / found.total
    assert task.loss(output, {"masks": truth})["mask"].item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_a_batch_without_objects_and_crowds_cost_nothing_with_the_graph_kept():
    truth = some()
    output = perfect(truth, 3, 64)
    output = output._replace(prototypes=output.prototypes.requires_grad_(),
                             coefficients=output.coefficients.requires_grad_())
    task = Instances(KINDS)
    nothing = truth.chosen(torch.zeros(3, dtype=torch.bool))
    parts = task.loss(output, {"masks": nothing})
    assert parts["mask"].item() == 0 and sum(parts.values()).requires_grad
    parts["mask"].backward()
    assert output.prototypes.grad.eq(0).all()
    crowd = replace(truth, crowd=torch.tensor([False, True, False]))
    alone = truth.chosen(~crowd.crowd)
    assert task.loss(output, {"masks": crowd})["mask"].item() == task.loss(output, {"masks": alone})["mask"].item()


def test_a_few_pictures_are_learned_by_heart():
    part = shapes(48, 64, outlines=True).splits["train"].subset(range(8))
    truth = part.targets["masks"]
    torch.manual_seed(0)
    layers = [step for channels in (16, 24, 32, 48)
              for step in ({"conv": channels, "kernel": 3, "stride": 2, "padding": 1}, "batchnorm", "relu")]
    trunk = BACKBONES["stack"](inputs=3, size=(64, 64), layers=layers)
    task = Instances(KINDS, width=24, prototypes=8)
    network = Network(trunk, task.head(trunk), mean=[110.0] * 3, deviation=[60.0] * 3)
    chosen = leaves(network)
    stepper = Stepper(network, chosen, adamw(chosen, rate=4e-3), schedule=cosine(), clip=10.0)
    stepper.steps = 120
    for _ in range(120):
        stepper.add(sum(task.loss(network(part.images), {"masks": truth}).values()))
        stepper.move()
    network.eval()
    with torch.no_grad():
        found = task.decode(network(part.images))["masks"]
    metrics = task.metrics()
    metrics.update({"masks": found}, {"masks": truth}, count=8)
    assert metrics.result()["mask_mAP50"] > 0.9


@pytest.mark.parametrize(("settings", "said"), [
    ({"prototypes": 0}, "task.prototypes=0 cannot be: accepted is 1 or more"),
    ({"mask_weight": -1.0}, "task.mask_weight=-1.0 cannot be: accepted is 0 or more"),
    ({"overlap": 0.0}, "task.overlap=0.0 cannot be: accepted is 0 < overlap <= 1"),
])
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(UserError, match=said):
        Instances(KINDS, **settings)


def test_networks_that_give_boxes_or_classes_alone_are_refused():
    for name in ("fasterrcnn_mobilenet_v3_large_320_fpn", "lraspp_mobilenet_v3_large"):
        with pytest.raises(UserError, match="gives no masks of objects: take a backbone for task 'instances'"):
            Instances(KINDS).head(BACKBONES[name](inputs=3, size=(64, 64)))
