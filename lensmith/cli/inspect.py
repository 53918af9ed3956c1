"""The verb `inspect`: the layers of a network, or what the checks of an operator say."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from lensmith.base.errors import ModelError
from lensmith.cli.options import Json, Trust
from lensmith.cli.terminal import show, show_layers, show_operator


def inspect(
    network: Annotated[str, typer.Argument(help="A network's name, my_net.py:Net, a run folder, or my_op.py:op.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...",
                                                          help="Settings of the network.")] = None,
    size: Annotated[int | None, typer.Option(help="Edge of the picture, pixels; by itself 224, or the run's.",
                                             min=1)] = None,
    channels: Annotated[int | None, typer.Option(help="Channels of the picture; by itself 3, or the run's.",
                                                 min=1)] = None,
    classes: Annotated[int, typer.Option(help="Outputs of the last layer.", min=1)] = 10,
    as_json: Json = False, trust: Trust = False,
) -> None:
    """A network's layers: output shape, parameters, multiply-adds, memory, receptive field. (Also: summary.)

    Of an operator of torch.library: whether it is whole, on the `examples` that its file gives.
    """
    from lensmith.cli.layers_by_name import Layers, inspected

    inspection = inspected(network, overrides or (), size=size, channels=channels, classes=classes, trusted=trust)
    if isinstance(inspection, Layers):
        problem = inspection.totals.problem
        facts = {"layers": [asdict(row) for row in inspection.rows], **asdict(inspection.totals)}
    else:
        problem = inspection.problem
        facts = {**asdict(inspection), "problem": problem}
    if as_json:
        show(json.dumps(facts))
    elif isinstance(inspection, Layers):
        show_layers(inspection)
    else:
        show_operator(inspection)
    if problem:
        raise ModelError(problem)
