"""The two halves of a network, features and classifier, and what a dense layer in their place would weigh."""

from dataclasses import dataclass

from lensmith.lessons.convolution.words import bytes_in_words, product_of
from lensmith.models.backbones.lenet import lenet
from lensmith.models.network import Network
from lensmith.study.inspect.layers import Row, inspect_layers

_BYTES = 4             # of a weight, float32
_LARGE = (3, 1000, 1000)
_UNITS = (256, 1000)


@dataclass(frozen=True)
class TwoHalves:
    """LeNet's layers for pictures of one form."""

    channels: int
    size: int             # pixels, the edge
    features: list[Row]
    classifier: list[Row]

    def parameters(self, half: list[Row]) -> int:
        return sum(row.parameters for row in half)

    def in_words(self) -> str:
        """Where the weights are."""
        features, classifier = self.parameters(self.features), self.parameters(self.classifier)
        return (f"Of LeNet's {features + classifier:,} weights the features have {features:,} and the classifier has "
                f"{classifier:,}. The features would be the same for any size of picture; the classifier begins with a "
                "dense layer, so that it is made for this one.")


def two_halves(*, channels: int = 1, size: int = 28, classes: int = 10) -> TwoHalves:
    """LeNet for square pictures, layer by layer, as `lensmith inspect` has them."""
    backbone = lenet(inputs=channels, size=(size, size))
    network = Network(backbone, backbone.classifier(classes), mean=[0.0] * channels, deviation=[255.0] * channels)
    rows = inspect_layers(network, channels, height=size, width=size)
    halves = [[row for row in rows if row.name.startswith(half)] for half in ("backbone.", "head.")]
    return TwoHalves(channels, size, *halves)


def dense_weights(channels: int, height: int, width: int, units: int) -> int:
    """The weights of a dense layer on all numbers of a picture, without its biases."""
    return channels * height * width * units


def heavy_in_words() -> str:
    """What a dense layer on a colour picture of 1000 x 1000 pixels weighs."""
    inputs = dense_weights(*_LARGE, units=1)
    sizes = [f"of {units:,} units {dense_weights(*_LARGE, units=units):,} weights, "
             f"{bytes_in_words(_BYTES * dense_weights(*_LARGE, units=units))}" for units in _UNITS]
    return (f"A colour picture of {_LARGE[1]} x {_LARGE[2]} pixels is {product_of(_LARGE)} = {inputs:,} numbers. In "
            f"float32 a dense layer on them has {', and one '.join(sizes)}.")
