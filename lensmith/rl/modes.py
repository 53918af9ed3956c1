"""Which layers learn and which only compute, while a network plays and learns in turns."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd


class Modes:
    """Switches the layers of a network that differ between training and evaluation: batch norm, dropout, and those of
    modules with a mode of their own. `train()` would walk all modules, which takes as long as a small network does.

    Outside of `learning` a network computes as it is measured, but for noisy layers, whose noise is what explores.
    """

    def __init__(self, network: nn.Module):
        network.train()
        # A module of another package may look at its own mode, as one with stochastic depth does; plain containers and
        # dense or convolutional layers do not.
        self.changing = [module for module in network.modules() if isinstance(module, _BatchNorm | _DropoutNd)
                         or not type(module).__module__.startswith(("torch.nn", "lensmith"))]
        self._set(False)

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Within it batch norm learns its statistics, and dropout drops."""
        self._set(True)
        try:
            yield
        finally:
            self._set(False)

    def _set(self, mode: bool) -> None:
        for module in self.changing:
            module.training = mode
