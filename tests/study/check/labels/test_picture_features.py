"""Features of pictures: those of the network on the decoded picture, in the time that there is."""

import pytest
import torch

from lensmith.base.pictures import Form, refit
from lensmith.data.sources.in_memory import InMemory
from lensmith.engine.plan.plan import exact
from lensmith.models.adapters.embedded_weights import embedded_weights
from lensmith.models.backbones.efficientnet_lite import efficientnet_lite0
from lensmith.study.check.labels import picture_features
from lensmith.study.check.labels.picture_features import features_of

FORM = Form(3, 20, 20)


def told(line: str) -> None:
    """Progress is nobody's business here."""


def test_features_are_the_means_of_the_last_map_of_all_sources(drawn: dict[str, InMemory]):
    sources = [drawn["train"].subset(range(7)), drawn["test"].subset(range(39, 37, -1))]
    features = features_of(sources, FORM, seconds=float("inf"), plan=exact(device="cpu"), tell=told)
    assert features.edge == 128 and features.computed.all() and features.numbers.shape == (9, 1280)
    network = efficientnet_lite0(inputs=3, size=(128, 128)).eval()
    weights = embedded_weights("efficientnet_lite0", network)
    network.load_state_dict({name.removeprefix("backbone."): tensor for name, tensor in weights.items()
                             if name.startswith("backbone.")})
    picture = refit(sources[1].images[1], Form(3, 128, 128, "squash", interpolation="bicubic"))
    with torch.no_grad():
        expected = network((picture[None].float() - 127.5) / 127.5)[-1].mean((2, 3))[0]
    torch.testing.assert_close(features.numbers[8].float(), expected, atol=5e-3, rtol=5e-3)


def test_gray_pictures_have_the_features_of_the_same_ones_with_three_equal_colours(drawn: dict[str, InMemory]):
    gray = drawn["train"].subset(range(2))
    gray.images = gray.images[:, :1]
    colours = drawn["train"].subset(range(2))
    colours.images = gray.images.expand(-1, 3, -1, -1).contiguous()
    of_gray, of_colours = (features_of([source], Form(source.images.shape[1], 20, 20), seconds=float("inf"),
                                       plan=exact(device="cpu"), tell=told) for source in (gray, colours))
    torch.testing.assert_close(of_gray.numbers, of_colours.numbers, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize(("seconds", "edge", "computed"), [(100, 128, 40), (30, 96, 40), (10, 96, 17), (0, 96, 2)])
def test_too_little_time_makes_the_pictures_smaller_and_then_fewer(drawn, monkeypatch: pytest.MonkeyPatch,
                                                                   seconds: float, edge: int, computed: int):
    monkeypatch.setattr(picture_features, "_time_of_picture", lambda *_: 1.0)    # 40 s at 128, 22.5 s at 96 pixels
    monkeypatch.setattr(picture_features, "_means", lambda network, batch, plan: torch.ones(len(batch), 1280).half())
    features = features_of([drawn["train"].subset(range(40))], FORM, seconds=seconds, plan=exact(device="cpu"),
                           tell=told)
    assert features.edge == edge and abs(int(features.computed.sum()) - computed) <= 1
    assert (features.numbers.any(1) == features.computed).all()
    rows = features.computed.nonzero()[:, 0]
    assert rows[0] == 0 and rows[-1] == 39
