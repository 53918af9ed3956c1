"""The smallest change turns the answer, half of it does not, and of a linear network it is known in closed form."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lensmith.base.errors import UserError
from lensmith.base.pictures import Form
from lensmith.models.network import Network
from lensmith.study.explain.views.smallest_change import draw_smallest_change, smallest, smallest_change
from lensmith.study.explain.views.view import ViewedSet, ViewSubject
from lensmith.tasks.classification import Classification
from lensmith.tasks.tagging import Tagging

CLASSES = ("ant", "bee", "cat")
Sight = Callable[..., ViewSubject]


@pytest.fixture
def linear(set_of: Callable[[Tensor, list[int]], ViewedSet]) -> ViewSubject:
    """A network whose scores are linear in the pixels, and two pictures whose values lie far from black and white."""
    drawn = torch.Generator().manual_seed(4)
    network = Network(nn.Flatten(), nn.Linear(12, 3), mean=[100.0], deviation=[50.0]).eval()
    network.takes_size = False
    with torch.no_grad():
        network.head.weight.copy_(torch.randn(3, 12, generator=drawn))
    images = torch.randint(90, 160, (2, 1, 3, 4), generator=drawn, dtype=torch.uint8)
    return ViewSubject(network, Classification(CLASSES), {"label": CLASSES}, Form(1, 3, 4),
                       pictures=set_of(images, [0, 1]))


def test_of_a_linear_network_fgsm_finds_the_closed_form(linear: ViewSubject):
    """Along sign(w_b - w_a) the lead changes by epsilon ||w_b - w_a||_1, and no other change of that size does more."""
    for one in smallest_change(linear, steps=40).pictures:
        scores = linear.network(one.image[None]).detach()[0]
        weights = linear.network.head.weight.detach() / 50
        answer = int(scores.argmax())
        exact = {CLASSES[other]: float((scores[answer] - scores[other]) / (weights[answer] - weights[other]).norm(1))
                 for other in range(3) if other != answer}
        fgsm, pgd = one.changes
        assert fgsm.by_class == pytest.approx(exact, rel=0.01)
        assert fgsm.epsilon == pytest.approx(min(exact.values()), rel=0.01)
        assert fgsm.epsilon >= min(exact.values()) * (1 - 1e-4)
        assert pgd.epsilon == pytest.approx(min(exact.values()), rel=0.02)
        assert fgsm.to == pgd.to == min(exact, key=lambda name: exact[name])


def test_the_change_turns_the_answer_and_stays_within_epsilon(trained: Sight):
    subject = trained()
    for one in smallest_change(subject).pictures:
        with torch.no_grad():
            assert one.answer == CLASSES[int(subject.network(one.image[None])[0].argmax())]
            for change in one.changes:
                assert change.epsilon is not None and change.changed is not None and change.saved is not None
                assert float((change.changed - one.image).abs().max()) <= change.epsilon + 1e-4
                assert float(change.changed.min()) >= 0 and float(change.changed.max()) <= 255
                assert change.to == CLASSES[int(subject.network(change.changed[None])[0].argmax())] != one.answer
                assert change.saved.dtype == torch.uint8
                difference = (change.saved.float() - one.image).abs().max()
                assert float(difference) <= change.saved_epsilon
                assert change.saved_to == CLASSES[int(subject.network(change.saved[None])[0].argmax())] != one.answer


def test_half_of_the_change_along_the_gradient_does_not(trained: Sight):
    subject = trained()
    for one in smallest_change(subject, classes=1).pictures:
        fgsm = one.changes[0]
        assert fgsm.epsilon is not None and fgsm.changed is not None
        half = (one.image + (fgsm.changed - one.image).sign() * fgsm.epsilon / 2).clamp(0, 255)
        with torch.no_grad():
            assert CLASSES[int(subject.network(half[None])[0].argmax())] == one.answer


def test_to_a_class_that_is_wanted(trained: Sight):
    answers = {one.answer for one in smallest_change(trained(), classes=1, steps=1).pictures}
    wanted = next(name for name in CLASSES if name not in answers)
    for one in smallest_change(trained(wanted=wanted)).pictures:
        assert {change.to for change in one.changes} <= {wanted, None}
        assert list(one.changes[0].by_class) == [wanted]
    with pytest.raises(UserError) as refused:
        smallest_change(trained(wanted=answers.pop()))
    assert "already, as the network says: name another class that its answer is to turn to" in str(refused.value)


def test_a_search_that_is_not_monotone_ends_where_half_does_not_turn():
    tried: list[float] = []

    def turns(size: float) -> bool:
        tried.append(size)
        return 3 < size < 4 or size > 9

    found = smallest(turns, first=0.0625, most=255)
    assert found is not None and turns(found) and not turns(found / 2) and found == pytest.approx(9, rel=0.01)
    assert smallest(lambda size: False, first=1, most=255) is None
    assert smallest(lambda size: size >= 0.01, first=200, most=255) == pytest.approx(0.01, rel=0.01)
    assert len(tried) < 40


def test_what_cannot_be_turned_is_said(linear: ViewSubject):
    with torch.no_grad():
        linear.network.head.weight.zero_()
        linear.network.head.bias.copy_(torch.tensor([3.0, 0.0, 0.0]))
    found = smallest_change(linear)
    assert [change.epsilon for one in found.pictures for change in one.changes] == [None] * 4
    assert all(line.endswith("no change along these directions turns it") for line in found.in_words())
    assert all(len(panel.files) == 0 for panel in draw_smallest_change(found))


def test_the_changed_picture_is_a_file_of_its_own(trained: Sight):
    panels = draw_smallest_change(smallest_change(trained()))
    assert [list(panel.files) for panel in panels] == [[f"{panel.name}-changed.png"] for panel in panels]
    assert panels[0].files[f"{panels[0].name}-changed.png"].size == (24, 16)


def test_a_network_that_names_no_class_is_refused(trained: Sight):
    subject = trained()
    tags = ViewSubject(subject.network, Tagging(CLASSES), {"tags": CLASSES}, subject.form, pictures=subject.pictures)
    with pytest.raises(UserError) as refused:
        smallest_change(tags)
    assert str(refused.value) == ("smallest_change is of networks that name one class of a picture, and this one gives "
                                  "tags: the other views can be made of it")
    with pytest.raises(UserError) as unknown:
        smallest_change(trained(wanted="kat"))
    assert str(unknown.value) == "unknown class 'kat'. Did you mean 'cat'? The network knows 3: ant, bee, cat"


def test_gradients_are_of_pictures_alone(trained: Sight):
    subject = trained()
    smallest_change(subject, classes=1, steps=2)
    assert all(parameter.grad is None for parameter in subject.network.parameters())
    assert isinstance(subject.network.mean, Tensor)
