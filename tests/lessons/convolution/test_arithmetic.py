"""The lesson's own loops equal PyTorch's convolution and pooling for any size, kernel, padding, stride, dilation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lensmith.lessons.convolution.arithmetic import Geometry, convolved, output_value, pooled
from lensmith.models.backbone import map_edge


@settings(max_examples=60)
@given(st.data())
def test_the_loops_equal_pytorch_and_the_formula_equals_the_shape(data):
    def draw(least: int, most: int) -> int:
        return data.draw(st.integers(least, most))

    channels, filters, kernel = draw(1, 3), draw(1, 3), (draw(1, 4), draw(1, 4))
    geometry = Geometry(kernel, (draw(0, 3), draw(0, 3)), draw(1, 3), draw(1, 3))
    size = tuple(max(1, span - 2 * padding) + draw(0, 5)
                 for span, padding in zip(geometry.span, geometry.padding, strict=True))
    generator = torch.Generator().manual_seed(draw(0, 1000))
    pictures = torch.rand(channels, *size, generator=generator) * 255
    weights = torch.randn(filters, channels, *kernel, generator=generator)
    expected = F.conv2d(pictures[None].double(), weights.double(), None, geometry.stride, geometry.padding,
                        geometry.dilation)[0]
    found = torch.tensor(convolved(pictures.tolist(), weights.tolist(), geometry), dtype=torch.float64)
    assert geometry.output_size(size) == tuple(expected.shape[1:]) == tuple(found.shape[1:])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kind", "pool"), [("max", F.max_pool2d), ("mean", F.avg_pool2d)])
@pytest.mark.parametrize("size", [(6, 6), (7, 5), (2, 3)])
def test_pooling_equals_pytorch(kind, pool, size):
    plane = torch.rand(size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.tensor(pooled(plane.tolist(), 2, kind)), pool(plane[None], 2)[0])


def test_one_value_shows_all_that_it_is_made_of():
    value = output_value([[[1, 2], [3, 4]]], [[[1, 0], [-1, 2]]], Geometry((2, 2), (1, 1)), 0, 0)
    assert value.window == [[[0, 0], [0, 1]]] and value.products == [[[0, 0], [0, 2]]]
    assert value.sums == [2] and value.total == 2
    value = output_value([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], [[[1]], [[10]]], Geometry((1, 1)), 1, 0)
    assert value.sums == [3, 70] and value.total == 73


def test_the_formula_is_written_out():
    assert Geometry((3, 3), (1, 1), 2).formula((32, 32)) == "(32 + 2 * 1 - 3) // 2 + 1 = 16"
    assert Geometry((1, 3), (0, 1)).formula((8, 9)) == "(8 + 2 * 0 - 1) // 1 + 1 = 8 and (9 + 2 * 1 - 3) // 1 + 1 = 9"
    assert map_edge(28, 5, 1, 0) == 24 and map_edge(2, 5, 1, 0) < 1
