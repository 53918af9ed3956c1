"""The memory that one forward pass takes: the weights, and the most tensors that live at one time."""

import weakref
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lensmith.models.trial_forward import in_evaluation_mode


class _Living(TorchDispatchMode):
    """Counts the bytes of all tensors that were made within it and are still held."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: set[int] = set()    # the addresses of storages

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = function(*args, **(kwargs or {}))
        before = {leaf.untyped_storage().data_ptr() for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        for tensor in tree_leaves(output):
            if isinstance(tensor, Tensor):
                self._note(tensor, before)
        self.most = max(self.most, self.now)
        return output

    def _note(self, tensor: Tensor, before: set[int]) -> None:
        storage = tensor.untyped_storage()
        address, size = storage.data_ptr(), storage.nbytes()
        if address in before or address in self.known:
            return
        self.known.add(address)
        self.now += size
        weakref.finalize(storage, self._forget, address, size)

    def _forget(self, address: int, size: int) -> None:
        self.known.discard(address)
        self.now -= size


def live_bytes(network: nn.Module, pictures: Tensor) -> int:
    """Bytes of the weights and of the tensors that live at the fullest moment of a forward pass in PyTorch."""
    weights = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    with in_evaluation_mode(network), _Living() as living:
        network(pictures)
    return weights + living.most
