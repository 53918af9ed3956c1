"""YOLOv3: the loss against the paper's words in plain loops, the truth said perfectly, anchors, learning by heart."""

import math

import pytest
import torch

from lensmith.base.errors import UserError
from lensmith.models.darknet.decode import RegionLayer, YoloLayer
from lensmith.models.heads.yolo import EXCLUSIVE, SQUARED, Anchored, DarknetHead, YoloHead, concatenate, read_map
from lensmith.tasks.losses.anchor_sizes import COCO, cluster
from lensmith.tasks.losses.point_assignment import pad
from lensmith.tasks.yolo import Yolo, largest_overlap
from lensmith.values.boxes import Boxes

THREE = ("square", "disc", "triangle")
NOTHING = Boxes(torch.empty(0, 4), torch.empty(0, dtype=torch.int64), image=torch.empty(0, dtype=torch.int64))

SHAPES = torch.tensor([[10.0, 8], [20, 24], [40, 44]])


def some() -> Boxes:
    return Boxes(torch.tensor([[8.0, 12, 30, 44], [40, 8, 60, 25], [5, 5, 50, 55]]), torch.tensor([0, 2, 1]),
                 image=torch.tensor([0, 0, 2]))


def raw(pictures: int = 3, *, form: int = 0, spread: float = 1.0, dtype: torch.dtype = torch.float32,
        seed: int = 0) -> Anchored:
    draw = torch.Generator().manual_seed(seed)
    return concatenate([read_map(torch.randn(pictures, 3 * 8, 64 // s, 64 // s, generator=draw).to(dtype),
                                 SHAPES * s / 16, (float(s), float(s)), form=form, spread=spread) for s in (8, 16)])


def alike(a: list[float], b: list[float]) -> float:
    shared = min(a[0], b[0]) * min(a[1], b[1])
    return shared / (a[0] * a[1] + b[0] * b[1] - shared)


def overlap(a: list[float], b: list[float]) -> float:
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def entropy(logit: float, answer: float) -> float:
    chance = 1 / (1 + math.exp(-logit))
    return -(answer * math.log(chance) + (1 - answer) * math.log(1 - chance))


def plain(output: Anchored, truth: Boxes, ignore: float) -> dict[str, float]:
    """The paper's loss, anchor by anchor."""
    parts = {"object": 0.0, "class": 0.0, "box": 0.0}
    corners = output.corners()
    owners: dict[tuple[int, int], int] = {}
    for number, (box, image) in enumerate(zip(truth.corners.tolist(), truth.image.tolist(), strict=True)):
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        best = max((i for i, ((left, top), (wide, high)) in enumerate(
            zip(output.cells.tolist(), output.strides.tolist(), strict=True))
            if left <= x < left + wide and top <= y < top + high),
            key=lambda i, box=box: alike(output.extents[i].tolist(), [box[2] - box[0], box[3] - box[1]]))
        owners[image, best] = number
    for image in range(len(output.raw)):
        for anchor, values in enumerate(output.raw[image].tolist()):
            owner = owners.get((image, anchor))
            if owner is None:
                near = max((overlap(corners[image, anchor].tolist(), box) for box, one in
                            zip(truth.corners.tolist(), truth.image.tolist(), strict=True) if one == image), default=0)
                parts["object"] += entropy(values[4], 0) if near <= ignore else 0
                continue
            parts["object"] += entropy(values[4], 1)
            parts["class"] += sum(entropy(logit, kind == truth.classes[owner].item())
                                  for kind, logit in enumerate(values[5:]))
            x0, y0, x1, y1 = truth.corners[owner].tolist()
            (left, top), stride = output.cells[anchor].tolist(), output.strides[anchor, 0].item()
            wanted = [((x0 + x1) / 2 - left) / stride, ((y0 + y1) / 2 - top) / stride,
                      math.log((x1 - x0) / output.extents[anchor, 0].item()),
                      math.log((y1 - y0) / output.extents[anchor, 1].item())]
            said = [1 / (1 + math.exp(-values[0])), 1 / (1 + math.exp(-values[1])), *values[2:4]]
            parts["box"] += (2 - (x1 - x0) * (y1 - y0) / 64**2) * sum(
                (one - other) ** 2 for one, other in zip(said, wanted, strict=True))
    return {name: part / len(owners) for name, part in parts.items()}


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_that_of_the_paper(seed: int) -> None:
    output, truth = raw(seed=seed), some()
    found = Yolo(THREE, box="paper", box_weight=1.0, ignore=0.3).loss(output, {"boxes": truth})
    for name, wanted in plain(output, truth, 0.3).items():
        assert found[name].item() == pytest.approx(wanted, rel=1e-3), name


def perfect(truth: Boxes, form: int = 0, spread: float = 1.0) -> Anchored:
    output = raw(form=form, spread=spread)
    output.raw[:] = 0
    output.raw[..., 4:] = -12
    for box, kind, image in zip(truth.corners, truth.classes, truth.image, strict=True):
        middle, extent = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        inside = ((middle >= output.cells) & (middle < output.cells + output.strides)).all(1).nonzero()[:, 0]
        best = max(inside.tolist(), key=lambda i, own=extent: alike(output.extents[i].tolist(), own.tolist()))
        own = output.raw[image, best]
        share = (middle - output.cells[best]) / output.strides[best]
        own[:2] = (((share - 0.5) / spread) + 0.5).clamp(1e-6, 1 - 1e-6).logit()
        stretch = extent / output.extents[best]
        own[2:4] = (stretch / 4).sqrt().logit() if form == SQUARED else stretch.log()
        own[4], own[5 + kind] = 12, 12
    return output


@pytest.mark.parametrize("box", ["giou", "paper"])
@pytest.mark.parametrize(("form", "spread"), [(0, 1.0), (0, 1.2), (SQUARED, 2.0), (EXCLUSIVE, 1.0)])
def test_the_truth_said_perfectly_comes_back_and_costs_nothing(box: str, form: int, spread: float) -> None:
    truth, task = some(), Yolo(THREE, box=box)
    output = perfect(truth, form, spread)
    found = task.decode(output)["boxes"]
    sure = (found.scores > 0.5).nonzero()[:, 0]
    sure = sure[(found.image[sure] * 3 + found.classes[sure]).argsort()]
    assert torch.allclose(found.corners[sure], truth.corners, atol=2e-2)
    assert torch.equal(found.classes[sure], truth.classes)
    metrics = task.metrics()
    metrics.update({"boxes": found}, {"boxes": truth}, count=3)
    assert metrics.result()["mAP50-95"] == pytest.approx(1)
    parts = task.loss(output, {"boxes": truth})
    assert all(part < 5e-3 for part in parts.values()), parts
    moved = Boxes(truth.corners + 2, truth.classes, image=truth.image)
    renamed = Boxes(truth.corners, (truth.classes + 1) % 3, image=truth.image)
    assert task.loss(output, {"boxes": moved})["box"] > 0.05
    assert task.loss(output, {"boxes": renamed})["class"] > 5


def test_the_largest_overlap_is_that_of_each_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, corners = some(), raw().corners()
    whole = largest_overlap(corners, pad(truth, 3))
    for image in range(3):
        for number, box in enumerate(corners[image].tolist()):
            near = max((overlap(box, one) for one, own in zip(truth.corners.tolist(), truth.image.tolist(), strict=True)
                        if own == image), default=0)
            assert whole[image, number].item() == pytest.approx(near, abs=1e-4)
    monkeypatch.setattr("lensmith.tasks.yolo._AT_ONCE", 1)
    assert torch.equal(largest_overlap(corners, pad(truth, 3)), whole)


@pytest.mark.parametrize("box", ["giou", "paper"])
def test_a_batch_without_an_object_has_a_loss_and_a_gradient_everywhere(box: str) -> None:
    output = raw()
    output.raw.requires_grad_()
    parts = Yolo(THREE, box=box).loss(output, {"boxes": NOTHING})
    sum(parts.values()).backward()
    assert parts["object"] > 0 and parts["class"] == parts["box"] == 0
    assert output.raw.grad.isfinite().all() and output.raw.grad[..., 4].abs().min() > 0


def test_crowd_regions_neither_count_nor_cost() -> None:
    truth, task = some(), Yolo(THREE)
    plain_truth = Boxes(truth.corners[:1], truth.classes[:1], image=torch.tensor([0]))
    crowd = Boxes(torch.cat((truth.corners[:1], torch.tensor([[34.0, 34, 64, 64]]))), torch.tensor([0, 1]),
                  image=torch.tensor([0, 0]), crowd=torch.tensor([False, True]))
    output = raw(1)
    assert task.loss(output, {"boxes": crowd})["class"] == task.loss(output, {"boxes": plain_truth})["class"]
    loud = output._replace(raw=output.raw.clone())
    loud.raw[0, (output.cells >= 40).all(1), 4] = 9
    calm, without = (task.loss(one, {"boxes": crowd})["object"] for one in (output, loud))
    assert torch.equal(calm, without)
    assert task.loss(loud, {"boxes": plain_truth})["object"] > calm + 5


@pytest.mark.parametrize("box", ["giou", "paper"])
@pytest.mark.parametrize("corners", [[0.0, 0, 64, 64], [60.0, 60, 64, 64], [20.0, 20, 20.01, 20.01],
                                     [-200.0, -200, 900, 900], [64.0, 64, 64, 64]])
def test_boxes_at_borders_tiny_and_huge_ones_have_finite_losses_and_gradients(box: str, corners: list[float]) -> None:
    output = raw(1)
    output.raw.requires_grad_()
    parts = Yolo(THREE, box=box).loss(output, {"boxes": Boxes(torch.tensor([corners]), torch.tensor([1]),
                                                              image=torch.tensor([0]))})
    sum(parts.values()).backward()
    assert all(part.isfinite() for part in parts.values()) and output.raw.grad.isfinite().all()


def test_the_loss_is_worked_out_in_at_least_float32() -> None:
    for dtype, wanted in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        parts = Yolo(THREE).loss(raw(dtype=dtype), {"boxes": some()})
        plain_parts = Yolo(THREE).loss(raw(), {"boxes": some()})
        assert all(part.dtype == wanted for part in parts.values())
        assert all(parts[name].item() == pytest.approx(plain_parts[name].item(), rel=0.05) for name in parts)


def test_the_anchors_are_clustered_from_the_training_boxes(backbone_with) -> None:
    draw = torch.Generator().manual_seed(0)
    low, extent = torch.rand(200, 2, generator=draw) * 100, torch.rand(200, 2, generator=draw) * 60 + 4
    truth = Boxes(torch.cat((low, low + extent), 1), torch.zeros(200, dtype=torch.int64),
                  image=torch.zeros(200, dtype=torch.int64), crowd=torch.arange(200) >= 150)
    task = Yolo(("one",), targets=truth)
    assert torch.equal(task.extents, cluster((truth.corners[:, 2:] - truth.corners[:, :2])[:150], 9))
    head = task.head(backbone_with(channels=(8, 8, 8), strides=(8, 16, 32)))
    assert isinstance(head, YoloHead) and torch.equal(head.extents.flatten(0, 1), task.extents)
    assert torch.equal(Yolo(("one",)).extents, torch.tensor(COCO))


def test_a_network_of_a_cfg_is_read_as_its_layers_say(backbone_with) -> None:
    shapes = tuple(map(tuple, SHAPES.tolist()))
    layers = (YoloLayer(1, 16, 3, shapes, (0, 1, 2), shapes), RegionLayer(2, 32, 3, shapes))
    head = Yolo(THREE).head(backbone_with(channels=(24, 24), strides=(16, 32), outputs=layers))
    assert isinstance(head, DarknetHead)
    output = head([torch.randn(2, 24, 4, 4, requires_grad=True), torch.randn(2, 24, 2, 2)])
    sum(Yolo(THREE).loss(output, {"boxes": some().take(torch.tensor([0, 1]))}).values()).backward()
    with pytest.raises(UserError, match=r"the network's cfg is for 3 classes, and the data set has 2 \(a, b\)"):
        Yolo(("a", "b")).head(backbone_with(outputs=layers))


def test_evidence_adds_the_objectness_to_the_class() -> None:
    output = raw()
    assert torch.equal(Yolo(THREE).evidence(output, 2), (output.raw[..., 4] + output.raw[..., 7]).amax(1))


@pytest.mark.parametrize(("settings", "text"), [
    ({"anchors": 4}, r"task\.anchors=4 cannot be: accepted is 3, 6, 9, \.\.\."),
    ({"ignore": 0.0}, r"task\.ignore=0\.0 cannot be: accepted is 0 < ignore <= 1"),
    ({"threshold": -0.1}, r"task\.threshold=-0\.1 cannot be: accepted is 0 <= threshold < 1"),
    ({"overlap": 2.0}, r"task\.overlap=2\.0 cannot be: accepted is 0 < overlap <= 1"),
    ({"most": 0}, r"task\.most=0 cannot be: accepted is 1 or more"),
    ({"box_weight": -1.0}, r"task\.box_weight=-1\.0 cannot be: accepted is 0 or more")])
def test_wrong_settings_are_refused(settings: dict, text: str) -> None:
    with pytest.raises(UserError, match=text):
        Yolo(THREE, **settings)


@pytest.mark.parametrize("box", ["giou", "paper"])
def test_a_few_pictures_are_learned_by_heart(box: str, learned) -> None:
    assert learned(Yolo(THREE, targets=some(), box=box), 80) > 0.9
