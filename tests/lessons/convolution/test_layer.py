"""The options of the lesson: kernels by name and by hand, and what is refused, in one line."""

import pytest
import torch

from lensmith.base.errors import UserError
from lensmith.lessons.convolution.kernels import KERNELS, read_kernel
from lensmith.lessons.convolution.layer import ConvolutionLayer, check_fits, read_layer


def layer(*kernels: str, padding: str = "0", stride: int = 1, dilation: int = 1, channels: int = 1,
          filters: int | None = None) -> ConvolutionLayer:
    return read_layer(kernels, padding=padding, stride=stride, dilation=dilation, channels=channels, filters=filters)


def test_kernels_that_have_a_name_do_what_they_say():
    sums = {name: sum(map(sum, kernel.rows)) for name, kernel in KERNELS.items()}
    assert all(sums[name] == 0 for name in ("sobel", "sobel_y", "laplacian"))    # nothing in even areas
    assert all(sums[name] == pytest.approx(1) for name in KERNELS if name not in ("sobel", "sobel_y", "laplacian"))
    ramp = torch.arange(5.0).expand(5, 5)    # lighter to the right
    found = {name: torch.nn.functional.conv2d(ramp[None], torch.tensor(kernel.rows)[None, None])
             for name, kernel in KERNELS.items()}
    assert float(found["sobel"].max()) < 0 and float(found["sobel_y"].abs().max()) == 0
    assert torch.equal(found["identity"][0], ramp[1:-1, 1:-1])


@pytest.mark.parametrize(("text", "rows"), [
    ("1 0 -1; 2 0 -2; 1 0 -1", [[1, 0, -1], [2, 0, -2], [1, 0, -1]]), ("1,0,-1", [[1, 0, -1]]), ("-5", [[-5]]),
    ("1/4 .5 ; 1e-1 0;", [[0.25, 0.5], [0.1, 0]]), (" sobel ", [list(row) for row in KERNELS["sobel"].rows])])
def test_a_kernel_is_read(text, rows):
    assert [list(row) for row in read_kernel(text).rows] == rows


@pytest.mark.parametrize(("text", "message"), [
    ("sobbel", r"--kernel 'sobbel' is no kernel that has a name\. Did you mean 'sobel'\? Known: sobel, "),
    ("1 0; 1", "--kernel '1 0; 1' is not rectangular: its rows have 2 and 1 values, and all need as many"),
    ("1 0 -1; 2 0 -2; 1 0", "is not rectangular: its rows have 3, 3 and 2 values"),
    ("1;;1", "is not rectangular: its rows have 1, 0 and 1 values"),
    ("", "is not rectangular: its rows have 0 values"),
    ("1 a; 0 1", r"--kernel '1 a; 0 1': 'a' is no number; rows stand behind a semicolon"),
    ("nan", "is no kernel that has a name"), ("1 inf", "'inf' is no number"), ("1/0 1", "'1/0' is no number"),
    ("1 1e400", "'1e400' is "), ("2000 1", "'2000' is too large; accepted are values from -1000 to 1000"),
    ("1 " * 12, "--kernel has 1 x 12 values; at most 11 x 11 can be shown")])
def test_what_is_no_kernel_is_refused_in_one_line(text, message):
    with pytest.raises(UserError, match=message) as caught:
        read_kernel(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("settings", "message"), [
    ({"kernels": ["1 1; 1 1"], "padding": "same"},
     "--padding same needs a kernel with a middle, and this one has 2 x 2 values"),
    ({"padding": "same", "stride": 2, "dilation": 2},
     "--padding same leaves the size as it is, and --stride 2 does not: give the zeros on each side, as --padding 2"),
    ({"padding": "-1"}, "--padding '-1': accepted are same, valid, and numbers from 0 to 99"),
    ({"padding": "sam"}, "--padding 'sam': accepted are same, valid, and numbers"),
    ({"channels": 2}, "--channels 2: accepted are 1, which is gray, and 3"),
    ({"stride": 0}, "--stride 0: accepted are numbers from 1 to 8"),
    ({"dilation": 9}, "--dilation 9: accepted are numbers from 1 to 8"),
    ({"filters": 0}, "--filters 0: accepted are numbers from 1, the kernels that are given, to 8"),
    ({"filters": 9}, "--filters 9: accepted are numbers from 1, "),
    ({"kernels": ["sobel", "1 1; 1 1"]},
     "all kernels of a layer have the same size, and 'typed' has 2 x 2 values where the first has 3 x 3"),
    ({"kernels": ["1 1; 1 1"], "filters": 2},
     "--filters 2: the kernels that have a name are larger than 2 x 2: give --kernel 2 times"),
])
def test_what_makes_no_layer_is_refused_in_one_line(settings, message):
    with pytest.raises(UserError, match=message) as caught:
        layer(*settings.pop("kernels", ["sobel"]), **settings)
    assert "\n" not in str(caught.value)


def test_same_keeps_the_size_and_valid_takes_whole_windows():
    assert layer("1 1 1 1 1; 0 0 0 0 0; 0 0 0 0 0", padding="same", dilation=2).geometry.padding == (2, 4)
    for text in ("sobel", "1 0 0", "3"):
        assert layer(text, padding="same").geometry.output_size((9, 12)) == (9, 12)
    assert layer("sobel", padding="valid").geometry.output_size((9, 12)) == (7, 10)


def test_a_picture_smaller_than_the_kernel_is_refused_with_the_arithmetic():
    with pytest.raises(UserError, match=r"small.png has 4 x 9 pixels, and the kernel spans 5 x 5: take a larger"):
        check_fits(layer("sobel", dilation=2), (4, 9), "small.png")
    with pytest.raises(UserError, match=r"has 2 x 2 pixels and padding 1, and the kernel spans 5 x 5"):
        check_fits(layer("sobel", dilation=2, padding="1"), (2, 2), "small.png")
    check_fits(layer("sobel", dilation=2, padding="1"), (4, 9), "small.png")


def test_further_filters_come_from_the_table_with_zeros_around_them():
    many = layer("sharpen", filters=3, channels=3)
    assert [kernel.name for kernel in many.kernels] == ["sharpen", "sobel", "sobel_y"]
    assert many.weight_shape == (3, 3, 3, 3) == tuple(torch.tensor(many.weights).shape) and many.weights_number == 81
    large = layer("; ".join(["1 1 1 1 1"] * 5), filters=2)
    assert torch.equal(torch.tensor(large.kernels[1].rows)[1:-1, 1:-1], torch.tensor(KERNELS["sobel"].rows))
    assert float(torch.tensor(large.kernels[1].rows).abs().sum()) == 8
