"""An ONNX model that takes a picture of any size: what fits it before the network, and its answers after it."""

from typing import Any

import torch
from torch import Tensor, nn

from lensmith.ship.export.fit_in_graph import GIVEN, TAKEN, AnswersInPicture, FitPicture
from lensmith.ship.export.torch_to_onnx import Axes, as_onnx
from lensmith.ship.runtimes.file_facts import INPUT, FileFacts, outputs_of

FITTED = "fitted"     # the output of a model that only fits pictures
_EXAMPLE = (70, 90)   # pixels: a height and a width that no other number equals
_AXES: Axes = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}


def trims(facts: FileFacts) -> bool:
    """Whether a letterbox is cut to what it shows before it goes into the network, as predicting does."""
    kinds = [target.kind for target in facts.targets.values()]
    return facts.any_size and facts.form.fit == "pad" and kinds == ["boxes"]


def fitting_model(facts: FileFacts) -> Any:
    """The ONNX model that only brings a picture to the form: `pictures` -> `fitted`."""
    return as_onnx(FitPicture(facts.form, trims=trims(facts)), (_picture(facts),), (_AXES,), [INPUT], [FITTED])


def with_any_size(model: Any, network: nn.Module, facts: FileFacts) -> Any:
    """The `model` of the `network`, which gives the outputs of `outputs_of`, with all of `--any-size` around it."""
    from onnx.compose import add_prefix_graph

    outputs = {name: outputs_of(name, target.kind) for name, target in facts.targets.items()}
    kinds = {name: target.kind for name, target in facts.targets.items()}
    taken = [outputs[name][number] for name, kind in kinds.items() for number in TAKEN.get(kind, ())]
    given = [outputs[name][number] for name, kind in kinds.items() for number in GIVEN.get(kind, ())]
    own = [output for names in facts.outputs.values() for output in names]
    inner = {output: output if output in own and output not in given else f"network/{output}"
             for names in outputs.values() for output in names}
    fitting = fitting_model(facts)
    graphs = [add_prefix_graph(fitting.graph, "fit/", rename_inputs=False, rename_outputs=False,
                               name_map={FITTED: "network/pictures"}),
              add_prefix_graph(model.graph, "network/", rename_inputs=False, rename_outputs=False,
                               name_map={INPUT: "network/pictures", **inner})]
    if taken:
        answers = _answers_model(network, facts, taken, given)
        graphs.append(add_prefix_graph(answers.graph, "answers/", rename_inputs=False, rename_outputs=False,
                                       name_map={f"taken/{output}": inner[output] for output in taken}))
    return _joined(fitting, graphs, own)


def _answers_model(network: nn.Module, facts: FileFacts, taken: list[str], given: list[str]) -> Any:
    form = facts.form
    with torch.no_grad():
        found = network(torch.zeros((1, form.channels, *form.size), dtype=form.dtype))
    names = [output for name, target in facts.targets.items() for output in outputs_of(name, target.kind)]
    examples = [tensor for name, tensor in zip(names, found, strict=True) if name in taken]
    module = AnswersInPicture(facts.targets, form, trims=trims(facts))
    no_axes: list[Axes] = [{} for _ in examples]
    return as_onnx(module, (_picture(facts), examples), (_AXES, no_axes), [INPUT, *(f"taken/{name}" for name in taken)],
                   given)


def _picture(facts: FileFacts) -> Tensor:
    return torch.zeros((1, facts.form.channels, *_EXAMPLE), dtype=facts.form.dtype)


def _joined(first: Any, graphs: list[Any], outputs: list[str]) -> Any:
    """One model of the graphs, which share names where one takes what another gives; it has the input of the first."""
    model = type(first)()
    model.CopyFrom(first)
    model.graph.CopyFrom(graphs[0])
    for graph in graphs[1:]:
        model.graph.node.extend(graph.node)
        model.graph.initializer.extend(graph.initializer)
    del model.graph.output[:], model.graph.value_info[:]    # what they say of shapes is not so within the whole
    by_name = {value.name: value for graph in graphs for value in graph.output}
    model.graph.output.extend(by_name[name] for name in outputs)
    return model
