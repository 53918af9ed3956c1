"""The anchor-free detector: the truth said perfectly comes back, losses of hand-made cases, and learning by heart."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.models.heads.points import BINS, Points
from lensmith.tasks.detection import Detection, side_costs
from lensmith.tasks.nms import nms_of_scores, stacked_nms
from lensmith.tasks.yolo import Yolo
from lensmith.values.box_arithmetic import diou_nms, nms, soft_nms
from lensmith.values.boxes import Boxes

THREE = ("square", "disc", "triangle")
NOTHING = Boxes(torch.empty(0, 4), torch.empty(0, dtype=torch.int64), image=torch.empty(0, dtype=torch.int64))


def some() -> Boxes:
    return Boxes(torch.tensor([[8.0, 12, 30, 44], [40, 8, 60, 25], [5, 5, 50, 55]]), torch.tensor([0, 2, 1]),
                 image=torch.tensor([0, 0, 2]))


def points(size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    table = torch.tensor([((x + 0.5) * s, (y + 0.5) * s, s) for s in (8, 16, 32)
                          for y in range(size // s) for x in range(size // s)])
    return table[:, :2], table[:, 2]


def perfect(truth: Boxes, pictures: int = 3) -> Points:
    """An output that says the truth: at each point in a box that box, at the five nearest to its middle its class."""
    centres, strides = points()
    logits = torch.full((pictures, len(centres), 3), -20.0)
    sides = torch.full((pictures, len(centres), 4, BINS), -60.0)
    for corners, kind, image in zip(truth.corners, truth.classes, truth.image, strict=True):
        inside = ((centres > corners[:2]) & (centres < corners[2:])).all(1)
        middle = (corners[:2] + corners[2:]) / 2
        away = (centres - middle).square().sum(1).masked_fill(~inside, torch.inf)
        logits[image, away.argsort()[:5], kind] = 6.0
        far = torch.cat((centres - corners[:2], corners[2:] - centres), 1) / strides[:, None]
        for point in inside.nonzero()[:, 0].tolist():
            for side in range(4):
                below, share = int(far[point, side]), float(far[point, side] % 1)
                sides[image, point, side] = -60.0
                sides[image, point, side, below], sides[image, point, side, below + 1] = \
                    torch.tensor([1 - share, share]).clamp(min=1e-20).log()
    return Points(logits, sides, centres, strides)


def test_the_truth_said_perfectly_comes_back() -> None:
    truth = some()
    task = Detection(THREE)
    found = task.decode(perfect(truth))["boxes"]
    sure = (found.scores > 0.5).nonzero()[:, 0]
    sure = sure[(found.image[sure] * 3 + found.classes[sure]).argsort()]    # two of a picture have the same score
    assert torch.allclose(found.corners[sure], truth.corners, atol=1e-2)
    assert torch.equal(found.classes[sure], truth.classes) and torch.equal(found.image[sure], truth.image)
    metrics = task.metrics()
    metrics.update({"boxes": found}, {"boxes": truth}, count=3)
    assert metrics.result()["mAP50-95"] == pytest.approx(1)


def test_the_perfect_output_costs_little_and_any_other_more() -> None:
    truth, task = some(), Detection(THREE)
    best = task.loss(perfect(truth), {"boxes": truth})
    assert set(best) == {"class", "box", "side"}
    assert best["box"] < 1e-3 * task.box_weight and best["class"] < 0.3
    moved = Boxes(truth.corners + 3, truth.classes, image=truth.image)
    renamed = Boxes(truth.corners, (truth.classes + 1) % 3, image=truth.image)
    elsewhere = Boxes(truth.corners, truth.classes, image=torch.tensor([1, 1, 1]))
    for other, part in ((moved, "box"), (moved, "side"), (renamed, "class"), (elsewhere, "class")):
        assert task.loss(perfect(truth), {"boxes": other})[part] > 2 * best[part], part


def test_the_sides_cost_what_the_two_bins_beside_a_distance_say() -> None:
    draw = torch.Generator().manual_seed(0)
    sides, far = torch.randn(20, 4, BINS, generator=draw), torch.rand(20, 4, generator=draw) * 18 - 1
    found = side_costs(sides, far)
    for row in range(20):
        for side in range(4):
            distance = min(max(far[row, side].item(), 0), BINS - 1.01)
            chances = F.log_softmax(sides[row, side], 0)
            below = int(distance)
            wanted = -(below + 1 - distance) * chances[below] - (distance - below) * chances[below + 1]
            assert found[row, side].item() == pytest.approx(wanted.item(), rel=1e-4)


def raw(pictures: int = 2, dtype: torch.dtype = torch.float32) -> Points:
    centres, strides = points()
    draw = torch.Generator().manual_seed(1)
    return Points(torch.randn(pictures, len(centres), 3, generator=draw).to(dtype).requires_grad_(),
                  torch.randn(pictures, len(centres), 4, BINS, generator=draw).to(dtype).requires_grad_(),
                  centres, strides)


def test_a_batch_without_an_object_has_a_loss_and_a_gradient_everywhere() -> None:
    output = raw()
    parts = Detection(THREE).loss(output, {"boxes": NOTHING})
    assert all(part.isfinite() for part in parts.values()) and parts["class"] > 0 and parts["box"] == 0
    sum(parts.values()).backward()
    assert output.logits.grad.abs().sum() > 0 and output.sides.grad is not None and (output.sides.grad == 0).all()


def test_crowd_regions_neither_count_nor_cost() -> None:
    truth = some()
    region = torch.tensor([[30.0, 30.0, 64.0, 64.0]])
    crowd = Boxes(torch.cat((truth.corners[:2], region)), torch.tensor([0, 2, 1]), image=torch.tensor([0, 0, 0]),
                  crowd=torch.tensor([False, False, True]))
    plain = Boxes(truth.corners[:2], truth.classes[:2], image=torch.tensor([0, 0]))
    task, output = Detection(THREE), raw(1)
    with_region, without = (task.loss(output, {"boxes": one}) for one in (crowd, plain))
    assert with_region["box"] == without["box"] and with_region["side"] == without["side"]
    # What is said inside the region no longer matters, unless it answers for an object.
    loud = output._replace(logits=output.logits.detach().clone())
    inside = ((output.centres > region[0, :2]) & (output.centres < region[0, 2:])).all(1)
    loud.logits[0, inside & (output.centres[:, 1] > 45)] = 9.0
    assert task.loss(loud, {"boxes": crowd})["class"] <= with_region["class"]
    assert task.loss(loud, {"boxes": plain})["class"] > without["class"] + 1


@pytest.mark.parametrize("corners", [[0.0, 0, 64, 64], [-10.0, -10, 5, 5], [60.0, 60, 64, 64], [20.0, 20, 20.5, 20.5],
                                     [-200.0, -200, 900, 900]])
def test_boxes_at_borders_tiny_and_huge_ones_have_finite_losses_and_gradients(corners: list[float]) -> None:
    output = raw(1)
    one = Boxes(torch.tensor([corners]), torch.tensor([1]), image=torch.tensor([0]))
    parts = Detection(THREE).loss(output, {"boxes": one})
    sum(parts.values()).backward()
    assert all(part.isfinite() for part in parts.values())
    assert output.logits.grad.isfinite().all() and output.sides.grad.isfinite().all()


def test_the_loss_is_worked_out_in_at_least_float32() -> None:
    for dtype, wanted in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        output = raw(3, dtype)
        parts = Detection(THREE).loss(output, {"boxes": some()})
        sum(parts.values()).backward()
        assert all(part.dtype == wanted for part in parts.values()) and output.sides.grad.dtype == dtype
        plain = Detection(THREE).loss(raw(3), {"boxes": some()})
        assert all(parts[name].item() == pytest.approx(plain[name].item(), rel=0.05) for name in parts)


def test_the_gradient_is_that_of_small_steps() -> None:
    task, truth = Detection(THREE), some()
    output = raw(3, torch.float64)
    sum(task.loss(output, {"boxes": truth}).values()).backward()
    # Who answers for whom follows from the output too, but has no gradient: steps are too small to change it.
    for tensor, place in ((output.logits, (0, 9, 0)), (output.logits, (2, 70, 1))):
        values = []
        for step in (1e-5, -1e-5):
            nudged = tensor.detach().clone()
            nudged[place] += step
            parts = task.loss(output._replace(logits=nudged), {"boxes": NOTHING})
            values.append(sum(parts.values()).item())
        free = task.loss(leaf := output._replace(logits=output.logits.detach().clone().requires_grad_()),
                         {"boxes": NOTHING})
        sum(free.values()).backward()
        assert leaf.logits.grad[place].item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4)


def test_the_same_output_gives_the_same_loss_and_boxes_alone_and_in_a_batch() -> None:
    task, output, truth = Detection(THREE), raw(3), some()
    whole = task.decode(output)["boxes"]
    for picture in range(3):
        single = task.decode(Points(output.logits[picture : picture + 1], output.sides[picture : picture + 1],
                                    *output[2:]))["boxes"]
        assert torch.equal(single.corners, whole[picture].corners)
        assert torch.equal(single.scores, whole[picture].scores)
    assert task.loss(output, {"boxes": truth})["class"] == task.loss(output, {"boxes": truth})["class"]


def test_of_many_boxes_the_best_are_kept_in_order() -> None:
    draw = torch.Generator().manual_seed(0)
    low = torch.rand(2, 400, 2, generator=draw) * 50
    corners = torch.cat((low, low + 5 + torch.rand(2, 400, 2, generator=draw) * 10), 2)
    scores = torch.rand(2, 400, 3, generator=draw)
    found = nms_of_scores(corners, scores, threshold=0.2, overlap=0.5, most=40)
    assert found.image.tolist() == [0] * 40 + [1] * 40
    assert all((found[picture].scores.diff() <= 0).all() for picture in range(2))
    everything = nms_of_scores(corners, scores, threshold=0.2, overlap=1.0, most=10_000)
    best = scores.flatten(1).sort(1, descending=True).values[:, :1000]
    assert torch.equal(everything.scores, best[best >= 0.2])
    assert len(nms_of_scores(corners, scores * 0, threshold=0.2, overlap=0.5, most=40).classes) == 0


def crowded() -> Boxes:
    """120 boxes in two pictures and three classes, of which many overlap; the first picture of three has none."""
    draw = torch.Generator().manual_seed(1)
    low = torch.rand(120, 2, generator=draw) * 25
    corners = torch.cat((low, low + 8 + torch.rand(120, 2, generator=draw) * 12), 1)
    return Boxes(corners, torch.randint(3, (120,), generator=draw), torch.rand(120, generator=draw),
                 torch.arange(120) // 60 + 1)


def by_hand(found: Boxes, way: str) -> list[tuple[int, int, float, list[float]]]:
    """What is left, picture by picture and class by class, of the functions that know neither."""
    rows = []
    for picture in (1, 2):
        for kinds in ([[0, 1, 2]] if way == "agnostic" else [[0], [1], [2]]):
            own = found.chosen((found.image == picture) & torch.isin(found.classes, torch.tensor(kinds)))
            if way == "soft":
                kept, scores = soft_nms(own.corners, own.scores, kind="linear", threshold=0.3, least=0.2)
            else:
                kept = (diou_nms if way == "diou" else nms)(own.corners, own.scores, threshold=0.3)
                scores = own.scores[kept]
            rows += [(picture, int(own.classes[row]), round(float(score), 6), own.corners[row].tolist())
                     for row, score in zip(kept, scores, strict=True)]
    return sorted(rows, key=lambda row: (row[0], -row[2]))


@pytest.mark.parametrize("way", ["batched", "agnostic", "soft", "diou"])
def test_each_suppression_is_its_own_function_by_picture_and_class(way) -> None:
    found = crowded()
    left = stacked_nms(found, 3, way, overlap=0.3, most=1000, least=0.2)
    wanted = by_hand(found, way)
    assert [(int(image), int(kind), round(float(score), 6), corners) for image, kind, score, corners in
            zip(left.image, left.classes, left.scores, left.corners.tolist(), strict=True)] == wanted
    assert 6 < len(wanted) < 120
    few = stacked_nms(found, 3, way, overlap=0.3, most=3, least=0.2)
    assert few.image.tolist() == [1, 1, 1, 2, 2, 2] and torch.equal(few.scores[:3], left.scores[:3])
    none = stacked_nms(found.chosen(found.scores > 2), 3, way, overlap=0.3, most=3)
    assert none.corners.shape == (0, 4) and none.image.shape == (0,)


def test_the_ways_of_suppression_differ() -> None:
    found = {way: stacked_nms(crowded(), 3, way, overlap=0.3, most=1000, least=0.2)
             for way in ("batched", "agnostic", "soft", "diou")}
    assert len(found["agnostic"].classes) < len(found["batched"].classes) < len(found["diou"].classes)
    assert found["soft"].scores.sum() != found["batched"].scores.sum()


@pytest.mark.parametrize("make", [Detection, Yolo])
def test_a_task_decodes_by_its_suppression(make) -> None:
    """Two boxes of two classes at one place: both stay, but for a suppression that knows no classes."""
    corners = torch.tensor([[[8.0, 8, 40, 40], [8, 8, 40, 41]]])
    scores = torch.tensor([[[0.9, 0, 0], [0, 0.8, 0]]])
    output = SimpleNamespace(corners=lambda: corners, logits=scores.logit(), scores=lambda: scores)
    output.above = lambda threshold: output
    for way, number in (("batched", 2), ("agnostic", 1), ("soft", 2), ("diou", 2)):
        assert len(make(THREE, suppression=way).decode(output)["boxes"].classes) == number, way


def test_a_whole_detector_leaves_the_suppression_to_the_task(backbone_with) -> None:
    asked = []
    whole = backbone_with(detector=lambda classes, **settings: asked.append(settings["overlap"]))
    for way in ("batched", "agnostic", "soft", "diou"):
        Detection(THREE, suppression=way, overlap=0.4).head(whole)
    assert asked == [0.4, 1.0, 1.0, 1.0]
    found = crowded()
    boxes = Detection(THREE, suppression="agnostic", overlap=0.3).decode(found)["boxes"]
    assert torch.equal(boxes.corners, stacked_nms(found, 3, "agnostic", overlap=0.3, most=300).corners)


def test_evidence_is_the_best_point_of_a_class() -> None:
    output = raw(2)
    found = Detection(THREE).evidence(output, 1)
    assert torch.equal(found, output.logits[:, :, 1].amax(1))


@pytest.mark.parametrize(("settings", "text"), [
    ({"threshold": 1.0}, r"task\.threshold=1\.0 cannot be: accepted is 0 <= threshold < 1"),
    ({"overlap": 0.0}, r"task\.overlap=0\.0 cannot be: accepted is 0 < overlap <= 1"),
    ({"most": 0}, r"task\.most=0 cannot be: accepted is 1 or more"),
    ({"width": 0}, r"task\.width=0 cannot be: accepted is 1 or more"),
    ({"depth": 0}, r"task\.depth=0 cannot be: accepted is 1 or more"),
    ({"box_weight": -1.0}, r"task\.box_weight=-1\.0 cannot be: accepted is 0 or more")])
def test_wrong_settings_are_refused(settings: dict, text: str) -> None:
    with pytest.raises(UserError, match=text):
        Detection(THREE, **settings)


def test_a_network_that_comes_whole_keeps_its_own_head(backbone_with) -> None:
    given = {}
    whole = backbone_with(name="whole", channels=(3,), strides=(1,),
                          detector=lambda classes, **settings: given.update(settings, classes=classes) or "its own")
    task = Detection(THREE, threshold=0.01, overlap=0.5, most=50)
    assert task.head(whole) == "its own"
    assert given == {"classes": 3, "threshold": 0.01, "overlap": 0.5, "most": 50}
    boxes = Boxes(*some()._tensors().values())
    assert task.loss(boxes, {"boxes": boxes}) == {}


def test_what_a_whole_network_found_is_decided_anew() -> None:
    """`predict --threshold` and `--iou` change the task alone: the network was made with what held in training."""
    corners = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 8], [20, 20, 30, 30], [0, 0, 10, 10], [5, 5, 9, 9]]).float()
    found = Boxes(corners, torch.tensor([1, 1, 1, 0, 2]), torch.tensor([0.9, 0.8, 0.3, 0.7, 0.2]),
                  torch.tensor([0, 0, 0, 1, 1]))
    for settings, left in (({}, [0, 1, 2, 3, 4]), ({"threshold": 0.3}, [0, 1, 2, 3]), ({"overlap": 0.7}, [0, 2, 3, 4]),
                           ({"most": 1}, [0, 3]), ({"threshold": 0.95}, [])):
        task = Detection(THREE, **{"overlap": 1.0, **settings})
        boxes = task.decode(found)["boxes"]
        for name, tensor in boxes._tensors().items():
            assert torch.equal(tensor, getattr(found, name)[left]), (settings, name)


def test_a_darknet_detector_is_sent_to_its_own_task(backbone_with) -> None:
    darknet = backbone_with(channels=(255,), strides=(32,), outputs=("a yolo layer",))
    with pytest.raises(UserError, match="the network comes with yolo or region layers of its own.*task.name=yolov3"):
        Detection(THREE).head(darknet)


def test_a_few_pictures_are_learned_by_heart(learned) -> None:
    assert learned(Detection(THREE, width=32), 80) > 0.9
