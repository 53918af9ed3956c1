"""Training side by side: six networks, the same data, batch and seed, in Lensmith and in its peers, in turn.

    python benchmarks/throughput.py [--rounds 5] [--networks resnet18-224,...] [--programs plain PyTorch,...]
                                    [--isa avx2] [--add] [--quick] [--no-write]

Every program is a process of its own that trains whole epochs when it is its turn and is stopped while others run;
after one epoch of each that is not counted, a round measures one of each. A ratio is Lensmith's pictures a second
through the program's in the same round; the table has the median of the rounds. --isa avx2 hides AVX-512 and AMX from
all of them. --add keeps the results of the networks that are not asked for, where they are of the same machine and
versions, so that the heavy ones can be run apart. --quick is for a look at whether all runs: three batches an epoch,
one round; nothing is written.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from pictures import CLASSES, class_folders, fashion
from results import AVX2, former, machine_under, merged, rates_in_words, this_command, write
from turns import Failed, Program, end_gently, in_turn, stage

from lensmith.base.errors import UserError

# name -> (its module, the package that it needs)
PROGRAMS = {
    "Lensmith": ("peers.lensmith_learner", "lensmith"), "plain PyTorch": ("peers.plain_pytorch", "torch"),
    "Lightning": ("peers.lightning_trainer", "lightning"), "fastai": ("peers.fastai_learner", "fastai"),
    "Ultralytics": ("peers.ultralytics_trainer", "ultralytics"),
}
EPOCHS = 50     # of the run that Lensmith is told to plan for: it spends a share of the expected time on timing
WORKERS = 2     # of the peers' loaders: one a core


@dataclass(frozen=True)
class Case:
    """A network at a size, with what it is trained on; an epoch takes plain PyTorch several seconds on two cores."""

    network: str
    size: int
    data: str          # fashion, cifar or photos
    pictures: int      # in an epoch: whole batches
    batch: int
    small_stem: bool = False

    def job(self, folder: Path) -> dict[str, Any]:
        """What a program is told; its pictures are in <folder>/data."""
        return {"network": self.network, "size": self.size, "channels": 1 if self.data == "fashion" else 3,
                "data": self.data, "pictures": self.pictures, "batch": self.batch, "small_stem": self.small_stem,
                "folder": str(folder / "data"), "scratch": str(folder / "scratch"), "classes": CLASSES, "seed": 0,
                "workers": WORKERS, "epochs": EPOCHS, "plan": {}}

    def in_words(self, pictures: str) -> str:
        """What it is, trained on these pictures."""
        stem = f" with a {'3x3 stem and no max-pool' if self.small_stem else 'stem as torchvision has it'}"
        return (f"{self.network}{stem if self.network.startswith('resnet') else ''}, {pictures} at {self.size}x"
                f"{self.size}, {self.pictures:,} an epoch, batch {self.batch}")


CASES = {
    "lenet": Case("lenet", 28, "fashion", 25_600, 64),
    "cnn3": Case("cnn3", 32, "cifar", 6_400, 64),
    "resnet18-32": Case("resnet18", 32, "cifar", 2_560, 64),
    "resnet18-32-small-stem": Case("resnet18", 32, "cifar", 320, 64, small_stem=True),
    "resnet18-224": Case("resnet18", 224, "photos", 96, 32),
    "mobilenet_v3_small-224": Case("mobilenet_v3_small", 224, "photos", 384, 32),
    "vgg16-64": Case("vgg16", 64, "cifar", 128, 32),
}


def place_pictures(case: Case, folder: Path) -> str:
    """Put the pictures of a case into <folder>/data; -> what they are. Raises UserError where they cannot be had."""
    if case.data == "fashion":
        fashion(folder / "data")
        return "Fashion-MNIST"
    return class_folders(case.data, case.pictures, folder / "data")


def start(label: str, names: list[str], job: dict[str, Any], environment: dict[str, str], folder: Path,
          notes: list[str]) -> Iterator[Program]:
    """The programs, each ready for its first epoch. A peer that fails is told in `notes` and left out; where Lensmith
    does, Failed is raised."""
    for name in names:
        module, package = PROGRAMS[name]
        if find_spec(package) is None:
            notes.append(f"{name} was not run: {package} is not installed")
        elif name == "Ultralytics" and job["data"] == "fashion":
            notes.append(f"{label}: {name} was not run, since its loader takes class folders")
        else:
            try:
                yield Program(name, module, job, environment=environment, log=folder / f"{name}.log")
            except Failed as error:
                if name == "Lensmith":
                    raise
                notes.append(f"{label}: {error}")


def compare(label: str, case: Case, names: list[str], rounds: int, environment: dict[str, str],
            notes: list[str]) -> list[dict[str, Any]]:
    """The rows of one case."""
    try:
        with stage() as (folder, programs):
            what = place_pictures(case, folder)
            own = environment | {
                # The plan is picked anew, as on a machine that has never seen this network.
                "LENSMITH_CACHE": str(folder / "cache"),
                "YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_CONFIG_DIR": str(folder),
            }
            for program in start(label, names, case.job(folder), own, folder, notes):
                programs.append(program)    # one by one, so that those that run are ended when a later one is cut off
            rates = in_turn(programs, rounds)
            notes.append(f"{label}: {case.in_words(what)}")
            return [_row(label, program, [rate[number] for rate in rates], [rate[0] for rate in rates])
                    for number, program in enumerate(programs)]
    except (Failed, UserError) as error:
        notes.append(f"{label}: not measured: {error}")
        return []


def _row(label: str, program: Program, rates: list[float], first: list[float]) -> dict[str, Any]:
    ratios = [one / other for one, other in zip(first, rates, strict=True)]
    is_first = first == rates
    return {
        "network": label, "program": program.name, "pictures/s": round(median(rates), 1),
        "Lensmith faster by": None if is_first else round(median(ratios), 2),
        "least": None if is_first else round(min(ratios), 2), "most": None if is_first else round(max(ratios), 2),
        "rounds": len(rates),
        "start s": round(program.start_seconds, 1), "peak MB": round(program.memory),
        "plan": program.told.get("plan_in_words", "float32"), "timing s": program.told.get("plan_seconds"),
    }


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--rounds", type=int, default=5)
    reader.add_argument("--networks", default=",".join(CASES), help=f"some of {', '.join(CASES)}")
    reader.add_argument("--programs", default=",".join(PROGRAMS), help=f"Lensmith and some of {', '.join(PROGRAMS)}")
    reader.add_argument("--isa", choices=["avx2"])
    reader.add_argument("--add", action="store_true", help="to the results of other networks")
    reader.add_argument("--quick", action="store_true")
    reader.add_argument("--no-write", action="store_true")
    asked = reader.parse_args()
    end_gently()
    environment = AVX2 if asked.isa else {}
    names = ["Lensmith", *(name for name in asked.programs.split(",") if name != "Lensmith")]
    cases, rounds = {name: CASES[name] for name in asked.networks.split(",")}, asked.rounds
    if asked.quick:
        cases, rounds = {name: replace(case, pictures=3 * case.batch) for name, case in cases.items()}, 1
    rows: list[dict[str, Any]] = []
    notes = ["Each ratio is the median of the rounds. A program's start is from its process's first moment to its "
             "first epoch; Lensmith's holds the decoding of its pictures and the timing of its plan (timing s), "
             f"for a run of {EPOCHS} epochs. Peers: float32, {WORKERS} workers, per-picture transforms (Ultralytics by "
             "itself loads without workers on a CPU, and leaves one core out). Augmentation, validation, checkpoints "
             "and progress bars are off in all"]
    about = None if asked.quick else machine_under(environment)
    job = "throughput" + (f"-{asked.isa}" if asked.isa else "")
    old = former(job, about) if asked.add and about is not None else {}
    for label, case in cases.items():
        if about is not None:
            notes.append(f"{label}: right before, {rates_in_words(machine_under(environment))}")
        made = compare(label, case, names, rounds, environment, notes)
        rows += made
        for row in made:
            print("  ".join(f"{key} {value}" for key, value in row.items() if value is not None), flush=True)
    print("\n".join(notes))
    if rows and about is not None and not asked.no_write:
        print("written:", write(job, *merged(old, this_command(), rows, notes), about=about))


if __name__ == "__main__":
    main()
