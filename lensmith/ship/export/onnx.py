"""The target `onnx`: a network as one ONNX file that takes pictures as they are and gives answers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lensmith.base.atomic_files import write_atomic
from lensmith.base.errors import ModelError, no_memory
from lensmith.base.pictures import Form
from lensmith.ship.export.in_graph import AnsweringNetwork
from lensmith.ship.export.suppression import in_onnx
from lensmith.ship.export.untranslated import quiet, what_lacks
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

    Pictures of any size may go in where the network can take them. Raises UserError where a package is missing or the
    file cannot be written, ModelError for a network that has no form in ONNX.
    """
    check_installed("onnx", "onnxscript")
    answering = AnsweringNetwork(network, task).eval()
    facts = replace(facts, any_size=_takes_other_sizes(answering, facts.form))
    try:
        program = _program(answering, facts)
    except ModelError:
        if not facts.any_size:
            raise
        facts = replace(facts, any_size=False)
        program = _program(answering, facts)
    model = program.model_proto
    _drop_traces(model)
    model.metadata_props.add(key=KEY, value=facts.as_json())
    content = model.SerializeToString()
    if len(content) > _LARGEST:
        raise ModelError(f"the network has {len(content) >> 20:,} MB, and an ONNX file holds at most 2,048")
    write_atomic(path, lambda aside: aside.write_bytes(content), advice=ADVICE)
    return facts


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


def _example(form: Form) -> Tensor:
    return torch.zeros((_EXAMPLE, form.channels, *form.size), dtype=form.dtype)


def _captured(network: nn.Module, pictures: Tensor, *, any_size: bool) -> torch.export.ExportedProgram:
    # Here, because importing it takes 1.7 s; without it `torchvision::nms` has no translation.
    import torchvision  # noqa: F401

    axes: dict[int, Any] = {0: torch.export.Dim("batch")}
    if any_size:
        axes |= {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    with quiet(), torch.no_grad():
        return torch.export.export(network, (pictures,), dynamic_shapes=(axes,), strict=False)


def _program(network: AnsweringNetwork, facts: FileFacts) -> Any:
    """The network as an ONNX program of PyTorch's."""
    names = [output for name, target in facts.targets.items() for output in outputs_of(name, target.kind)]
    try:
        captured = _captured(network, _example(facts.form), any_size=facts.any_size)
        with quiet(), torch.no_grad():
            return torch.onnx.export(captured, dynamo=True, verbose=False, external_data=False, input_names=[INPUT],
                                     output_names=names, custom_translation_table={
                                         torch.ops.lensmith.best_of_overlapping.default: in_onnx})
    except ModelError:
        raise
    except Exception as error:
        if no_memory(error):
            raise
        raise ModelError(f"the network cannot be written as ONNX: {what_lacks(error, network.network)}") from error


def _drop_traces(model: Any) -> None:
    """Leave out what the exporter notes on each node: lines of code, with the paths of this machine."""
    del model.metadata_props[:]
    todo = [model.graph, *model.functions]
    while todo:
        graph = todo.pop()
        graph.ClearField("metadata_props")
        graph.ClearField("doc_string")
        for field in ("input", "output", "value_info", "initializer"):
            for value in getattr(graph, field, ()):
                if not isinstance(value, str):    # a function's inputs are names alone
                    value.ClearField("metadata_props")
                    value.ClearField("doc_string")
        for node in graph.node:
            node.ClearField("metadata_props")
            node.ClearField("doc_string")
            todo += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
            todo += [inner for attribute in node.attribute for inner in attribute.graphs]
