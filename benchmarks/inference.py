"""What `--runtime auto` takes beside the same networks called by hand: PyTorch, its compiler, onnxruntime and OpenVINO.

    python benchmarks/inference.py [--rounds 15] [--networks resnet18,...] [--batches 1,32] [--compiled 1] [--add]

Seven networks with chance weights, and YOLO-Fastest 1.1 with its own where $LENSMITH_DATA/darknet is there. Every
program begins with a batch of bytes and ends with decoded answers; files are those of `lensmith export`, computed in
float32. By hand means as each one's page says: PyTorch in eval and inference mode, in its own layout, with nothing
folded; compiled is torch.compile of the same; the others with as many threads as PyTorch takes. OMP_NUM_THREADS sets
these. In each round every program answers once; a ratio is of one round, and the median of them is given, by the time
that passed and by the CPU time of all threads, which is steadier on a machine that others use. --compiled names the
batches for which PyTorch compiles, a minute or more each. Writes results/inference.json.
"""

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from results import former, machine, merged, this_command, write

import lensmith
from lensmith.base.pictures import Form
from lensmith.engine.plan.plan import make_plan
from lensmith.engine.run_folder import Run
from lensmith.recipe.build_network import build_network
from lensmith.recipe.choose_task import choose_task
from lensmith.recipe.defaults import complete
from lensmith.recipe.schema import NO_DATA
from lensmith.recipe.sections import resolve
from lensmith.ship.export.in_graph import judged
from lensmith.ship.runtimes import RUNTIMES
from lensmith.ship.runtimes.file_network import FileTask
from lensmith.ship.runtimes.latency import Took, drawn_batch, in_turn
from lensmith.training.from_file import fastest_of_run, file_runtimes, run_in_a_file
from lensmith.training.trained import Trained

HAND = ("eager", "compiled", "onnxruntime", "openvino")
Program = Callable[[], object]


@dataclass(frozen=True)
class Job:
    """A network that is timed: a backbone for a task, at a size."""

    backbone: str
    task: str
    size: int
    target: str
    classes: int


JOBS = {
    "resnet18": Job("resnet18", "classification", 224, "label", 1000),
    "mobilenet_v3_small": Job("mobilenet_v3_small", "classification", 224, "label", 1000),
    "efficientnet_lite0": Job("efficientnet_lite0", "classification", 224, "label", 1000),
    "vgg16": Job("vgg16", "classification", 224, "label", 1000),
    "detection": Job("csp", "detection", 320, "boxes", 20),
    "unet": Job("resnet18", "segmentation", 256, "mask", 3),
}
YOLO = "yolo-fastest"


def made(job: Job, folder: Path) -> Trained:
    """The network with its first weights, as if it had been trained."""
    classes = {job.target: tuple(f"class {number}" for number in range(job.classes))}
    form = Form(3, job.size, job.size)
    settings: Any = {"data": {"name": NO_DATA}, "backbone": {"name": job.backbone}, "task": {"name": job.task},
                     "pictures": {"size": job.size, "channels": 3, "bits": 8}}
    recipe = complete(resolve(settings, trusted=False, brought=["data"]), classes, form)
    task = choose_task(recipe, classes)
    torch.manual_seed(0)
    network = build_network(recipe, task, form, outputs=job.classes, mean=[120.0] * 3, deviation=[60.0] * 3).eval()
    return Trained(Run(folder), recipe, network, task, classes, form, make_plan(device="cpu", layout="contiguous"))


def yolo() -> Trained:
    folder = Path(os.environ.get("LENSMITH_DATA", "")) / "darknet"
    return lensmith.darknet(folder / "yolo-fastest-1.1.cfg", folder / "yolo-fastest-1.1.weights", folder / "coco.names")


def by_hand(trained: Trained, batch: torch.Tensor, *, compiled: bool) -> dict[str, Program]:
    """What a user writes without Lensmith around its network and its file."""
    network, task, threads = trained.network, judged(trained.task), torch.get_num_threads()
    programs: dict[str, Program] = {"eager": lambda: task.decode(network(batch))}
    if compiled:
        fast = torch.compile(network, dynamic=False)
        programs["compiled"] = lambda: task.decode(fast(batch))
    file, checked = run_in_a_file(trained, file_runtimes())
    facts = checked.facts
    for name in checked.runtimes:
        opener = RUNTIMES[name].open
        assert opener is not None
        run, reading = opener(file, threads, "float32"), FileTask(trained.task, facts)
        programs[name] = lambda run=run, reading=reading: reading.decode(run(batch))    # type: ignore[misc]
    return programs


def settled(threads: int, program: Program) -> object:
    """The program with as many threads of PyTorch's as a user has: another one may have set them."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return program()


@torch.inference_mode()
def measured(name: str, trained: Trained, count: int, rounds: int, *, compiled: bool) -> dict[str, Any]:
    """A row of the table: medians of every program, and how many times as fast auto is."""
    threads = torch.get_num_threads()
    batch = drawn_batch((count, trained.form.channels, *trained.form.size), trained.form.dtype)
    programs = by_hand(trained, batch, compiled=compiled)
    told: list[str] = []
    fastest = fastest_of_run(trained, trained.plan, told.append)
    programs["auto"] = lambda: fastest.task.decode(fastest.network(batch))
    began = time.perf_counter()
    programs["auto"]()
    choosing = time.perf_counter() - began
    runs = {one: partial(settled, threads, program) if one in ("eager", "compiled") else program
            for one, program in programs.items()}
    calls: dict[str, list[Took]] = {one: [] for one in runs}
    while len(calls["auto"]) < rounds:
        for one, took in in_turn(runs, seconds=0.0).items():
            calls[one] += took
    torch.set_num_threads(threads)
    row: dict[str, Any] = {"network": name, "batch": count,
                           "auto": told[-1].removeprefix("runtime ").partition(" for ")[0]}
    for number, clock in enumerate(("ms", "CPU ms")):
        for one in (*HAND, "auto"):
            row[f"{one} {clock}"] = rounded(1000 * statistics.median(took[number] for took in calls[one])) \
                if one in calls else None
    for number, clock in enumerate(("time", "CPU")):
        hand = [one for one in HAND if one in calls]
        best = min(hand, key=lambda one: statistics.median(took[number] for took in calls[one]))
        row[f"of the fastest, {clock}"] = ratio(calls[best], calls["auto"], number)
        row[f"over eager, {clock}"] = ratio(calls["eager"], calls["auto"], number)
    row["choosing s"] = round(choosing, 1)
    return row


def ratio(others: Sequence[Took], own: Sequence[Took], number: int) -> float:
    """How many times as fast as the others: the median over the rounds."""
    return round(statistics.median(other[number] / one[number] for other, one in zip(others, own, strict=True)), 3)


def rounded(number: float) -> float:
    return float(f"{number:.3g}")


def summary(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The bars in words."""
    notes = []
    for clock, words in (("time", "time that passed"), ("CPU", "CPU time")):
        ratios = [float(row[f"of the fastest, {clock}"]) for row in rows]
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        low = min(rows, key=lambda row: row[f"of the fastest, {clock}"])
        least = f"{low[f'of the fastest, {clock}']} ({low['network']}, batch {low['batch']})"
        notes.append(f"by {words} auto has {mean:.3f} of the speed of the fastest called by hand, in the geometric "
                     f"mean of {len(ratios)} rows; the least is {least}")
    return notes


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rounds", type=int, default=15)
    arguments.add_argument("--networks", default=",".join([*JOBS, YOLO]))
    arguments.add_argument("--batches", default="1,32")
    arguments.add_argument("--compiled", default="1")
    arguments.add_argument("--add", action="store_true")
    asked = arguments.parse_args()
    about = machine(512, 0.2)
    old = former("inference", about) if asked.add else {}
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        for name in asked.networks.split(","):
            if name == YOLO and not (Path(os.environ.get("LENSMITH_DATA", "")) / "darknet").is_dir():
                print(f"{name} was not measured: set LENSMITH_DATA to the folder that holds darknet")
                continue
            trained = yolo() if name == YOLO else made(JOBS[name], Path(folder))
            for count in map(int, asked.batches.split(",")):
                rows.append(measured(name, trained, count, asked.rounds,
                                     compiled=str(count) in asked.compiled.split(",")))
                print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
                command, all_rows, _ = merged_by_batch(old, rows)
                write("inference", command, all_rows, summary(all_rows), about=about)


def merged_by_batch(old: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> tuple[str, list[Any], list[str]]:
    """`merged`, where a row is of a network and a batch."""
    def keyed(row: Mapping[str, Any]) -> dict[str, Any]:
        return {**row, "network": f"{row['network']} {row['batch']}"}

    named = {**old, "rows": [keyed(row) for row in old["rows"]]} if old else {}
    command, found, notes = merged(named, this_command(), [keyed(row) for row in rows], [])
    return command, [{**row, "network": str(row["network"]).rpartition(" ")[0]} for row in found], notes


if __name__ == "__main__":
    main()
