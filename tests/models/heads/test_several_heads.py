"""The heads of several tasks as one: each says what it says alone, whatever its part is called."""

import pytest
import torch
from torch import nn

from lensmith.models.backbones import find_backbone
from lensmith.models.heads.several_heads import SeveralHeads
from lensmith.models.heads.unet import UNetHead


@pytest.mark.parametrize("backbone", ["csp", "lenet", "resnet18"])
def test_every_head_says_what_it_says_alone(backbone):
    trunk = find_backbone(backbone, trusted=False)(inputs=3, size=(32, 32)).eval()
    alone = {"type": trunk.classifier(4), "v1.2 of it": trunk.classifier(2),
             "outline": UNetHead(trunk.channels, trunk.strides, 3, width=4)}
    heads = SeveralHeads(alone).eval()
    with torch.no_grad():
        maps = trunk(torch.randn(2, 3, 32, 32))
        said = heads(maps, (32, 32))
        for name, head in alone.items():
            wanted = head(maps, (32, 32)) if name == "outline" else head(maps)
            assert torch.equal(said.parts[name], wanted)
            assert heads.of(name) is head
    assert said.log_variances is None
    assert len(list(heads.parameters())) == sum(len(list(head.parameters())) for head in alone.values())


def test_gradients_are_evened_and_answers_are_not_touched():
    heads = SeveralHeads({"a": nn.Identity(), "b": nn.Identity(), "c": nn.Identity()}, uncertain=True,
                         lengths={"a": 1.0, "b": 2.0, "c": 1.0})
    maps = [torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(2, 3, 2, 2, requires_grad=True)]
    said = heads(maps, (4, 4))
    assert said.log_variances.tolist() == [0, 0, 0]
    assert all(torch.equal(one, other) for part in said.parts.values() for one, other in zip(part, maps, strict=True))
    slopes = {"a": torch.full((2, 3, 4, 4), 0.5), "b": torch.randn(2, 3, 2, 2)}    # c says nothing
    ((said.parts["a"][0] * slopes["a"]).sum() + (said.parts["b"][1] * slopes["b"]).sum()).backward()
    lengths = slopes["a"].norm(), slopes["b"].norm() / 2
    mean = sum(lengths) / 2
    assert torch.allclose(maps[0].grad, slopes["a"] * mean / lengths[0])
    assert torch.allclose(maps[1].grad, slopes["b"] * mean / lengths[1])
