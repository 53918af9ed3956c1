"""The task of masks: its settings, its losses together, decisions, and drawn pictures learned by heart."""

import pytest
import torch

from lensmith.base.errors import DataError, UserError
from lensmith.data.formats.drawn_shapes import shapes
from lensmith.engine.optimize import adamw, leaves
from lensmith.engine.schedule import cosine
from lensmith.engine.stepper import Stepper
from lensmith.models.backbones import BACKBONES
from lensmith.models.heads.fcn import FcnHead, Pools
from lensmith.models.heads.unet import UNetHead
from lensmith.models.network import Network
from lensmith.tasks.losses.pixel_losses import dice_loss, lovasz_loss, pixel_entropy
from lensmith.tasks.segmentation import Segmentation, count_pixels
from lensmith.values.semantic_mask import Mask

NAMES = ("ground", "cat", "dog")


@pytest.mark.parametrize(("size", "settings", "least"), [(32, {"width": 8}, 0.8), (64, {"network": "fcn8"}, 0.6)])
def test_a_few_pictures_are_learned_by_heart(size: int, settings: dict, least: float) -> None:
    part = shapes(12, size).splits["train"].subset(range(6))
    torch.manual_seed(0)
    trunk = BACKBONES["stack"](inputs=3, size=(size, size), layers=[
        entry for width in (12, 16, 24, 32)
        for entry in ({"conv": width, "kernel": 3, "stride": 2, "padding": 1}, "batchnorm", "relu")])
    task = Segmentation(part.classes["mask"], **settings)
    model = Network(trunk, task.head(trunk), mean=[110.0] * 3, deviation=[60.0] * 3)
    chosen = leaves(model)
    stepper = Stepper(model, chosen, adamw(chosen, rate=5e-3), schedule=cosine())
    stepper.steps = 60
    for _ in range(stepper.steps):
        stepper.add(sum(task.loss(model(part.images), part.targets).values()))
        stepper.move()
    model.eval()
    metrics = task.metrics()
    with torch.no_grad():
        metrics.update(task.decode(model(part.images)), part.targets)
    assert metrics.result()["mIoU"] > least


def test_the_network_is_the_one_that_is_named() -> None:
    trunk = BACKBONES["vgg11"](inputs=3, size=(64, 64))
    assert isinstance(Segmentation(NAMES).head(trunk), UNetHead)
    for name, finest, scores in (("fcn32", 32, 1), ("fcn16", 16, 2), ("fcn8", 8, 3)):
        head = Segmentation(NAMES, network=name).head(trunk)
        assert isinstance(head, FcnHead) and isinstance(head.levels, Pools)
        assert head.finest == finest and len(head.scores) == scores
    other = Segmentation(NAMES, network="fcn8").head(BACKBONES["lenet"](inputs=3, size=(64, 64)))
    assert isinstance(other, FcnHead) and not isinstance(other.levels, Pools)
    wide = Segmentation(NAMES, width=4).head(trunk)
    assert wide.classify.in_channels == 4 and wide.classify.out_channels == 3


def test_the_parts_of_the_loss_are_those_named() -> None:
    logits, truth = torch.randn(2, 3, 6, 7), torch.arange(84).view(2, 6, 7) % 3
    wanted = {"cross_entropy": pixel_entropy(logits, truth), "focal": pixel_entropy(logits, truth, focal=2.0),
              "dice": dice_loss(logits, truth), "lovasz": lovasz_loss(logits, truth)}
    for name, value in wanted.items():
        found = Segmentation(NAMES, loss=name).loss(logits, {"mask": Mask(truth)})
        assert tuple(found) == (name,) and torch.equal(found[name], value)
    every = Segmentation(NAMES, loss=list(wanted)).loss(logits, {"mask": Mask(truth)})
    assert every == wanted
    assert tuple(Segmentation(NAMES).loss(logits, {"mask": Mask(truth)})) == ("cross_entropy", "dice")
    sharp = Segmentation(NAMES, loss="focal", gamma=4.0).loss(logits, {"mask": Mask(truth)})["focal"]
    assert torch.equal(sharp, pixel_entropy(logits, truth, focal=4.0))


def test_balanced_weights_are_counted_on_the_pixels_that_are_not_void() -> None:
    mask = torch.zeros(2, 4, 5, dtype=torch.uint8)
    mask[0, 0], mask[1, 3] = 1, 255
    assert count_pixels(Mask(mask), 3).tolist() == [30, 5, 0]
    task = Segmentation(NAMES, targets=Mask(mask), class_weights="balanced", loss="cross_entropy")
    assert task.weights is not None and task.weights.tolist() == pytest.approx([35 / 60, 35 / 10, 1.0])
    logits = torch.randn(2, 3, 4, 5)
    wanted = torch.nn.functional.cross_entropy(logits, mask.long(), task.weights, ignore_index=255)
    assert torch.allclose(task.loss(logits, {"mask": Mask(mask)})["cross_entropy"], wanted)


def test_decisions_are_the_likeliest_classes_and_scores_are_kept_where_asked() -> None:
    logits = torch.randn(2, 3, 4, 5, dtype=torch.bfloat16)
    task = Segmentation(NAMES)
    found = task.decode(logits)["mask"]
    assert found.classes.dtype == torch.uint8 and torch.equal(found.classes.long(), logits.argmax(1))
    assert found.scores is None
    task.keeps_scores = True
    kept = task.decode(logits)["mask"]
    assert torch.equal(kept.scores, logits.float().softmax(1)) and kept[1].scores.shape == (3, 4, 5)
    assert torch.equal(task.evidence(logits.float(), 2), logits.float()[:, 2].mean((1, 2)))


@pytest.mark.parametrize(("settings", "message"), [
    ({"width": 0}, "task.width=0 cannot be: accepted is 1 or more"),
    ({"network": "fcn8", "width": 8}, "task.width belongs to U-Net, and task.network is 'fcn8': leave width out"),
    ({"loss": []}, "task.loss names one or several losses, each once: cross_entropy, focal, dice, lovasz; got []"),
    ({"loss": ["dice", "dice"]}, "each once: cross_entropy, focal, dice, lovasz; got ['dice', 'dice']"),
    ({"loss": "focal", "gamma": 0.0}, "task.gamma must be above 0; got 0.0. It is of the focal loss"),
    ({"gamma": 1.0}, "task.gamma belongs to the focal loss, and task.loss is cross_entropy, dice: add \"focal\""),
    ({"loss": "dice", "class_weights": [1.0, 2.0, 3.0]}, "task.class_weights belong to cross_entropy and focal, and "
                                                         "task.loss is dice"),
    ({"class_weights": [1.0]}, "task.class_weights has 1 numbers, but there are 3: give one a class"),
])
def test_a_setting_that_cannot_be_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(UserError) as told:
        Segmentation(NAMES, **settings)
    assert message in str(told.value)


def test_classes_and_masks_that_cannot_be_are_refused() -> None:
    with pytest.raises(UserError, match="masks have 2 to 255 classes; these have 1. Of one kind of object, the back"):
        Segmentation(("cat",))
    mask = torch.zeros(3, 4, 5, dtype=torch.int64)
    mask[2, 1, 1] = 3
    with pytest.raises(DataError, match=r"the mask of training picture 2 holds the class 3, and there are 3, numbered "
                                        r"0 to 2: mend the mask or the list of classes; 255 is void"):
        Segmentation(NAMES, targets=Mask(mask))
    task = Segmentation(NAMES, class_weights="balanced")
    with pytest.raises(UserError, match="counts the training masks, and none were given"):
        task.loss(torch.zeros(1, 3, 4, 5), {"mask": Mask(mask[:1])})


def test_a_whole_detector_is_refused() -> None:
    trunk = BACKBONES["fcos_resnet50_fpn"](inputs=3, size=(64, 64))
    with pytest.raises(UserError, match="the network is a whole detector, which gives boxes and no maps to make masks"):
        Segmentation(NAMES).head(trunk)
