"""The report of a run: one HTML file made of what the run folder holds, which opens anywhere, offline."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lensmith.base.atomic_files import write_text
from lensmith.base.errors import DataError, UserError, count, described, in_short
from lensmith.base.html_page import data_address, render_page
from lensmith.base.read_file import bounded_text
from lensmith.data.sources.findings import counted_keys, findings
from lensmith.engine.run_folder import Run
from lensmith.recipe.play_sections import is_play
from lensmith.recipe.schema import read_recipe
from lensmith.study.doctor import diagnose
from lensmith.study.doctor.facts import Facts
from lensmith.study.report import charts
from lensmith.study.report.box_charts import box_charts, detection_curves
from lensmith.study.report.compression_table import compression
from lensmith.study.report.errors import ERRORS
from lensmith.study.report.explained_errors import errors_looked_into
from lensmith.study.report.language import ENGLISH, LANGUAGES, in_language
from lensmith.study.report.metric_words import metric_text, own_metrics, pictures_counted, sentence
from lensmith.study.report.run_tables import candidates, fitting
from lensmith.tasks.metrics.metric import figure, percent

_TEMPLATE = Path(__file__).parent / "templates" / "report.html.jinja"
_FIRST = {"test": 0, "valid": 1}    # the order of the splits; the first of them gives the headline
_LARGEST = 16 << 20    # bytes of a picture of the gallery, which has some thousand pixels
_NAMED = 20      # files of each thing that was left out or changed that are named
_LISTED = 200    # dropped files that are named; data.json has them all
_RANKED = ("AP50-95", "IoU", "f1", "R2")    # the first of these columns that a table has sorts its classes


def report(folder: Path) -> Path:
    """Write `report.html` into a run folder, from its files alone -> its path. What is missing there is left out.

    Raises DataError where the folder is no run folder, and UserError where one of its files is damaged.
    """
    if not (folder / "run.json").is_file() and not (folder / "recipe.toml").is_file():
        raise DataError(f"{folder} is not a run folder: it has neither run.json nor recipe.toml. "
                        "Give the folder that lensmith train made, for example runs/fashion-mnist-1")
    path = folder / "report.html"
    try:
        contents = _contents(Run(folder))
        text = in_language(render_page(_TEMPLATE, contents, filters={"figure": figure, "percent": percent}),
                           contents["language"], names=contents["names"])
    except (UserError, OSError):
        raise
    except Exception as error:    # a file may be edited in more ways than its schema tells
        raise DataError(f"the report of {folder} cannot be made of its files ({described(error)}): put them back") \
            from error
    write_text(path, text)
    return path


def _contents(run_folder: Run) -> dict[str, Any]:
    """Everything the page shows, by the names the template uses."""
    folder = run_folder.folder
    run, metrics, plan = (run_folder.facts(name) for name in ("run.json", "metrics.json", "plan.json"))
    recipe_file = folder / "recipe.toml"
    recipe, recipe_text = (read_recipe(recipe_file), bounded_text(recipe_file)) if recipe_file.is_file() else ({}, "")
    splits = sorted((name for name in metrics if metrics[name]), key=lambda name: (_FIRST.get(name, 2), name))
    history = run_folder.read_history()
    score = run.get("score_name") or next((name for split in splits for name in _headlines(metrics[split])), None)
    best = run.get("best_epoch")
    curves = charts.curves(history, score=score, best=best)
    last = history[-1]["epoch"] if history else 0
    return {
        "title": run.get("name") or folder.resolve().name,
        "understood": run.get("understood") or "",
        "subtitle": _subtitle(run, recipe),
        "notice": _notice(run, _resuming(recipe, folder), epochs_done=int(last)),
        "warning": str(run.get("warning") or ""),
        "headline": _headline(splits[0], metrics[splits[0]], score) if splits and score else None,
        "curves": curves,
        "play_curves": charts.play_curves(history),
        "diagnosed": bool(history),
        "faults": diagnose(Facts(recipe, history, run, metrics, run_folder.facts("data.json"),
                                 run_folder.facts("vitals.json"), str(folder))),
        "curves_note": f"{count(int(last), 'epoch')}" + (f"; the weights of epoch {best} were kept as the best."
                                                       if best is not None else "."),
        "compression": compression(run_folder.facts("compress.json")),
        "parts": [part for name in splits for part in _sections(name, metrics[name], folder, full=name == splits[0])],
        "explained": errors_looked_into(run_folder, metrics, best),
        "explain_again": f"lensmith explain {shlex.quote(str(folder))}",
        "data": None if is_play(recipe) else _data(run_folder.facts("data.json")),
        "command": run.get("command"),
        "predict": _predicting(recipe, folder),
        "run": _run_facts(run),
        "plan": _facts({name: value for name, value in plan.items() if name != "timings"}),
        "candidates": candidates(plan),
        "weights": fitting(run_folder.facts("weights.json")),
        "notes": [str(note) for note in run.get("notes") or ()],
        "environment": _facts(run_folder.facts("environment.json")),
        "recipe": recipe_text,
        "language": _language(recipe),
        "names": {str(name) for names in run_folder.facts("data.json").get("classes", {}).values() for name in names},
    }


def _language(recipe: Mapping[str, Any]) -> str:
    """English where the recipe is not one that this version has written."""
    named = recipe.get("run", {}).get("language")
    return named if named in LANGUAGES else ENGLISH


def _headlines(measured: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a split: its plain numbers, without those that describe the measurement."""
    return {name: value for name, value in measured.items()
            if isinstance(value, int | float) and name not in ("count", "loss", "best_known")}


def _interval(name: str, measured: Mapping[str, Any]) -> str:
    ends = measured.get("intervals", {}).get(name)
    return f"{metric_text(name, ends[0])} to {metric_text(name, ends[1])}" if ends and None not in ends else ""


def _subtitle(run: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    # What was understood names them already.
    sections = () if run.get("understood") else ("task", "data", "backbone")
    parts = [str(name) for section in sections if (name := recipe.get(section, {}).get("name"))]
    if run.get("started"):
        parts.append(f"started {str(run['started']).replace('T', ' ').replace('+00:00', ' UTC')}")
    if run.get("seconds") is not None:
        parts.append(_duration(run["seconds"]))
    if run.get("version"):
        parts.append(f"Lensmith {run['version']}")
    return " · ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _resuming(recipe: Mapping[str, Any], folder: Path) -> str:
    objects = _objects(recipe, "data", "backbone")
    return f"lensmith.resume({str(folder)!r}{objects})" if objects else \
        f"lensmith train --resume {shlex.quote(str(folder))}"


def _predicting(recipe: Mapping[str, Any], folder: Path) -> str:
    if is_play(recipe):
        return f"lensmith play {shlex.quote(str(folder))}"
    objects = _objects(recipe, "backbone")
    return f"lensmith.load({str(folder)!r}{objects}).predict('picture.jpg')" if objects else \
        f"lensmith predict {shlex.quote(str(folder))} picture.jpg"


def _objects(recipe: Mapping[str, Any], *sections: str) -> str:
    """`, data=..., backbone=...`: what has to be given again, since it came as a Python object."""
    return "".join(f", {section}=..." for section in sections
                   if str(recipe.get(section, {}).get("name", "")).startswith("python:"))


def _notice(run: Mapping[str, Any], resume: str, *, epochs_done: int) -> dict[str, str] | None:
    """What a reader has to know first of a run that did not simply finish; `resume` is the command to go on with."""
    status = run.get("status")
    planned = f" of {run['planned_epochs']}" if run.get("planned_epochs") else ""
    so_far = f"after {count(epochs_done, 'epoch')}{planned}"
    # The reason may end in the command to go on with, which stands behind this sentence anyway.
    why = str(run.get("reason") or "").partition(" Go on with")[0].rstrip(".")
    reason = f": {why}" if why else ""
    if status == "interrupted":
        return {"text": f"This run was interrupted {so_far}{reason}. Go on with", "command": resume}
    if status == "stopped":
        return {"text": f"This run was stopped {so_far}{reason}.", "command": ""}
    if status == "stopped early":
        return {"text": f"This run stopped early, {so_far}{reason}.", "command": ""}
    if status == "running":
        return {"text": f"This run had not ended when the report was written, {so_far}. If it was killed, go on with",
                "command": resume}
    return None


def _headline(split: str, measured: Mapping[str, Any], score: str) -> dict[str, Any] | None:
    values = _headlines(measured)
    if score not in values:
        score = next(iter(values), "")
        if not score:
            return None
    details = measured.get("details", {})
    parts, own = details.get("parts"), own_metrics(details)
    # Each of several tasks has a section for its metrics.
    others = [] if parts is not None else \
        [(name, metric_text(name, value, own)) for name, value in values.items() if name != score]
    return {"name": score, "value": metric_text(score, values[score]), "interval": _interval(score, measured),
            "sentence": sentence(split, measured, score, values), "others": others}


def _sections(split: str, measured: Mapping[str, Any], folder: Path, *, full: bool) -> list[dict[str, Any]]:
    """The sections of a split: one, or, of several tasks, one with the score of each part and one for each part."""
    parts = measured.get("details", {}).get("parts")
    if parts is None:
        return [_part(split, measured, folder, full=full)]
    scores = {f"{name}/{part['score']}" for name, part in parts.items()}
    joined = {name: value for name, value in measured.items() if "/" not in name or name in scores}
    sections = [_part(split, joined | {"details": {}, "worst": []}, folder, full=full)]
    for name, details in parts.items() if full else ():
        alone = {key.removeprefix(f"{name}/"): value for key, value in _headlines(measured).items()
                 if key.startswith(f"{name}/")}
        ends = {key.removeprefix(f"{name}/"): value for key, value in measured.get("intervals", {}).items()}
        rows = [row for row in measured.get("worst", []) if row.get("target") == name]
        section = _part(split, {**alone, "intervals": ends, "details": details, "worst": rows}, folder, full=True)
        sections.append(section | {"title": f"{name}: {section['title']}"})
    return sections


def _part(split: str, measured: Mapping[str, Any], folder: Path, *, full: bool) -> dict[str, Any]:
    """A split's section; in full for the split of the headline, else with its scores alone."""
    details = measured.get("details", {}) if full else {}
    rows, classes = details.get("per_class", []), details.get("confusion")
    columns = [name for name in rows[0] if name != "class"] if rows else []
    ranked = next((name for name in _RANKED if name in columns), "")
    worst = [_worst(row, folder) for row in measured.get("worst", [])] if full else []
    noun = "class" if classes or ranked in ("AP50-95", "IoU") else "quantity" if "scatter" in details else "tag"
    own = own_metrics(measured.get("details", {}))
    scores = {**_headlines(measured), **({"loss": measured["loss"]} if measured.get("loss") is not None else {})}
    return {
        "title": f"{'Validation' if split == 'valid' else split.capitalize()}: "
                 f"{count(pictures_counted(measured), measured.get('counted', 'picture'))}",
        "scores": [{"name": name, "value": metric_text(name, value, own), "interval": _interval(name, measured)}
                   for name, value in scores.items()],
        "noun": noun, "columns": columns, "ranked": ranked, "bars": ranked in ("AP50-95", "IoU", "f1"),
        "detection": detection_curves(details.get("curves", {}), threshold=details.get("best_threshold")),
        "per_class_title": f"By {noun}, the worst first",
        "per_class": sorted(rows, key=lambda row: (row[ranked] is None, row[ranked])) if ranked else rows,
        "confusion": charts.confusion_chart(classes, details.get("confusion_names") or [row["class"] for row in rows])
        if classes else "",
        "most_confused": details.get("most_confused", []),
        "scatter": charts.scatter(details.get("scatter", {})),
        "films": [{"film": "", **row, "data": _own_picture(row["picture"], folder)}
                  for row in measured.get("films", [])],
        "worst": worst, "side_by_side": any(ERRORS[row["kind"]].draw_both is not None for row in worst),
        "worst_note": " ".join(ERRORS[kind].note for kind in dict.fromkeys(row["kind"] for row in worst)),
    }


def _worst(row: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A row of the gallery, with its picture."""
    kind = row.get("kind") or row.get("target", "label")
    if kind not in ERRORS:
        raise DataError(f"{folder / 'metrics.json'} is damaged: it has errors of {in_short(kind)}, and known are "
                        f"{', '.join(ERRORS)}. Put it back, or delete it to have a report without it")
    return {**row, "kind": kind, "data": _own_picture(row["picture"], folder),
            "measure": ERRORS[kind].score.format(row["score"])}


def _own_picture(name: str, folder: Path) -> str:
    """A PNG of a run folder as a data URI; empty where it is missing, too large or outside of the folder."""
    path = (folder / name).resolve()
    inside = path.is_relative_to(folder.resolve()) and path.suffix == ".png" and path.is_file() \
        and path.stat().st_size <= _LARGEST
    return data_address(path.read_bytes(), "png") if inside else ""


def _data(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """The section on the data set; None where `data` is empty."""
    if not data:
        return None
    form, splits = data.get("form", {}), data.get("splits", {})
    facts = [("name", data["name"])] if data.get("name") else []
    if form:
        facts.append(("form", f"{form['channels']} x {form['height']} x {form['width']}, {form['bits']} bits, "
                                  f"fitted by {form['fit']}"))
    facts += [(f"{name} classes", f"{len(names):,}") for name, names in data.get("classes", {}).items()]
    # How much is known of each part is told with the splits.
    facts += _facts({name: value for name, value in data.get("source", {}).items()
                     if name not in {"parts", "sets", *counted_keys()}})
    if data.get("fingerprint"):
        facts.append(("fingerprint", data["fingerprint"]))
    per_class = {name: split.get("per_class") or {} for name, split in splits.items()}
    names = dict.fromkeys(name for counts in per_class.values() for name in counts)
    dropped = data.get("dropped", [])
    note = f"{count(len(dropped), 'file')} could not be used." if dropped else ""
    if len(dropped) > _LISTED:
        note += f" The first {_LISTED} are listed here, all of them in data.json."
    boxes = data.get("boxes", {})
    return {
        "facts": facts, "notes": data.get("notes", []), "boxes": box_charts(boxes), "boxes_facts": _box_facts(boxes),
        "splits": list(splits), "chart": charts.counts(per_class),
        "totals": [split.get("count", 0) for split in splits.values()],
        "rows": [{"name": name, "counts": [counts.get(name, 0) for counts in per_class.values()]} for name in names],
        "dropped": dropped[:_LISTED], "dropped_note": note,
        "findings": [{"sentence": finding.sentence(), "names": _some(finding.names)}
                     for finding in findings({**data, "dropped": []})],
    }


def _some(names: Sequence[str]) -> str:
    """The first names in a line."""
    return ", ".join(names[:_NAMED]) + (" ..." if len(names) > _NAMED else "")


def _box_facts(boxes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How many boxes there are, in words."""
    if not boxes:
        return []
    sizes = ", ".join(f"{number:,} {name}" for name, number in boxes["sizes"].items())
    return [("boxes", f"{boxes['boxes']:,} in {count(boxes['pictures'], 'picture')}"),
            ("without boxes", count(boxes['background'], 'picture')), ("crowds", f"{boxes['crowd']:,}"),
            ("sizes", sizes)]


def _run_facts(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    shown = {name: run.get(name) for name in ("status", "reason", "started", "finished", "epochs", "planned_epochs",
                                            "best_epoch")}
    return _facts({name: value for name, value in shown.items() if value is not None})


def _facts(table: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values as text; a nested value becomes one line."""
    return [(name.replace("_", " "), _in_line(value)) for name, value in table.items()
            if value not in (None, "", [], {})]


def _in_line(value: Any) -> str:
    if isinstance(value, Mapping):
        text = ", ".join(f"{name} {_in_line(inner)}" for name, inner in value.items())
    elif isinstance(value, list):
        text = ", ".join(_in_line(inner) for inner in value)
    else:
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 300 else text[:299] + "…"
