import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lensmith.models.adapters.torchvision_detectors import WHOLE
from lensmith.models.adapters.torchvision_instances import WHOLE_INSTANCES
from lensmith.models.adapters.torchvision_segmenters import SEGMENTERS
from lensmith.models.backbones import BACKBONES
from lensmith.models.network import Network
from lensmith.study.inspect.layers import Row, Summary, inspect_layers, summary

OWN = ("lenet", "lenet3x3", "conv10_20", "simple", "simple2", "cnn3", "stack")
FAMILIES = ("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "mnasnet0_5",
            "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1")
COME_WHOLE = {*WHOLE, *WHOLE_INSTANCES, *SEGMENTERS}    # with heads of their own: tests/cli/test_lists.py
STACK = [{"conv": 8, "groups": 1}, "relu", {"separable": 8}, {"residual": 12, "stride": 2}, {"layernorm": True},
         {"globalpool": "max"}, {"dense": 6}, "tanh"]


def network(name, channels, edge):
    settings = {"layers": STACK} if name == "stack" else {}
    backbone = BACKBONES[name](**settings, inputs=channels, size=(edge, edge))
    return Network(backbone, backbone.classifier(10), mean=[100.0] * channels, deviation=[60.0] * channels)


def by_layers(whole, channels, edge):
    """The multiply-adds of the convolutions and dense layers, each by its own shape and that of its output."""
    counts = []

    def note(module, arguments, output):
        counts.append(output.numel() * module.weight[0].numel())

    for module in whole.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(note)
    with torch.no_grad():
        whole.eval()(torch.zeros(1, channels, edge, edge))
    return sum(counts)


def test_zeros_around_kernels_are_no_work():
    """By the table of stages of EfficientNet-B0 (Tan and Le 2019, table 1) without squeeze-and-excitation."""
    edge, channels, wanted = 112, 32, 112**2 * 32 * 3 * 9
    for blocks, kernel, stride, expansion, outputs in ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40),
                                                       (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
                                                       (1, 3, 1, 6, 320)):
        for step in [stride] + [1] * (blocks - 1):
            inner = expansion * channels
            wanted += edge**2 * channels * inner if expansion > 1 else 0
            edge = edge // step
            wanted += edge**2 * inner * (kernel**2 + outputs)
            channels = outputs
    wanted += edge**2 * channels * 1280 + 1280 * 10
    rows = inspect_layers(network("efficientnet_lite0", 3, 224), 3, height=224, width=224)
    assert summary(rows).multiply_adds == wanted


def check_sums(name, channels, edge):
    whole = network(name, channels, edge)
    rows = inspect_layers(whole, channels, height=edge, width=edge)
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        whole.eval()(torch.zeros(1, channels, edge, edge))
    total = summary(rows)
    # PyTorch counts the zeros that TensorFlow's padding puts around kernels.
    count = 2 * by_layers(whole, channels, edge) if name.startswith("efficientnet_lite") else flops.get_total_flops()
    assert 2 * total.multiply_adds == count > 0
    assert total.parameters == sum(parameter.numel() for parameter in whole.parameters())
    assert total.problem == "" and not any("not called" in row.kind for row in rows)
    assert rows[-1].shape == (10,)


@pytest.mark.parametrize("name", OWN)
def test_work_and_parameters_of_the_own_networks_are_torchs_own_counts(name):
    check_sums(name, 1, 28)


@pytest.mark.parametrize("name", FAMILIES)
def test_work_and_parameters_of_torchvisions_families_are_torchs_own_counts(name):
    check_sums(name, 3, 80)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BACKBONES if name not in COME_WHOLE and name != "darknet"])
def test_every_entry_of_the_table_can_be_inspected(name):
    check_sums(name, 3, 96)


def test_the_rows_of_lenet_are_those_of_the_textbook():
    rows = inspect_layers(network("lenet", 1, 28), 1, height=28, width=28)
    assert rows[0] == Row("backbone.layers.conv1", "Conv2d", (6, 24, 24), 156, 86_400, 13_824, 5)
    assert [(row.kind, row.shape, row.parameters, row.multiply_adds, row.receptive_field) for row in rows[1:]] == [
        ("ReLU", (6, 24, 24), 0, 0, 5), ("MaxPool2d", (6, 12, 12), 0, 0, 6),
        ("Conv2d", (16, 8, 8), 2_416, 153_600, 14), ("ReLU", (16, 8, 8), 0, 0, 14), ("MaxPool2d", (16, 4, 4), 0, 0, 16),
        ("Flatten", (256,), 0, 0, None), ("Linear", (120,), 30_840, 30_720, None), ("ReLU", (120,), 0, 0, None),
        ("Linear", (84,), 10_164, 10_080, None), ("ReLU", (84,), 0, 0, None), ("Linear", (10,), 850, 840, None)]
    assert summary(rows) == Summary(44_426, 281_640, sum(row.activation_bytes for row in rows))


def test_memory_is_that_of_new_outputs_only():
    chain = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.ReLU(), nn.Flatten(), nn.Identity())
    rows = inspect_layers(chain, 1, height=6, width=5)
    assert [row.activation_bytes for row in rows] == [2 * 4 * 3 * 4, 0, 2 * 4 * 3 * 4, 0, 0]


def test_a_layer_called_twice_has_two_rows_and_its_parameters_count_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, pictures):
            return self.conv(self.conv(pictures))

    rows = inspect_layers(Twice(), 1, height=5, width=5)
    assert [(row.name, row.parameters, row.multiply_adds, row.receptive_field) for row in rows] == \
        [("conv", 10, 225, 3), ("conv", 0, 225, 5)]


def test_parameters_and_products_outside_of_layers_stand_at_the_calls_that_use_them():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))
            self.inner = nn.Conv2d(1, 3, 1)

        def forward(self, pictures):
            return (self.inner(pictures) * self.scale[:, None, None]).flatten(1) @ torch.ones(48, 2)

    rows = inspect_layers(Scaled(), 1, height=4, width=4)
    assert [(row.name, row.kind, row.shape, row.parameters, row.multiply_adds) for row in rows] == [
        ("inner", "Conv2d", (3, 4, 4), 6, 48), ("getitem((..., None, None))", "function", (3, 1, 1), 3, 0),
        ("mul", "function", (3, 4, 4), 0, 0), ("flatten(1)", "function", (48,), 0, 0),
        ("ones(48, 2)", "function", (48, 2), 0, 0), ("matmul", "function", (2,), 0, 96)]
    assert {row.line.rpartition(":")[0] for row in rows} == {"tests/study/inspect/test_layers.py"}


def test_rows_follow_the_way_that_control_flow_takes():
    class Either(nn.Module):
        def __init__(self):
            super().__init__()
            self.small, self.large = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 3)

        def forward(self, pictures):
            for _ in range(2):
                pictures = pictures.roll(1, 3)
            return self.large(pictures) if pictures.shape[-1] > 8 else self.small(pictures)

    assert [row.name for row in inspect_layers(Either(), 1, height=9, width=9)] == \
        ["roll(1, 3)", "roll(1, 3)", "large", "small"]
    assert [row.name for row in inspect_layers(Either(), 1, height=8, width=8)][2] == "small"


def test_modules_that_no_call_reaches_are_named_at_the_end():
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.spare, self.used = nn.Linear(7, 3), nn.Conv2d(1, 1, 1)

        def forward(self, pictures):
            return self.used(pictures)

    rows = inspect_layers(Spare(), 1, height=4, width=4)
    assert rows[-1] == Row("spare", "Linear (not called)", (), 24, 0, 0, None)
    assert summary(rows).parameters == 26


def test_a_transposed_convolution_counts_its_work_as_torch_does():
    module = nn.Sequential(nn.ConvTranspose2d(3, 5, 4, stride=2), nn.Conv2d(5, 2, 3))
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        module(torch.zeros(1, 3, 6, 7))
    rows = inspect_layers(module, 3, height=6, width=7)
    assert 2 * summary(rows).multiply_adds == flops.get_total_flops()
    assert [row.receptive_field for row in rows] == [None, None]


def test_a_network_is_left_as_it_was():
    whole = network("resnet18", 3, 64)
    whole.head.eval()
    before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    inspect_layers(whole, 3, height=64, width=64)
    assert all(tensor.equal(before[name]) for name, tensor in whole.state_dict().items())
    assert whole.training and whole.backbone.training and not whole.head.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in whole.modules())


class Tutorial(nn.Module):
    def __init__(self, channels=1, values=400):
        super().__init__()
        self.conv1, self.conv2, self.fc1 = nn.Conv2d(channels, 6, 5), nn.Conv2d(6, 16, 5), nn.Linear(values, 120)

    def forward(self, pictures):
        pool = nn.functional.max_pool2d
        maps = pool(torch.relu(self.conv2(pool(torch.relu(self.conv1(pictures)), 2))), 2)
        return self.fc1(torch.dropout(torch.relu(maps.flatten(1)), 0.5, False))


def problem(module, channels=1, height=28, width=28):
    rows = inspect_layers(module, channels, height=height, width=width)
    assert all(row.problem == "" for row in rows[:-1]) and rows[-1].shape == ()
    assert summary(rows).problem == rows[-1].problem
    return [row.name for row in rows], rows[-1].problem


def test_a_dense_layer_of_the_wrong_width_is_explained_by_the_map_before_it():
    names, text = problem(Tutorial())
    assert names == ["conv1", "relu", "max_pool2d(2)", "conv2", "relu", "max_pool2d(2)", "flatten(1)", "relu",
                     "dropout(0.5, False)", "fc1"]
    place, _, words = text.partition(": ")
    assert place.startswith("tests/study/inspect/test_layers.py:") and words == (
        "fc1 expects 400 features and gets 256 = 16 x 4 x 4: 28 -> 24 (conv1) -> 12 (max_pool2d(2)) -> 8 (conv2) -> 4 "
        "(max_pool2d(2)). Set in_features=256, or take pictures of 32 x 32 pixels (--size 32).")
    assert {row.problem for row in inspect_layers(Tutorial(values=256), 1, height=28, width=28)} == {""}


@pytest.mark.parametrize(("module", "channels", "edge", "text"), [
    (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.ReLU(), nn.Linear(9, 2)), 3, 8,
     "3 expects 9 features and gets 3 = 3 x 1 x 1: 8 -> 1 (0). Set in_features=3."),
    (nn.Sequential(nn.Linear(9, 2)), 3, 8,
     "0 expects 9 features and gets a picture of 3 x 8 x 8, of which it takes the last axis; flattened it has 192 = 3 "
     "x 8 x 8. Flatten it before, as with x.flatten(1), and set in_features=192, or show it other pictures: --size 3 "
     "--channels 1."),
    (Tutorial(), 3, 28, "conv1 expects 1 channel and gets 3, a colour picture. Set in_channels=3, or show it a gray "
                        "picture: pictures.channels=1 (--channels 1)."),
    (Tutorial(), 1, 10, "conv2 needs a map of at least 5 x 5 and gets 3 x 3: 10 -> 6 (conv1) -> 3 (max_pool2d(2)). "
                        "Take pictures of 14 x 14 pixels or more (--size 14), or fewer pools before it, or padding."),
    (nn.Sequential(nn.MaxPool2d(3), nn.MaxPool2d(4)), 1, 9,
     "1 needs a map of at least 4 x 4 and gets 3 x 3: 9 -> 3 (0). Take pictures of 12 x 12 pixels or more (--size 12), "
     "or fewer pools before it, or padding."),
    (nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(6)), 1, 9,
     "1 expects 6 channels and gets 4 from 0. Set num_features=4 of 1, or out_channels=6 of 0."),
])
def test_other_mistakes_are_explained_too(module, channels, edge, text):
    assert problem(module, channels, edge, edge)[1].endswith(text)


def test_what_a_layers_settings_do_not_explain_is_told_in_its_own_words():
    class Cross(nn.Module):
        def forward(self, pictures):
            raise KeyError("lost\nand more")

    names, text = problem(nn.Sequential(nn.ReLU(), Cross()))
    assert names == ["0", "1"] and text.endswith(": 1 failed: KeyError: 'lost\\nand more'.")


def test_maps_that_do_not_lie_over_each_other_are_told_with_the_way_of_both():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 5)

        def forward(self, pictures):
            return self.one(pictures) + self.two(pictures)

    names, text = problem(Sum())
    assert names == ["one", "two", "add"]
    assert ": add joins maps of 2 x 26 x 26 and 2 x 24 x 24: 28 -> 26 (one); 28 -> 24 (two). " in text
