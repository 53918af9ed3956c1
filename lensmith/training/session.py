"""One training from its recipe to its report: begun, or gone on with, and iterated."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import nn

from lensmith.base.device import environment
from lensmith.base.errors import DataError, UserError
from lensmith.data.batches.loader import Loader
from lensmith.data.sources.picture_form import Bad
from lensmith.engine.distributed.process_group import Team
from lensmith.engine.evaluate import evaluate
from lensmith.engine.frozen_features import Features
from lensmith.engine.learner import Report
from lensmith.engine.plan.plan import planned
from lensmith.engine.run_folder import Run
from lensmith.engine.run_loop import Interrupted, Progress, follow, restore
from lensmith.models.adapters.published_weights import fetch, is_download
from lensmith.recipe import schema as recipes
from lensmith.recipe.assemble import Job, assemble, complete, make_loaders
from lensmith.recipe.choose_plan import check, joined
from lensmith.recipe.from_source import (
    BROUGHT,
    anchored,
    as_its_weights,
    keep_files,
    not_brought,
    own_recipe,
    read_data,
)
from lensmith.recipe.open_data import Tell, as_json, look, open_parts, silent
from lensmith.recipe.sections import resolve
from lensmith.study.report.page import report as write_report
from lensmith.study.report.run_advice import advice
from lensmith.study.report.worst_errors import Worst

_BITS_DEPEND_ON = ("python", "platform", "processor", "packages")    # of environment.json


@dataclass
class Session:
    """One training, from its folder to its report. Iterating it trains; what a report is worth showing is the
    caller's business."""

    run: Run
    job: Job
    command: str
    progress: Progress = field(default_factory=Progress)
    started: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)    # what was changed, or should be, on the way
    _advised: bool = False
    _noted: int = 0    # what data.json has of the pictures found bad, and of notes, since training began

    def __iter__(self) -> Iterator[Report]:
        """Train to the end, then measure the best weights on every split that was held out and write the report.

        However it ends, run.json says why and report.html shows what there is. Of several processes the first one
        measures and writes; the others wait for it, so that all of them can load what was trained.
        """
        settings, team = self.job.recipe["learner"], self.job.learner.team
        self._write_run("running")
        try:
            for report in follow(self.job.learner, self.run, self.progress, patience=settings["patience"],
                                 save_every=self.job.recipe["run"]["save_every"]):
                if report.row is not None:
                    self._note_dropped(self.job.learner.train, self.job.learner.valid)
                yield self._remarked(report)
            with team.together():
                if self.run.writes:
                    self._measure()
        except Exception as error:
            self._note_dropped(self.job.learner.train, self.job.learner.valid)
            self._write_run("interrupted" if isinstance(error, Interrupted) else "stopped", str(error))
            self._write_report()
            raise
        early = len(self.progress.scores) < settings["epochs"]
        with team.together():
            self._note_dropped(self.job.learner.train, self.job.learner.valid)    # all have told theirs by now
            self._write_run("stopped early" if early else "finished",
                            f"{settings['patience']} epochs brought nothing better" if early else "")
            self._write_report()
        team.leave()

    def _remarked(self, report: Report) -> Report:
        """The report with what is worth a line, each told once and kept for run.json."""
        said = [report.note] if report.note else []
        sources = (self.job.learner.train, self.job.learner.valid, self.job.data.store)
        said += [note for source in sources for note in getattr(source, "notes", ()) if note not in self.notes]
        if not self._advised:
            told = advice(report, self.job.data.account["kept"], self.job.recipe["augment"])
            # The first epoch may wait for pictures that are decoded meanwhile: that says nothing of the others.
            self._advised = bool(told) and report.epoch > 1
            said += [told] if told else []
        self.notes += said
        return replace(report, note="; ".join(said)) if said else report

    def _write_report(self) -> None:
        if self.run.writes:
            write_report(self.run.folder)

    def _measure(self) -> None:
        network: Any = self.job.learner.judged
        network.from_maps = False    # what learned from kept maps is measured on the pictures
        network.load_state_dict(self.run.read_best()["network"])
        loaders = make_loaders(self.job.recipe, self.job.data, self.job.task)
        pictures = self.run.folder / "pictures"
        for part in ("valid", "test"):
            if part in loaders:
                needs = self.job.task.needs
                watch = Worst(needs, self.job.data.classes, keep=24 if len(needs) == 1 else 12)
                found = evaluate(network, self.job.task, loaders[part], plan=self.job.plan, watch=watch)
                pictures.mkdir(exist_ok=True)
                rows = watch.save(pictures, name=f"{part}-worst")
                self.metrics[part] = found | {"worst": [row | {"picture": f"pictures/{row['picture']}"}
                                                        for row in rows]}
        self.run.write_json("metrics.json", self.metrics)
        self._note_dropped(self.job.learner.train, *loaders.values())

    def _note_dropped(self, *loaders: Any) -> None:
        """Bring data.json up to date with the pictures that turned out to be bad while they were used, in any of the
        processes."""
        store, team = self.job.data.store, self.job.learner.team
        found = [Bad(file, why) for loader in loaders if isinstance(loader, Loader | Features)
                 for file, why in loader.dropped.items()] + (store.bad() if store is not None else [])
        if not self.run.writes:
            team.post([[one.file, one.reason] for one in found])
            return
        found += [Bad(*one) for word in team.posted() for one in word]
        notes = store.notes if store is not None else []
        if len(found) + len(notes) == self._noted:
            return
        self._noted = len(found) + len(notes)
        account = self.run.read_json("data.json")
        listed = as_json([Bad(one.file, f"{one.reason} (found while training)") for one in dict.fromkeys(found)])
        account["dropped"] += [one for one in listed if one not in account["dropped"]]
        account["notes"] += [note for note in notes if note not in account["notes"]]
        self.run.write_json("data.json", account)

    def _write_run(self, status: str, reason: str = "") -> None:
        progress, best = self.progress, self.progress.best
        held_out = "valid" in self.job.data.splits
        self.run.write_json("run.json", {
            "name": self.run.folder.name, "command": self.command, "started": self.started,
            "finished": _now() if status != "running" else None, "seconds": round(progress.seconds, 3),
            "status": status, "reason": reason, "notes": self.notes, "epochs": len(progress.scores),
            "planned_epochs": self.job.recipe["learner"]["epochs"], "best_epoch": best + 1 if best >= 0 else None,
            "score_name": self.job.task.score, "score": progress.scores[best] if best >= 0 and held_out else None,
            "version": version("lensmith"),
            "parameters": sum(one.numel() for one in self.job.learner.network.parameters()),
        })


def resolved(wanted: recipes.Recipe, *, trusted: bool) -> recipes.Recipe:
    """The whole recipe, with what the pictures' headers decide; nothing is decoded and nothing written."""
    not_brought(wanted, [])
    settled = resolve(as_its_weights(wanted), trusted=trusted)
    seen = look(open_parts(settled), settled)
    return complete(settled, seen.classes, seen.form, kinds=seen.kinds)


def begin(recipe: recipes.Recipe, *, runs: str | Path = "runs", command: str = "", data: Any = None,
          module: nn.Module | None = None, trusted: bool = False, downloads: bool = False,
          tell: Tell = silent) -> Session:
    """A recipe, or the beginnings of one -> a session, its run folder made and its data ready.

    Code that the recipe names, as in `my_net.py:Net`, runs only where it is `trusted`; published weights that it names
    are fetched only where it `downloads`.
    """
    brought = [name for name, thing in (("data", data), ("backbone", module)) if thing is not None]
    not_brought(recipe, brought)
    settled = resolve(as_its_weights(recipe), trusted=trusted, brought=brought)
    team = joined(settled["plan"])
    check(settled["plan"] | {"mode": str(Path(settled["plan"]["mode"]).expanduser())})
    settled = anchored(settled)
    runs, name = Path(runs), settled["run"].get("name")
    there = runs.exists()
    # A name is taken before the pictures are read, so that a name that cannot be had is known at once.
    run = _created(team, runs, name=name, fallback="") if name is not None else None
    try:
        with team.together():
            if downloads and is_download(weights := settled["learner"].get("weights")):
                team.read(lambda: str(fetch(weights, settled["backbone"]["name"])))
            ready = read_data(settled, data, tell=tell, team=team)
            job = assemble(settled, ready, module=module, trusted=trusted, team=team)
            if run is not None and any(run.folder.iterdir()):
                raise UserError(f"{run} was begun by another command meanwhile: choose another --name")
        if run is None:
            source = Path(settled["data"].get("path") or settled["data"]["name"]).stem
            label = f"{source}-{job.recipe['backbone']['name'].rpartition('/')[2]}"
            run = _created(team, runs, name=None, fallback=label.replace(BROUGHT, ""))
    except BaseException:
        if run is not None and run.writes:
            with suppress(OSError):    # another command may have begun a run of this name
                run.folder.rmdir()
        if team.leads and not there and runs.is_dir() and not any(runs.iterdir()):
            runs.rmdir()
        raise
    team.tell_launcher(str(run))
    ready.account["notes"] += job.notes
    for note in ready.account["notes"]:
        tell(note)
    run.write("recipe.toml", recipes.write(keep_files(job.recipe, run)))
    run.write_json("plan.json", job.choice.as_json())
    run.write_json("environment.json", environment())
    run.write_json("data.json", ready.account)
    if job.begun is not None:
        run.write_json("weights.json", job.begun.as_json())
    return Session(run, job, command, started=_now())


def _created(team: Team, runs: Path, *, name: str | None, fallback: str) -> Run:
    """The run folder, made by the first process and known to all."""
    folder = team.read(lambda: str(Run.create(runs, name=name, fallback=fallback).folder))
    return Run(Path(folder), writes=team.leads)


def resume(folder: str | Path, *, data: Any = None, module: nn.Module | None = None, trusted: bool = False,
           tell: Tell = silent) -> Session:
    """The session of a run folder, as its last checkpoint left it: it ends with the same bits as if it had never been
    stopped. Raises DataError where the data have changed since; tells where the machine or a version has."""
    run = Run.open(folder)
    recipe = own_recipe(run, module=module, data=data, trusted=trusted)
    team = joined(recipe["plan"], goes_on=True)
    run.writes = team.leads
    team.tell_launcher(str(run))
    began, now = run.read_json("environment.json"), environment()
    changed = [f"{name} {began.get(name)} -> {now[name]}" for name in _BITS_DEPEND_ON if began.get(name) != now[name]]
    if changed:
        tell(f"the run began elsewhere ({'; '.join(changed)}): it goes on, but its last bits may differ")
    facts = run.read_json("run.json") if (run.folder / "run.json").is_file() else {}
    with team.together():
        ready = read_data(recipe, data, tell=tell, team=team)
        if ready.account["fingerprint"] != run.read_json("data.json").get("fingerprint"):
            raise DataError(f"the data of {run} have changed since it began, so it cannot go on with the same bits: "
                            f"put the files back, or begin a new run with its recipe: lensmith train {run}")
        job = assemble(recipe, ready, module=module, trusted=trusted, known=planned(run.read_json("plan.json")),
                       team=team)
    session = Session(run, job, facts.get("command", ""), started=facts.get("started") or _now(),
                      notes=list(facts.get("notes", [])))
    if team.read((run.folder / "last.safetensors").exists):    # a run killed before its first checkpoint begins anew
        session.progress = restore(session.job.learner, run)
    return session


def _now() -> str:
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")
