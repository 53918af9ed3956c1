"""LeNet's two halves, and what a dense layer in the place of the first would weigh."""

import torch
from torch import nn

from lensmith.lessons.convolution.two_halves import dense_weights, heavy_in_words, two_halves
from lensmith.lessons.convolution.words import bytes_in_words, plain_number, spelled_sum


def test_the_halves_have_the_layers_and_weights_of_lenet():
    halves = two_halves()
    plain = nn.Sequential(nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)), \
        nn.Sequential(nn.Linear(256, 120), nn.Linear(120, 84), nn.Linear(84, 10))
    for rows, layers in zip((halves.features, halves.classifier), plain, strict=True):
        assert halves.parameters(rows) == sum(parameter.numel() for parameter in layers.parameters())
    assert [row.shape for row in halves.features][-1] == (16, 4, 4) and halves.classifier[-1].shape == (10,)
    assert "Of LeNet's 44,426 weights the features have 2,572 and the classifier has 41,854" in halves.in_words()


def test_a_dense_layer_on_a_large_picture_is_heavy():
    with torch.device("meta"):
        for units in (256, 1000):
            weight = nn.Linear(3 * 1000 * 1000, units).weight
            assert dense_weights(3, 1000, 1000, units) == weight.numel()
            assert bytes_in_words(weight.nbytes) in heavy_in_words()
    assert heavy_in_words().startswith("A colour picture of 1000 x 1000 pixels is 3 x 1000 x 1000 = 3,000,000 numbers.")
    assert "of 256 units 768,000,000 weights, 3.07 GB, and one of 1,000 units 3,000,000,000 weights, 12 GB" in \
        heavy_in_words()


def test_numbers_are_said_plainly():
    assert [plain_number(value) for value in (1100.0, -0.00001, 1 / 9, -2.5)] == ["1100", "0", "0.111", "-2.5"]
    assert spelled_sum([1, -2, 0.5]) == "1 - 2 + 0.5"
    assert [bytes_in_words(number) for number in (432, 27648, 3_072_000_000)] == ["432 bytes", "27.6 kB", "3.07 GB"]
