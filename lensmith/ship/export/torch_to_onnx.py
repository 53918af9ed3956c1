"""A module of PyTorch's as an ONNX model, by torch.export, without what the exporter says and notes."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from lensmith.base.errors import ModelError, no_memory
from lensmith.ship.export.suppression import in_onnx
from lensmith.ship.export.untranslated import quiet, what_lacks

Axes = dict[int, Any]    # of a tensor: those that are free, as torch.export.Dim


def as_onnx(module: nn.Module, examples: tuple[Any, ...], axes: tuple[Any, ...], inputs: Sequence[str],
            outputs: Sequence[str], *, named: nn.Module | None = None) -> Any:
    """The ModelProto of a module.

    examples: its arguments, tensors or lists of them.
    axes: `Axes` in the place of each of these tensors.
    inputs, outputs: the names of the tensors in the file.
    named: the part of the module whose layers a user knows by their names; by itself the module.

    Raises ModelError that names the layer for a module that has no form in ONNX.
    """
    # Here, because importing it takes 1.7 s; without it `torchvision::nms` has no translation.
    import torchvision  # noqa: F401

    try:
        with quiet(), torch.no_grad():
            captured = torch.export.export(module, examples, dynamic_shapes=axes, strict=False)
            program: Any = torch.onnx.export(captured, dynamo=True, verbose=False, external_data=False,
                                             input_names=list(inputs), output_names=list(outputs),
                                             custom_translation_table={
                                                 torch.ops.lensmith.best_of_overlapping.default: in_onnx})
    except ModelError:
        raise
    except Exception as error:
        if no_memory(error):
            raise
        raise ModelError(f"the network cannot be written as ONNX: {what_lacks(error, named or module)}") from error
    model = program.model_proto
    _drop_traces(model)
    return model


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
