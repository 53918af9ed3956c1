"""One training from its recipe to its report: begun, or gone on with, and iterated."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from lensmith.data.batches.loader import Loader
from lensmith.data.sources.picture_form import Bad
from lensmith.engine.evaluate import evaluate
from lensmith.engine.frozen_features import Features
from lensmith.engine.learner import Report
from lensmith.engine.run_folder import Run
from lensmith.engine.run_loop import Interrupted, Progress, follow
from lensmith.recipe.assemble import Job
from lensmith.recipe.make_loaders import make_loaders
from lensmith.recipe.open_data import as_json
from lensmith.study.report.page import report as write_report
from lensmith.study.report.run_advice import advice
from lensmith.study.report.worst_errors import Worst


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
        settings, process_group = self.job.recipe["learner"], self.job.learner.process_group
        self._write_run("running")
        try:
            for report in follow(self.job.learner, self.run, self.progress, patience=settings["patience"],
                                 save_every=self.job.recipe["run"]["save_every"]):
                if report.row is not None:
                    self._note_dropped(self.job.learner.train, self.job.learner.valid)
                yield self._remarked(report)
            with process_group.barrier():
                if self.run.writes:
                    self._measure()
        except Exception as error:
            self._note_dropped(self.job.learner.train, self.job.learner.valid)
            self._write_run("interrupted" if isinstance(error, Interrupted) else "stopped", str(error))
            self._write_report()
            raise
        early = len(self.progress.scores) < settings["epochs"]
        with process_group.barrier():
            self._note_dropped(self.job.learner.train, self.job.learner.valid)    # all have told theirs by now
            self._write_run("stopped early" if early else "finished",
                            f"{settings['patience']} epochs brought nothing better" if early else "")
            self._write_report()
        process_group.disconnect()

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
        store, process_group = self.job.data.store, self.job.learner.process_group
        found = [Bad(file, why) for loader in loaders if isinstance(loader, Loader | Features)
                 for file, why in loader.dropped.items()] + (store.bad() if store is not None else [])
        if not self.run.writes:
            process_group.post([[one.file, one.reason] for one in found])
            return
        found += [Bad(*one) for word in process_group.posted() for one in word]
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
            "finished": now() if status != "running" else None, "seconds": round(progress.seconds, 3),
            "status": status, "reason": reason, "notes": self.notes, "epochs": len(progress.scores),
            "planned_epochs": self.job.recipe["learner"]["epochs"], "best_epoch": best + 1 if best >= 0 else None,
            "score_name": self.job.task.score, "score": progress.scores[best] if best >= 0 and held_out else None,
            "version": version("lensmith"),
            "parameters": sum(one.numel() for one in self.job.learner.network.parameters()),
        })


def now() -> str:
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")
