"""What a network learns from a teacher: the terms of its loss, classes in another order, pictures of another size."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lensmith.engine.supervised import Supervised
from lensmith.engine.teacher import Teacher
from lensmith.tasks.classification import Classification
from lensmith.tasks.losses.distillation import teacher_divergence
from lensmith.tasks.segmentation import Segmentation
from tests.engine.test_supervised import learner

CLASSES = ("a", "b", "c")


class Means(nn.Module):
    """The mean of each channel, as the logits of as many classes; it notes the sizes that it was given."""

    def forward(self, images):
        self.size = tuple(images.shape[2:])
        return images.float().mean((2, 3))


def teacher(**changes) -> Teacher:
    task = Classification(CLASSES)
    return replace(Teacher(Means(), task, task, (8, 8), {"label": [0, 1, 2]}, weight=0.75, temperature=2.0), **changes)


def pictures(number: int = 4, edge: int = 8) -> torch.Tensor:
    return torch.randint(0, 9, (number, 3, edge, edge), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_the_truth_has_what_the_teacher_leaves():
    output = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    terms = teacher().join({"label": torch.tensor(2.0)}, output, pictures())
    wanted = teacher_divergence(output, pictures().float().mean((2, 3)), temperature=2.0)
    assert list(terms) == ["label", "teacher"]
    assert terms["label"].item() == 0.5 and terms["teacher"].item() == pytest.approx(0.75 * wanted.item())


def test_classes_that_the_teacher_has_in_another_order_are_matched():
    plain, turned = teacher().answers(pictures()), teacher(classes={"label": [2, 0, 1]}).answers(pictures())
    assert torch.equal(turned["label"], plain["label"][:, [2, 0, 1]])


@pytest.mark.parametrize("edge", [4, 16])
def test_pictures_are_resized_to_what_the_teacher_is_used_to(edge: int):
    one = teacher()
    answers = one.answers(pictures(edge=edge))
    assert one.network.size == (8, 8)
    resized = F.interpolate(pictures(edge=edge).float(), (8, 8), mode="bilinear", antialias=True)
    assert torch.equal(answers["label"], resized.mean((2, 3)))
    assert not answers["label"].requires_grad


def test_pixels_are_brought_back_to_the_size_of_the_pictures():
    task = Segmentation(CLASSES)
    one = Teacher(nn.Identity(), task, task, (4, 4), {"mask": [0, 1, 2]}, weight=1.0, temperature=1.0)
    output = torch.zeros(2, 3, 8, 8)
    terms = one.join({"cross_entropy": torch.tensor(1.0)}, output, pictures(2).float())
    small = F.interpolate(pictures(2).float(), (4, 4), mode="bilinear", antialias=True)
    wanted = F.interpolate(small, (8, 8), mode="bilinear")
    assert terms["teacher"].item() == pytest.approx(teacher_divergence(output, wanted, temperature=1.0).item())
    assert terms["cross_entropy"].item() == 0


def taught(drawn) -> Supervised:
    one = learner(drawn, epochs=1, average=0.0)
    task = one.task
    known = Teacher(Means(), task, task, (20, 20), {"label": [0, 1, 2]}, weight=0.5, temperature=3.0)
    one.settings = replace(one.settings, teacher=known)
    for module in one.network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return one


def test_the_learner_reports_and_minimises_both(drawn):
    ones = [taught(drawn), taught(drawn)]
    batch = next(ones[0].train.at(0, 0))
    losses, count = ones[0]._learn([batch], 1.0, last=True)
    by_hand = ones[1]
    by_hand.network.train()
    output = by_hand.network(by_hand.plan.arrange(batch.images))
    terms = (0.5 * by_hand.task.loss(output, batch.targets)["label"],
             0.5 * teacher_divergence(output, batch.images.float().mean((2, 3)), temperature=3.0))
    sum(terms).backward()
    assert count == len(batch) and set(losses) == {"label", "teacher"}
    assert losses["label"] == pytest.approx(terms[0].item(), rel=1e-5)
    assert losses["teacher"] == pytest.approx(terms[1].item(), rel=1e-5)
    for (name, found), wanted in zip(ones[0].network.named_parameters(), by_hand.network.parameters(), strict=True):
        assert torch.allclose(found.grad, wanted.grad, rtol=1e-4, atol=1e-6), name
