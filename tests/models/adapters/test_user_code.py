import inspect
import sys

import pytest
import torch
from torch import nn

from lensmith.base.errors import ModelError
from lensmith.models.adapters.user_code import find_module
from lensmith.models.adapters.whole_network import Whole, adopt
from lensmith.models.backbone import PooledLinear
from lensmith.models.backbones import find_backbone

FILE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 4, *, size=None):
        super().__init__()
        self.size, self.width = size, width
        self.conv = nn.Conv2d(inputs, width, 3)
        self.dense = nn.Linear(width, outputs)

    def forward(self, pictures):
        return self.dense(torch.relu(self.conv(pictures)).mean((2, 3)))


class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(2, 2)
        self.dense = nn.Linear(3 * 64, 1000)
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, pictures):
        return self.dense(self.conv(pictures).flatten(1))


class Trunk(nn.Module):
    channels, strides = (5,), (2,)

    def __init__(self, inputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, 5, 3, 2, 1)

    def forward(self, pictures):
        return [self.conv(pictures)]

    def classifier(self, outputs):
        return Head(outputs)


class Head(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.dense = nn.Linear(5, outputs)

    def forward(self, maps):
        return self.dense(maps[-1].mean((2, 3)))


def make(depth=1):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, depth))


def broken(inputs):
    raise KeyError("no such thing")


def nothing():
    return 3


SETTING = 5
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_net.py"
    path.write_text(FILE)
    return path


def build(name, outputs=3, **settings):
    return find_backbone(str(name), trusted=True)(inputs=3, size=(8, 8), outputs=outputs, **settings)


def refusal(name, trusted=True):
    with pytest.raises(ModelError) as caught:
        find_backbone(str(name), trusted=trusted)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_class_in_a_file_gets_what_its_signature_asks_for_and_the_recipes_settings(file):
    backbone = build(f"{file}:Net", width=6)
    assert isinstance(backbone, Whole) and not backbone.note
    assert (backbone.network.size, backbone.network.width) == ((8, 8), 6)
    maps = backbone(torch.randn(2, 3, 8, 8))
    assert (backbone.channels, backbone.strides) == ((3,), (8,))
    scores = backbone.classifier(3)(maps)
    assert scores.shape == (2, 3) and scores is maps[0] and not backbone.note


def test_its_signature_is_the_users_own_with_what_the_program_gives(file):
    signature = inspect.signature(find_backbone(f"{file}:Net", trusted=True))
    assert list(signature.parameters) == ["width", "inputs", "size", "outputs"]
    assert signature.parameters["width"].annotation is int and signature.parameters["width"].default == 4
    assert list(inspect.signature(find_backbone(f"{file}:make", trusted=True)).parameters) == \
        ["depth", "inputs", "size", "outputs"]


def test_another_number_of_outputs_replaces_the_layer_that_is_used_last_and_says_so(file):
    backbone = build(f"{file}:Fixed")
    head = backbone.classifier(3)
    assert head(backbone(torch.randn(2, 3, 8, 8))).shape == (2, 3)
    assert backbone.note == f"{file}:Fixed: its last layer, dense, was replaced: 3 outputs instead of 1000"
    assert backbone.channels == (3,) and backbone.network.unused.out_features == 2
    assert backbone.network.dense.in_features == 192


def test_a_last_convolution_is_replaced_too():
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 9, 1, bias=False), nn.AdaptiveAvgPool2d(1),
                            nn.Flatten())
    backbone = adopt(network, inputs=2, size=(7, 9))
    head = backbone.classifier(5)
    assert head(backbone(torch.randn(3, 2, 7, 9))).shape == (3, 5)
    assert tuple(network[2].weight.shape) == (5, 4, 1, 1) and network[2].bias is None
    assert backbone.note == "the network: its last layer, 2, was replaced: 5 outputs instead of 9"


def test_a_backbone_of_the_users_own_is_used_as_it_is(file):
    backbone = build(f"{file}:Trunk")
    assert type(backbone).__name__ == "Trunk" and not hasattr(backbone, "note")
    # What it does not say is as a Backbone declares it.
    assert backbone.detector is None and backbone.outputs == () and backbone.standard is None
    assert backbone.classifier(4)(backbone(torch.randn(2, 3, 8, 8))).shape == (2, 4)


def test_a_function_and_a_package_are_accepted(file, tmp_path, monkeypatch):
    assert build(f"{file}:make", depth=3).channels == (3,)
    package = tmp_path / "some_nets"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "small.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert build("some_nets.small:Net").channels == (3,)
    assert sys.path == before


def test_a_file_can_import_its_neighbour(tmp_path):
    (tmp_path / "neighbour_blocks.py").write_text("WIDTH = 3\n")
    path = tmp_path / "uses.py"
    path.write_text("from torch import nn\nfrom neighbour_blocks import WIDTH\n"
                    "def net(): return nn.Sequential(nn.Flatten(), nn.Linear(192, WIDTH))\n")
    assert build(f"{path}:net").channels == (3,)


def test_nothing_is_run_before_it_is_trusted(tmp_path):
    path = tmp_path / "sent.py"
    path.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    text = refusal(f"{path}:Net", trusted=False)
    assert text == (f"backbone '{path}:Net' would run the code of {path}: read it, and if you trust it, say trust=True")
    assert refusal("package.module:Net", trusted=False).endswith("say trust=True")
    assert not (tmp_path / "ran").exists()


def test_what_is_missing_is_named_with_the_nearest(file, tmp_path):
    assert refusal(f"{tmp_path}/my_nett.py:Net") == (
        f"no file {tmp_path}/my_nett.py. Did you mean 'my_net.py'? The name of a network of yours is FILE.py:CLASS")
    assert refusal(f"{tmp_path}/absent/a.py:Net").startswith(f"no file {tmp_path}/absent/a.py. The name")
    assert refusal(f"{file}:Nett").startswith(f"{file} has no 'Nett'. Did you mean 'Net'? It has: Net, Fixed, ")
    assert refusal("no_such_package_at_all:Net") == \
        "no_such_package_at_all could not be imported: ModuleNotFoundError: No module named 'no_such_package_at_all'"
    assert refusal(f"{file}:SETTING") == \
        f"{file}:SETTING is int, where a class or function that gives a torch.nn.Module is expected"


def test_a_builtin_without_a_signature_is_refused():
    assert refusal("builtins:dict") == "builtins:dict has no signature: name a class or function written in Python"


def test_a_file_that_does_not_run_is_named_with_its_error(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text("def f(:\n")
    assert refusal(f"{path}:f").startswith(f"{path} could not be imported: SyntaxError: ")
    path.write_text("1 / 0\n")
    assert refusal(f"{path}:f") == f"{path} could not be imported: ZeroDivisionError: division by zero"
    assert "lensmith_outside_bad" not in sys.modules


def test_what_cannot_be_built_or_is_no_module_is_refused(file):
    with pytest.raises(ModelError) as caught:
        build(f"{file}:broken")
    assert str(caught.value) == f"{file}:broken could not be built: KeyError: 'no such thing'"
    with pytest.raises(ModelError) as caught:
        build(f"{file}:nothing")
    assert str(caught.value) == f"{file}:nothing gives int, where a torch.nn.Module is expected"


def test_a_network_that_gives_something_else_is_refused():
    with pytest.raises(ModelError) as caught:
        adopt(nn.Conv2d(1, 4, 3), inputs=1, size=(8, 8))
    assert str(caught.value).startswith("the network gives [2, 4, 6, 6] for 2 pictures, where [2, outputs] is expected")
    with pytest.raises(ModelError) as caught:
        adopt(nn.LSTM(8, 4), inputs=1, size=(8, 8))
    assert str(caught.value).startswith("the network cannot take pictures of 1 x 8 x 8 values: ")

    class Pair(nn.Module):
        def forward(self, pictures):
            return pictures, pictures

    with pytest.raises(ModelError, match=r"the network gives tuple, where a tensor \[batch, outputs\] is expected"):
        adopt(Pair(), inputs=1, size=(8, 8))


def test_a_network_without_a_layer_to_replace_is_refused():
    for network in (nn.Flatten(), nn.Sequential(nn.Flatten(), nn.Flatten())):
        with pytest.raises(ModelError) as caught:
            adopt(network, inputs=1, size=(2, 2)).classifier(3)
        assert str(caught.value) == (
            "the network gives 4 values a picture where 3 are needed, and it has no dense layer or convolution that "
            "could be replaced: let it take `outputs` in its constructor")


def test_a_replacement_that_does_not_reach_the_output_is_refused():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten())
    with pytest.raises(ModelError, match="gives 12 values a picture after its last layer was set to 3"):
        adopt(network, inputs=1, size=(2, 2)).classifier(3)


def test_trying_a_network_changes_neither_its_state_nor_the_random_numbers():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Dropout(), nn.Linear(72, 3))
    network[1].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(5)
    backbone = adopt(network, inputs=1, size=(8, 8))
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert drawn.equal(torch.rand(3)) and isinstance(backbone, Whole)
    assert all(tensor.equal(before[name]) for name, tensor in network.state_dict().items())
    assert network.training and not network[1].training


def test_find_module_gives_a_module_that_does_not_fit_so_that_it_can_be_inspected(file):
    path = file.with_name("unfit.py")
    path.write_text("from torch import nn\ndef net(inputs): return nn.Sequential(nn.Flatten(), nn.Linear(7, 3))\n")
    module = find_module(f"{path}:net", trusted=True)(inputs=1, size=(8, 8), outputs=3)
    assert isinstance(module[1], nn.Linear)
    with pytest.raises(ModelError, match="cannot take pictures of 3 x 8 x 8 values: RuntimeError"):
        build(f"{path}:net")


def test_a_backbone_of_this_package_is_adopted_as_it_is():
    backbone = find_backbone("simple", trusted=False)(inputs=1, size=(8, 8))
    assert adopt(backbone, inputs=1, size=(8, 8)) is backbone
    assert not isinstance(backbone.classifier(2), PooledLinear)
