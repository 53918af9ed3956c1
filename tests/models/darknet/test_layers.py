import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lensmith.models.darknet.cfg_file import parse_cfg
from lensmith.models.darknet.layers import ACTIVATIONS, AveragePool, Connected, Reorg, Shortcut, max_pool
from lensmith.models.darknet.network import Darknet

# Each activation of one number, from Darknet's definition of it.
SCALAR = {
    "linear": lambda x: x,
    "logistic": lambda x: 1 / (1 + math.exp(-x)),
    "loggy": lambda x: 2 / (1 + math.exp(-x)) - 1,
    "relu": lambda x: max(x, 0),
    "relu6": lambda x: min(max(x, 0), 6),
    "elu": lambda x: x if x >= 0 else math.exp(x) - 1,
    "selu": lambda x: 1.0507 * x if x >= 0 else 1.0507 * 1.6732 * (math.exp(x) - 1),
    "gelu": lambda x: 0.5 * x * (1 + math.tanh(0.797885 * x + 0.035677 * x**3)),
    "relie": lambda x: x if x > 0 else 0.01 * x,
    "ramp": lambda x: x * (x > 0) + 0.1 * x,
    "leaky": lambda x: x if x > 0 else 0.1 * x,
    "revleaky": lambda x: x if x > 0 else 0.1 * x,
    "tanh": math.tanh,
    "plse": lambda x: 0.01 * (x + 4) if x < -4 else 0.01 * (x - 4) + 1 if x > 4 else 0.125 * x + 0.5,
    "stair": lambda x: math.floor(x / 2) if math.floor(x) % 2 == 0 else x - math.floor(x) + math.floor(x / 2),
    "hardtan": lambda x: min(max(x, -1), 1),
    "lhtan": lambda x: 0.001 * x if x < 0 else 0.001 * (x - 1) + 1 if x > 1 else x,
    "swish": lambda x: x / (1 + math.exp(-x)),
    "mish": lambda x: x * math.tanh(math.log1p(math.exp(x))),
    "hard_mish": lambda x: x if x > 0 else x * x / 2 + x if x > -2 else 0,
}


def test_every_activation_has_its_definition_here():
    assert set(SCALAR) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", SCALAR)
def test_activations_number_by_number(name: str):
    values = torch.arange(-76, 77) / 10    # steps of 0.1 that miss the corners by rounding at most
    wanted = torch.tensor([float(SCALAR[name](float(value))) for value in values])
    torch.testing.assert_close(ACTIVATIONS[name]()(values), wanted, atol=2e-4 if name in ("selu", "gelu") else 1e-5,
                               rtol=1e-5)


def windows(maps: np.ndarray, size: int, strides: tuple[int, int], padding: int):
    """Each window as Darknet slides it, cut to what lies inside: (channel, row, column, values)."""
    channels, height, width = maps.shape
    rows, columns = (height + padding - size) // strides[0] + 1, (width + padding - size) // strides[1] + 1
    for c in range(channels):
        for i in range(rows):
            for j in range(columns):
                top, left = i * strides[0] - padding // 2, j * strides[1] - padding // 2
                inside = maps[c, max(top, 0):top + size, max(left, 0):left + size]
                yield (c, i, j), (channels, rows, columns), inside


@pytest.mark.parametrize(("size", "strides", "padding"), [
    (2, (2, 2), 1), (2, (1, 1), 1), (3, (2, 2), 2), (3, (1, 1), 2), (5, (1, 1), 4), (13, (1, 1), 12), (4, (3, 3), 3),
    (3, (3, 3), 0), (2, (2, 1), 1), (3, (1, 2), 3), (3, (2, 2), 4)])
@pytest.mark.parametrize("extent", [(12, 9), (13, 13)])
def test_pools_slide_as_darknets_do(size, strides, padding, extent):
    maps = np.random.default_rng(0).normal(-3, 1, (2, *extent)).astype(np.float32)    # below 0: zeros would show
    for layer, of in ((max_pool(size, strides, padding), np.max), (AveragePool(size, strides, padding), np.mean)):
        found = layer(torch.from_numpy(maps)[None])[0].numpy()
        wanted = np.full(next(shape for _, shape, _ in windows(maps, size, strides, padding)), np.nan, np.float32)
        for at, _, inside in windows(maps, size, strides, padding):
            wanted[at] = of(inside)
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("reverse", [False, True])
def test_reorg_moves_memory_as_darknets_loop_does(reverse: bool):
    channels, height, width, stride = 8, 4, 6, 2
    flat = np.arange(channels * height * width, dtype=np.float32)
    wanted = np.empty_like(flat)
    rest = channels // stride**2
    for k in range(channels):
        for j in range(height):
            for i in range(width):
                here = i + width * (j + height * k)
                across, down = i * stride + k // rest % stride, j * stride + k // rest // stride
                there = across + width * stride * (down + height * stride * (k % rest))
                if reverse:
                    wanted[there] = flat[here]
                else:
                    wanted[here] = flat[there]
    found = Reorg(stride, mixed=not reverse, reverse=reverse)(torch.from_numpy(flat).view(1, channels, height, width))
    assert found.shape == ((1, 2, 8, 12) if reverse else (1, 32, 2, 3))
    np.testing.assert_array_equal(found.flatten().numpy(), wanted)


def test_reorg3d_takes_squares_of_the_picture_itself():
    maps = torch.randn(2, 3, 4, 6)
    found = Reorg(2, mixed=False)(maps)
    assert found.shape == (2, 12, 2, 3)
    for square, (down, across) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        torch.testing.assert_close(found[:, 3 * square:3 * square + 3], maps[:, :, down::2, across::2])


@pytest.mark.parametrize(("here", "there"), [((3, 4, 6), (3, 4, 6)), ((3, 4, 6), (5, 4, 6)), ((5, 4, 6), (3, 4, 6)),
                                             ((3, 4, 6), (2, 8, 12)), ((2, 8, 12), (3, 4, 6)), ((3, 4, 6), (3, 5, 7))])
def test_shortcuts_of_unlike_shapes_add_as_darknets_loop_does(here, there):
    draw = np.random.default_rng(1)
    maps, other = draw.normal(size=here).astype(np.float32), draw.normal(size=there).astype(np.float32)
    wanted = maps.copy()
    take, put = max(1, there[2] // here[2]), max(1, here[2] // there[2])
    for k in range(min(here[0], there[0])):
        for j in range(min(here[1], there[1])):
            for i in range(min(here[2], there[2])):
                wanted[k, j * put, i * put] += other[k, j * take, i * take]
    found = Shortcut(torch.nn.Identity())(torch.from_numpy(maps)[None], torch.from_numpy(other)[None])
    np.testing.assert_allclose(found[0].numpy(), wanted, rtol=1e-6)


def forward(layers: str, pictures: torch.Tensor) -> torch.Tensor:
    text = f"[net]\nwidth={pictures.shape[3]}\nheight={pictures.shape[2]}\nchannels={pictures.shape[1]}\n{layers}"
    network = Darknet(parse_cfg(text, file="small.cfg")).eval()
    return network(pictures)[0]


def test_crop_takes_the_middle_and_centres_the_values():
    pictures = torch.rand(2, 3, 10, 9)
    middle = pictures[:, :, 3:7, 1:7]
    assert torch.equal(forward("[crop]\ncrop_height=4\ncrop_width=6\nnoadjust=1", pictures), middle)
    torch.testing.assert_close(forward("[crop]\ncrop_height=4\ncrop_width=6", pictures), middle * 2 - 1)


def test_layers_in_place():
    pictures = torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(forward("[avgpool]", pictures), pictures.mean((2, 3), keepdim=True))
    torch.testing.assert_close(forward("[activation]\nactivation=relu", pictures), pictures.relu())
    torch.testing.assert_close(forward("[dropout]\n[empty]\n[silence]", pictures), pictures)
    torch.testing.assert_close(forward("[upsample]\nstride=3\nscale=0.5", pictures),
                               pictures.repeat_interleave(3, 2).repeat_interleave(3, 3) / 2)
    torch.testing.assert_close(forward("[avgpool]\n[empty]\n[route]\nlayers=-2,-1", pictures),
                               pictures.mean((2, 3), keepdim=True).repeat(1, 2, 1, 1))
    torch.testing.assert_close(forward("[empty]\n[activation]\nactivation=logistic\n[sam]\nfrom=0", pictures),
                               pictures.sigmoid() * pictures)
    torch.testing.assert_close(forward("[empty]\n[avgpool]\n[scale_channels]\nfrom=0\nactivation=relu", pictures),
                               (pictures * pictures.mean((2, 3), keepdim=True)).relu())
    torch.testing.assert_close(forward("[empty]\n[empty]\n[empty]\n[shortcut]\nfrom=-2,0", pictures), 3 * pictures)


def test_a_gate_of_one_channel_scales_every_pixel():
    pictures = torch.randn(2, 4, 6, 6)
    found = forward("[empty]\n[route]\nlayers=0\ngroups=4\ngroup_id=2\n[scale_channels]\nfrom=0\nscale_wh=1", pictures)
    torch.testing.assert_close(found, pictures * pictures[:, 2:3])


def test_dilation_spreads_the_kernel_and_keeps_the_extent():
    network = Darknet(parse_cfg("[net]\nwidth=11\nheight=9\nchannels=2\n[conv]\nfilters=3\nsize=3\npad=1\ndilation=2\n"
                                "activation=linear", file="small.cfg"))
    pictures = torch.randn(1, 2, 9, 11)
    conv = network.layers[0].conv
    wanted = torch.zeros(1, 3, 9, 11) + conv.bias[:, None, None]
    padded = F.pad(pictures, (2, 2, 2, 2))
    for down in range(3):
        for across in range(3):
            part = padded[:, :, 2 * down:2 * down + 9, 2 * across:2 * across + 11]
            wanted = wanted + torch.einsum("oc,bchw->bohw", conv.weight[:, :, down, across], part)
    torch.testing.assert_close(network(pictures)[0], wanted)


def test_batch_norm_has_its_epsilon_inside_the_root():
    network = Darknet(parse_cfg("[net]\nwidth=4\nheight=4\nchannels=2\n[batchnorm]\n", file="small.cfg")).eval()
    network.layers[0].running_var.copy_(torch.tensor([1e-6, 4.0]))
    pictures = torch.rand(1, 2, 4, 4)
    wanted = pictures / torch.tensor([(1e-6 + 1e-6) ** 0.5, (4 + 1e-6) ** 0.5])[:, None, None]
    torch.testing.assert_close(network(pictures)[0], wanted)


def test_connected_takes_all_values_in_the_order_of_memory():
    layer = Connected(2 * 3 * 4, 5, torch.nn.ReLU(), normalize=False)
    maps = torch.randn(2, 2, 3, 4)
    wanted = (maps.reshape(2, 24) @ layer.dense.weight.T + layer.dense.bias).relu()
    torch.testing.assert_close(layer(maps)[:, :, 0, 0], wanted)
