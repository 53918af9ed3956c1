"""What every task of the table holds to."""

import inspect

import pytest
import torch

from lensmith.base.pictures import Form
from lensmith.data.batches.augment import Augment
from lensmith.models.backbone import Backbone
from lensmith.models.backbones import BACKBONES
from lensmith.models.network import Network
from lensmith.tasks import TASKS
from lensmith.tasks.task import Metrics, Task
from lensmith.tasks.usual_settings import Known
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks, pack_bits
from lensmith.values.labels import Label, Numbers, Tags
from lensmith.values.semantic_mask import Mask
from lensmith.values.value import Value

MEMBERS = ("needs", "score", "on_last_map", "of_kinds", "usual", "forbids", "objects", "overlap", "window",
           "kept_per_pixel", "head", "loss", "decode", "evidence", "class_logits", "metrics", "with_thresholds",
           "scoring_layers", "notes")
CLASSES = ("a", "b", "c", "d", "e")
OBJECTS = Boxes(torch.tensor([[1.0, 1, 7, 6], [0, 2, 4, 8], [2, 2, 8, 8]]), torch.tensor([0, 4, 1]), torch.ones(3),
                image=torch.tensor([0, 1, 2]))
TRUTH: dict[str, Value] = {"label": Label(torch.tensor([0, 4, 1])), "tags": Tags(torch.eye(5)[:3]),
                           "numbers": Numbers(torch.arange(15.0).view(3, 5)), "boxes": OBJECTS,
                           "masks": Masks(OBJECTS.corners, OBJECTS.classes, OBJECTS.scores, OBJECTS.image,
                                          bits=pack_bits(torch.rand(3, 8, 8) < 0.5)),
                           "mask": Mask(torch.arange(192).view(3, 8, 8) % 5)}


def made(name: str) -> Task:
    """The task over five classes, or one that has two parts with five classes each."""
    return TASKS[name]({"label": CLASSES, "mask": CLASSES} if name == "multitask" else CLASSES)


class Plain(Backbone):
    channels, strides = (2,), (1,)

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 2, 3)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [self.layer(images)]


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_the_members_of_the_protocol(name: str) -> None:
    task = made(name)
    assert all(hasattr(task, member) for member in MEMBERS)
    assert set(MEMBERS) == {member for member in {*Task.__annotations__, *vars(Task)} if not member.startswith("_")}
    for member in MEMBERS:
        if inspect.isfunction(getattr(Task, member, None)):
            wanted = [name for name in inspect.signature(getattr(Task, member)).parameters if name != "self"]
            assert list(inspect.signature(getattr(task, member)).parameters) == wanted


@pytest.mark.parametrize("name", TASKS)
def test_a_task_serves_a_network_from_pictures_to_scores(name: str) -> None:
    task = made(name)
    backbone = Plain()
    network = Network(backbone, task.head(backbone), mean=[100.0], deviation=[50.0])
    output = network(torch.randint(256, (3, 1, 8, 8), dtype=torch.uint8))
    targets = {need: TRUTH[need] for need in task.needs}
    parts = task.loss(output, targets)
    sum(parts.values()).backward()
    assert all(part.shape == () and part.isfinite() for part in parts.values())
    assert all(parameter.grad is not None for parameter in network.parameters())
    with torch.no_grad():
        found = task.decode(output)
    assert set(found) == set(task.needs)
    assert all(type(found[need]) is type(targets[need]) for need in found)
    assert task.evidence(output, 4).shape == (3,)
    counts: Metrics = task.metrics()
    counts.update({need: value.to("cpu") for need, value in found.items()}, targets, count=3)
    assert task.score in counts.result()


@pytest.mark.parametrize("name", TASKS)
def test_the_truth_against_itself_has_the_score_one(name: str) -> None:
    task = made(name)
    targets = {need: TRUTH[need] for need in task.needs}
    counts = task.metrics()
    counts.update(targets, targets, count=3)
    assert counts.result()[task.score] == 1


@pytest.mark.parametrize("name", TASKS)
def test_the_settings_of_a_recipe_are_plain_and_keyword_only(name: str) -> None:
    parameters = list(inspect.signature(TASKS[name]).parameters.values())
    assert [p.name for p in parameters[:2]] == ["classes", "targets"]
    assert all(p.kind is p.KEYWORD_ONLY and p.annotation is not p.empty and p.default is not p.empty
               for p in parameters[1:])


@pytest.mark.parametrize("name", TASKS)
def test_a_task_says_of_itself_what_is_asked_before_it_is_made(name: str) -> None:
    entry = TASKS[name]
    section = {"name": name, "parts": ["label", "mask"]}
    for size, channels, pretrained in ((28, 1, False), (96, 3, False), (96, 3, True)):
        usual = entry.usual(section, Known(Form(channels, size, size), 100, None, pretrained=pretrained))
        assert usual.backbone in BACKBONES and usual.epochs >= 1 and usual.batch >= 1
        assert Augment(**usual.augment, epochs=usual.epochs) is not None
        entry.forbids(section, {"mosaic": 0.0, "cutmix": 0.0, "mixup": 0.0} | dict(usual.augment))
    assert bool(entry.of_kinds) == (not entry.needs)


@pytest.mark.parametrize("name", TASKS)
def test_with_thresholds_gives_a_copy_that_keeps_what_another_size_needs(name: str) -> None:
    task = made(name)
    shown = task.with_thresholds(0.5, 0.4)
    assert shown is not task and type(shown) is type(task) and task.kept_per_pixel == 0
    assert (shown.kept_per_pixel > 0) == bool({"mask", "masks"} & set(task.needs))
    assert set(task.objects) <= set(task.needs)
    if task.objects == task.needs:
        assert shown.overlap == 0.4 != task.overlap == task.with_thresholds(None, None).overlap
