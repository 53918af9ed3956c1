"""Several tasks on one backbone: losses, weights, what is not known, decisions and metrics, part by part."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lensmith.base.errors import DataError, UserError
from lensmith.data.formats.drawn_shapes import shapes
from lensmith.models.backbones import find_backbone
from lensmith.models.heads.several_heads import Answers
from lensmith.models.network import Network
from lensmith.tasks.classification import Classification
from lensmith.tasks.multitask import Multitask
from lensmith.values.boxes import Boxes
from lensmith.values.labels import UNKNOWN, Label, Numbers, Tags
from lensmith.values.semantic_mask import IGNORED, Mask
from lensmith.values.value import Value

CLASSES = {"kind": ("square", "disc", "triangle"), "tags.of": ("square", "disc", "triangle"), "type": ("x", "y"),
           "head": ("square", "disc", "triangle"), "outline": ("ground", "square", "disc", "triangle")}
COUNT, SIZE = 8, 32


@pytest.fixture
def targets() -> dict[str, Value]:
    """Five parts, one of each kind, of eight drawn pictures."""
    drawn = shapes(48, SIZE).splits["train"].subset(range(COUNT)).targets
    boxes, label = drawn["boxes"], drawn["label"]
    assert isinstance(boxes, Boxes) and isinstance(label, Label)
    return {"kind": label, "tags.of": Tags(nn.functional.one_hot(label.index, 3).float()),
            "type": Numbers(boxes.corners[:, :2].clone()), "head": replace(boxes, crowd=torch.zeros(COUNT).bool()),
            "outline": drawn["mask"]}


@pytest.fixture
def images() -> Tensor:
    return shapes(48, SIZE).splits["train"].subset(range(COUNT)).images


def unknown(targets: dict[str, Value]) -> dict[str, Value]:
    """The same pictures, of which nothing is known: boxes are then a crowd over the whole picture for each class."""
    whole = torch.tensor([0.0, 0.0, SIZE, SIZE]).expand(3 * COUNT, 4)
    return {"kind": Label(torch.full((COUNT,), UNKNOWN)), "tags.of": Tags(torch.full((COUNT, 3), math.nan)),
            "type": Numbers(torch.full((COUNT, 2), math.nan)),
            "outline": Mask(torch.full((COUNT, SIZE, SIZE), IGNORED)),
            "head": Boxes(whole, torch.arange(3).repeat(COUNT), image=torch.arange(COUNT).repeat_interleave(3),
                          crowd=torch.ones(3 * COUNT).bool())}


def made(task: Multitask) -> Network:
    torch.manual_seed(0)
    trunk = find_backbone("csp", trusted=False)(inputs=3, size=(SIZE, SIZE), width=8)
    return Network(trunk, task.head(trunk), mean=[110.0] * 3, deviation=[60.0] * 3)


def test_each_part_has_the_task_of_its_kind_and_the_loss_of_that_task(targets, images):
    task = Multitask(CLASSES, targets=targets, settings={"kind": {"smoothing": 0.1}, "outline": {"width": 4}},
                     weights={"head": 0.5})
    assert {name: type(one).__name__ for name, one in task.tasks.items()} == {
        "kind": "Classification", "tags.of": "Tagging", "type": "Regression", "head": "Detection",
        "outline": "Segmentation"}
    output = made(task)(images)
    parts = task.loss(output, targets)
    assert list(parts) == ["kind", "tags.of", "type", "head/class", "head/box", "head/side", "outline/cross_entropy",
                           "outline/dice"]
    alone = Classification(CLASSES["kind"], smoothing=0.1).loss(output.parts["kind"], {"label": targets["kind"]})
    assert torch.equal(parts["kind"], alone["label"])
    own = task.tasks["head"].loss(output.parts["head"], {"boxes": targets["head"]})
    for name, part in own.items():
        assert torch.equal(parts[f"head/{name}"], 0.5 * part)


@pytest.mark.parametrize("balance", ["fixed", "uncertainty", "gradients"])
def test_what_is_not_known_costs_nothing_and_leaves_every_parameter_a_gradient(balance, targets, images):
    task = Multitask(CLASSES, targets=targets, balance=balance)
    network = made(task)
    network.train()
    parts = task.loss(network(images), unknown(targets))
    assert all(part.item() == 0 for part in parts.values())
    sum(parts.values()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert not parameter.grad.any(), name


@pytest.mark.parametrize("missing", CLASSES)
def test_pictures_that_lack_a_part_change_nothing_for_the_others(missing, targets, images):
    task = Multitask(CLASSES, targets=targets)
    network = made(task).eval()
    output = network(images)
    whole, less = task.loss(output, targets), task.loss(output, targets | {missing: unknown(targets)[missing]})
    for name in whole:
        assert torch.equal(less[name], whole[name]) != (name.partition("/")[0] == missing), name
        assert less[name].requires_grad


def test_the_cost_of_a_part_is_the_mean_over_the_pictures_that_have_it(targets, images):
    """Half of the pictures known: the loss of these alone."""
    task = Multitask(CLASSES, targets=targets)
    output = made(task).eval()(images)
    rows = torch.arange(COUNT // 2)
    nothing = unknown(targets)
    mixed = {name: type(value).stack([(value if row < COUNT // 2 else nothing[name])[row] for row in range(COUNT)])
             for name, value in targets.items()}
    own = Answers({name: type(one)(*(t[: COUNT // 2] if t.ndim and len(t) == COUNT else t for t in one))
                   if isinstance(one, tuple) else one[: COUNT // 2] for name, one in output.parts.items()}, None)
    wanted = task.loss(own, {name: value.take(rows) for name, value in targets.items()})
    for name, part in task.loss(output, mixed).items():
        assert part.item() == pytest.approx(wanted[name].item(), rel=1e-4), name


def test_learned_uncertainties_weigh_as_kendall_does(targets, images):
    plain, task = Multitask(CLASSES, targets=targets), Multitask(CLASSES, targets=targets, balance="uncertainty")
    network = made(task).eval()
    variances = network.head.log_variances
    with torch.no_grad():
        variances.copy_(torch.tensor([0.5, -0.3, 0.0, 1.2, -2.0]))
    output = network(images)
    parts = task.loss(output, targets)
    own = plain.loss(output._replace(log_variances=None), targets)
    total = {name: sum(part.item() for key, part in own.items() if key.partition("/")[0] == name) for name in CLASSES}
    s = dict(zip(CLASSES, variances.tolist(), strict=True))
    wanted = sum(math.exp(-s[name]) * total[name] + s[name] / 2 for name in CLASSES)
    assert sum(parts.values()).item() == pytest.approx(wanted, rel=1e-5)
    sum(parts.values()).backward()    # by s: 1/2 - exp(-s) L
    assert variances.grad.tolist() == pytest.approx([0.5 - math.exp(-s[name]) * total[name] for name in CLASSES],
                                                    rel=1e-3)
    assert variances.ndim == 1    # what has one axis has no weight decay (engine.optimize.leaves)


def test_balanced_gradients_are_equally_long_at_the_shared_maps(targets, images):
    """Against the gradients of each part taken alone, put together by hand."""
    weights = {"head": 3.0}
    task, plain = (Multitask(CLASSES, targets=targets, weights=weights, balance=balance)
                   for balance in ("gradients", "fixed"))
    network, other = made(task).train(), made(plain).train()
    other.load_state_dict(network.state_dict())
    maps = [one.detach().requires_grad_() for one in network.backbone(network.standardise(images))]
    own = plain.loss(other.head(maps, (SIZE, SIZE)), targets)
    slopes = {}
    for name in CLASSES:
        total = sum(part for key, part in own.items() if key.partition("/")[0] == name)
        found = torch.autograd.grad(total, maps, retain_graph=True, allow_unused=True, materialize_grads=True)
        slopes[name] = torch.cat([one.flatten() for one in found])
    length = {name: float(slope.norm()) / weights.get(name, 1.0) for name, slope in slopes.items()}
    assert max(length.values()) > 2 * min(length.values())    # they are not equal by themselves
    mean = sum(length.values()) / len(length)
    wanted = sum(slope * mean / length[name] for name, slope in slopes.items())
    parts = task.loss(network.head(maps, (SIZE, SIZE)), targets)
    for name, part in parts.items():
        assert part.item() == pytest.approx(own[name].item(), rel=1e-5)    # the losses are told as they are
    found = torch.autograd.grad(sum(parts.values()), maps)
    assert torch.allclose(torch.cat([one.flatten() for one in found]), wanted, rtol=1e-4, atol=1e-6 * float(mean))


def truth_as_said(targets: dict[str, Value]) -> dict[str, Value]:
    label, tags, boxes = targets["kind"], targets["tags.of"], targets["head"]
    return targets | {"kind": Label(label.index, nn.functional.one_hot(label.index, 3).float()),
                      "tags.of": Tags(tags.present, tags.present), "head": replace(boxes, scores=torch.ones(COUNT))}


def test_decisions_and_metrics_go_by_part(targets, images):
    task = Multitask(CLASSES, targets=targets)
    output = made(task).eval()(images)
    found = task.decode(output)
    assert tuple(found) == task.needs == tuple(CLASSES)
    assert all(type(value) is type(targets[name]) for name, value in found.items())
    assert torch.equal(task.evidence(output, 2), output.parts["kind"][:, 2])
    metrics = task.metrics()
    metrics.update(truth_as_said(targets), targets, count=COUNT)
    measured = metrics.result()
    assert measured["joined"] == pytest.approx(1.0)
    assert measured["kind/accuracy_top1"] == 1 and measured["outline/mIoU"] == 1 and measured["type/MAE"] == 0
    assert measured["head/mAP50-95"] == pytest.approx(1.0)
    assert measured["details"]["parts"]["head"]["kind"] == "boxes"
    assert measured["details"]["parts"]["head"]["boxes"] == COUNT
    assert set(measured["intervals"]) >= {"kind/accuracy_top1", "outline/mIoU", "type/R2"}


def test_counts_of_two_processes_are_those_of_one(targets, images):
    task = Multitask(CLASSES, targets=targets)
    with torch.no_grad():
        found = task.decode(made(task).eval()(images))
    whole, first, second = task.metrics(), task.metrics(), task.metrics()
    whole.update(found, targets, count=COUNT)
    for one, rows in ((first, torch.arange(3)), (second, torch.arange(3, COUNT))):
        one.update(*({name: value.take(rows) for name, value in side.items()} for side in (found, targets)),
                   count=len(rows))
    both = task.metrics()
    for one in (first, second):
        both.merge(one.state())
    assert both.result() == whole.result()


def test_a_part_of_which_a_split_knows_nothing_is_left_out_of_its_metrics(targets):
    task = Multitask(CLASSES, targets=targets)
    nothing = unknown(targets)
    metrics = task.metrics()
    said = truth_as_said(targets)
    metrics.update(said, targets | {"head": nothing["head"], "outline": nothing["outline"]}, count=COUNT)
    found = metrics.result()
    assert found["details"]["unknown"] == ["head", "outline"] and list(found["details"]["parts"]) == [
        "kind", "tags.of", "type"]
    assert not any(name.startswith(("head/", "outline/")) for name in found)
    assert found["joined"] == pytest.approx(1.0)
    metrics = task.metrics()
    metrics.update(said, nothing, count=COUNT)
    with pytest.raises(DataError, match=r"nothing to measure: no picture of this split has a known target of kind, "):
        metrics.result()


@pytest.mark.parametrize(("settings", "message"), [
    ({"parts": ["kind", "heads"]}, r"task\.parts names 'heads', which the data do not give\. Did you mean 'head'\? "
                                   r"They give: kind, tags\.of, type, head, outline\."),
    ({"parts": []}, r"task\.parts names no part to learn: leave it out for all, or name some of kind, "),
    ({"parts": ["kind", "kind"]}, r"task\.parts names 'kind' twice"),
    ({"weights": {"kind": 0.0}}, r"task\.weights: the weight of 'kind' must be above 0; got 0\.0\. To leave the"),
    ({"weights": {"kind": math.nan}}, r"the weight of 'kind' must be above 0; got nan"),
    ({"weights": {"outlin": 1.0}}, r"task\.weights names 'outlin', which the data do not give\. Did you mean "
                                   r"'outline'\? They give: kind, "),
    ({"weights": {"head": 0.0}, "parts": ["kind"]}, r"the weight of 'head' must be above 0; got 0\.0"),
    ({"settings": {"haed": {}}}, r"task\.settings names 'haed', which the data do not .* Did you mean 'head'\?"),
    ({"balance": "even"}, r"unknown task\.balance 'even'\. Known: fixed, uncertainty, gradients\."),
    ({"balance": "uncertainty", "weights": {"kind": 2.0}}, r"task\.weights \(kind\) are not for task\.balance = "
                                                           r"\"uncertainty\""),
    ({"kinds": {"kind": "label", "head": "box"}}, r"task\.kinds does not say what 'tags\.of' is: give one of label, "),
    ({"kinds": dict.fromkeys(CLASSES, "bocks")}, r"does not say what 'kind' is: .*; got 'bocks'")])
def test_wrong_settings_are_told(settings, message, targets):
    with pytest.raises(UserError, match=message):
        Multitask(CLASSES, targets=targets, **settings)


def test_what_is_set_for_a_part_waits_until_it_is_learned(targets):
    settings = {"weights": {"kind": 2.0, "head": 3.0}, "settings": {"head": {"width": 8}}}
    one = Multitask(CLASSES, targets=targets, parts=["kind"], **settings)
    assert one.needs == ("kind",) and one.weights == {"kind": 2.0}
    both = Multitask(CLASSES, targets=targets, parts=["kind", "head"], **settings)
    assert both.weights == {"kind": 2.0, "head": 3.0} and both.tasks["head"].width == 8


@pytest.mark.parametrize("name", ["fasterrcnn_mobilenet_v3_large_fpn", "deeplabv3_mobilenet_v3_large"])
def test_a_network_that_comes_whole_is_not_shared(name):
    trunk = find_backbone(name, trusted=False)(inputs=3, size=(64, 64))
    with pytest.raises(UserError, match=r"comes whole, with an answer for one task, and 2 are to share it \(label, "
                                        r"mask\): take a backbone that gives maps, as in backbone.name=resnet18"):
        Multitask({"label": ("a", "b"), "mask": ("a", "b")}).head(trunk)


def test_a_whole_detector_is_no_part_even_alone():
    trunk = find_backbone("fcos_resnet50_fpn", trusted=False)(inputs=3, size=(64, 64))
    with pytest.raises(UserError, match=r"works its loss out by itself.*train it with task.name=detection"):
        Multitask({"boxes": ("a",)}).head(trunk)
