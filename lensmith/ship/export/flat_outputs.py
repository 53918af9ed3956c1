"""A network of anybody's as one that gives tensors alone, and it as an ONNX file that gives what it gives."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lensmith.base.atomic_files import write_atomic
from lensmith.base.errors import ModelError
from lensmith.models.trial_forward import in_evaluation_mode
from lensmith.ship.export.torch_to_onnx import Axes, as_onnx
from lensmith.ship.runtimes.file_facts import INPUT
from lensmith.ship.runtimes.packages import check_installed

_EXAMPLE = 2                        # pictures: one would be taken for a constant
_LARGEST = (1 << 31) - (1 << 20)    # bytes: protobuf's limit of a file


class FlatOutputs(nn.Module):
    """A network whose output is the tensors of another one's, in their order."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensors_in(self.network(pictures)))


def tensors_in(output: Any) -> list[Tensor]:
    """The tensors in lists, tuples, dictionaries and dataclasses, one after another."""
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, Mapping):
        parts = list(output.values())
    elif is_dataclass(output):
        parts = [getattr(output, field.name) for field in fields(output)]
    else:
        parts = list(output) if isinstance(output, list | tuple) else []
    return [tensor for part in parts for tensor in tensors_in(part)]


def write_flat_onnx(network: nn.Module, pictures: Tensor, path: Path) -> None:
    """Write a network as `path`, for batches of any number of pictures like these [batch, ...].

    Raises UserError where a package is missing, ModelError for a network that has no form in ONNX.
    """
    check_installed("onnx", "onnxscript")
    flat = FlatOutputs(network)
    example = pictures[:1].expand(_EXAMPLE, *pictures.shape[1:]).clone()
    axes: Axes = {0: torch.export.Dim("batch")}
    with in_evaluation_mode(network):
        outputs = [f"output_{number}" for number in range(len(flat(example)))]
        if not outputs:
            raise ModelError("the network gives no tensor, so that there is nothing to be written as ONNX")
        model = as_onnx(flat.eval(), (example,), (axes,), [INPUT], outputs, named=network)
    content = model.SerializeToString()
    if len(content) > _LARGEST:
        raise ModelError(f"the network has {len(content) >> 20:,} MB, and an ONNX file holds at most 2,048")
    write_atomic(path, lambda aside: aside.write_bytes(content), advice="free some space")
