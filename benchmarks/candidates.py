"""Whether the plan picks well: every candidate trained at length, beside the one that was picked.

    python benchmarks/candidates.py [--rounds 3] [--networks resnet18-224,...] [--isa avx2] [--add] [--no-write]

The networks and pictures are those of throughput.py. Each candidate is a process of its own with the plan it is given;
they take turns at whole epochs. One that reaches less than a third of the fastest in the first epoch is not run on. The
plan is picked for a run of 50 epochs, or as many as make 50,000 pictures: its length sets the time for picking.
--add keeps the results of the networks that are not asked for, where they are of the same machine and versions.
"""

import argparse
import json
import math
from itertools import product
from statistics import median
from typing import Any

from results import AVX2, former, machine_under, merged, rates_in_words, this_command, write
from throughput import CASES, PROGRAMS, Case, place_pictures
from turns import Failed, Program, end_gently, held, stage

from lensmith.base.device import free_memory
from lensmith.base.errors import UserError
from lensmith.engine.plan.plan import Layout, Plan, Precision, plan_from_json

_LAYOUTS: tuple[Layout, ...] = ("channels_last", "contiguous")
_PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
_PICTURES = 50_000    # of the run that the plan is picked for, at least: an epoch of CIFAR-10
_ROOM = 1.3    # times what the last program holds must be free for another
_FAR = 3.0    # times slower than the fastest: not run on


def candidates(told: dict[str, Any]) -> list[Plan]:
    """The plans to try beside the one that was picked: each precision in each layout on all threads, and whatever the
    picking tried and did not refuse, those that were fastest there first. `told` is what it left in plan.json."""
    picked = plan_from_json(told)
    threads = max([picked.threads, *(row["threads"] for row in told["timings"])])
    tried = [Plan(picked.device, precision, layout, threads) for layout, precision in product(_LAYOUTS, _PRECISIONS)]
    tried += [plan_from_json(row) for row in told["timings"] if not row["verdict"].startswith("refused")]
    others = {training(one): None for one in tried}
    others.pop(training(picked), None)
    looked = {training(plan_from_json(row)): row.get("milliseconds") or math.inf for row in told["timings"]}
    return sorted(others, key=lambda plan: looked.get(plan, math.inf))


def training(plan: Plan) -> Plan:
    """The plan without what concerns inference alone."""
    rewrites = [name for name in plan.rewrites if name != "fold_batch_norm"]
    return Plan(plan.device, plan.precision, plan.layout, plan.threads, plan.compiled, tuple(rewrites))


def race(label: str, case: Case, rounds: int, environment: dict[str, str], notes: list[str]) -> list[dict[str, Any]]:
    """The rows of one case, the fastest first."""
    module = PROGRAMS["Lensmith"][0]
    try:
        with stage() as (folder, programs):
            what = place_pictures(case, folder)
            job = case.job(folder)
            job["epochs"] = max(job["epochs"], math.ceil(_PICTURES / case.pictures))
            own = environment | {"LENSMITH_CACHE": str(folder / "cache")}
            programs.append(Program("picked", module, job, environment=own, log=folder / "picked.log"))
            told = programs[0].told["plan"]
            first = {"picked": programs[0].turn()}
            for number, plan in enumerate(candidates(told)):
                if free_memory() < _ROOM * held(programs[-1].process.pid) * 2**20:
                    notes.append(f"{label}: {plan.in_words()}: left out, since there was no memory for it beside the "
                                 "others")
                    continue
                path = folder / f"{number}.json"
                path.write_text(json.dumps(plan.as_json()))
                programs.append(Program(plan.in_words(), module, job | {"plan": {"mode": str(path)}}, environment=own,
                                        log=folder / f"{number}.log"))
                first[plan.in_words()] = programs[-1].turn()
            running = [program for program in programs if first[program.name] * _FAR > max(first.values())]
            rates = {name: [rate] for name, rate in first.items()} | {program.name: [] for program in running}
            for _ in range(rounds):
                for program in running:
                    rates[program.name].append(program.turn())
            notes.append(f"{label}: {case.in_words(what)}; picked in {told['picked_in']:.1f} s "
                         f"for a run of {job['epochs'] * case.pictures:,} pictures")
            names = [program.name for program in running]
            return _rows(label, training(plan_from_json(told)).in_words(), rates, names, notes)
    except (Failed, UserError) as error:
        notes.append(f"{label}: not measured: {error}")
        return []


def _rows(label: str, picked: str, rates: dict[str, list[float]], running: list[str],
          notes: list[str]) -> list[dict[str, Any]]:
    order = sorted(rates, key=lambda name: -median(rates[name]))
    shares = {name: median([one / other for one, other in zip(rates[name], rates[order[0]], strict=False)])
              for name in order}
    notes.append(f"{label}: the picked plan reaches {shares['picked']:.2f} of the fastest candidate")
    return [{"network": label, "plan": picked if name == "picked" else name,
             "pictures/s": round(median(rates[name]), 1), "of the fastest": round(shares[name], 2),
             "picked": "yes" if name == "picked" else "",
             "epochs": str(len(rates[name])) if name in running else "1, then stopped"} for name in order]


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--rounds", type=int, default=3)
    reader.add_argument("--networks", default=",".join(CASES), help=f"some of {', '.join(CASES)}")
    reader.add_argument("--isa", choices=["avx2"])
    reader.add_argument("--add", action="store_true", help="to the results of other networks")
    reader.add_argument("--no-write", action="store_true")
    asked = reader.parse_args()
    end_gently()
    environment = AVX2 if asked.isa else {}
    rows: list[dict[str, Any]] = []
    notes = ["The median of the epochs of each, in turn, after one that is not counted"]
    about, job = machine_under(environment), "candidates" + (f"-{asked.isa}" if asked.isa else "")
    old = former(job, about) if asked.add else {}
    for label in asked.networks.split(","):
        notes.append(f"{label}: right before, {rates_in_words(machine_under(environment))}")
        made = race(label, CASES[label], asked.rounds, environment, notes)
        rows += made
        for row in made:
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        if rows and not asked.no_write:
            print("written:", write(job, *merged(old, this_command(), rows, notes), about=about), flush=True)
    print("\n".join(notes))


if __name__ == "__main__":
    main()
