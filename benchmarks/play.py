"""Learning to play: steps until a maze is solved, steps a processor second beside Stable-Baselines3, CartPole, games.

    python benchmarks/play.py [--only maze speed cartpole pictures] [--seeds 10] [--no-write]

`maze`: `lensmith train maze` with all defaults, from one-hot and from pictures, exploring by a probability and by
softmax; the steps after which the measured return is that of the shortest way. `speed`: the same dense network, as many
samples learned from for each step, on one thread; processor seconds of learning, without the start. `cartpole`: the
checkpoint chosen on 20 episodes, over 100 fresh ones. `pictures`: catch and bricks. Every
training is a process of its own.
"""

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from results import former, machine, newest, this_command, whole_run, write

from lensmith.rl.worlds import WORLDS

HERE = Path(__file__).resolve().parent
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
SPEED_STEPS = 20_000
Row = dict[str, str | float | int | None]


def trained(words: Sequence[str], seed: int, folder: Path) -> tuple[Path, float]:
    """The run folder of `lensmith train ...`, and the processor seconds of the whole process."""
    runs = Path(tempfile.mkdtemp(dir=folder))
    ended = whole_run([sys.executable, "-m", "lensmith", "train", *words, "--seed", str(seed), "--runs", str(runs),
                       "--quiet", "plan.threads=1"], ONE_THREAD)
    return newest(runs), ended.processor_seconds


def history(run: Path) -> list[dict[str, float]]:
    with open(run / "history.csv", encoding="utf-8") as file:
        return [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(file)]


def tested(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text())["test"]
    return found


def maze(seeds: int, folder: Path) -> list[Row]:
    rows: list[Row] = []
    for observation, exploration, asked in (("one-hot", "epsilon", 5_000), ("one-hot", "softmax", 5_000),
                                            ("picture", "epsilon", 20_000), ("picture", "softmax", 20_000)):
        best = WORLDS["maze"](1, 0, observation=observation).best
        assert best is not None
        reached, busy = [], []
        for seed in range(seeds):
            run, seconds = trained(["maze", f"world.observation={observation}", "--steps", str(asked),
                                    f"algorithm.exploration={exploration}"], seed, folder)
            first = next((row["step"] for row in history(run) if row["valid/return"] > best - 1e-4), None)
            busy.append(seconds)
            reached += [] if first is None else [first]
        rows.append({"what": f"maze, {observation}, {exploration}: steps to the shortest way", "seeds": seeds,
                     "reached": len(reached), "median": median(reached) if reached else None, "asked": asked,
                     "processor seconds": round(median(busy), 1), "ratio": None})
    return rows


def speed(seeds: int, folder: Path) -> list[Row]:
    """Ours in 16 copies beside theirs in one, with the same network, optimizer's rate and samples for each step."""
    rows: list[Row] = []
    ours, theirs, returns = [], [], []
    for seed in range(seeds):
        run, _ = trained(["maze", "--steps", str(SPEED_STEPS), "learner.widths=[64, 64]", "algorithm.samples=8",
                          f"learner.every={SPEED_STEPS}", "optimizer.rate=5e-4", "run.save_every=600"], seed, folder)
        ours.append(SPEED_STEPS / processor_seconds_of_learning(run))
        peer = stable({"world": "maze", "algorithm": "dqn", "steps": SPEED_STEPS, "seed": seed, "episodes": 20,
                       "settings": {"learning_rate": 5e-4, "batch_size": 32, "train_freq": 4, "learning_starts": 1000,
                                    "buffer_size": 50_000, "policy_kwargs": {"net_arch": [64, 64]}}})
        theirs.append(SPEED_STEPS / peer["seconds"])
        returns.append((tested(run)["return"], mean(peer["returns"])))
    rows.append({"what": f"dqn, maze: steps a processor second (Stable-Baselines3 {median(theirs):.0f}; returns "
                         f"{mean(one for one, _ in returns):.2f} and {mean(other for _, other in returns):.2f})",
                 "seeds": seeds, "reached": None, "median": round(median(ours)), "asked": 3, "processor seconds": None,
                 "ratio": round(median(one / other for one, other in zip(ours, theirs, strict=True)), 2)})
    return rows


def processor_seconds_of_learning(run: Path) -> float:
    """On one thread and without waiting it is what the run counts as its time."""
    return float(json.loads((run / "run.json").read_text())["seconds"])


def stable(job: dict[str, Any]) -> dict[str, Any]:
    ended = whole_run([sys.executable, "-m", "peers.stable_baselines", json.dumps(job)],
                      ONE_THREAD | {"PYTHONPATH": str(HERE)})
    found: dict[str, Any] = json.loads(ended.output.strip().splitlines()[-1])
    return found


def cartpole(seeds: int, folder: Path) -> list[Row]:
    rows: list[Row] = []
    for algorithm in ("ppo", "dqn"):
        returns, busy = [], []
        for seed in range(seeds):
            run, seconds = trained(["gym:CartPole-v1", "--algorithm", algorithm, "--steps", "100000"], seed, folder)
            returns.append(tested(run)["return"])
            busy.append(seconds)
        rows.append({"what": f"CartPole-v1, {algorithm}: return over 100 fresh episodes", "seeds": seeds,
                     "reached": sum(one >= 475 for one in returns), "median": round(median(returns), 1), "asked": 475,
                     "processor seconds": round(median(busy), 1), "ratio": None})
    return rows


def pictures(seeds: int, folder: Path) -> list[Row]:
    rows: list[Row] = []
    for world, fraction in (("catch", 0.9), ("bricks", 0.6)):
        returns, busy = [], []
        for seed in range(seeds):
            run, seconds = trained([world], seed, folder)
            returns.append(tested(run)["return"])
            busy.append(seconds)
        best = WORLDS[world](1, 0).best
        rows.append({"what": f"{world} from pictures: return", "seeds": seeds,
                     "reached": None if best is None else sum(one >= fraction * best for one in returns),
                     "median": round(median(returns), 2), "asked": None if best is None else round(fraction * best, 2),
                     "processor seconds": round(median(busy), 1), "ratio": None})
    return rows


JOBS: dict[str, tuple[Callable[[int, Path], list[Row]], int]] = {
    "maze": (maze, 10), "speed": (speed, 5), "cartpole": (cartpole, 5), "pictures": (pictures, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--seeds", type=int, help="by itself 10 of the maze, 5 of CartPole and speed, 3 of games")
    parser.add_argument("--no-write", action="store_true")
    asked = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.only:
            job, usual = JOBS[name]
            for row in job(asked.seeds or usual, Path(folder)):
                print(row, flush=True)
                rows.append(row)
    if asked.no_write:
        return
    about = machine()
    old = former("play", about)
    again = {str(row["what"]).partition(":")[0] for row in rows}
    kept = [row for row in old.get("rows", []) if row["what"].partition(":")[0] not in again]
    commands = dict.fromkeys([*filter(None, old.get("command", "").split("; ")), this_command()])
    write("play", "; ".join(commands), [*kept, *rows], about=about)


if __name__ == "__main__":
    main()
