"""A run in INT8: alone, or after its channels were cut, as rows of the table of what a compression cost and gained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lensmith.base.errors import ModelError, UserError
from lensmith.data.sources.chosen_split import split_to_score
from lensmith.engine.run_folder import COMPRESS_FILE, Run, finite
from lensmith.recipe.choose_task import choose_task
from lensmith.recipe.open_data import Data
from lensmith.recipe.schema import BROUGHT, NO_DATA
from lensmith.ship.compress.rows import BOTH, INT8, ORIGINAL, PRUNED, CompressionRow, remarks
from lensmith.study.report.page import report as write_report
from lensmith.tasks.task import Task
from lensmith.training.exported import Exported
from lensmith.training.measured_rows import MeasuredForm, rows_of, scores_of
from lensmith.training.quantised import Int8Settings, export_int8
from lensmith.training.trained import Trained, load

Tell = Callable[[str], object]


@dataclass(frozen=True)
class CompressedToInt8:
    """The file in INT8 of a run, and what compress.json in its folder says."""

    run: Run
    exported: Exported
    content: dict[str, Any]


def compress_to_int8(folder: str | Path, settings: Int8Settings, *, trust: bool = False,
                     tell: Tell = lambda text: None) -> CompressedToInt8:
    """Write a run's network in INT8 as model-int8.onnx into its folder, with the table of what that cost and gained in
    compress.json and the report. Of a run that was pruned the table begins with the network before.

    Raises UserError and ModelError as `export_int8` does, for a run without data of its own, and for a pruned run
    whose original is not there.
    """
    trained = load(folder, device="cpu", trust=trust)
    if str(trained.recipe["data"]["name"]) == NO_DATA or trained.recipe["data"]["name"].startswith(BROUGHT):
        raise UserError(f"{trained.run} has no data of its own to calibrate and to measure on: name some with "
                        f"`lensmith export {trained.run} --int8 --data DIR`")
    former = trained.run.facts(COMPRESS_FILE) if "pruned" in trained.recipe else {}
    original = _original(trained, str(former["of"]), trust) if former.get("of") else None
    data = trained.own_data(None, tell)
    exported = export_int8(trained, settings, opened=data, tell=tell)
    split = split_to_score(data.splits)
    whole = original or trained
    forms = {ORIGINAL: MeasuredForm(whole, scores_of(whole, data, task_of(whole, data), split))}
    if original is not None:
        forms[PRUNED] = MeasuredForm(trained, scores_of(trained, data, task_of(trained, data), split))
    forms[BOTH if original else INT8] = form_in_int8(trained, exported, data, split)
    rows = with_remarks(rows_of(forms, data, tell=tell), forms, lose=settings.lose)
    content = former | finite({
        "of": str(whole.folder.resolve()), "asked": {**former.get("asked", {}), "lose": settings.lose},
        "rows": [row.as_json() for row in rows], "split": split, "score": trained.task.score,
        "int8": facts_by_row(forms)})
    trained.run.write_json(COMPRESS_FILE, content)
    write_report(trained.folder)
    return CompressedToInt8(trained.run, exported, content)


def form_in_int8(trained: Trained, exported: Exported, data: Data, split: str) -> MeasuredForm:
    """The file of a network in INT8 with its score on a split."""
    return MeasuredForm(trained, scores_of(trained, data, task_of(trained, data), split, int8=exported), exported)


def task_of(trained: Trained, data: Data) -> Task:
    """The run's task with what it knows of the training targets."""
    return choose_task(dict(trained.recipe), trained.classes, targets=data.splits["train"].targets)


def with_remarks(rows: list[CompressionRow], forms: Mapping[str, MeasuredForm], *,
                 lose: float | None) -> list[CompressionRow]:
    """The rows with what has to be said of each beside the first one."""
    return rows[:1] + [replace(row, remarks=(*remarks(row, rows[0], lose=lose), *_of_int8(forms[row.name])))
                       for row in rows[1:]]


def facts_by_row(forms: Mapping[str, MeasuredForm]) -> dict[str, Any]:
    """How each form in INT8 was made, as compress.json has it, by the name of its row."""
    found = {}
    for name, form in forms.items():
        if form.int8 is not None:
            facts = form.int8.report["int8"]
            found[name] = {key: facts[key] for key in ("layers", "float32_layers", "calibration")} | \
                {key: facts["score"][key] for key in ("split", "difference")}
    return found


def _of_int8(form: MeasuredForm) -> tuple[str, ...]:
    """Which layers stay in float32, and where more is lost than asked on the pictures that decided."""
    if form.int8 is None:
        return ()
    facts = form.int8.report["int8"]
    score, floating = facts["score"], facts["float32_layers"]
    said = [f"{len(floating)} of {facts['layers']} layers stay in float32: {', '.join(floating)}"] if floating else []
    return (*said, *(f"it loses {-found['value']:.4f} in {runtime} on {score['split']} by INT8, more than the "
                     f"{score['lose']:g} that were asked for"
                     for runtime, found in score["difference"].items() if -found["value"] > score["lose"]))


def _original(trained: Trained, folder: str, trust: bool) -> Trained:
    """The network that a pruned one was cut from. Raises ModelError where it is not there, or another."""
    instead = f"`lensmith export {trained.run} --int8` writes the file alone, with the loss by INT8"
    try:
        original = load(folder, device="cpu", trust=trust)
    except ModelError as error:
        raise ModelError(f"{trained.run} was cut from {folder}, beside which the table is made, and that cannot be "
                         f"used ({error}): {instead}") from error
    if original.classes != trained.classes or original.form != trained.form:
        raise ModelError(f"{trained.run} was cut from {folder}, beside which the table is made, and there lies another "
                         f"run now: {instead}")
    return original
