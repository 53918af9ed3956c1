"""What every layer of the NumPy network can do."""

from typing import Protocol

import numpy as np

Array = np.ndarray


class NumpyLayer(Protocol):
    """One step from values to values. `forward` keeps what `backward` needs, so each backward follows its forward."""

    weights: dict[str, Array]      # by name ("weight", "bias"); empty where nothing is learned
    gradients: dict[str, Array]    # of the loss by the weights, under the same names; filled by `backward`

    def forward(self, inputs: Array) -> Array:
        """The layer's output for a batch."""

    def backward(self, gradient: Array, *, inputs_too: bool = True) -> Array | None:
        """From the gradient of the loss by the output to that by the inputs, and into `gradients` those by the weights.

        Without `inputs_too` the last, which nobody needs of the first layer, is left out, and None comes back.
        """

    def in_words(self) -> str:
        """`convolution of 1 to 6 channels, kernel 5 x 5`"""
