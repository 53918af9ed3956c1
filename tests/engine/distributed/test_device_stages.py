"""A network split over two devices gives and learns what the whole one does."""

from copy import deepcopy
from typing import NamedTuple

import pytest
import torch
from torch import nn

from lensmith.base.errors import UserError
from lensmith.engine.distributed.device_stages import check_stages, moved_to, split
from lensmith.models.backbones.simple import simple
from lensmith.models.network import Network


class Pair(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


def network() -> Network:
    torch.manual_seed(2)
    backbone = simple(inputs=1, size=(12, 12))
    return Network(backbone, backbone.classifier(3), mean=[100.0], deviation=[50.0])


def gradients(one: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    one(images).square().sum().backward()
    return [parameter.grad for parameter in one.parameters()]


def test_outputs_gradients_and_names_are_those_of_the_whole_network():
    whole, parted = network(), network()
    split(parted, ["cpu", "cpu"])
    images = torch.randint(0, 255, (5, 1, 12, 12), dtype=torch.uint8)
    assert torch.equal(whole(images), parted(images))
    assert all(map(torch.equal, gradients(whole, images), gradients(parted, images)))
    assert list(whole.state_dict()) == list(parted.state_dict())
    parted.load_state_dict(whole.state_dict())
    copied = deepcopy(parted)    # as the EMA of the weights is
    assert torch.equal(copied(images), whole(images))


def test_the_head_computes_on_the_second_device_and_the_output_comes_back():
    """`meta` stands in for the second device: it computes shapes only, and nothing can be brought back from it, so the
    way in is looked at on the way and the way out alone."""
    one = network()
    split(one, ["cpu", "meta"])
    assert {parameter.device.type for parameter in one.backbone.parameters()} == {"cpu"}
    assert {parameter.device.type for parameter in one.head.parameters()} == {"meta"}
    seen = []
    one.head.register_forward_hook(lambda module, given, output: seen.append((given, output)), prepend=True)
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        one(torch.zeros(2, 1, 12, 12))
    (given, *_), output = seen[0]
    assert {maps.device.type for maps in given} == {"meta"} and output.shape == (2, 3) and output.is_meta


def test_every_form_of_output_is_moved():
    tensor = torch.ones(2)
    found = moved_to({"pair": Pair(tensor, tensor), "list": [tensor, (tensor,)], "text": "kept"}, "meta")
    assert isinstance(found["pair"], Pair) and found["pair"].second.is_meta
    assert found["list"][0].is_meta and isinstance(found["list"][1], tuple) and found["text"] == "kept"


@pytest.mark.parametrize(("stages", "settings", "text"), [
    (["cpu"], {}, "plan.stages names two devices, that of the backbone and that of the head"),
    (["cpu", "cpu"], {"processes": 2}, "plan.processes=2 copies it to several: choose one of the two"),
    (["cpu", "cpu"], {"device": "cuda"},
     "plan.stages begins on 'cpu', and the device is 'cuda': leave plan.device out"),
    (["cpu", "gpu"], {}, "unknown device 'gpu'")])
def test_stages_that_cannot_be_had_are_refused(stages, settings, text):
    with pytest.raises(UserError, match=text):
        check_stages(stages, **{"device": "auto", "processes": 1, **settings})
    check_stages(["cpu", "cpu"], device="auto", processes=1)
