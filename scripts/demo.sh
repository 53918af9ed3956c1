#!/bin/sh
# The main job on real pictures: get Fashion-MNIST, train, test, predict, show where the report is.
set -eu
bin=.venv/bin
here() { "$bin/lensmith" data list --json | "$bin/python" -c \
  'import json, sys; sys.exit(not any(row["name"] == "fashion-mnist" and row["here"] for row in json.load(sys.stdin)))'; }

recipe=recipes/fashion-lenet.toml
if ! here; then
  if command -v apt-get >/dev/null 2>&1; then
    echo "getting Fashion-MNIST: the Debian package dataset-fashion-mnist"
    root=""; [ "$(id -u)" = 0 ] || root="sudo -n"
    { $root apt-get update -qq && $root apt-get install -y -qq dataset-fashion-mnist; } >/dev/null 2>&1 || \
      echo "apt-get could not install it"
  fi
fi
if ! here; then
  echo "getting Fashion-MNIST: the download"
  "$bin/lensmith" data get fashion-mnist || true
fi
if ! here; then
  echo "Fashion-MNIST cannot be had on this machine; the drawn set that the package brings takes its place"
  recipe=recipes/shapes-lenet.toml
fi

"$bin/lensmith" train "$recipe"
run=$(ls -td runs/*/ | head -n 1); run=${run%/}
rm -rf "$run/samples"
"$bin/python" scripts/sample_pictures.py "$run" "$run/samples" 6
"$bin/lensmith" predict "$run" "$run/samples" --out "$run/predictions"
echo
"$bin/python" - "$run" <<'PYTHON'
import json, sys
found = json.load(open(f"{sys.argv[1]}/metrics.json"))["test"]
low, high = found["intervals"]["accuracy_top1"]
print(f"test accuracy {found['accuracy_top1']:.4f} (95 % interval {low:.4f} to {high:.4f}) on {found['count']:,} pictures")
print(f"report: {sys.argv[1]}/report.html")
PYTHON
