"""A split of which nothing can be measured is said before training and never ends a run; what was learned is saved."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import lensmith
from lensmith.data.formats.boxes.yolo import yolo
from lensmith.data.sources.split import divide
from lensmith.engine import supervised
from lensmith.engine.run_folder import Run

SMALL: dict[str, Any] = {"task": "detection", "backbone": "csp", "batch": 4, "epochs": 2, "device": "cpu", "size": 64,
                         "settings": {"backbone.width": 8, "task.width": 16, "plan.mode": "exact", "plan.threads": 1}}


def drawn(root: Path, splits: dict[str, int], *, empty: tuple[str, ...] = (), objects: int | None = None) -> Path:
    """A YOLO set of so many pictures in each split; those of `empty` splits, and all after `objects`, show none."""
    keys = {"valid": "val"}
    for number, (split, count) in enumerate(splits.items()):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for i in range(count):
            pixels = np.random.default_rng(100 * number + i).integers(0, 256, (48, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "images" / split / f"{i}.png")
            shows = split not in empty and (objects is None or i < objects)
            (root / "labels" / split / f"{i}.txt").write_text(f"{i % 2} .5 .5 .4 .4\n" if shows else "")
    lines = [f"{keys.get(split, split)}: images/{split}\n" for split in splits]
    (root / "data.yaml").write_text("".join(lines) + "names: [red, blue]\n")
    return root


def test_a_valid_split_without_an_object_is_said_and_the_newest_epoch_kept(tmp_path: Path,
                                                                           capsys: pytest.CaptureFixture[str]) -> None:
    source = drawn(tmp_path / "set", {"train": 6, "valid": 2, "test": 2}, empty=("valid", "test"))
    run = lensmith.train(source, **SMALL, runs=tmp_path).folder
    facts = {name: json.loads((run / f"{name}.json").read_text()) for name in ("run", "data", "metrics", "best")}
    assert [note.partition(",")[0] for note in facts["data"]["notes"][-2:]] == [
        "the valid split shows no object", "the test split shows no object"]
    assert "the newest epoch is taken for the best: give it pictures that have one" in facts["data"]["notes"][-2]
    assert facts["run"]["status"] == "finished" and facts["run"]["score"] is None and facts["metrics"] == {}
    assert facts["best"]["epoch"] == 2
    assert facts["run"]["warning"] == ("valid is not measured: no picture of this split has a box; test is not "
                                       "measured: no picture of this split has a box")
    assert "Valid is not measured" in (run / "report.html").read_text()


def test_a_divided_set_keeps_objects_in_each_split(tmp_path: Path) -> None:
    whole = yolo(str(drawn(tmp_path, {"train": 20}, objects=3))).splits
    for seed in range(5):
        splits = divide({"all": whole["train"]}, seed=seed)
        assert [len(split) for split in splits.values()] == [16, 2, 2]
        shown = [set(split.targets["boxes"].image.tolist()) for split in splits.values()]
        assert all(len(rows) >= 1 for rows in shown) and sum(map(len, shown)) == 3
    few = yolo(str(drawn(tmp_path / "few", {"train": 20}, objects=1))).splits["train"]
    splits = divide({"all": few})    # the only one is learned
    assert [len(split.targets["boxes"].classes) for split in splits.values()] == [1, 0, 0]


def test_what_was_learned_is_saved_where_measuring_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = drawn(tmp_path / "set", {"train": 6, "valid": 2})
    whole = lensmith.train(source, **SMALL, runs=tmp_path, name="whole").folder
    real = supervised.evaluate

    def failing(*given: Any, **more: Any) -> Any:
        raise RuntimeError("the metric fell over")

    monkeypatch.setattr(supervised, "evaluate", failing)
    with pytest.raises(RuntimeError, match="fell over"):
        lensmith.train(source, **SMALL, runs=tmp_path, name="cut")
    last = Run.open(tmp_path / "cut").read_last()
    assert last["learner"]["position"] == 2 and last["learner"]["epoch"] == 0 and last["history"] == []
    monkeypatch.setattr(supervised, "evaluate", real)
    lensmith.resume(tmp_path / "cut")
    weights, others = (Run.open(folder).read_best()["network"] for folder in (whole, tmp_path / "cut"))
    assert all(torch.equal(tensor, others[name]) for name, tensor in weights.items())
    assert (tmp_path / "cut" / "metrics.json").read_bytes() == (whole / "metrics.json").read_bytes()
