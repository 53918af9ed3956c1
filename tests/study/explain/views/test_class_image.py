"""A picture that is made for a class is named so under shifts; one that is made for a channel excites it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import lensmith
from lensmith.base.errors import UserError
from lensmith.base.pictures import Form
from lensmith.models.heads.several_heads import Answers
from lensmith.models.network import Network
from lensmith.study.explain.views.class_image import ClassImages, class_image, draw_class_image, shifted
from lensmith.study.explain.views.view import ViewSubject
from lensmith.tasks.multitask import Multitask
from lensmith.tasks.tagging import Tagging

CLASSES = ("ant", "bee", "cat")
Sight = Callable[..., ViewSubject]


def test_each_class_is_named_with_certainty_under_shifts(trained: Sight):
    subject = trained()
    found = class_image(subject, steps=40)
    assert [one.of for one in found.made] == list(CLASSES)
    for number, one in enumerate(found.made):
        assert one.image.dtype == torch.uint8 and one.image.shape == (3, 16, 24)
        padded = torch.nn.functional.pad(one.image[None].float(), (1, 1, 1, 1), mode="replicate")
        for down in range(3):
            for across in range(3):
                moved = padded[:, :, down : down + 16, across : across + 24]
                probability = subject.network(moved).detach().softmax(1)[0, number]
                assert float(probability) >= 0.9, (one.of, down, across)
        assert one.probabilities is not None and len(one.probabilities) == 16
        assert float(one.probabilities.min()) >= 0.9 and one.after > one.before
    panels = draw_class_image(found)
    assert [panel.files["class_image-000-24x16.png"].size for panel in panels[:1]] == [(24, 16)]


def test_a_channel_is_excited_many_times_as_much(trained: Sight):
    """Of a channel before its ReLU: the mean grows beyond that of random pictures by many times their spread."""
    subject = trained(layers=("2",))
    (one,) = class_image(subject, channel=2, steps=40).made
    assert one.of == "channel 2 of layer backbone.2" and one.probabilities is None

    def mean(picture: torch.Tensor) -> float:
        standard = subject.network.standardise(picture[None].float())
        return float(subject.network.backbone[:3](standard)[0, 2].mean().detach())

    drawn = torch.randint(0, 256, (8, 3, 16, 24), generator=torch.Generator().manual_seed(1))
    at_random = torch.tensor([mean(picture.float()) for picture in drawn])
    assert mean(one.image) == pytest.approx(one.after, rel=1e-3)
    assert one.after - float(at_random.mean()) > 10 * float(at_random.std()), (one.after, at_random)
    assert one.after > one.before


def test_the_same_picture_again(sight: Sight):
    first, second = (class_image(sight(wanted="bee"), steps=5).made[0] for _ in range(2))
    assert torch.equal(first.image, second.image) and first.probabilities is not None
    assert torch.equal(first.probabilities, second.probabilities)


def test_tags_have_a_probability_each(trained: Sight):
    subject = trained()
    tags = ViewSubject(subject.network, Tagging(CLASSES), {"tags": CLASSES}, subject.form, wanted="cat")
    (one,) = class_image(tags, steps=40).made
    with torch.no_grad():
        assert one.probabilities is not None
        assert float(subject.network(one.image[None].float()).sigmoid()[0, 2]) >= 0.9
        assert float(one.probabilities.min()) >= 0.9


class TwoParts(nn.Module):
    """A label by the mean colour, and a mask by the colour of each pixel."""

    def forward(self, maps: torch.Tensor) -> Answers:
        red, green = maps[:, 0], maps[:, 1]
        return Answers({"kind": torch.stack((red - green, green - red), 1).mean((2, 3)) * 4,
                        "mask": torch.stack((red, -red), 1) * 4}, None)


def test_of_several_tasks_each_target_has_its_own_picture():
    network = Network(nn.Identity(), TwoParts(), mean=[127.0] * 3, deviation=[60.0] * 3).eval()
    network.takes_size = False
    names = {"kind": ("red", "green"), "mask": ("light", "dark")}
    task = Multitask(names, kinds={"kind": "label", "mask": "mask"})
    found = class_image(ViewSubject(network, task, names, Form(3, 8, 8)), steps=120)
    assert [one.of for one in found.made] == ["red", "green", "light", "dark"]
    channels = [one.image.float().mean((1, 2)) for one in found.made]
    assert channels[0][0] > channels[0][1] + 15 and channels[1][1] > channels[1][0] + 15    # red, green
    assert channels[2][0] > 160 and channels[3][0] < 95    # red in all pixels, in none
    assert all(one.probabilities is not None and float(one.probabilities.min()) >= 0.9 for one in found.made)


def test_shifts_repeat_the_edge():
    picture = torch.arange(12.0).view(1, 3, 4)
    seen = {tuple(shifted(picture, 1, torch.Generator().manual_seed(seed))[0, :, 0].tolist()) for seed in range(60)}
    assert seen == {tuple(column) for column in ([0, 0, 4], [0, 4, 8], [4, 8, 8], [1, 1, 5], [1, 5, 9], [5, 9, 9])}


@pytest.mark.parametrize(("asked", "settings", "expected"), [
    ({"wanted": "kat"}, {}, "unknown class 'kat'. Did you mean 'cat'? The network knows 3: ant, bee, cat"),
    ({"wanted": "cat"}, {"channel": 1}, "class_image is of a class or of a channel: leave --class or channel out"),
    ({"layers": ("second",)}, {}, "class_image of a layer is of one of its channels: add --set channel=0, or leave"),
    ({"layers": ("second",)}, {"channel": 6}, "channel=6 cannot be: layer backbone.second has the channels 0 to 5"),
    ({"names": {"label": tuple("abcdefghijkl")}}, {}, "class_image is of one class where there are more than 10: name "
                                                      "it with --class. The network knows 12: a, b,"),
    ({}, {"steps": 0}, "steps=0 of class_image cannot be: accepted are whole numbers from 1 to 10,000")])
def test_what_cannot_be_made(asked: dict, settings: dict, expected: str, sight: Sight):
    subject = sight(**{key: value for key, value in asked.items() if key != "names"})
    if "names" in asked:
        subject = ViewSubject(subject.network, subject.task, asked["names"], subject.form)
    with pytest.raises(UserError) as refused:
        class_image(subject, **settings)
    assert str(refused.value).startswith(expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tabby", "goldfinch", "sports car"])
def test_classes_of_imagenet(name: str, tmp_path: Path):
    """What is written as a PNG file is named so by the command's own way, too."""
    network = lensmith.load("imagenet")
    found = network.view(ClassImages, wanted=name)
    (one,) = found.made
    assert one.probabilities is not None and float(one.probabilities.min()) >= 0.9, one.in_words()
    (panel,) = draw_class_image(found)
    file = tmp_path / "made.png"
    panel.files["class_image-000-224x224.png"].save(file)
    (said,) = network.predict(file)
    assert said.as_json()["label"] == name
