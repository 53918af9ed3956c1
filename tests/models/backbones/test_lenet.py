import pytest
import torch
from torch import nn

from lensmith.base.errors import ModelError
from lensmith.models.backbones.lenet import conv10_20, lenet, lenet3x3


def last_map(backbone, inputs, height, width):
    return tuple(backbone(torch.zeros(2, inputs, height, width))[-1].shape[1:])


@pytest.mark.parametrize(("build", "inputs", "size", "shape"), [
    (lenet, 1, (28, 28), (16, 4, 4)),
    (lenet, 3, (32, 32), (16, 5, 5)),
    (lenet, 4, (40, 61), (16, 7, 12)),
    (lenet3x3, 3, (32, 32), (16, 6, 6)),
    (conv10_20, 1, (28, 28), (20, 4, 4)),
])
def test_the_features_have_the_shape_that_people_know(build, inputs, size, shape):
    backbone = build(inputs=inputs, size=size)
    assert last_map(backbone, inputs, *size) == shape


def test_conv10_20_flattens_to_320_on_28x28():
    head = conv10_20(inputs=1, size=(28, 28)).classifier(10)
    assert [tuple(p.shape) for p in head.parameters()] == [(10, 320), (10,)]


def test_lenet_is_convolutions_6_and_16_of_5x5_and_dense_layers_120_84_and_the_classes():
    backbone = lenet(inputs=1, size=(28, 28))
    shapes = [tuple(p.shape) for p in [*backbone.parameters(), *backbone.classifier(10).parameters()] if p.dim() > 1]
    assert shapes == [(6, 1, 5, 5), (16, 6, 5, 5), (120, 256), (84, 120), (10, 84)]
    assert sum(p.numel() for p in [*backbone.parameters(), *backbone.classifier(10).parameters()]) == 44_426


def test_lenet3x3_has_3x3_kernels():
    backbone = lenet3x3(inputs=3, size=(32, 32))
    shapes = [tuple(p.shape) for p in [*backbone.parameters(), *backbone.classifier(10).parameters()] if p.dim() > 1]
    assert shapes == [(6, 3, 3, 3), (16, 6, 3, 3), (120, 576), (84, 120), (10, 84)]


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("pool", ["max", "average"])
def test_lenet_computes_what_the_textbook_computes(activation, pool):
    torch.manual_seed(0)
    backbone = lenet(activation=activation, pool=pool, inputs=1, size=(28, 28))
    head = backbone.classifier(10)
    act = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}[activation]
    down = nn.MaxPool2d if pool == "max" else nn.AvgPool2d
    plain = nn.Sequential(nn.Conv2d(1, 6, 5), act(), down(2), nn.Conv2d(6, 16, 5), act(), down(2), nn.Flatten(),
                          nn.Linear(256, 120), act(), nn.Linear(120, 84), act(), nn.Linear(84, 10))
    for mine, theirs in zip([*backbone.parameters(), *head.parameters()], plain.parameters(), strict=True):
        theirs.data.copy_(mine.data)
    pictures = torch.randn(3, 1, 28, 28)
    assert torch.equal(head(backbone(pictures)), plain(pictures))


def test_conv10_20_pools_before_its_relu():
    assert [type(layer) for layer in conv10_20(inputs=1, size=(28, 28)).layers] == \
        [nn.Conv2d, nn.MaxPool2d, nn.ReLU] * 2


def test_a_sigmoid_lenet_is_drawn_with_gain_4_and_its_last_layer_with_gain_1():
    torch.manual_seed(0)
    backbone = lenet(activation="sigmoid", inputs=1, size=(28, 28))
    dense1, _, dense2, _, last = list(backbone.classifier(10).layers)[1:]
    assert dense1.weight.std().item() == pytest.approx(4 * (2 / (256 + 120)) ** 0.5, rel=0.05)
    assert dense2.weight.std().item() == pytest.approx(4 * (2 / (120 + 84)) ** 0.5, rel=0.05)
    assert last.weight.std().item() == pytest.approx((2 / (84 + 10)) ** 0.5, rel=0.1)
    assert backbone.layers.conv2.weight.std().item() == pytest.approx(4 * (2 / (150 + 400)) ** 0.5, rel=0.1)


@pytest.mark.parametrize(("build", "least"), [(lenet, 16), (lenet3x3, 10), (conv10_20, 16)])
def test_a_picture_too_small_is_refused_with_the_arithmetic_and_the_size_named_works(build, least):
    with pytest.raises(ModelError) as caught:
        build(inputs=1, size=(least - 1, least - 1))
    text = str(caught.value)
    assert text.startswith(f"{build.__name__} cannot take pictures of {least - 1} x {least - 1} pixels: ")
    assert "conv1 (" in text and "-> nothing. " in text and text.endswith(f"with pictures.size={least} or more.")
    assert last_map(build(inputs=1, size=(least, least)), 1, least, least)[1:] == (1, 1)


def test_the_arithmetic_reads_step_by_step():
    with pytest.raises(ModelError) as caught:
        lenet(inputs=1, size=(8, 30))
    assert str(caught.value) == (
        "lenet cannot take pictures of 8 x 30 pixels: 8x30, conv1 (5x5) -> 4x26, maxpool1 (2x2) -> 2x13, "
        "conv2 (5x5) -> nothing. Take larger pictures with pictures.size=16 or more.")
