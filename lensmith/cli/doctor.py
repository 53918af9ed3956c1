"""The verb `doctor`: why a run does not learn, from what its folder holds."""

import json
from typing import Annotated

import typer

from lensmith.cli.options import Json
from lensmith.cli.terminal import show


def doctor(
    run: Annotated[str, typer.Argument(help="A run folder.")],
    as_json: Json = False,
) -> None:
    """Why a run does not learn: what was measured, the cause and the mend, the most certain first."""
    from lensmith.engine.run_folder import Run
    from lensmith.study.doctor import diagnose
    from lensmith.study.doctor.facts import facts_of

    found = diagnose(facts_of(Run.open(run)))
    if as_json:
        show(json.dumps({"run": run, "faults": [diagnosis.as_json() for diagnosis in found]}))
        return
    for diagnosis in found:
        show(diagnosis.sentence())
    if not found:
        show("nothing found: the run shows no sign of a fault that is known here")
