"""The verb `export`: a run as a file for other programs."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lensmith.base.errors import Disagreement
from lensmith.cli.options import Json, Quiet, Trust
from lensmith.cli.terminal import show, teller


def export(
    run: Annotated[str, typer.Argument(help="A run folder, or imagenet.")],
    to: Annotated[str, typer.Option(help="What is written: onnx.")] = "onnx",
    out: Annotated[Path | None, typer.Option(help="The file; by itself model.onnx in the run folder.")] = None,
    data: Annotated[str | None, typer.Option(help="A data set whose pictures the answers are compared on; by "
                                                  "itself the run's own.")] = None,
    as_json: Json = False, quiet: Quiet = False, trust: Trust = False,
) -> None:
    """Write a run as one file that takes pictures as they are and gives answers, and compare it with the run."""
    from lensmith.training.exported import REPORT, export_run
    from lensmith.training.trained import load

    exported = export_run(load(run, device="cpu", trust=trust), to, out=out, data=data, tell=teller(quiet))
    report = exported.report
    if as_json:
        show(json.dumps(report))
    else:
        show(f"file {exported.file}  {report['bytes'] / 1e6:.1f} MB")
        for runtime, targets in report["runtimes"].items():
            for target, parity in targets.items():
                show(f"  {runtime} {target}: {_in_words(parity)} on {report['pictures']} pictures ({report['of']})")
        if not report["runtimes"]:
            show('  not compared: neither onnxruntime nor openvino is installed: pip install "lensmith[deploy]"')
    if not exported.agrees:
        raise Disagreement(f"{exported.file} does not answer as {run} does: {exported.file.with_name(REPORT)} says "
                           "where. Do not use it")


def _in_words(parity: dict[str, Any]) -> str:
    """`100.0 % of the answers the same, probabilities at most 2e-07 apart`"""
    apart = {"numbers": "numbers at most {:.1g} of the largest apart", "boxes": "corners at most {:.2g} pixels apart",
             "masks": "corners at most {:.2g} pixels apart"}.get(parity["kind"], "probabilities at most {:.1g} apart")
    largest = parity["largest_difference"]
    difference = apart.format(largest) if largest is not None else "some answers are no numbers"
    return f"{100 * parity['agreement']:.1f} % of the answers the same, {difference}"
