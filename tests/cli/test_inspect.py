"""The verb `inspect` as a user types it."""

import json
from pathlib import Path


def test_inspect_shows_layers_and_sums(command, trained: Path):
    ended = command("inspect", "lenet", "--size", 28, "--channels", 1)
    assert ended.code == 0
    assert "16 x 4 x 4" in ended.out and "44,426 parameters" in ended.out
    found = json.loads(command("summary", "lenet", "activation=tanh", "--size", 32, "--json").out)
    assert any(layer["kind"] == "Tanh" for layer in found["layers"])
    assert command("inspect", trained).code == 0
