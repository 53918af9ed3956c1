"""A folder of pictures by all defaults, three minutes a whole process: Lensmith beside fastai and Ultralytics.

    python benchmarks/defaults.py [--only SET ...] [--comparison weights|scratch ...] [--program NAME ...]
    python benchmarks/defaults.py --candidates [--only SET ...]

Two comparisons on the sets of classification_sets.py. `weights`: `lensmith train FOLDER --minutes 3`, and fastai's
`vision_learner(...).fine_tune(...)` at 224 pixels from the same ImageNet weights of EfficientNet-lite0. `scratch`:
`lensmith train FOLDER --minutes 3 --scratch`, fastai's `vision_learner(resnet34, pretrained=False)` by `fit_one_cycle`
and Ultralytics' `yolo26n-cls.yaml` with `pretrained=False`, both at the pictures' own size and at most 224.

Every process learns from the train folder and names the classes of the test folder, which no other part of it sees.
The peers' epochs are those that end with the budget, found by a short run that does not count; where not one fits they
get one all the same. fastai learns from all of the train folder and validates nothing; Ultralytics chooses its best
epoch by the tenth of it that Lensmith holds out. Which program begins goes round from set to set.

Each run is a line of results/defaults.jsonl, so that sets and programs can be run apart: the tables are made of the
newest line of each. A budget of other `--minutes` is for trials, and prints alone.

`--candidates` trains each of CANDIDATES on four of the sets and tells the score on a quarter held out of the train
folder (results/defaults-candidates.json); the test folder's is not looked at.
"""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from budget import Pace, pace_of
from classification_sets import NAMES, SETS, Set, pictures_of, written
from defaults_tables import COMPARISONS, Run, add, candidates_table, runs_in, table
from pictures import needed
from results import RESULTS, instructions, machine, newest, this_command, whole_run, write

from lensmith.base.cache_folder import cache_folder
from lensmith.base.device import environment
from lensmith.base.errors import DataError
from lensmith.recipe import schema as recipes
from lensmith.recipe.from_source import recipe_for
from lensmith.recipe.open_data import open_data
from lensmith.recipe.sections import resolve
from lensmith.values.labels import Label

HERE = Path(__file__).resolve().parent
MINUTES = 3.0
WEIGHTS = "weights/tf_efficientnet_lite0_fp16.safetensors"
# At most four candidates of ours in each comparison: a name, and the settings that `lensmith train FOLDER` gets.
CANDIDATES: dict[str, dict[str, list[str]]] = {
    "weights": {"as it is": []},
    "scratch": {"as it is": []},
}
CANDIDATE_SETS = ("pets", "cifar-5000", "fashion-500", "objects")
HELD_OUT = "split.valid=0.25"    # more than the usual tenth, of which so few pictures tell too little
SHORT_RUN, OF_SMALL_ONES = 160, 480    # pictures of the run that does not count, and where they are at most 64 pixels
CORES = os.cpu_count() or 1
# All may use every core, whatever the shell says (Ultralytics by itself takes one thread), and it sends and installs
# nothing.
ENVIRONMENT = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "OMP_NUM_THREADS": str(CORES),
               "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])}
LINES, CANDIDATE_LINES = RESULTS / "defaults.jsonl", RESULTS / "defaults-candidates.jsonl"
JOBS = {"weights": "defaults", "scratch": "defaults-scratch"}    # comparison -> job of report.py
NOTES = {
    "weights": [
        "Lensmith: `lensmith train FOLDER --minutes 3`, its cache empty. fastai: `vision_learner(...).fine_tune(...)` "
        "at 224 pixels, batches of 32, from the same ImageNet weights of EfficientNet-lite0.",
        "The peer's epochs (after one of its head alone) are those that end with three minutes a whole process, test "
        "included, and one where none fits. It learns from all that is not tested, and validates nothing; Lensmith "
        "holds out a tenth of that."],
    "scratch": [
        "Lensmith: `lensmith train FOLDER --minutes 3 --scratch`, its cache empty. fastai: `vision_learner(resnet34, "
        "pretrained=False)` with `aug_transforms()` by `fit_one_cycle`, batches of 64; Ultralytics: "
        "`yolo26n-cls.yaml`, `pretrained=False`, by its defaults, but on both cores; both at the pictures' own size "
        "and at most 224.",
        "The peers' epochs are those that end with three minutes a whole process, test included, and one where none "
        "fits. fastai learns from all that is not tested, and validates nothing; Ultralytics chooses its best epoch by "
        "the tenth of it that Lensmith holds out too."]}
CANDIDATE_NOTE = ("Accuracy on a quarter held out of the train folder, after three minutes; the test folder's was not "
                  "looked at. The pets are those of the first fold.")
Pictures = tuple[list[str], list[str]]    # files, and the class of each


@dataclass(frozen=True)
class Data:
    """A set on the disk; `train` is what the train folder holds, of which Lensmith holds out `valid`."""

    set: Set
    folder: Path
    train: Pictures
    valid: Pictures
    test: Pictures


@dataclass(frozen=True)
class Ended:
    """A program's whole process on a set."""

    seconds: float
    epochs: int
    found: list[str]    # the class that it names of each test picture


def data_of(wanted: Set, folder: Path) -> Data:
    """The set, which is made where it is not yet there; raises DataError where it cannot be."""
    root = written(wanted.items(), folder / wanted.folder_name)
    source = open_data(resolve(recipe_for(root), trusted=False)).splits["valid"]
    ((name, labels),) = source.targets.items()
    assert isinstance(labels, Label)
    held_out = ([str(root / source.place(i).file) for i in range(len(source))],
                [source.classes[name][number] for number in labels.index.tolist()])
    return Data(wanted, root, pictures_of(root, "train"), held_out, pictures_of(root, "test"))


def lensmith_train(data: Data, minutes: float, settings: list[str], folder: Path) -> tuple[float, Path]:
    """Seconds of a whole `lensmith train` with an empty cache, as in a first try, and its run folder."""
    ended = whole_run([sys.executable, "-m", "lensmith", "train", str(data.folder), "--minutes", f"{minutes:g}",
                       *settings, "--seed", str(data.set.fold or 0), "--runs", str(folder / "runs"), "--quiet",
                       "--json"], {**ENVIRONMENT, "LENSMITH_CACHE": str(folder / "cache")})
    return ended.seconds, newest(folder / "runs")


def ours(data: Data, comparison: str, minutes: float, folder: Path) -> Ended:
    """What Lensmith takes and finds: it tests by itself, and `lensmith predict` tells of each picture afterwards."""
    seconds, run = lensmith_train(data, minutes, ["--scratch"] if comparison == "scratch" else [], folder)
    named = whole_run([sys.executable, "-m", "lensmith", "predict", str(run), *data.test[0], "--json"], ENVIRONMENT)
    by_file = {row["file"]: row["label"] for row in json.loads(named.output)}
    found = [by_file[file] for file in data.test[0]]
    told = json.loads((run / "metrics.json").read_text())["test"]["accuracy_top1"]
    if abs(told - _accuracy(found, data)) > 0.005:
        print(f"lensmith train told a test accuracy of {told:.4f}, and predict reaches {_accuracy(found, data):.4f}")
    return Ended(seconds, _epochs(run), found)


def job_of(program: str, comparison: str, data: Data) -> dict[str, Any]:
    """What a peer is told beside its epochs and its files."""
    if program == "Ultralytics":
        held_out = set(data.valid[0])
        kept = [pair for pair in zip(*data.train, strict=True) if pair[0] not in held_out]
        return {"module": "peers.ultralytics_classifier", "model": "yolo26n-cls.yaml", "valid": data.valid,
                "train": tuple(list(column) for column in zip(*kept, strict=True)), "size": data.set.size}
    tuned = comparison == "weights"
    return {"module": "peers.fastai_tuner", "network": "tf_efficientnet_lite0" if tuned else "resnet34",
            "weights": str(needed(WEIGHTS)) if tuned else None, "size": 224 if tuned else data.set.size,
            "batch": 32 if tuned else 64, "augment": not tuned, "train": data.train, "workers": CORES}


def peer_run(job: dict[str, Any], epochs: int, seed: int) -> tuple[float, dict[str, Any]]:
    """Seconds of a peer's whole process, and its answer."""
    with tempfile.TemporaryDirectory() as place:
        told, answer = Path(place) / "job.json", Path(place) / "answer.json"
        told.write_text(json.dumps(job | {"epochs": epochs, "seed": seed, "scratch": place, "answer": str(answer)}))
        ended = whole_run([sys.executable, "-m", job["module"], str(told)],
                          {**ENVIRONMENT, "YOLO_CONFIG_DIR": place, "PYTHONWARNINGS": "ignore"})
        return ended.seconds, json.loads(answer.read_text())


def calibrated(job: dict[str, Any], test: Pictures, seed: int) -> Pace:
    """The pace of a peer, from one epoch on some of the pictures, or two where there is none of the head before."""
    with_head = job.get("weights") is not None
    count = SHORT_RUN if job["size"] > 64 else OF_SMALL_ONES
    small = {part: _some(job[part], max(1, round(count * len(job[part][0]) / len(job["train"][0]))))
             for part in ("train", "valid") if part in job}
    asked = _some(test, count // 4)
    seconds, answer = peer_run(job | small | {"test": asked}, 1 if with_head else 2, seed)
    return pace_of(answer, seconds, train=len(small["train"][0]), test=len(asked[0]), with_head=with_head)


def peer(data: Data, program: str, comparison: str, minutes: float, paces: dict[Any, Pace]) -> Ended:
    """What a peer takes and finds; `paces` are those known so far, by program, comparison and size."""
    job, seed = job_of(program, comparison, data), data.set.fold or 0
    key = (program, comparison, job["size"])
    if key not in paces:
        paces[key] = calibrated(job, data.test, seed)
    epochs = paces[key].epochs(60 * minutes, train=len(job["train"][0]), test=len(data.test[0]))
    seconds, answer = peer_run(job | {"test": data.test}, epochs, seed)
    return Ended(seconds, epochs, answer["found"])


def measured(data: Data, asked: argparse.Namespace, paces: dict[Any, Pace]) -> None:
    """Run every program that is asked for on a set, beginning with another one on each set."""
    pairs = [(comparison, program) for comparison, programs in COMPARISONS.items() for program in programs]
    turn = SETS.index(data.set) % len(pairs)
    for comparison, program in pairs[turn:] + pairs[:turn]:
        if comparison not in asked.comparison or program not in asked.program:
            continue
        with tempfile.TemporaryDirectory() as place:
            ended = ours(data, comparison, asked.minutes, Path(place)) if program == "Lensmith" else \
                peer(data, program, comparison, asked.minutes, paces)
        print(f"{data.set.folder_name}, {comparison}, {program}: accuracy {_accuracy(ended.found, data):.4f}, "
              f"{ended.epochs} epochs, {ended.seconds:.1f} s", flush=True)
        right = "".join(str(int(one == true)) for one, true in zip(ended.found, data.test[1], strict=True))
        run = Run(data.set.name, data.set.fold, comparison, program, round(ended.seconds, 1), ended.epochs,
                  len(data.train[0]), right, *_when_and_where())
        if asked.minutes == MINUTES:
            add(run, LINES)


def candidates(data: Data, asked: argparse.Namespace) -> None:
    """Run every candidate on a set."""
    for comparison in asked.comparison:
        for name, settings in CANDIDATES[comparison].items():
            flags = ["--scratch"] if comparison == "scratch" else []
            with tempfile.TemporaryDirectory() as place:
                seconds, folder = lensmith_train(data, asked.minutes, [*flags, HELD_OUT, *settings], Path(place))
                valid = json.loads((folder / "metrics.json").read_text())["valid"]["accuracy_top1"]
                epochs = _epochs(folder)
            print(f"{data.set.folder_name}, {comparison}, {name}: valid accuracy {valid:.4f}, {epochs} epochs, "
                  f"{seconds:.1f} s", flush=True)
            run = Run(data.set.name, data.set.fold, comparison, name, round(seconds, 1), epochs, len(data.train[0]), "",
                      *_when_and_where(), valid=valid)
            if asked.minutes == MINUTES:
                add(run, CANDIDATE_LINES)


def write_tables(asked: argparse.Namespace) -> None:
    """The tables of all runs so far, this one's among them."""
    about = machine()
    if asked.candidates:
        rows = [row for comparison, named in CANDIDATES.items()
                for row in candidates_table(runs_in(CANDIDATE_LINES), comparison, list(named), CANDIDATE_SETS)]
        told = [f"{comparison}, {name}: `{' '.join(settings)}`" for comparison, named in CANDIDATES.items()
                for name, settings in named.items() if settings]
        write("defaults-candidates", this_command(), rows, [CANDIDATE_NOTE, *told], about=about)
        return
    for comparison in COMPARISONS:
        rows, notes = table(runs_in(LINES), comparison)
        if rows:
            print("\n".join(notes))
            write(JOBS[comparison], f"python benchmarks/defaults.py --comparison {comparison}", rows,
                  [*notes, *NOTES[comparison]], about=about)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    programs = sorted({program for several in COMPARISONS.values() for program in several})
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="SET", help=", ".join(NAMES))
    parser.add_argument("--comparison", nargs="+", choices=tuple(COMPARISONS), default=tuple(COMPARISONS))
    parser.add_argument("--program", nargs="+", choices=programs, default=programs, metavar="NAME",
                        help=", ".join(programs))
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of each whole process")
    parser.add_argument("--candidates", action="store_true", help="compare candidates of ours by what is held out")
    asked = parser.parse_args()
    paces: dict[Any, Pace] = {}
    reached = False
    for one in SETS:
        if one.name not in asked.only or (asked.candidates and (one.name not in CANDIDATE_SETS or one.fold)):
            continue
        try:
            data = data_of(one, cache_folder() / "benchmarks")
            if asked.candidates:
                candidates(data, asked)
            else:
                measured(data, asked, paces)
            reached = True
        except DataError as error:
            print(f"{one.folder_name} was not measured: {error}")
    if reached and asked.minutes == MINUTES:
        write_tables(asked)


def _accuracy(found: list[str], data: Data) -> float:
    return sum(one == true for one, true in zip(found, data.test[1], strict=True)) / len(found)


def _epochs(run: Path) -> int:
    return int(recipes.read_recipe(run / "recipe.toml")["learner"]["epochs"])


def _some(pictures: Pictures, count: int) -> Pictures:
    """So many of the pictures, or all, evenly from their whole list, which is in the order of the classes."""
    numbers = [number * len(pictures[0]) // count for number in range(count)] if count < len(pictures[0]) else \
        range(len(pictures[0]))
    return [pictures[0][number] for number in numbers], [pictures[1][number] for number in numbers]


def _when_and_where() -> tuple[str, str]:
    """The date, and the machine in a phrase."""
    return (datetime.now(UTC).isoformat(timespec="seconds"),
            f"{environment()['processor']}, {CORES} cores, {instructions()}")


if __name__ == "__main__":
    main()
