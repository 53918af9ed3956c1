"""The pictures that excite a channel most are those of a plain loop."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lensmith.base.errors import UserError
from lensmith.study.explain.views.channel_pictures import channel_pictures, draw_channel_pictures
from lensmith.study.explain.views.view import ViewSubject

Sight = Callable[..., ViewSubject]


def test_they_are_those_of_a_plain_loop(sight: Sight, images: Tensor):
    subject = sight(layers=("second",))
    found = channel_pictures(subject, channel=2, top=4)
    best = []
    for row in range(len(images)):
        standard = (images[row].float() - subject.network.mean[0]) / subject.network.deviation[0]
        maps = subject.network.backbone.second(subject.network.backbone.first(standard[None]))[0]
        cells = [(float(maps[2, y, x].detach()), y, x) for y in range(8) for x in range(10)]
        best.append((max(cells), row))
    best.sort(reverse=True)
    (channel,) = found.channels
    assert channel.channel == 2 and found.searched == "11 training pictures"
    for one, ((value, y, x), row) in zip(channel.pictures, best, strict=False):
        assert one.file == f"{row:02d}.png" and one.cell == (y, x) and one.activation == pytest.approx(value, rel=1e-4)
        assert one.box == (4 * x, 4 * y, 4 * x + 4, 4 * y + 4)    # 32 x 40 pixels in 8 x 10 cells
        assert one.in_file == (8 * x, 8 * y, 8 * x + 8, 8 * y + 8)    # the file is twice as large
        assert torch.equal(one.image, images[row])
    assert len(channel.pictures) == 4


def test_of_equal_values_the_larger_mean_comes_first(sight: Sight, images: Tensor):
    subject = sight(layers=("second",))
    subject.network.backbone.second = torch.nn.Sequential(subject.network.backbone.second, torch.nn.Hardtanh(-0.1, 0.1))
    found = channel_pictures(subject, channel=2, top=11)
    assert [one.activation for one in found.channels[0].pictures] == pytest.approx([0.1] * 11)
    maps = subject.network.backbone.second(subject.network.backbone.first(subject.network.standardise(images)))
    order = maps.detach()[:, 2].mean((1, 2)).argsort(descending=True).tolist()
    assert [one.file for one in found.channels[0].pictures] == [f"{row:02d}.png" for row in order]


def test_by_themselves_the_channels_that_tell_pictures_apart(sight: Sight):
    found = channel_pictures(sight(), channels=2)
    spread = found.strongest.std(0, correction=0)
    assert [one.channel for one in found.channels] == spread.argsort(descending=True)[:2].tolist()
    panels = draw_channel_pictures(found)
    assert len(panels) == 2 and "11 training pictures" in panels[0].lines[0] and len(panels[0].lines) == 9


def test_a_bound_on_the_pictures_is_said(sight: Sight):
    found = channel_pictures(sight(), pictures=4)
    assert found.searched == "4 of the 11 training pictures, spread evenly"
    assert found.files == ["00.png", "02.png", "05.png", "08.png"]


def test_a_layer_of_one_number_a_channel_has_one_cell(sight: Sight):
    found = channel_pictures(sight(layers=("head.dense",)), channel=0, top=1)
    assert found.channels[0].pictures[0].box == (0, 0, 40, 32)


@pytest.mark.parametrize(("channel", "expected"), [
    (6, "channel=6 cannot be: the backbone's last map has the channels 0 to 5"),
    (1.5, "channel=1.5 cannot be: the backbone's last map has the channels 0 to 5")])
def test_a_channel_that_there_is_not(channel: float, expected: str, sight: Sight):
    with pytest.raises(UserError) as refused:
        channel_pictures(sight(), channel=channel)    # type: ignore[arg-type]
    assert str(refused.value) == expected
