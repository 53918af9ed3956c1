"""A network in INT8 beside the same in float32: ResNet-18 on CIFAR-10 from JPEG files, both as ONNX files.

    python benchmarks/int8.py [--run RUN] [--backbone NAME] [--epochs N] [--fraction F] [--seconds S]

Trains the backbone (resnet18) on a FRACTION of the 50,000 training pictures of $LENSMITH_DATA/cifar10-jpeg.tar, a
twentieth of them held out, or takes a run on CIFAR-10 that is there. `lensmith export --int8` calibrates on training
pictures and decides by the held-out ones; both files are then measured on the 10,000 test pictures, and timed in turns
for S (20) seconds, one picture at a time. A line of the table is a runtime. Writes results/int8.json.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import torch
from pictures import cifar_archive, unpacked
from results import Row, machine, this_command, write

import lensmith
from lensmith.base.device import multiplies_int8
from lensmith.data.batches.loader import Loader
from lensmith.recipe.make_loaders import make_loaders
from lensmith.recipe.other_data import read_data
from lensmith.ship.compress.paired import PARTS, PairedScore, difference, paired_score
from lensmith.ship.runtimes import RUNTIMES
from lensmith.ship.runtimes.candidates import installed_for_files
from lensmith.ship.runtimes.latency import drawn_batch, latencies
from lensmith.training.exported import export_run
from lensmith.training.from_file import opened
from lensmith.training.quantised import Int8Settings, export_int8
from lensmith.training.trained import Trained, load

BARS = "the bars: at most 0.5 points lost, 3.5 times smaller, 1.3 times as fast where the processor has VNNI"


def trained_run(given: argparse.Namespace, folder: Path, archive: Path | None) -> Path:
    if archive is None:
        return Path(given.run)
    pictures = unpacked(archive, folder / "pictures")
    settings = {"split.valid": 0.05, "loading.fraction": given.fraction, "run.vitals": False}
    return Path(lensmith.train(pictures, backbone=given.backbone, epochs=given.epochs, name="trained",
                               runs=folder / "runs", settings=settings).folder)


def on_test(run: Trained, file: Path, runtime: str) -> PairedScore:
    """What a file scores in a runtime on the run's test pictures."""
    test = make_loaders(run.recipe, read_data(run.recipe, None), run.task)["test"]
    batches = Loader(test.dataset, min(test.batch, len(test.dataset) // PARTS), workers=test.workers)
    network = opened(file, runtime=runtime)
    network.plan.settle()
    return paired_score(network.network, network.task, batches, number=len(batches), plan=network.plan)


def rows_of(run: Trained, files: dict[str, Path], seconds: float) -> list[Row]:
    picture, threads = drawn_batch((1, run.form.channels, *run.form.size), run.form.dtype), torch.get_num_threads()
    runs = {}
    for runtime in installed_for_files():
        opener = RUNTIMES[runtime].open
        assert opener is not None
        runs |= {f"{runtime} {precision}": partial(opener(file, threads, "float32"), picture)
                 for precision, file in files.items()}
    timed = latencies(runs, seconds=seconds)
    sizes = {precision: file.stat().st_size for precision, file in files.items()}
    rows: list[Row] = []
    for runtime in installed_for_files():
        scores = {precision: on_test(run, file, runtime) for precision, file in files.items()}
        lost = difference(scores["int8"], scores["float32"])
        ends = "" if lost.low is None or lost.high is None else f" ({100 * lost.low:+.2f} to {100 * lost.high:+.2f})"
        before, after = (timed[f"{runtime} {precision}"].p50 for precision in ("float32", "int8"))
        rows.append({"runtime": runtime, "float32": round(scores["float32"].score, 4),
                     "INT8": round(scores["int8"].score, 4), "difference, points": f"{100 * lost.value:+.2f}{ends}",
                     "MB float32": round(sizes["float32"] / 1e6, 2), "MB INT8": round(sizes["int8"] / 1e6, 2),
                     "times smaller": round(sizes["float32"] / sizes["int8"], 2), "ms float32": round(1e3 * before, 3),
                     "ms INT8": round(1e3 * after, 3),
                     "times as fast": f"{before / after:.2f}{' (slower)' if after > before else ''}"})
    return rows


def main(given: argparse.Namespace) -> None:
    archive = cifar_archive("int8") if given.run is None else None
    if given.run is None and archive is None:
        return
    about = machine()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run = load(trained_run(given, folder, archive), device="cpu")
        files = {"float32": folder / "float32.onnx", "int8": folder / "int8.onnx"}
        export_run(run, out=files["float32"], tell=print)
        facts = export_int8(run, Int8Settings(lose=0.005), out=files["int8"], tell=print).report["int8"]
        rows = rows_of(run, files, given.seconds)
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    notes = [f"{run.recipe['backbone']['name']} at {run.form.height} x {run.form.width} pixels, "
             f"{torch.get_num_threads()} threads; {len(facts['float32_layers'])} of {facts['layers']} layers stay in "
             f"float32; calibrated on {facts['calibration']} training pictures",
             f"this processor has {'' if multiplies_int8() else 'no '}instructions for INT8; {BARS}"]
    print("\n".join(notes))
    print("written:", write("int8", this_command(), rows, notes, about=about))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--fraction", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    main(parser.parse_args())
