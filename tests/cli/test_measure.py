"""The verbs `val` and `compare` as a user types them."""

import json
from pathlib import Path

import pytest


def test_val_gives_what_the_run_measured(trained: Path, command):
    for verb in ("val", "validate", "test"):
        ended = command(verb, trained, "--json", "-q")
        found = json.loads(ended.out)
        wanted = json.loads((trained / "metrics.json").read_text())["test"]
        assert ended.code == 0 and found["split"] == "test"
        assert found["accuracy_top1"] == wanted["accuracy_top1"] and found["loss"] == pytest.approx(wanted["loss"])
    shown = command("val", trained, "--split", "train")
    assert shown.code == 0 and shown.out.startswith("train accuracy_top1") and "precision" in shown.out
