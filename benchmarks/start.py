"""How long `lensmith --help` takes, beside Python alone and an import of torch: python benchmarks/start.py [times].

The programs run in turn, each `times` times (10); prints and writes the median and the most of each.
"""

import subprocess
import sys
import time
from statistics import median

from results import write

COMMANDS = {
    "lensmith --help": ["-m", "lensmith", "--help"],
    "python": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
}


def main(times: int) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(times):
        for name, arguments in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - started)
    rows: list[dict[str, str | float]] = [
        {"program": name, "median s": round(median(taken), 2), "most s": round(max(taken), 2)}
        for name, taken in seconds.items()]
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    write("start", f"python benchmarks/start.py {times}", rows, [f"{times} processes of each, in turn"])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
