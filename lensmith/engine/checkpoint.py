"""A state as one file: tensors by name in safetensors, everything else as JSON in that file's own metadata."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lensmith.base.atomic_files import write_atomic
from lensmith.base.errors import ModelError, first_line, in_short

FORMAT = "lensmith-checkpoint-1"
_TENSOR = "$tensor"


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write nested dicts and lists of tensors, numbers, strings and None as one file, atomically.

    Raises Stopped where the disk is full. The file that was there before is then still whole.
    """
    tensors: dict[str, Tensor] = {}
    tree = _pack(state, "", tensors)
    metadata = {"format": FORMAT, "tree": json.dumps(tree)}
    write_atomic(path, lambda aside: save_file(tensors, aside, metadata=metadata))


def read_state(path: Path) -> dict[str, Any]:
    """What `write_state` wrote, tensors on the CPU. Raises ModelError for a file that is absent, damaged or foreign."""
    return _read(path, with_tensors=True)


def summary_of(path: Path) -> dict[str, Any]:
    """As `read_state`, with None in the place of each tensor, which takes no time."""
    return _read(path, with_tensors=False)


def _read(path: Path, *, with_tensors: bool) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"there is no checkpoint at {path}: training saves one after each epoch, or on Ctrl-C")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ModelError(f"{path} is not a checkpoint of this version: its format is "
                                 f"{metadata.get('format', 'none')!r}, accepted is {FORMAT!r}")
            names = file.keys()
            tensors = {name: file.get_tensor(name) if with_tensors else None for name in names}
        state = _unpack(json.loads(metadata["tree"]), tensors)
        if not isinstance(state, dict):
            raise ModelError(f"the checkpoint {path} is damaged (it holds {in_short(state)}, not entries by name): go "
                             "back to another one of the run, or train again")
        return state
    except (OSError, MemoryError) as error:
        raise ModelError(f"the checkpoint {path} cannot be read ({first_line(error)})") from error
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        kind = "a pickle, which can run code and is refused" if _is_pickle(path) else f"damaged ({error})"
        raise ModelError(f"the checkpoint {path} is {kind}: go back to another one of the run, "
                         "or train again") from error


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(4)
    return start[:1] == b"\x80" or start == b"PK\x03\x04"


def _pack(node: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """The tree with every tensor replaced by its name. The tensors themselves are put into `tensors`."""
    if isinstance(node, Tensor):
        # safetensors stores plain row-major memory only and refuses shared memory.
        tensors[name] = node.detach().cpu().contiguous().clone(memory_format=torch.contiguous_format)
        return {_TENSOR: name}
    if isinstance(node, dict):
        return {str(key): _pack(value, f"{name}.{key}" if name else str(key), tensors) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_pack(value, f"{name}.{i}", tensors) for i, value in enumerate(node)]
    assert node is None or isinstance(node, bool | int | float | str), f"{name}: {type(node)} cannot be saved"
    return node


def _unpack(node: Any, tensors: Mapping[str, Tensor | None]) -> Any:
    if isinstance(node, dict):
        if set(node) == {_TENSOR}:
            return tensors[node[_TENSOR]]
        return {key: _unpack(value, tensors) for key, value in node.items()}
    if isinstance(node, list):
        return [_unpack(value, tensors) for value in node]
    return node
