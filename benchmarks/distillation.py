"""A small network that learns from a larger one, beside the same network alone: CIFAR-10 from JPEG files.

    python benchmarks/distillation.py [seeds] [--pictures N] [--epochs N] [--teacher RUN] [--search]

Takes the first N (10,000) training pictures of $LENSMITH_DATA/cifar10-jpeg.tar, as many of each class, and its 10,000
test pictures. Trains the teacher once, or takes the run given, and then `seeds` (3) times the student alone and from
the teacher, with the same seed, pictures, steps and augmentation. A line of the table is a seed; the note has the mean
difference with its 95 % interval over the seeds (Student's t). Writes results/distillation.json.

--search: other weights and temperatures than the defaults of `learner.teacher_weight` and `learner.temperature`, each
with the same seeds, which are not those of the comparison. The table then has a line for each, and
is results/distillation-search.json.
"""

import argparse
import json
import math
import statistics
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from pictures import cifar_archive, unpacked
from results import Row, machine, this_command, whole_run, write

_CONV = "{{conv = {}, kernel = 3, padding = 1, bias = false}}"
TEACHER = [32, 64, 128]
STUDENT = [8, 16, 32]
WEIGHTS, TEMPERATURES = (0.5, 0.9, 1.0), (1.0, 2.0, 4.0, 8.0)
_OTHERS = 100    # the first seed of the search
_T_QUANTILE = {2: 12.71, 3: 4.303, 4: 3.182, 5: 2.776}    # of Student's t by the number of seeds, 95 % two-sided


def layers(widths: list[int]) -> str:
    """A network of three convolutions, the first two of them pooled."""
    parts = []
    for number, width in enumerate(widths):
        parts += [_CONV.format(width), *(["{maxpool = 2}"] if number < 2 else []), '"batchnorm"', '"relu"']
    return f'backbone.layers=[{", ".join(parts)}, {{globalpool = "mean"}}]'


def first_pictures(members: Iterable[tarfile.TarInfo], of_class: int) -> Iterator[tarfile.TarInfo]:
    """The test pictures, and as many training pictures of each class."""
    counted: Counter[str] = Counter()
    for member in sorted((one for one in members if one.isfile()), key=lambda one: one.name):
        split, name = Path(member.name).parts[-3:-1]
        counted[name] += split == "train"
        if split != "train" or counted[name] <= of_class:
            yield member


def accuracy(folder: Path, name: str, widths: list[int], epochs: int, *settings: str) -> float:
    """What a run of this name scores on the test pictures; it is trained below `folder`, unless it is there."""
    run = folder / "runs" / name
    if not (run / "metrics.json").is_file():
        whole_run([sys.executable, "-m", "lensmith", "train", str(folder / "pictures"), "--backbone", "stack",
                   layers(widths), "--epochs", str(epochs), "--batch", "128", "split.valid=0.0", "run.vitals=false",
                   "plan.precision=float32", "plan.layout=channels_last", "plan.compiled=false", "plan.threads=1",
                   *settings, "--name", name, "--runs", str(folder / "runs"), "--json", "--quiet"],
                  {"LENSMITH_CACHE": str(folder / "cache")})
    found: float = json.loads((run / "metrics.json").read_text())["test"]["accuracy_top1"]
    return found


def taught(folder: Path, teacher: Path, seed: int, epochs: int, **settings: float) -> float:
    """What the student scores that learns from the teacher."""
    name = "-".join([f"taught-{seed}", *(f"{value:g}" for value in settings.values())])
    return accuracy(folder, name, STUDENT, epochs, "--seed", str(seed), "--teacher", str(teacher),
                    *(f"learner.{key}={value}" for key, value in settings.items()))


def with_interval(differences: list[float]) -> str:
    """`+1.84 points (+1.10 to +2.58)`: the mean over the seeds."""
    mean = statistics.mean(differences)
    if len(differences) not in _T_QUANTILE:
        return f"{100 * mean:+.2f} points"
    half = _T_QUANTILE[len(differences)] * statistics.stdev(differences) / math.sqrt(len(differences))
    return f"{100 * mean:+.2f} points ({100 * (mean - half):+.2f} to {100 * (mean + half):+.2f})"


def compare(folder: Path, teacher: Path, seeds: int, epochs: int) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    for seed in range(seeds):
        alone = accuracy(folder, f"alone-{seed}", STUDENT, epochs, "--seed", str(seed))
        beside = taught(folder, teacher, seed, epochs)
        rows.append({"seed": seed, "alone": alone, "from the teacher": beside,
                     "difference, points": round(100 * (beside - alone), 2)})
        print(rows[-1], flush=True)
    differences = [float(row["difference, points"] or 0) / 100 for row in rows]
    return rows, [f"from the teacher less alone: {with_interval(differences)}, of {seeds} seeds"]


def search(folder: Path, teacher: Path, seeds: int, epochs: int) -> tuple[list[Row], list[str]]:
    several = range(_OTHERS, _OTHERS + seeds)
    alone = [accuracy(folder, f"alone-{seed}", STUDENT, epochs, "--seed", str(seed)) for seed in several]
    rows: list[Row] = []
    for weight in WEIGHTS:
        for temperature in TEMPERATURES:
            found = [taught(folder, teacher, seed, epochs, teacher_weight=weight, temperature=temperature)
                     for seed in several]
            differences = [100 * (ours - others) for ours, others in zip(found, alone, strict=True)]
            rows.append({"teacher_weight": weight, "temperature": temperature,
                         "accuracy": round(statistics.mean(found), 4),
                         "difference to alone, points": round(statistics.mean(differences), 2),
                         "least": round(min(differences), 2), "most": round(max(differences), 2)})
            print(rows[-1], flush=True)
    return rows, [f"alone the student scores {statistics.mean(alone):.4f}, the mean of {seeds} seeds"]


def main(given: argparse.Namespace) -> None:
    if (archive := cifar_archive("distillation")) is None:
        return
    about = machine()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        unpacked(archive, folder / "pictures", lambda opened: first_pictures(opened, given.pictures // 10))
        teacher = given.teacher or folder / "runs" / "teacher"
        if given.teacher is None:
            accuracy(folder, "teacher", TEACHER, given.teacher_epochs)
        theirs = json.loads((teacher / "metrics.json").read_text())["test"]["accuracy_top1"]
        rows, notes = (search if given.search else compare)(folder, teacher, given.seeds, given.epochs)
    notes += [f"the teacher, of {TEACHER} channels, scores {theirs:.4f}; the student has {STUDENT}; {given.pictures:,} "
              f"training pictures, {given.epochs} epochs"]
    print("\n".join(notes))
    print("written:", write("distillation-search" if given.search else "distillation", this_command(), rows, notes,
                            about=about))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", nargs="?", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--teacher-epochs", type=int, default=12)
    parser.add_argument("--teacher", type=Path)
    parser.add_argument("--search", action="store_true")
    main(parser.parse_args())
