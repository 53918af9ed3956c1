"""Looking at what modules give while a network runs."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def hooked(network: nn.Module, layers: Iterable[str], look: Callable[[str, Any], None]) -> Iterator[None]:
    """Within it `look` is called with the name and the output of each of these modules, in the order in which they
    end."""
    hooks = [network.get_submodule(name).register_forward_hook(lambda _, __, output, name=name: look(name, output))
             for name in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def outputs_by_module(network: nn.Module, picture: Tensor,
                      keep: Callable[[Tensor], Tensor | None]) -> dict[str, Tensor]:
    """What `keep` makes of the tensor that each module gives for a picture [channels, height, width], by its name, in
    the order in which they end; without those of which it makes None."""
    outputs: dict[str, Tensor] = {}

    def look(name: str, output: Any) -> None:
        kept = keep(output) if isinstance(output, Tensor) else None
        if kept is not None:
            outputs.pop(name, None)    # a module that runs twice stands where it ran last
            outputs[name] = kept

    with hooked(network, [name for name, _ in network.named_modules() if name], look):
        network(picture[None])
    return outputs


def last_map(output: Any) -> Tensor:
    """Of a module that gives several maps the last one."""
    while not isinstance(output, Tensor):
        output = (list(output.values()) if isinstance(output, dict) else output)[-1]
    return output
