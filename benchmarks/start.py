"""How long `lensmith --help` takes: python benchmarks/start.py; prints the median of ten processes."""

import statistics
import subprocess
import sys
import time

seconds = []
for _ in range(10):
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "lensmith", "--help"], check=True, capture_output=True)
    seconds.append(time.perf_counter() - started)
print(f"lensmith --help: median {statistics.median(seconds):.2f} s, most {max(seconds):.2f} s")
