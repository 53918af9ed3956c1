"""The verb `export`: a run as a file for other programs."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lensmith.base.errors import Disagreement, UserError
from lensmith.cli.options import Json, Quiet, Trust
from lensmith.cli.terminal import show, teller


def export(
    run: Annotated[str, typer.Argument(help="A run folder, or imagenet.")],
    to: Annotated[str, typer.Option(help="What is written: onnx, openvino or ncnn.")] = "onnx",
    out: Annotated[Path | None, typer.Option(help="The file; by itself model.onnx, model.xml, model.ncnn.param or "
                                                  "model-int8.onnx in the run folder.")] = None,
    any_size: Annotated[bool, typer.Option("--any-size", help="Take pictures of any size, one at a time: they are "
                                           "resized inside, and answers are in their own pixels.")] = False,
    data: Annotated[str | None, typer.Option(help="A data set whose pictures the answers are compared on; by "
                                                  "itself the run's own.")] = None,
    int8: Annotated[bool, typer.Option("--int8", help="In INT8, by ranges measured on training pictures.")] = False,
    lose: Annotated[float | None, typer.Option(help="With --int8: of the score, at most; by itself 0.01. Layers that "
                                                    "cost most stay in float32 until it holds.")] = None,
    calibration: Annotated[int | None, typer.Option(help="With --int8: how many training pictures the ranges are "
                                                         "measured on; by itself 200.")] = None,
    as_json: Json = False, quiet: Quiet = False, trust: Trust = False,
) -> None:
    """Write a run as one file that takes pictures as they are and gives answers, and compare it with the run."""
    asked = {name: value for name, value in (("lose", lose), ("calibration", calibration)) if value is not None}
    if asked and not int8:
        raise UserError(f"export.{next(iter(asked))} is of a file in INT8: add --int8, or leave it out")
    from lensmith.training.exported import REPORT, export_run
    from lensmith.training.quantised import INT8_REPORT, Int8Settings, export_int8
    from lensmith.training.trained import load

    if int8 and (to != "onnx" or any_size):
        raise UserError(f"--int8 is written as onnx; got {f'export.to={to}' if to != 'onnx' else 'export.any_size'}: "
                        "leave one of the two out")
    settings = Int8Settings(**asked)    # type: ignore[arg-type]
    trained = load(run, device="cpu", trust=trust)
    exported = export_int8(trained, settings, out=out, data=data, tell=teller(quiet)) if int8 else \
        export_run(trained, to, out=out, any_size=any_size, data=data, tell=teller(quiet))
    report = exported.report
    if as_json:
        show(json.dumps(report))
    else:
        show(f"file {exported.file}  {report['bytes'] / 1e6:.1f} MB")
        for line in _of_int8(report["int8"], report["bytes"]) if int8 else ():
            show(line)
        for runtime, targets in report["runtimes"].items():
            for target, parity in targets.items():
                show(f"  {runtime} {target}: {_in_words(parity)} on {report['pictures']} pictures ({report['of']})")
        for runtime, fitting in report.get("fitting", {}).items():
            show(f"  {runtime} {_fitting_in_words(fitting)}")
        if not report["runtimes"]:
            show('  not compared: no runtime that opens it is installed: pip install "lensmith[deploy]"')
    if int8 and not exported.agrees:
        raise Disagreement(f"{exported.file} loses more of the score than {settings.lose:g}: "
                           f"{exported.file.with_name(INT8_REPORT)} says what was tried. Allow more with --lose, or "
                           "use the file in float32")
    if not exported.agrees:
        raise Disagreement(f"{exported.file} does not answer as {run} does: {exported.file.with_name(REPORT)} says "
                           "where. Do not use it")


def _of_int8(facts: dict[str, Any], size: int) -> list[str]:
    """What INT8 cost and gained, in lines."""
    score, floating = facts["score"], facts["float32_layers"]
    lines = [f"  {facts['bytes_float32'] / size:.1f} times smaller than in float32; {len(floating)} of "
             f"{facts['layers']} layers stay in float32{': ' * bool(floating)}{', '.join(floating)}; calibrated on "
             f"{facts['calibration']} pictures"]
    for runtime, found in score["difference"].items():
        ends = "" if found["low"] is None else f" ({found['low']:+.4f} to {found['high']:+.4f})"
        lines.append(f"  {runtime}: {score['name']} {score['float32'] + found['value']:.4f}, in float32 "
                     f"{score['float32']:.4f}: {found['value']:+.4f}{ends} on {score['pictures']:,} pictures "
                     f"({score['split']})")
    for runtime, times in facts["latency"].items():
        ours, before = times["int8"]["p50"], times["float32"]["p50"]
        than = f"{before / ours:.2f} times as fast as in float32" if ours <= before else \
            f"SLOWER than in float32, {1e3 * before:.2f} ms"
        lines.append(f"  {runtime}: {1e3 * ours:.2f} ms a picture, {than}")
    return lines


def _fitting_in_words(fitting: dict[str, Any]) -> str:
    """`pictures: 100.00 % of the pixels within one grey level of the run's, at most 1 apart`, and the scores of both
    where there are some."""
    scores = ""
    if fitting["score_of_run"] is not None and fitting["score_of_file"] is not None:
        scores = f"; {fitting['score_name']} {fitting['score_of_file']:.4f}, of the run {fitting['score_of_run']:.4f}"
    return (f"pictures: {100 * fitting['within_one_level']:.2f} % of the pixels within one grey level of the run's, at "
            f"most {fitting['largest_difference']} apart{scores}")


def _in_words(parity: dict[str, Any]) -> str:
    """`100.0 % of the answers the same, probabilities at most 2e-07 apart`"""
    apart = {"numbers": "numbers at most {:.1g} of the largest apart", "boxes": "corners at most {:.2g} pixels apart",
             "masks": "corners at most {:.2g} pixels apart"}.get(parity["kind"], "probabilities at most {:.1g} apart")
    largest = parity["largest_difference"]
    difference = apart.format(largest) if largest is not None else "some answers are no numbers"
    return f"{100 * parity['agreement']:.1f} % of the answers the same, {difference}"
