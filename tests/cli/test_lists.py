"""The verbs that list: what there is to choose from, and data sets."""

import json
from pathlib import Path


def test_list_and_data(command, trained: Path):
    assert "resnet18" in command("list").out
    for what in ("tasks", "data", "optimizers", "schedules"):
        assert command("list", what).code == 0
    runs = json.loads(command("list", "runs", "--runs", trained.parent, "--json").out)
    assert runs[0]["status"] == "finished" and runs[0]["epochs"] == 6
    shown = command("data", "show", "shapes", "data.count=90")
    assert shown.code == 0 and "label: square, disc, triangle" in shown.out
    assert shown.out.splitlines()[-1].startswith("all")
    assert "shapes" in command("data", "list").out
