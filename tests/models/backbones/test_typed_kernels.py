"""Kernels that are typed in a recipe: what they compute, that they stay, and what is refused."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from lensmith.base.errors import ModelError
from lensmith.models.backbones.stack import stack
from lensmith.models.backbones.typed_kernels import TypedConv2d

SOBEL = [[1, 0, -1], [2, 0, -2], [1, 0, -1]]
BLUR = [[1 / 9] * 3] * 3


def maps_of(entry: dict, pictures: torch.Tensor) -> torch.Tensor:
    return stack([entry], inputs=pictures.shape[1], size=(9, 9))(pictures)[0]


def test_one_kernel_one_a_filter_and_one_a_channel():
    pictures = torch.rand(2, 3, 9, 9)
    sobel, blur = torch.tensor(SOBEL).float(), torch.tensor(BLUR)
    torch.testing.assert_close(maps_of({"conv": 1, "weights": SOBEL}, pictures),
                               F.conv2d(pictures, sobel.expand(1, 3, 3, 3)))
    both = torch.stack((sobel, blur))[:, None].expand(2, 3, 3, 3)
    torch.testing.assert_close(maps_of({"conv": 2, "weights": [SOBEL, BLUR], "padding": 1, "stride": 2}, pictures),
                               F.conv2d(pictures, both, None, 2, 1))
    torch.testing.assert_close(maps_of({"conv": 1, "weights": [[SOBEL, BLUR, SOBEL]], "bias": False}, pictures),
                               F.conv2d(pictures, torch.stack((sobel, blur, sobel))[None]))
    torch.testing.assert_close(maps_of({"conv": 3, "weights": BLUR, "groups": 3, "dilation": 2}, pictures),
                               F.conv2d(pictures, blur.expand(3, 1, 3, 3), None, 1, 0, 2, 3))


def test_the_kernel_says_the_size_and_the_window():
    five = stack([{"conv": 1, "weights": [[1] * 5] * 5, "dilation": 2, "stride": 2}], inputs=1, size=(20, 21))
    assert five.shape == (1, 6, 7) and five.strides == (2,)
    assert stack([{"conv": 1, "weights": SOBEL, "kernel": 3}], inputs=1, size=(9, 9)).shape == (1, 7, 7)


def test_kernels_stay_and_the_bias_learns():
    torch.manual_seed(0)
    network = stack([{"conv": 1, "weights": SOBEL}], inputs=1, size=(9, 9))
    layer = network.layers.conv1
    assert isinstance(layer, TypedConv2d) and layer.bias.item() == 0
    optimizer = torch.optim.SGD([one for one in network.parameters() if one.requires_grad], 0.1)
    network(torch.rand(4, 1, 9, 9))[0].square().mean().backward()
    optimizer.step()
    assert torch.equal(layer.weight[0, 0], torch.tensor(SOBEL).float()) and layer.weight.grad is None
    assert layer.bias.item() != 0


@pytest.mark.parametrize(("entry", "text"), [
    ({"weights": [[1, 2], [3]]}, "layers[0]: weights is not rectangular: all rows of a kernel"),
    ({"weights": [[1, 2, 3], [4, 5, 6]]}, "layers[0]: weights has 2 x 3 values (rows x columns): the kernels of a "
                                          "recipe are square"),
    ({"weights": [[]]}, "layers[0]: weights has 1 x 0 values (rows x columns)"),
    ({"weights": []}, "layers[0]: weights"),
    ({"weights": SOBEL, "kernel": 5}, "layers[0]: weights has kernels of 3 x 3 values, and kernel = 5 says otherwise"),
    ({"weights": [SOBEL]}, "layers[0]: weights has 1 x 3 x 3 values (filters x rows x columns), and the layer 2 "
                           "filters of 3 channels"),
    ({"weights": [[SOBEL], [SOBEL]]},
     "layers[0]: weights has 2 x 1 x 3 x 3 values (filters x channels x rows x columns), and the layer 2 filters"),
    ({"weights": SOBEL, "identity": True}, "layers[0]: identity = true says how the kernels begin, and weights which"),
    ({"weights": "sobel"}, "layers[0]: weights must be a kernel, as [[1, 0, -1], [2, 0, -2], [1, 0, -1]], a list of "
                           "one a filter, or of lists of one a channel, got 'sobel'"),
    ({"weights": [[1, "x"], [0, 1]]}, "layers[0]: weights must be a kernel, as [["),
    ({"weights": [[float("nan")]]}, "layers[0]: weights must be a kernel, as [["),
])
def test_what_is_no_kernel_is_refused_in_one_line(entry: dict, text: str):
    with pytest.raises(ModelError) as caught:
        stack([{"conv": 2, **entry}], inputs=3, size=(9, 9))
    assert str(caught.value).startswith(text) and "\n" not in str(caught.value)


def test_inspect_shows_a_typed_layer_and_a_run_keeps_it(command, tmp_path: Path):
    recipe = tmp_path / "typed.toml"
    recipe.write_text('[data]\nname = "shapes"\ncount = 60\nsize = 16\n[learner]\nepochs = 1\nweights = "none"\n'
                      '[backbone]\nname = "stack"\nlayers = [{conv = 1, weights = [[1, 0, -1], [2, 0, -2], '
                      '[1, 0, -1]]}, "relu", {maxpool = 2}]\n')
    ended = command("inspect", recipe)
    assert ended.code == 0 and "TypedConv2d" in ended.out, ended.err
    ended = command("train", recipe, "--runs", tmp_path / "runs", "--name", "one", "--device", "cpu", "-q")
    assert ended.code == 0, ended.err
    from safetensors.torch import load_file

    weights = load_file(tmp_path / "runs" / "one" / "last.safetensors")
    (kept,) = [value for name, value in weights.items() if name.endswith("conv1.weight") and value.dim() == 4]
    assert torch.equal(kept, torch.tensor(SOBEL).float().expand(1, 3, 3, 3))
    assert command("doctor", tmp_path / "runs" / "one").out.find("frozen") < 0
