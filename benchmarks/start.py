"""How long it takes to begin: the command's help, an import, and a training to its first step beside a plain script.

    python benchmarks/start.py [--rounds 5] [--networks lenet,...] [--add] [--no-write]

Each program is a process of its own; they run in turn, `rounds` times. The networks, their pictures and the plain
script are those of throughput.py. `plan picked`: as on a machine that has never seen this network; `plan remembered`:
the same again. First step: from the process's start until the first optimizer step has been taken, the import of torch,
the reading of the pictures and the timing of the plan included. Before the rounds each ran once, so that what Python
compiles and the system keeps of the files is there for all.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from results import former, machine, merged, this_command, write
from throughput import CASES, PROGRAMS, Case, place_pictures
from turns import Failed, Program, end_gently, stage

from lensmith.base.errors import UserError

COMMANDS = {
    "lensmith --help": ["-m", "lensmith", "--help"],
    "import lensmith": ["-c", "import lensmith"],
    "python": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
}
NETWORKS = ("lenet", "cnn3", "resnet18-224", "mobilenet_v3_small-224", "vgg16-64")
PLAIN, PICKED, REMEMBERED = "plain PyTorch", "Lensmith, plan picked", "Lensmith, plan remembered"
_TURNS = {PLAIN: "plain PyTorch", PICKED: "Lensmith", REMEMBERED: "Lensmith"}    # the program of throughput.py
# An installed package is compiled once and for all, so that Python may keep what it compiles.
_COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}


def commands(rounds: int) -> list[dict[str, Any]]:
    """The rows of the small commands."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):
        for name, arguments in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True,
                           env={**os.environ, **_COMPILED})
            seconds[name].append(time.perf_counter() - started)
    return [_row("", name, taken[1:]) for name, taken in seconds.items()]


def first_steps(label: str, case: Case, rounds: int, notes: list[str]) -> list[dict[str, Any]]:
    """The rows of one network."""
    seconds: dict[str, list[float]] = {name: [] for name in _TURNS}
    memory: dict[str, list[float]] = {name: [] for name in _TURNS}
    with stage() as (folder, programs):
        notes.append(f"{label}: {case.in_words(place_pictures(case, folder))}")
        for number in range(rounds + 1):
            for name in _TURNS:
                job = case.job(folder) | {"scratch": str(folder / f"{number}-{_TURNS[name]}")}
                program = _run(name, job, folder, number)
                programs.append(program)
                program.turn(watch=True)
                program.end()
                programs.remove(program)
                assert program.first_step is not None
                seconds[name].append(program.first_step)
                memory[name].append(program.memory)
                how = program.told.get("plan_in_words", "float32")
                print(f"{label}, {name}: {program.first_step:.2f} s, {program.memory:.0f} MB, {how}", flush=True)
    return [_row(label, name, seconds[name][1:], seconds[PLAIN][1:], memory[name][1:], memory[PLAIN][1:])
            for name in _TURNS]


def _run(name: str, job: dict[str, Any], folder: Path, number: int) -> Program:
    """The program, ready for its first epoch. Where its plan is picked, the cache of plans is one of its own."""
    cache = folder / ("cache" if name == REMEMBERED or number == 0 else f"cache-{number}")
    return Program(name, PROGRAMS[_TURNS[name]][0], job, log=folder / "log",
                   environment=_COMPILED | {"LENSMITH_CACHE": str(cache)})


def _row(label: str, program: str, seconds: list[float], plain: list[float] | None = None,
         memory: list[float] | None = None, plain_memory: list[float] | None = None) -> dict[str, Any]:
    pairs = list(zip(seconds, plain or [], strict=False))
    more = None if memory is None or plain_memory is None else \
        [one / other for one, other in zip(memory, plain_memory, strict=True)]
    return {
        "network": label, "program": program, "first step s": round(median(seconds), 2),
        "most s": round(max(seconds), 2),
        "times the plain script's": round(median(one / other for one, other in pairs), 2) if pairs else None,
        "s more": round(median(one - other for one, other in pairs), 2) if pairs else None,
        "peak MB": None if memory is None else round(median(memory)),
        "times its memory": None if more is None else round(median(more), 2),
    }


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--rounds", type=int, default=5)
    reader.add_argument("--networks", default=",".join(NETWORKS), help=f"some of {', '.join(CASES)}")
    reader.add_argument("--add", action="store_true", help="to the results of other networks")
    reader.add_argument("--no-write", action="store_true")
    asked = reader.parse_args()
    end_gently()
    about = machine()
    old = former("start", about) if asked.add else {}
    notes = [f"{asked.rounds} processes of each, in turn; ratios and differences are medians over the rounds"]
    rows = commands(asked.rounds)
    for label in asked.networks.split(","):
        try:
            rows += first_steps(label, CASES[label], asked.rounds, notes)
        except (Failed, UserError) as error:
            notes.append(f"{label}: not measured: {error}")
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items() if value is not None))
    if not asked.no_write:
        print("written:", write("start", *merged(old, this_command(), rows, notes), about=about))


if __name__ == "__main__":
    main()
