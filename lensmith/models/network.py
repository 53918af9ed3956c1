"""A network: a backbone, from pictures to feature maps, and a head, from feature maps to the output of a task."""

from collections.abc import Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from lensmith.models.backbone import LossHead, takes_size


class Network(nn.Module):
    """Takes pictures as they are, uint8 or uint16 (or float in the same range), and standardises them itself, so that
    training, export and serving cannot disagree. Mean and standard deviation are buffers: they travel with the weights.
    """

    mean: Tensor                    # float [1, channels, 1, 1], in the units of the pictures
    deviation: Tensor               # float [1, channels, 1, 1]: the standard deviation, in the units of the pictures
    takes_size: bool                # whether the head is told the size of the pictures, as all but users' own are
    frozen: tuple[str, ...] = ()    # modules that stay in evaluation mode: `models.freeze.keep_in_evaluation`
    from_maps: bool = False         # whether the inputs are last maps of the backbone, computed before, and no pictures

    def __init__(self, backbone: nn.Module, head: nn.Module, *, mean: Sequence[float], deviation: Sequence[float]):
        """
        backbone: from standardised pictures to a list of maps (`models.backbone.Backbone`).
        head: from that list and the (height, width) of the pictures to the output of a task.
        mean, deviation: one number a channel, in the units of the pictures.
        """
        super().__init__()
        self.backbone, self.head = backbone, head
        self.takes_size = takes_size(head)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float32).view(1, -1, 1, 1))

    def standardise(self, images: Tensor) -> Tensor:
        """Pictures in their own units -> float with mean 0 and standard deviation 1 over the training set."""
        return (images.float() - self.mean).div_(self.deviation)    # in place: a batch of photos takes long to allocate

    def train(self, mode: bool = True) -> Self:
        """Training mode for all modules but those that are `frozen`."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    def forward(self, images: Tensor, targets: Any = None) -> Any:
        """The output of the head. With `targets`, which come only where the network `sees_targets`, it is the loss
        terms by name."""
        maps = [images] if self.from_maps else self.backbone(self.standardise(images))
        if targets is not None:
            return cast(LossHead, self.head).loss(maps, targets)
        # A head for pixels needs the size of the pictures: strides have rounded it away in the maps.
        return self.head(maps, tuple(images.shape[2:])) if self.takes_size else self.head(maps)


def sees_targets(network: nn.Module) -> bool:
    """Whether the network learns by looking at the targets in its forward pass: its head is a `LossHead`."""
    return isinstance(network, Network) and isinstance(network.head, LossHead)
