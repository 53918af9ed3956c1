"""The verb `inspect`: the layers of a network and what is wrong with it, or what the checks of an operator say."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lensmith.base.errors import ModelError, UserError, count
from lensmith.cli.options import FormOf, Json, Trust
from lensmith.cli.show_network import show_faults, show_layers, show_operator
from lensmith.cli.terminal import show

_NAMED = 10    # classes that are named


def inspect(
    network: Annotated[str, typer.Argument(help="A network's name, my_net.py:Net, a recipe, a run folder, an ONNX "
                                                "file, or my_op.py:op.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...",
                                                          help="Settings of the network.")] = None,
    size: Annotated[str | None, typer.Option(help="Edge of the picture, pixels, or height x width, as 240x320; by "
                                                  "itself 224, or the run's.")] = None,
    channels: Annotated[int | None, typer.Option(help="Channels of the picture; by itself 3, or the run's.",
                                                 min=1)] = None,
    vector: Annotated[int | None, typer.Option(help="Show a vector of this length in the place of a picture.",
                                               min=1)] = None,
    classes: Annotated[int, typer.Option(help="Outputs of the last layer.", min=1)] = 10,
    timed: Annotated[bool, typer.Option("--time", help="Measure each layer's share of the time here.")] = False,
    form: FormOf = None,
    as_json: Json = False, trust: Trust = False,
) -> None:
    """A network's layers: output shape, parameters, multiply-adds, memory, receptive field, and what is wrong with it,
    with the line of your file and the mend. It needs neither data nor a GPU. (Also: summary.)

    Of an operator of torch.library: whether it is whole, on the `examples` that its file gives.
    """
    if network.lower().endswith((".onnx", ".xml", ".param")):
        _inspect_file(network, form, as_json=as_json)
        return
    if form is not None:
        raise UserError(f"--form says what an ONNX file of others takes, and {network} is none: leave it out")
    from lensmith.cli.layers_by_name import Shown, inspected, size_of
    from lensmith.study.inspect.layers import Inspection

    shown = Shown(None if size is None else size_of(size), channels, vector, classes, timed)
    inspection = inspected(network, overrides or (), shown, trusted=trust)
    if isinstance(inspection, Inspection):
        problem = inspection.totals.problem
        faults = [{"name": fault.name, "grave": fault.grave, "line": str(fault.place or ""), "words": fault.words}
                  for fault in inspection.faults]
        facts = {"layers": [asdict(row) for row in inspection.rows], **asdict(inspection.totals), "faults": faults}
    else:
        problem = inspection.problem
        facts = {**asdict(inspection), "problem": problem}
    if as_json:
        show(json.dumps(facts))
    elif isinstance(inspection, Inspection):
        show_layers(inspection)
        show_faults(inspection)
    else:
        show_operator(inspection)
    if problem:
        raise ModelError(problem)


def _inspect_file(name: str, form_file: Path | None, *, as_json: bool) -> None:
    """Say what an ONNX file takes, what it gives and what it is made of."""
    from lensmith.training.from_file import file_contents

    file = file_contents(Path(name), form_file)
    facts = file.facts
    if as_json:
        show(json.dumps(json.loads(facts.as_json()) | {"operators": file.operators, "parameters": file.parameters}))
        return
    form = facts.form
    size = "of any size" if facts.any_size else "of this size alone"
    by = "others" if file.signature else f"Lensmith {facts.version}"
    show(f"{name}  task {facts.task['name']}, {file.parameters:,} parameters, written by {by}")
    kind = file.signature.type if file.signature else f"uint{facts.form.bits}"
    if facts.fits_inside:
        show(f"  takes pictures: {kind} [1, {form.channels}, height, width] of any size; brought to {form.height} x "
             f"{form.width} inside by {form.fit}, {form.interpolation}")
    else:
        show(f"  takes pictures: {kind} [batch, {form.channels}, {form.height}, {form.width}], {size}; brought by "
             f"{form.fit}, {form.interpolation}")
    for target, about in facts.targets.items():
        classes = ", ".join(about.classes[:_NAMED]) + (", ..." if len(about.classes) > _NAMED else "")
        outputs = ", ".join(facts.outputs[target])
        number = count(len(about.classes), "quantity" if about.kind == "numbers" else "class")
        show(f"  gives {outputs}: {about.kind} of {number} ({classes})")
    show("  operators: " + ", ".join(f"{operator} {number}" for operator, number in sorted(file.operators.items())))
