"""What a benchmark leaves: benchmarks/results/<job>.json, from which report.py writes docs/performance.md.

    write("folders", "python benchmarks/folders.py", rows=[{"what": ..., "pictures/s": ..., "ratio": ...}], notes=[...])

All rows of a job have the same keys, which become the columns of its table; a value is text, a number or None.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from lensmith.base.device import environment

RESULTS = Path(__file__).resolve().parent / "results"
# What makes this machine like one without AVX-512 and AMX: read by oneDNN and by PyTorch when they are loaded.
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}

# Runs the command given to it and tells of it in a last line. A process begins with the peak memory of the one that
# starts it, so this one imports no torch.
_LAUNCHER = """
import json, os, sys, time
started = time.perf_counter()
process = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(process, 0)
seconds, busy = time.perf_counter() - started, usage.ru_utime + usage.ru_stime
print("", json.dumps([os.waitstatus_to_exitcode(status), seconds, usage.ru_maxrss, busy]), sep="\\n")
"""
# Of what is told of the machine, all that does not change with the hour.
_SAME = ("processor", "cores", "threads", "memory_gb", "instructions", "cuda", "python", "packages")

Row = Mapping[str, str | float | int | None]


def write(job: str, command: str, rows: Sequence[Row], notes: Sequence[str] = (), *,
          about: Mapping[str, Any] | None = None, folder: Path = RESULTS) -> Path:
    """Write the results of `job`, replacing its former ones; -> the file.

    `command` is what makes them again, from the repository's root. `about` is `machine()` where the caller has measured
    that already; by itself it is measured here.
    """
    if any(list(row) != list(rows[0]) for row in rows):
        raise ValueError(f"the rows of {job} have different columns")
    folder.mkdir(exist_ok=True)
    path = folder / f"{job}.json"
    found = {"job": job, "command": command, "date": datetime.now(UTC).date().isoformat(),
             "machine": dict(about) if about is not None else machine(), "rows": [dict(row) for row in rows],
             "notes": list(notes)}
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def this_command() -> str:
    """The command that runs, as it is typed in the repository's root."""
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def former(job: str, about: Mapping[str, Any], *, folder: Path = RESULTS) -> dict[str, Any]:
    """The results of `job` so far, to be added to; empty where there are none. Ends the process where they are of
    another machine or of other versions than `about`."""
    path = folder / f"{job}.json"
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    other = [name for name in _SAME if found["machine"].get(name) != about[name]]
    if other:
        sys.exit(f"nothing can be added to {path.name}: it was measured with {other[0]} "
                 f"{found['machine'].get(other[0])}, here that is {about[other[0]]}; run without --add")
    return found


def merged(old: Mapping[str, Any], command: str, rows: Sequence[Row],
           notes: Sequence[str]) -> tuple[str, list[Row], list[str]]:
    """Command, rows and notes of a `former` result with these added. The new stand in place of the old ones of the same
    networks: rows by their column `network`, notes by the network they begin with."""
    if not old:
        return command, list(rows), list(notes)
    again = {row["network"] for row in rows}
    kept = [{name: row.get(name) for name in rows[0]} for row in old["rows"] if row["network"] not in again]
    commands = dict.fromkeys([*old["command"].split("; "), command])
    told = [note for note in old["notes"] if note not in notes and note.split(": ")[0] not in again]
    return "; ".join(commands), [*kept, *rows], [*told, *notes]


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    output: str
    seconds: float     # from its start
    megabytes: float   # most memory of it, or of the largest of the processes that it started
    processor_seconds: float    # of it and the processes that it started


def whole_run(command: Sequence[str], environment: Mapping[str, str]) -> Ended:
    """Run a command with these variables beside our own; ends this process where it fails."""
    done = subprocess.run([sys.executable, "-S", "-c", _LAUNCHER, *command], env={**os.environ, **environment},
                          stdout=subprocess.PIPE, text=True)
    output, _, told = done.stdout.rstrip("\n").rpartition("\n")
    status, seconds, peak, busy = json.loads(told) if done.returncode == 0 else ("it could not be started", 0, 0, 0)
    if status:
        sys.exit(f"{shlex.join(command)} failed: {status}")
    return Ended(output, seconds, peak / (2 ** 20 if sys.platform == "darwin" else 2 ** 10), busy)


def newest(folder: Path) -> Path:
    """The run folder in `folder` that was written last."""
    return max(folder.iterdir(), key=lambda run: run.stat().st_mtime)


def machine(size: int = 4096, seconds: float = 2.0) -> dict[str, Any]:
    """The machine, its versions and load, and its rate of matrix products in GFLOP/s, by precision."""
    found = environment()
    return {
        "processor": found["processor"], "cores": found["cores"], "threads": found["threads"],
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "instructions": instructions(), "cuda": found["cuda"], "python": found["python"], "packages": found["packages"],
        "load": round(os.getloadavg()[0], 2),    # others' work on it: the mean number of busy processes in a minute
        "gflops_float32": product_rate(torch.float32, size, seconds),
        "gflops_bfloat16": product_rate(torch.bfloat16, size, seconds),
    }


def machine_under(environment: Mapping[str, str]) -> dict[str, Any]:
    """`machine()` as a process finds it that has these variables in its environment."""
    done = subprocess.run([sys.executable, __file__], env={**os.environ, **environment}, check=True, text=True,
                          stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def rates_in_words(found: Mapping[str, Any]) -> str:
    """Of a `machine()`: its rates and load in a phrase."""
    return (f"matrix products (4096x4096, or smaller where that takes long) ran at {found['gflops_float32']:g} GFLOP/s "
            f"in float32 and {found['gflops_bfloat16']:g} in bfloat16, load {found['load']:g}")


def instructions() -> str:
    """The widest vectors that PyTorch uses here, and the matrix instructions that its kernels may take."""
    found = [torch.backends.cpu.get_cpu_capability()]
    limited = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:    # not Linux
        flags = set()
    found += [flag for flag in ("avx512_bf16", "amx_bf16") if flag in flags and not limited]
    return ", ".join(found + ([f"oneDNN limited to {limited}"] if limited else []))


def product_rate(precision: torch.dtype, size: int = 4096, seconds: float = 2.0) -> float:
    """GFLOP/s of a product of two size x size matrices: the best of as many as begin within `seconds`, three or
    more. The best and not the median, since it stands for what the machine can do.

    Where one such product takes longer than `seconds`, as of bfloat16 on a machine without instructions for it, the
    rate is that of a quarter of the size.
    """
    for tried in (size // 16, size // 4, size):
        left, right = torch.randn(2, tried, tried).to(precision)
        taken = durations(lambda: left @ right, seconds=seconds if tried == size else seconds / 10)    # noqa: B023  it is called at once
        if 64 * min(taken) > seconds:    # the next size has 64 times the work
            break
    return float(f"{2 * tried ** 3 / min(taken) / 1e9:.3g}")


def durations(work: Callable[[], object], *, seconds: float, least: int = 3) -> list[float]:
    """Seconds of each call of `work`, called until `seconds` have passed and `least` times at any rate, after one call
    that is not counted."""
    work()
    taken: list[float] = []
    while len(taken) < least or sum(taken) < seconds:
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return taken


if __name__ == "__main__":
    print(json.dumps(machine(), indent=1))
