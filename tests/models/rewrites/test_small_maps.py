"""Convolutions of small maps: the numbers and gradients of whole ones."""

import copy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from lensmith.models.backbones import BACKBONES
from lensmith.models.network import Network
from lensmith.models.rewrites.exact import may_pay
from lensmith.models.rewrites.small_maps import Small, has_small_maps, small_maps


def close(layer: nn.Module, other: nn.Module, images: torch.Tensor) -> None:
    """Outputs and all gradients."""
    own, its = images.clone().requires_grad_(), images.clone().requires_grad_()
    outputs = layer(own), other(its)
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-4, atol=1e-5)
    for output in outputs:
        output.square().sum().backward()
    torch.testing.assert_close(its.grad, own.grad, rtol=1e-4, atol=1e-4)
    for (name, one), two in zip(layer.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(two.grad, one.grad, rtol=1e-4, atol=1e-4, msg=name)


@settings(max_examples=200, deadline=None)
@given(size=st.tuples(st.integers(1, 6), st.integers(1, 6)), kernel=st.tuples(st.integers(1, 7), st.integers(1, 7)),
       stride=st.integers(1, 4), padding=st.tuples(st.integers(0, 4), st.integers(0, 4)), dilation=st.integers(1, 3),
       grouped=st.booleans(), layout=st.sampled_from([torch.contiguous_format, torch.channels_last]))
def test_a_small_convolution_gives_the_numbers_of_the_whole_one(size, kernel, stride, padding, dilation, grouped,
                                                                  layout):
    assume(all(length + 2 * edge >= dilation * (one - 1) + 1
               for length, edge, one in zip(size, padding, kernel, strict=True)))
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, kernel, stride, padding, dilation, groups=2 if grouped else 1).to(memory_format=layout)
    other = copy.deepcopy(layer)
    assert small_maps(nn.Sequential(other)) == 1
    close(layer, other, torch.randn(2, 4, *size).contiguous(memory_format=layout))


def test_weights_that_meet_padding_alone_are_not_multiplied():
    layer = nn.Conv2d(3, 5, 3, padding=1)
    small_maps(layer)
    with torch.no_grad():
        layer.weight[:, :, 0] = layer.weight[:, :, :, 2] = torch.nan    # of one pixel the middle alone is met
    assert layer(torch.ones(1, 3, 1, 1)).isfinite().all() and not layer(torch.ones(1, 3, 2, 2)).isfinite().all()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_to_one_pixel_is_a_product_of_matrices(layout):
    layer = nn.Conv2d(3, 5, (2, 4), stride=2).to(memory_format=layout)
    other = copy.deepcopy(layer)
    small_maps(other)
    images = torch.randn(2, 3, 2, 4).contiguous(memory_format=layout)
    close(layer, other, images)
    assert other(images).grad_fn.name() == "UnsqueezeBackward0"
    torch.testing.assert_close(other(images[0]), other(images)[0])
    assert other(torch.randn(2, 3, 4, 4)).shape == (2, 5, 2, 1)
    assert has_small_maps(nn.Sequential(layer), images)
    assert not has_small_maps(nn.Sequential(layer), torch.randn(1, 3, 6, 6))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_its_gradient_has_the_layout_of_the_weight(layout):
    layer = nn.Conv2d(8, 8, 3, padding=1).to(memory_format=layout)
    small_maps(layer)
    layer(torch.randn(2, 8, 1, 1)).sum().backward()
    assert layer.weight.grad.stride() == layer.weight.stride()


def test_a_network_for_large_pictures_is_changed_for_small_ones():
    torch.manual_seed(0)
    backbone = BACKBONES["resnet18"](inputs=3, size=(32, 32))
    network = Network(backbone, backbone.classifier(7), mean=[0.0] * 3, deviation=[1.0] * 3).eval()
    names, other = list(network.state_dict()), copy.deepcopy(network)
    small, large = torch.randn(2, 3, 32, 32), torch.randn(1, 3, 288, 288)
    assert has_small_maps(network, small) and not has_small_maps(network, large)
    assert may_pay(network, small) == ["small_maps"] and may_pay(network, large) == []
    assert not any(isinstance(layer, Small) for layer in network.modules())
    assert small_maps(other) == 20 and small_maps(other) == 0 and list(other.state_dict()) == names
    close(network, other, small)
    close(network, other, torch.randn(1, 3, 96, 64))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("kernel", "padding", "biased"), [(3, 1, True), ((1, 3), (0, 1), False), (2, 0, False)])
def test_the_gradient_of_the_weights_is_products_where_the_map_is_small(layout, kernel, padding, biased):
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 10, kernel, padding=padding, bias=biased).to(memory_format=layout)
    other = copy.deepcopy(layer)
    small_maps(other)
    for size, number in ((4, torch.float32), (7, torch.bfloat16)):
        images = torch.randn(5, 6, size, size).contiguous(memory_format=layout)
        with torch.autocast("cpu", torch.bfloat16, enabled=number == torch.bfloat16):
            found = other(images)
            assert found.dtype == number and found.grad_fn.name() == "_ProductsBackward"
            wide = other(torch.randn(1, 6, size + 9, size + 9))
        assert wide.grad_fn.name() == "ConvolutionBackward0"
        gradient = torch.randn_like(found)
        found.backward(gradient)
        torch.testing.assert_close(found.float(), layer(images), rtol=1e-2, atol=2e-2)
        layer(images).backward(gradient.float())
        for one, two in zip(layer.parameters(), other.parameters(), strict=True):
            assert two.grad.dtype == torch.float32 and two.grad.stride() == two.stride()
            scale = one.grad.abs().max()    # bfloat16 keeps 8 bits
            torch.testing.assert_close(two.grad / scale, one.grad / scale, rtol=0,
                                       atol=1e-5 if number == torch.float32 else 1e-2)
            one.grad = two.grad = None
    with torch.no_grad():
        assert torch.equal(other(images), layer(images))


def test_it_compiles_as_one_graph_and_is_exported_without_a_warning():
    whole = nn.Sequential(nn.Conv2d(3, 3, 3, 1, 1), nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1))
    trimmed, images = copy.deepcopy(whole), torch.randn(2, 3, 2, 2)
    small_maps(trimmed)
    close(whole, torch.compile(copy.deepcopy(trimmed), backend="aot_eager", fullgraph=True), images)
    exported = torch.export.export(trimmed, (images,)).module()
    torch.testing.assert_close(exported(images), whole(images))


def test_what_pads_otherwise_is_left_alone():
    network = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), nn.Conv2d(1, 1, 3, padding="same"),
                            nn.ConvTranspose2d(1, 1, 3))
    assert small_maps(network) == 0 and not has_small_maps(network, torch.ones(1, 1, 4, 4))


def test_an_input_that_is_too_small_is_refused_as_ever():
    layer = nn.Conv2d(1, 1, 5)
    small_maps(layer)
    with pytest.raises(RuntimeError, match="Kernel size can't be greater than actual input size"):
        layer(torch.ones(1, 1, 3, 3))
