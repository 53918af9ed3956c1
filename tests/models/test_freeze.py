"""What is frozen, by depth or by name; fixed batch norm; rates by depth; what is unfrozen when."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from lensmith.base.errors import UserError
from lensmith.models.adapters.torchvision_classifiers import torchvision_network
from lensmith.models.backbones.stack import stack
from lensmith.models.freeze import Unfreezing, blocks, depth_rates, freeze, gradual_unfreezing
from lensmith.models.network import Network

LAYERS = [{"conv": 4, "kernel": 3}, {"batchnorm": True}, "relu", {"conv": 6, "kernel": 3}, {"batchnorm": True}, "relu",
          {"dropout": 0.5}, {"conv": 8, "kernel": 3}, {"globalpool": "mean"}]


def small(outputs: int = 3) -> Network:
    torch.manual_seed(0)
    backbone = stack(LAYERS, inputs=3, size=(16, 16))
    return Network(backbone, backbone.classifier(outputs), mean=[100.0] * 3, deviation=[50.0] * 3)


def step(network: Network) -> None:
    """Two steps of plain gradient descent on what learns."""
    draw = torch.Generator().manual_seed(1)
    learning = [one for one in network.parameters() if one.requires_grad]
    for _ in range(2):
        network.train()
        network(torch.randint(0, 256, (8, 3, 16, 16), generator=draw).byte()).square().sum().backward()
        with torch.no_grad():
            for one in learning:
                one -= 1e-3 * one.grad
                one.grad = None


def changed(network: Network, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}


def test_a_block_is_a_layer_with_its_norm_and_all_blocks_are_all_parameters():
    network = small()
    assert blocks(network.backbone, "backbone.") == [
        [f"backbone.layers.{layer}.{key}" for layer in names for key in ("weight", "bias")
         if f"backbone.layers.{layer}.{key}" in dict(network.named_parameters())]
        for names in (("conv1", "batchnorm1"), ("conv2", "batchnorm2"), ("conv3",))]
    resnet = torchvision_network("resnet18", inputs=3, size=(64, 64))
    found = blocks(resnet)
    assert len(found) == 9    # the stem and eight residual blocks: table 1 of He et al. 2016
    assert found[0] == ["parts.conv1.weight", "parts.bn1.weight", "parts.bn1.bias"]
    assert all(name.startswith("parts.layer4.1.") for name in found[-1])
    assert [name for names in found for name in names] == [name for name, _ in resnet.named_parameters()]


@pytest.mark.parametrize(("what", "modules", "parameters"), [
    ("backbone", ("backbone",), ("backbone.",)),
    (2, ("backbone.layers.conv1", "backbone.layers.batchnorm1", "backbone.layers.conv2", "backbone.layers.batchnorm2"),
     ("backbone.layers.conv1", "backbone.layers.batchnorm1", "backbone.layers.conv2", "backbone.layers.batchnorm2")),
    ("1", ("backbone.layers.conv1", "backbone.layers.batchnorm1"),
     ("backbone.layers.conv1", "backbone.layers.batchnorm1")),
    ("*batchnorm2*", ("backbone.layers.batchnorm2",), ("backbone.layers.batchnorm2",)),
    ("backbone.layers.conv3.bias", (), ("backbone.layers.conv3.bias",))])
def test_what_is_frozen_does_not_move_nor_count_whatever_train_says(what, modules, parameters):
    network = small()
    said = freeze(network, what)
    assert said.startswith(f"frozen ({what}): ") and network.frozen == modules
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    copy = deepcopy(network)
    for one in (network, copy):    # a copy, as a plan is picked on, is frozen too
        step(one)
        moved = changed(one, before)
        learned = {name for name in before if name not in ("mean", "deviation") and not name.startswith(parameters)}
        assert moved == learned
        assert all(not one.get_submodule(name).training for name in modules)
    assert all(one.requires_grad != name.startswith(parameters) for name, one in network.named_parameters())
    if what == 2:
        assert network.backbone.get_submodule("layers.dropout1").training    # stands behind them, and still drops


def test_the_sentence_counts_what_is_frozen():
    network = small()
    frozen = sum(one.numel() for one in network.backbone.parameters())
    whole = sum(one.numel() for one in network.parameters())
    assert freeze(network, "backbone") == (
        f"frozen (backbone): {len(list(network.backbone.parameters()))} of {len(list(network.parameters()))} tensors "
        f"with {frozen:,} of {whole:,} weights; in evaluation mode, batch norm included: backbone")


@pytest.mark.parametrize(("what", "told"), [
    (4, "learner.freeze=4: the backbone has 3 blocks with weights, from backbone.layers.conv1 to "
        "backbone.layers.conv3: give 1 .. 3, backbone, or a pattern of names"),
    ("0", "learner.freeze=0: the backbone has 3 blocks"), (-1, "learner.freeze=-1: the backbone has 3 blocks"),
    ("backbone.layers.conv7.*", "learner.freeze='backbone.layers.conv7.*': no parameter has that name. Did you mean "),
    ("*", "learner.freeze='*' leaves nothing that learns: the network has")])
def test_what_cannot_be_frozen_is_told(what, told):
    with pytest.raises(UserError) as caught:
        freeze(small(), what)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_rates_fall_from_block_to_block_away_from_the_head():
    rates = depth_rates(small(), 0.5)
    assert {name: rate for name, rate in rates.items() if name.endswith("weight")} == {
        "backbone.layers.conv1.weight": 0.125, "backbone.layers.batchnorm1.weight": 0.125,
        "backbone.layers.conv2.weight": 0.25, "backbone.layers.batchnorm2.weight": 0.25,
        "backbone.layers.conv3.weight": 0.5}
    assert depth_rates(nn.Linear(2, 2), 1.0) == {}


def test_the_last_blocks_are_unfrozen_first_and_what_is_frozen_never_does():
    network = small()
    freeze(network, 1)
    found = gradual_unfreezing(network, [1, 3], planned=5)
    assert [begins for begins, _ in found.groups] == [1, 3]
    assert found.groups[0][1][0] == "backbone.layers.conv3.weight"
    assert found.groups[1][1][0] == "backbone.layers.conv2.weight"
    for epoch, blocks_awake in ((0, 0), (1, 1), (2, 1), (3, 2), (0, 0), (4, 2)):    # in any order: a run is resumed
        found.settle(network, epoch)
        learning = {name.split(".")[2] for name, one in network.named_parameters()
                    if one.requires_grad and name.startswith("backbone.")}
        assert learning == {*["conv3"] * (blocks_awake > 0), *["conv2", "batchnorm2"] * (blocks_awake > 1)}
        assert network.backbone.get_submodule("layers.batchnorm2").training == (blocks_awake > 1)
        assert not network.backbone.get_submodule("layers.batchnorm1").training
    assert found.in_words() == \
        "the backbone is unfrozen from its last block on: 2 tensors after epoch 1, 4 tensors after epoch 3"


@pytest.mark.parametrize(("epochs", "frozen", "told"), [
    ([], None, "learner.unfreeze=[]: give the numbers of epochs"), ([2, 1], None, "ascending, from 1 to 4"),
    ([0], None, "learner.unfreeze=[0]"), ([5], None, "the run has 5 epochs"), ([1, 1], None, "learner.unfreeze=[1, 1]"),
    ([1, 2, 3, 4], None, "unfreezes the backbone in 4 groups, and 3 blocks of it may learn: give fewer epochs"),
    ([1], "backbone", "in 1 group, and 0 blocks of it may learn")])
def test_epochs_at_which_nothing_can_be_unfrozen_are_told(epochs, frozen, told):
    network = small()
    if frozen:
        freeze(network, frozen)
    with pytest.raises(UserError) as caught:
        gradual_unfreezing(network, epochs, planned=5)
    assert told in str(caught.value)


def test_a_network_without_a_head_of_its_own_cannot_begin_with_it():
    network = small()
    network.head = nn.Identity()
    with pytest.raises(UserError, match="this network has none apart from its backbone"):
        gradual_unfreezing(network, [1], planned=5)
    assert Unfreezing(()).groups == ()


def test_the_norms_of_a_backbone_stand_still_and_all_else_learns():
    network = small()
    assert freeze(network, "norms") == \
        "frozen (norms): the norms of the backbone, with the statistics and the 4 tensors that they have"
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    step(network)
    norms = {name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert len(norms) == 2
    wanted = {name for name, _ in network.named_parameters() if name.rpartition(".")[0] not in norms}
    assert changed(network, before) == wanted


def test_a_backbone_without_norms_has_none_to_freeze():
    backbone = stack([{"conv": 4, "kernel": 3}, "relu", {"globalpool": "mean"}], inputs=3, size=(16, 16))
    network = Network(backbone, backbone.classifier(3), mean=[100.0] * 3, deviation=[50.0] * 3)
    assert freeze(network, "norms") == "nothing is frozen (norms): the backbone has none"
    assert all(parameter.requires_grad for parameter in network.parameters())
