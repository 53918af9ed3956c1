"""A recipe over several seeds: python benchmarks/seeds.py RECIPE NUMBER [SECTION.KEY=VALUE ...].

Prints the test score and the seconds of each whole process, then the least, the mean and the most, and the median time.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time

recipe, number, settings = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
scores, seconds = [], []
with tempfile.TemporaryDirectory() as folder:
    for seed in range(number):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "lensmith", "train", recipe, *settings, "--seed", str(seed),
                               "--runs", folder, "--json", "--quiet"], check=True, stdout=subprocess.PIPE, text=True)
        seconds.append(time.perf_counter() - started)
        scores.append(json.loads(done.stdout)["test"]["accuracy_top1"])
        print(f"seed {seed}: test accuracy {scores[-1]:.4f} in {seconds[-1]:.0f} s", flush=True)
print(f"least {min(scores):.4f}, mean {statistics.mean(scores):.4f}, most {max(scores):.4f}; median "
      f"{statistics.median(seconds):.0f} s")
