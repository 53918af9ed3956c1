"""Backbone (pictures to feature maps) + head (feature maps to one task's output) = network."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """Takes pictures as they are, uint8 or uint16 (or float in the same range), and standardises them itself.

    Training, export and serving then cannot disagree. `mean` and `deviation` are one number a channel, in the
    pictures' own units; they are buffers, so they travel with the weights.
    """

    mean: Tensor         # float [1, channels, 1, 1]
    deviation: Tensor    # float [1, channels, 1, 1]

    def __init__(self, backbone: nn.Module, head: nn.Module, *, mean: Sequence[float], deviation: Sequence[float]):
        super().__init__()
        self.backbone, self.head = backbone, head
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float32).view(1, -1, 1, 1))

    def standardise(self, images: Tensor) -> Tensor:
        """Pictures in their own units -> float with mean 0 and deviation 1 over the training set."""
        return (images.float() - self.mean) / self.deviation

    def forward(self, images: Tensor) -> Any:
        return self.head(self.backbone(self.standardise(images)))
