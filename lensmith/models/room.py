"""Whether a network has room in the memory, told before it is built."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from lensmith.base.device import check_memory
from lensmith.base.errors import UserError

_MOST = 10_000    # parameters; the deepest networks in use have a few thousand


def check_room(build: Callable[[], nn.Module], what: str) -> None:
    """Build a network on the meta device, where it takes no memory, and raise UserError where its parameters would take
    more than is free, or are so many that it would take minutes.

    What else goes wrong there is told by whoever builds it.
    """
    tensors = numbers = 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal tensors, numbers
        if parameter is None:
            return
        tensors, numbers = tensors + 1, numbers + 4 * parameter.numel()
        check_memory(numbers, what, "take smaller settings")
        if tensors > _MOST:
            raise UserError(f"{what} has more than {_MOST:,} parameters: take fewer layers")

    hook: Any = register_module_parameter_registration_hook(count)
    try:
        with torch.device("meta"):
            build()
    except UserError:
        raise
    except Exception:
        return
    finally:
        hook.remove()
