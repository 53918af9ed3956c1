"""One suite over every backbone and every task: what each pair must do on drawn data."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from lensmith.data.batches.loader import Loader
from lensmith.data.sources.in_memory import InMemory
from lensmith.engine.checkpoint import read_state, write_state
from lensmith.engine.evaluate import evaluate
from lensmith.engine.optimize import adamw, leaves
from lensmith.engine.plan.plan import make_plan
from lensmith.engine.schedule import constant
from lensmith.engine.stepper import Stepper
from lensmith.engine.supervised import LearningSettings, Supervised
from lensmith.models.backbones import BACKBONES, find_backbone
from lensmith.models.network import Network
from lensmith.tasks import TASKS
from lensmith.tasks.task import Task
from lensmith.values.instance_masks import Masks, pack_bits
from lensmith.values.labels import Label, Numbers, Tags
from lensmith.values.semantic_mask import Mask
from lensmith.values.value import Value

CPU = make_plan(device="cpu")
# Settings that an entry cannot do without, and the picture that it can take.
OWN = {"stack": {"layers": [{"conv": 8, "kernel": 3}, "relu", {"maxpool": 2}, {"residual": 12, "stride": 2},
                            {"globalpool": "mean"}]}}
SMALL = ("lenet", "lenet3x3", "conv10_20", "simple", "simple2", "cnn3", "stack", "csp")
FAMILIES = {"efficientnet_lite0": 32, "resnet18": 32, "mobilenet_v3_small": 32, "shufflenet_v2_x0_5": 32}
LONG = {"alexnet": 64, "vgg11": 32, "densenet121": 32, "efficientnet_b0": 32, "mnasnet0_5": 32, "convnext_tiny": 32,
        "regnet_x_400mf": 32, "squeezenet1_1": 32, "googlenet": 32, "inception_v3": 75, "mobilenet_v2": 32, **FAMILIES}
DETECTORS = ("detection", "yolov3")
TOGETHER = ("classification", "tagging", "regression", "detection", "segmentation")    # of several tasks
RATES = {"squeezenet1_1": 3e-4, "alexnet": 2e-4, "vgg11": 3e-4}    # without batch norm they take small steps
EPOCHS = {"squeezenet1_1": 30, "alexnet": 20}    # of two steps; with dropout they take more
CASES = [*((backbone, 20, task) for backbone in SMALL for task in TASKS),
         *((backbone, size, "classification") for backbone, size in FAMILIES.items()),
         *(pytest.param((backbone, size, task), marks=pytest.mark.slow)
           for backbone, size in LONG.items() for task in TASKS if (backbone, task) not in
           {(one, "classification") for one in FAMILIES})]


def targets_of(part: InMemory, task: str) -> tuple[tuple[str, ...], dict[str, Value]]:
    """The drawn set's truth in the form of a task: its label, the same as tags, or its box as four numbers."""
    names, label = part.classes["label"], part.targets["label"]
    if task == "tagging":
        return names, {"tags": Tags(nn.functional.one_hot(label.index, len(names)).float())}
    if task == "regression":
        return ("x0", "y0", "x1", "y1"), {"numbers": Numbers(part.targets["boxes"].corners.clone())}
    if task in DETECTORS:
        return names, {"boxes": part.targets["boxes"]}
    if task == "instances":
        boxes, pixels = part.targets["boxes"], part.targets["mask"].classes > 0
        return names, {"masks": Masks(boxes.corners, boxes.classes, image=boxes.image, bits=pack_bits(pixels))}
    if task == "segmentation":
        return part.classes["mask"], {"mask": part.targets["mask"]}
    return names, {"label": Label(label.index)}


def made(backbone: str, size: int, task: str, drawn: dict[str, InMemory]) -> tuple[Network, Task, InMemory]:
    part = drawn["train"].subset(range(32))
    images = nn.functional.interpolate(part.images.float(), (size, size)).to(torch.uint8)
    found = [resized(part, one, size) for one in (TOGETHER if task == "multitask" else (task,))]
    targets = {name: value for _, own in found for name, value in own.items()}
    classes = dict(zip(targets, (names for names, _ in found), strict=True))
    data = InMemory(images, targets, classes, places=part.places)
    torch.manual_seed(0)
    entry = find_backbone(backbone, trusted=False)
    trunk = entry(**OWN.get(backbone, {}), inputs=3, size=(size, size))
    kind = task_on(task, classes, targets)
    return Network(trunk, kind.head(trunk), mean=[110.0] * 3, deviation=[60.0] * 3), kind, data


def task_on(task: str, classes: dict[str, tuple[str, ...]], targets: dict[str, Value]) -> Task:
    """The task for all of these targets, or for the only one."""
    if task == "multitask":
        return TASKS[task](classes, targets=targets)
    (name,) = targets
    return TASKS[task](classes[name], targets=targets[name])


def resized(part: InMemory, task: str, size: int) -> tuple[tuple[str, ...], dict[str, Value]]:
    """What `targets_of` gives, for pictures of another size."""
    names, targets = targets_of(part, task)
    if task in DETECTORS:
        boxes = targets["boxes"]
        targets = {"boxes": replace(boxes, corners=boxes.corners * size / part.images.shape[2])}
    if task == "instances":
        scale = size / part.images.shape[2]
        matrix = torch.tensor([[scale, 0, 0], [0, scale, 0]]).expand(len(part), 2, 3)
        targets = {"masks": targets["masks"].warp(matrix, (size, size))}
    if task == "segmentation":
        mask = nn.functional.interpolate(targets["mask"].classes[:, None].float(), (size, size))
        targets = {"mask": Mask(mask[:, 0].long())}
    return names, targets


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[2]}")
def pair(request: pytest.FixtureRequest) -> tuple[str, int, str]:
    """(backbone, size of the picture, task)"""
    chosen: tuple[str, int, str] = request.param
    return chosen


@pytest.fixture
def case(pair: tuple[str, int, str], drawn: dict[str, InMemory]) -> tuple[Network, Task, InMemory]:
    return made(*pair, drawn)


def test_shapes_loss_and_decoding(case: tuple[Network, Task, InMemory]):
    network, task, data = case
    batch = data.gather(torch.arange(8))
    network.eval()
    with torch.no_grad():
        output = network(batch.images)
        parts = task.loss(output, batch.targets)
        found = task.decode(output)
    assert parts and all(part.ndim == 0 and part.isfinite() for part in parts.values())
    assert tuple(found) == task.needs
    for name, value in found.items():
        assert type(value) is type(batch.targets[name])
        assert name in ("boxes", "masks") or len(next(iter(value._tensors().values()))) == 8
    evidence = task.evidence(output, 1)
    assert evidence.shape == (8,)


def test_the_loss_falls_in_a_few_steps(pair: tuple[str, int, str], case: tuple[Network, Task, InMemory]):
    network, task, data = case
    epochs = EPOCHS.get(pair[0], 10)
    chosen = leaves(network)
    stepper = Stepper(network, chosen, adamw(chosen, rate=RATES.get(pair[0], 3e-3)), schedule=constant())
    learner = Supervised(network, task, Loader(data, 16, shuffle=True), valid=None, stepper=stepper, plan=CPU,
                         settings=LearningSettings(epochs))
    losses = [report.row["train/loss"] for report in learner if report.row]
    assert stepper.done == 2 * epochs
    assert sum(losses[-2:]) < 0.9 * sum(losses[:2])


def test_a_state_comes_back_with_the_same_answers(case: tuple[Network, Task, InMemory], tmp_path):
    network, _, data = case
    network.eval()
    with torch.no_grad():
        before = network(data.images[:4])
        write_state(tmp_path / "one.safetensors", network.state_dict())
        for value in network.state_dict().values():
            value.zero_() if not value.is_floating_point() else value.uniform_()
        network.load_state_dict(read_state(tmp_path / "one.safetensors"))
        after = network(data.images[:4])
    for one, other in zip(tensors_in(before), tensors_in(after), strict=True):
        assert torch.equal(one, other)


def tensors_in(output: object) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(output) if leaf is not None]


@pytest.mark.parametrize("task", TASKS)
def test_the_truth_measured_against_itself_is_one(task: str, drawn: dict[str, InMemory]):
    found = [targets_of(drawn["train"], one) for one in (TOGETHER if task == "multitask" else (task,))]
    targets = {name: value for _, own in found for name, value in own.items()}
    kind = task_on(task, dict(zip(targets, (names for names, _ in found), strict=True)), targets)
    metrics = kind.metrics()
    truth = {"label": lambda value: Label(value.index, nn.functional.one_hot(value.index, 3).float()),
             "tags": lambda value: Tags(value.present, value.present), "numbers": lambda value: value,
             "boxes": lambda value: replace(value, scores=torch.ones(len(value.classes))), "mask": lambda value: value,
             "masks": lambda value: replace(value, scores=torch.ones(len(value.classes)))}
    metrics.update({name: truth[name](value) for name, value in targets.items()}, targets, count=len(drawn["train"]))
    assert metrics.result()[kind.score] == pytest.approx(1.0)


def test_flipping_twice_changes_nothing(drawn: dict[str, InMemory]):
    part = drawn["train"]
    width = part.images.shape[-1]
    for value in part.targets.values():
        twice = value.flip(width).flip(width)
        for name, tensor in value._tensors().items():
            assert torch.equal(tensor, twice._tensors()[name])


def test_every_name_of_the_table_is_of_a_tested_kind():
    from lensmith.models.adapters.torchvision_classifiers import TORCHVISION
    from lensmith.models.adapters.torchvision_detectors import WHOLE
    from lensmith.models.adapters.torchvision_instances import WHOLE_INSTANCES
    from lensmith.models.adapters.torchvision_segmenters import SEGMENTERS

    # The last five have files of tests of their own: not every task can use them.
    assert set(BACKBONES) == {*SMALL, *TORCHVISION, *WHOLE, *WHOLE_INSTANCES, *SEGMENTERS, "darknet", "darknet53",
                              "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"}


def test_pictures_of_four_channels_and_sixteen_bits_are_taken(drawn: dict[str, InMemory]):
    for channels, dtype in ((1, torch.uint16), (4, torch.uint8)):
        trunk = BACKBONES["lenet"](inputs=channels, size=(20, 24))
        network = Network(trunk, trunk.classifier(3), mean=[9.0] * channels, deviation=[2.0] * channels)
        assert network(torch.zeros(2, channels, 20, 24, dtype=dtype)).shape == (2, 3)


def test_a_network_is_measured_the_same_alone_and_in_a_batch(drawn: dict[str, InMemory]):
    network, task, data = made("lenet", 20, "classification", drawn)
    whole, single = (evaluate(network, task, Loader(data, batch), plan=CPU) for batch in (32, 1))
    assert whole["accuracy_top1"] == single["accuracy_top1"]
    assert whole["loss"] == pytest.approx(single["loss"], rel=1e-4)
