"""What it costs to look at a network between the steps of its training: processor time and peak memory.

    python benchmarks/vitals.py [--rounds 3] [--no-write]

The networks and their pictures are those of throughput.py, trained as `lensmith train` does. CPU time: in one run, the
seconds of the processor that looking, writing what was seen and judging it took, of those of the whole process, all
threads of both; the largest of the rounds. Memory: the most that a process held which looks after every second step,
beside one that never looks; a run of few steps, in which by itself there would be no time for it.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from results import this_command, whole_run, write
from throughput import CASES, place_pictures

_STEPS = 6      # of a run whose memory is measured
TIMED = {"lenet": 2, "resnet18-32": 1}    # network of throughput.py -> epochs
HELD = ("lenet", "resnet18-32", "vgg16-64")


def recipe(name: str, folder: Path, *, watched: bool, epochs: int, fraction: float = 1.0) -> dict[str, Any]:
    """The recipe of a run of the network `name` on a fraction of the pictures in `folder`."""
    case = CASES[name]
    data = {"name": "fashion-mnist"} if case.data == "fashion" else {"name": "folder", "path": f"{folder}/data/train"}
    fraction *= case.pictures / 60_000 if case.data == "fashion" else 1.0
    return {"run": {"vitals": watched}, "data": data, "split": {"valid": 0.0, "test": 0.0}, "augment": {},
            "pictures": {"size": case.size}, "loading": {"batch": case.batch, "fraction": fraction},
            "backbone": {"name": case.network}, "task": {"name": "classification"},
            "optimizer": {"name": "sgd", "rate": 0.01}, "learner": {"epochs": epochs}, "plan": {"mode": "exact"}}


def train_here(settings: dict[str, Any], runs: Path, *, always: bool) -> dict[str, Any]:
    """Train in this process, looking after every second step where `always`; -> the seconds of its processor, those of
    looking, and how often it looked."""
    from lensmith.engine.vitals import Vitals  # the parent, which waits, needs no torch
    from lensmith.training.begin_or_resume import begin_session

    if always:
        Vitals._is_time = lambda self, report, now: True    # type: ignore[method-assign]
    session, spent = begin_session(settings, runs=runs), [0.0]

    def timed(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            began = time.process_time()
            try:
                return work(*arguments)
            finally:
                spent[0] += time.process_time() - began
        return call

    for name in ("_look", "_grave_fault"):
        setattr(session, name, timed(getattr(session, name)))
    for _ in session:
        pass
    seen = session.run.facts("vitals.json")
    return {"cpu": time.process_time(), "looking": spent[0], "looks": len(seen.get("rows", ())),
            "note": seen.get("note", "")}


def measured(settings: dict[str, Any], runs: Path, *, always: bool = False) -> tuple[dict[str, Any], float]:
    """What a process of its own tells of its training, and the most memory that it held, in MB."""
    job = json.dumps({"settings": settings, "runs": str(runs), "always": always})
    ended = whole_run([sys.executable, __file__, "--one", job], {})
    told = json.loads(ended.output.splitlines()[-1])
    if told["note"]:
        sys.exit(f"{settings['backbone']['name']} was not looked at to the end: {told['note']}")
    return told, ended.megabytes


def of_time(name: str, folder: Path, rounds: int) -> dict[str, Any]:
    """The columns of CPU time of a network."""
    told = [measured(recipe(name, folder, watched=True, epochs=TIMED[name]), folder / f"timed-{number}")[0]
            for number in range(rounds)]
    return {"CPU s": round(median(found["cpu"] for found in told), 1),
            "looks": round(median(found["looks"] for found in told)),
            "% of the CPU time": round(100 * max(found["looking"] / found["cpu"] for found in told), 2)}


def of_memory(name: str, folder: Path, rounds: int) -> dict[str, Any]:
    """The columns of memory of a network."""
    case, most = CASES[name], {True: list[float](), False: list[float]()}
    fraction = min(1.0, _STEPS * case.batch / case.pictures)
    for number in range(rounds):
        for watched, peaks in most.items():
            settings = recipe(name, folder, watched=watched, epochs=1, fraction=fraction)
            peaks.append(measured(settings, folder / f"held-{number}-{watched}", always=True)[1])
    pairs = list(zip(most[True], most[False], strict=True))
    return {"peak MB": round(median(most[True])), "without looking": round(median(most[False])),
            "times": round(median(one / other for one, other in pairs), 3)}


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--rounds", type=int, default=3)
    reader.add_argument("--one", metavar="JOB", help=argparse.SUPPRESS)
    reader.add_argument("--networks", default=",".join(HELD), help=f"some of {', '.join(HELD)}")
    reader.add_argument("--no-write", action="store_true")
    asked = reader.parse_args()
    if asked.one:
        job = json.loads(asked.one)
        print(json.dumps(train_here(job["settings"], Path(job["runs"]), always=job["always"])))
        return
    rows = []
    for name in asked.networks.split(","):
        with TemporaryDirectory() as folder:
            place_pictures(CASES[name], Path(folder))
            timed = of_time(name, Path(folder), asked.rounds) if name in TIMED else \
                dict.fromkeys(("CPU s", "looks", "% of the CPU time"))
            rows.append({"network": name, **timed, **of_memory(name, Path(folder), asked.rounds)})
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if not asked.no_write:
        print("written:", write("vitals", this_command(), rows, [f"{asked.rounds} processes of each"]))


if __name__ == "__main__":
    main()
