"""Run folders with answers, written by hand."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from lensmith.engine.kept_answers import SplitAnswers, TargetAnswers, write_answers
from lensmith.engine.run_folder import Run
from lensmith.tasks.metrics.by_picture.label import COLUMNS

NAMES = ("cat", "dog", "owl")
TASKS = {"label": ("classification", "accuracy_top1"), "tags": ("tagging", "macro_f1"),
         "numbers": ("regression", "R2"), "boxes": ("detection", "mAP50-95")}


def labels(truth: np.ndarray, right: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of labels of which those are right that are said to be; a wrong answer is the next class."""
    answer = np.where(right, truth, (truth + 1) % len(NAMES))
    values = {"truth": truth, "answer": answer, "among_five": np.ones(len(truth)),
              "probability": np.full(len(truth), 0.9)}
    return {name: values[name].astype(column.dtype) for name, column in COLUMNS.items()}


def write_run(folder: Path, columns: Mapping[str, np.ndarray] | None, score: float, *, kind: str = "label",
              pictures: int = 100, files: Sequence[str] | None = None, settings: Mapping[str, Mapping[str, Any]] = {},
              seconds: float = 10.0, cost: Mapping[str, Any] | None = None, data: str = "pets") -> Path:
    """A run of one task, measured on its test split; without `columns` one of a version that kept no answers."""
    task, headline = TASKS[kind]
    folder.mkdir(parents=True)
    recipe = {"run": {"seed": 0}, "backbone": {"name": "csp"}, "task": {"name": task}}
    for section, values in settings.items():
        recipe[section] = {**recipe.get(section, {}), **values}
    (folder / "recipe.toml").write_text(tomli_w.dumps(recipe))
    (folder / "metrics.json").write_text(json.dumps({"test": {
        headline: score, "loss": 1.0, "count": pictures, "intervals": {}, "details": {"count": pictures}}}))
    (folder / "run.json").write_text(json.dumps({"epochs": 2, "seconds": seconds, "score_name": headline,
                                                 "parameters": 1000}))
    (folder / "data.json").write_text(json.dumps({
        "name": data, "classes": {kind: list(NAMES)}, "splits": {"train": {"count": 500}},
        "files": {"test": {"file": data, "rows": f"0-{pictures - 1}"}}}))
    (folder / "history.csv").write_text(f"epoch,step,time,valid/{headline}\n1,10,3.5,{score / 2}\n2,20,7,{score}\n")
    if cost is not None:
        (folder / "cost.json").write_text(json.dumps(cost))
    if columns is not None:
        names = tuple(files) if files is not None else tuple(f"/pets/{row}.png" for row in range(pictures))
        write_answers(Run(folder), {"test": SplitAnswers(names, {kind: TargetAnswers(kind, NAMES, columns)})})
    return folder
