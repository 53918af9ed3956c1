import copy

import pytest
import torch
from torch import nn

from lensmith.models.darknet.cfg_file import parse_cfg
from lensmith.models.darknet.network import Darknet
from lensmith.models.darknet.plain_calls import Straight
from lensmith.models.network import Network
from lensmith.models.rewrites.exact import fold_batch_norm

START = "[net]\nwidth=64\nheight=64\nchannels=3\n"
FIRST = "[convolutional]\nfilters=8\nsize=3\npad=1\nstride=2\nbatch_normalize=1\nactivation=leaky\n"
DEEP = "[convolutional]\nfilters=8\nsize=3\npad=1\ngroups=8\nbatch_normalize=1\nactivation=leaky\n"
POINT = "[convolutional]\nfilters=8\nsize=1\nactivation=linear\n"
LAYERS = {
    "dropout": [FIRST, "[dropout]\nprobability=0.5\n", POINT],
    "dropout at a join": [FIRST, DEEP, "[dropout]\nprobability=0.5\n", "[shortcut]\nfrom=-3\nactivation=linear\n",
                          POINT],
    "a join with an activation": [FIRST, DEEP, "[shortcut]\nfrom=-2\nactivation=leaky\n", POINT],
    "a join of other channels": [FIRST, DEEP.replace("filters=8", "filters=16"),
                                 "[shortcut]\nfrom=-2\nactivation=linear\n", POINT],
    "a route": [FIRST, DEEP, "[route]\nlayers=-1,-2\n", POINT],
    "another activation": [FIRST.replace("leaky", "mish"), "[maxpool]\nsize=2\nstride=2\n", POINT],
}


def made(layers: list[str]) -> Darknet:
    network = Darknet(parse_cfg(START + "".join(layers), file="small.cfg"))
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.uniform_(-1, 1)
                layer.running_var.uniform_(0.5, 2)
    return network.eval()


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_it_answers_as_the_network_does_at_any_size(layers: list[str], pack: bool):
    network = made(layers)
    straight = Straight(copy.deepcopy(network), pack=pack)
    for size in ((64, 64), (32, 96), (128, 64)):
        pictures = torch.rand(2, 3, *size)
        for images in (pictures, pictures.contiguous(memory_format=torch.channels_last)):
            with torch.inference_mode():
                for found, wanted in zip(straight(images), network(images), strict=True):
                    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_what_changes_nothing_is_not_called():
    straight = Straight(made(LAYERS["dropout at a join"]), pack=False)
    assert [number for number, _ in straight.steps] == [0, 1, 3, 4]
    assert straight.calls[2] is torch.add and straight.steps[2][1] == (1, 0)


@pytest.mark.parametrize("pack", [False, True])
def test_a_folded_network_is_straight_and_the_one_it_was_made_of_is_not(pack: bool):
    backbone = made(LAYERS["a join with an activation"])
    network = Network(backbone, nn.Identity(), mean=[0.0] * 3, deviation=[255.0] * 3).eval()
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        folded = fold_batch_norm(network, images, pack=pack)
        assert isinstance(folded, Network) and isinstance(folded.backbone, Straight)
        assert network.backbone is backbone
        torch.testing.assert_close(folded(images), network(images), rtol=1e-4, atol=1e-4)
