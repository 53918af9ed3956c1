"""Backbone (pictures to feature maps) + head (feature maps to one task's output) = network."""

from collections.abc import Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from lensmith.models.backbone import LossHead, takes_size


class Network(nn.Module):
    """Takes pictures as they are, uint8 or uint16 (or float in the same range), and standardises them itself.

    Training, export and serving then cannot disagree. `mean` and `deviation` are one number a channel, in the
    pictures' own units; they are buffers, so they travel with the weights.
    """

    mean: Tensor         # float [1, channels, 1, 1]
    deviation: Tensor    # float [1, channels, 1, 1]
    frozen: tuple[str, ...] = ()    # modules that stay in evaluation mode: `models.freeze.keep_in_evaluation`
    from_maps: bool = False          # whether it is given the backbone's last map, kept from before, and no pictures

    def __init__(self, backbone: nn.Module, head: nn.Module, *, mean: Sequence[float], deviation: Sequence[float]):
        super().__init__()
        self.backbone, self.head = backbone, head
        self.takes_size = takes_size(head)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float32).view(1, -1, 1, 1))

    def standardise(self, images: Tensor) -> Tensor:
        """Pictures in their own units -> float with mean 0 and deviation 1 over the training set."""
        return (images.float() - self.mean).div_(self.deviation)    # in place: a batch of photos takes long to allocate

    def train(self, mode: bool = True) -> Self:
        """Training mode for all but what is `frozen`."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    def forward(self, images: Tensor, targets: Any = None) -> Any:
        """The head's output; with `targets`, which only a head takes that `sees_targets`, the parts of its loss."""
        maps = [images] if self.from_maps else self.backbone(self.standardise(images))
        if targets is not None:
            return cast(LossHead, self.head).loss(maps, targets)
        # What is said of every pixel needs their number, which strides have rounded away.
        return self.head(maps, tuple(images.shape[2:])) if self.takes_size else self.head(maps)


def sees_targets(network: nn.Module) -> bool:
    """Whether the network learns by looking at the targets in its forward pass: its head is a `LossHead`."""
    return isinstance(network, Network) and isinstance(network.head, LossHead)
