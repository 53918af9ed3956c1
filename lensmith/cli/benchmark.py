"""The verb `benchmark`: how fast a network is here, by runtime, precision and batch."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lensmith.base.errors import UserError
from lensmith.cli.options import Json, Quiet, Trust
from lensmith.cli.terminal import print_table, show, tell_error, teller

if TYPE_CHECKING:
    from lensmith.training.benchmarked import Benchmark, LatencyRow

_MOST = 4096    # pictures of a batch


def benchmark(
    network: Annotated[str, typer.Argument(help="A network's name, my_net.py:Net, a recipe, a run folder, or an ONNX "
                                                "file of anybody's.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...",
                                                          help="Settings of the network.")] = None,
    batch: Annotated[str, typer.Option(help="Pictures that are answered together, with commas between.")] = "1,32",
    size: Annotated[str | None, typer.Option(help="Edge of the picture, pixels, or height x width, as 240x320; by "
                                                  "itself 224, or the run's or the file's.")] = None,
    channels: Annotated[int | None, typer.Option(help="Channels of the picture; by itself 3, or the run's or the "
                                                      "file's.", min=1)] = None,
    threads: Annotated[int, typer.Option(help="Threads of each; 0 for as many as PyTorch takes.", min=0, max=256)] = 0,
    seconds: Annotated[float, typer.Option(help="How long the rows of one batch take turns.", min=0.1)] = 5.0,
    compiled: Annotated[bool, typer.Option("--compiled", help="Measure PyTorch's compiler too, which works for a "
                                                              "minute first.")] = False,
    as_json: Json = False, quiet: Quiet = False, trust: Trust = False,
) -> None:
    """How fast a network is here: every runtime and precision that is installed, one picture and many, the median and
    the slow end of the latency, memory, and a step of training beside them."""
    from lensmith.training.benchmarked import Asked, benchmark_file, benchmark_network

    asked = Asked(_batches(batch), threads, seconds, compiled)
    tell = teller(quiet or as_json)
    if network.lower().endswith(".onnx"):
        from lensmith.cli.layers_by_name import size_of

        if overrides:
            raise UserError(f"{network} is a file, which has no settings: leave {overrides[0]!r} out")
        found = benchmark_file(Path(network), asked, size=None if size is None else size_of(size), channels=channels,
                               tell=tell)
    else:
        from lensmith.cli.layers_by_name import NamedNetwork, Shown, network_named, size_of

        shown = Shown(None if size is None else size_of(size), channels)
        named = network_named(network, overrides or (), shown, trusted=trust)
        if not isinstance(named, NamedNetwork):
            raise UserError(f"{network} is an operator: `lensmith inspect {network}` checks it, and `benchmark` times "
                            "networks")
        found = benchmark_network(network, named.network, named.shape, asked, trained=named.trained, tell=tell)
    if as_json:
        show(json.dumps(found.as_json()))
    else:
        _show(found)


def _batches(text: str) -> tuple[int, ...]:
    """`1,32` as numbers."""
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch(r"\d{1,4}", word) and 0 < int(word) <= _MOST for word in words):
        raise UserError(f"--batch takes numbers of pictures from 1 to {_MOST:,}, as 1,32; got {text!r}")
    return tuple(dict.fromkeys(map(int, words)))


def _show(found: "Benchmark") -> None:
    """The table of a benchmark, and what could not be measured."""
    machine = found.as_json()["machine"]
    show(f"{found.name}: {found.parameters:,} parameters, {found.dtype} pictures of "
         f"{' x '.join(map(str, found.shape))}, {found.threads} thread{'s' * (found.threads != 1)} of "
         f"{machine['cores']} on {machine['processor']}")
    print_table(("batch", "what", "p50 ms", "p95 ms", "CPU ms", "pictures/s", "memory MB", "difference", "calls"),
                [_cells(row) for row in found.rows])
    for batch in dict.fromkeys(row.batch for row in found.rows):
        show(_fastest([row for row in found.rows if row.batch == batch]))
    for what, problem in found.problems.items():
        tell_error(f"{what} was not measured: {problem}")


def _cells(row: "LatencyRow") -> list[str]:
    return [str(row.batch), f"{row.what} ({row.how})" if row.how else row.what, f"{1000 * row.p50:,.2f}",
            f"{1000 * row.p95:,.2f}", f"{1000 * row.cpu:,.2f}", f"{row.batch / row.p50:,.1f}",
            "-" if row.memory is None else f"{row.memory / 1e6:,.0f}",
            "-" if row.difference is None else f"{row.difference:.0e}", str(row.calls)]


def _fastest(rows: list["LatencyRow"]) -> str:
    """Which row of a batch is the fastest, and how much faster than the first."""
    from lensmith.training.benchmarked import TRAINING

    answering = [row for row in rows if row.what != TRAINING]
    best, first = min(answering, key=lambda row: row.p50), answering[0]
    than = "" if best is first else f", {first.p50 / best.p50:.2f} times as fast as {first.what}"
    return f"batch {best.batch}: {best.what} is the fastest{than}"
