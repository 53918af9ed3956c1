"""The target `onnx`: a network as one ONNX file that takes pictures as they are and gives answers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lensmith.base.atomic_files import write_atomic
from lensmith.base.errors import ModelError, no_memory
from lensmith.base.pictures import Form
from lensmith.ship.export.any_size import with_any_size
from lensmith.ship.export.in_graph import AnsweringNetwork
from lensmith.ship.export.target import Target
from lensmith.ship.export.torch_to_onnx import Axes, as_onnx
from lensmith.ship.runtimes.file_facts import INPUT, KEY, FileFacts, outputs_of
from lensmith.ship.runtimes.packages import check_installed
from lensmith.tasks.task import Task

SUFFIX = ".onnx"
ADVICE = "choose another file with export.out"
_LARGEST = (1 << 31) - (1 << 20)    # bytes: protobuf's limit of a file
_EXAMPLE = 2                        # pictures: one would be taken for a constant
_LARGER = 32                        # pixels by which another size is larger
_LEAST = 64                         # pixels of an edge: a map of one cell would be taken for one of that size alone


def write_onnx(network: nn.Module, task: Task, facts: FileFacts, path: Path) -> FileFacts:
    """Write the network with its answers as `path`, whole or not at all; -> the facts as the file has them.

    Pictures of any size may go in where the network can take them, or where the facts ask that the file fits them.
    Raises UserError where a package is missing or the file cannot be written, ModelError for a network that has no form
    in ONNX.
    """
    content, facts = onnx_content(network, task, facts)
    write_atomic(path, lambda aside: aside.write_bytes(content), advice=ADVICE)
    return facts


def onnx_content(network: nn.Module, task: Task, facts: FileFacts) -> tuple[bytes, FileFacts]:
    """The content of the file of `write_onnx`, and the facts as it has them."""
    check_installed("onnx", "onnxscript")
    answering = AnsweringNetwork(network, task).eval()
    facts = replace(facts, any_size=_takes_other_sizes(answering, facts.form))
    try:
        model = _model(answering, facts)
    except ModelError:
        if not facts.any_size:
            raise
        facts = replace(facts, any_size=False)
        model = _model(answering, facts)
    if facts.fits_inside:
        model = with_any_size(model, answering, facts)
    model.metadata_props.add(key=KEY, value=facts.as_json())
    content: bytes = model.SerializeToString()
    if len(content) > _LARGEST:
        raise ModelError(f"the network has {len(content) >> 20:,} MB, and an ONNX file holds at most 2,048")
    return content, facts


def _takes_other_sizes(network: nn.Module, form: Form) -> bool:
    """Whether PyTorch can run the network on larger pictures: a dense layer behind a map cannot."""
    if min(form.size) < _LEAST:
        return False
    try:
        with torch.no_grad():
            network(torch.zeros((1, form.channels, form.height + _LARGER, form.width + 2 * _LARGER), dtype=form.dtype))
    except Exception as error:
        if no_memory(error):
            raise
        return False
    return True


def _model(network: AnsweringNetwork, facts: FileFacts) -> Any:
    """The network as an ONNX model."""
    names = [output for name, target in facts.targets.items() for output in outputs_of(name, target.kind)]
    axes: Axes = {0: torch.export.Dim("batch")}
    if facts.any_size:
        axes |= {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    example = torch.zeros((_EXAMPLE, facts.form.channels, *facts.form.size), dtype=facts.form.dtype)
    return as_onnx(network, (example,), (axes,), [INPUT], names, named=network.network)


ONNX = Target(SUFFIX, write_onnx)
