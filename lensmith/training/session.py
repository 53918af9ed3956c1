"""One training from its recipe to its report: begun, or gone on with, and iterated."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from lensmith.base.errors import count
from lensmith.engine.forecast import Forecast
from lensmith.engine.learner import Report
from lensmith.engine.run_folder import Run
from lensmith.engine.run_loop import Interrupted, Progress, Signals, follow
from lensmith.engine.vitals import Vitals
from lensmith.models.weights import load_into
from lensmith.recipe.schema import Recipe
from lensmith.study.doctor import diagnose
from lensmith.study.doctor.facts import Facts
from lensmith.study.report.page import report as write_report
from lensmith.training.job import Job

_VITALS_EVERY = 5.0    # seconds after which what was seen is written within an epoch
_CERTAIN = 0.9         # from which on a grave fault is told without being asked for


@dataclass
class Session:
    """One training, from its folder to its report. Iterating it trains and yields reports; the caller shows them."""

    run: Run
    job: Job
    command: str
    recipe: Recipe          # as the run folder has it, kept in run.json
    progress: Progress = field(default_factory=Progress)
    started: str = ""
    prepared_from: float | None = None    # time.process_time() when it began to be prepared; None: where it trains
    understood: str = ""    # the line on data, task and network
    metrics: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)    # what was changed on the way, or should be
    stopped_early: str = ""                           # once it has ended: why before its last epoch
    warning: str = ""                                 # once it has ended: that it stayed at what one answer for all
                                                      # pictures scores, that much of the data was left out
    forecast: Forecast | None = None                  # how long it will still take, once it has begun
    vitals: Vitals | None = None                      # what looks at the network between steps; None: nothing does
    _measures: bool = False    # it has learned, and is measured
    _warned: bool = False
    _diagnosed: bool = False
    _vitals_written: float = 0.0    # when, by time.monotonic

    def __iter__(self) -> Iterator[Report]:
        """Train to the end, then measure the best weights on every split that was held out and write the report.

        However it ends, run.json says why and report.html shows what there is, and the folder is unlocked. Rank 0
        measures and writes. The other ranks wait for it, so that each of them can load what was trained.
        """
        signals = Signals()
        try:
            with signals.handled():
                try:
                    yield from self._learn_and_measure(signals)
                except (Exception, KeyboardInterrupt, GeneratorExit) as error:
                    ended = self._ended_by(error)
                    self._leave(ended, signals)
                    if ended is error:
                        raise
                    raise ended from error
                self._finish()
        finally:
            self.run.unlock()

    def _learn_and_measure(self, signals: Signals) -> Iterator[Report]:
        settings, process_group = self.job.recipe["learner"], self.job.learner.process_group
        self._write_run("running")
        self.forecast = forecast = self.job.begin_forecast()
        self.vitals = self.job.begin_vitals(self.run, began=self.prepared_from)
        for report in follow(self.job.learner, self.run, self.progress, signals, patience=settings["patience"],
                             save_every=self.job.recipe["run"]["save_every"]):
            forecast.note(report, self.job.waited())
            self._look(report)
            if report.row is not None:
                self.job.update_account(self.run)
            yield self._with_notes(report)
        self._measures = True
        with process_group.barrier(), signals.raised_after(0):
            if self.run.writes:
                self._measure()

    def _finish(self) -> None:
        """Write that the training has ended by itself."""
        process_group = self.job.learner.process_group
        self.stopped_early = self._why_early()
        with process_group.barrier():
            self.job.update_account(self.run)    # every rank has posted its own by now
            first = self.job.concern(self.progress) or self._grave_fault()
            self.warning = "; ".join(filter(None, (first, *self.job.final_concerns(self.run, self.metrics))))
            self._write_run("stopped early" if self.stopped_early else "finished", self.stopped_early)
            self._write_report()
        process_group.disconnect()

    def _ended_by(self, error: BaseException) -> BaseException:
        """What ended the training. A second Ctrl-C, and one while it is measured, go on from the last state saved."""
        if not isinstance(error, KeyboardInterrupt):
            return error
        when = "while it was measured" if self._measures else "before the step had ended"
        ended = Interrupted(f"interrupted {when}; {self._whole}")
        ended.at_once = self.job.learner.process_group.world_size > 1    # the others may be gone already
        return ended

    @property
    def _whole(self) -> str:
        return f"the last state saved is whole. Go on with: lensmith train --resume {self.run}"

    def _leave(self, error: BaseException, signals: Signals) -> None:
        """Write why the training ended, as far as that can be written: what ended it is what is said. No signal ends
        the writing of run.json. Of the rest two more are borne, since who is in a hurry presses Ctrl-C three times."""
        interrupted = isinstance(error, Interrupted | GeneratorExit)
        no_more = "interrupted" if signals.caught else "its caller asked for no more"
        reason = str(error) or (f"{no_more}; {self._whole}" if interrupted else type(error).__name__)
        with suppress(Exception):
            self._write_run("interrupted" if interrupted else "stopped", reason)
        for write in (lambda: self.job.update_account(self.run), self._write_vitals, self._write_report):
            with suppress(Exception, KeyboardInterrupt), signals.raised_after(len(signals.caught) + 2):
                write()

    def _look(self, report: Report) -> None:
        """Look at the network between two steps, where it is time, and keep what is seen."""
        if self.vitals is None:
            return
        seen = self.vitals.look(report)
        if report.row is not None or (seen and time.monotonic() - self._vitals_written > _VITALS_EVERY):
            self._write_vitals()

    def _write_vitals(self) -> None:
        if self.vitals is not None and self.vitals.content["rows"]:
            self.run.write_json("vitals.json", self.vitals.content)
            self._vitals_written = time.monotonic()

    def _measure(self) -> None:
        """Measure the best weights, and keep what they score."""
        load_into(self.job.learner.judged, self.run.read_best()["network"],
                  what=f"{self.run.folder / 'best.safetensors'}")
        self.metrics = self.job.measure(self.run)
        self.run.write_json("metrics.json", self.metrics)
        self.run.add_scores(self.metrics)
        self.job.update_account(self.run)

    def _grave_fault(self) -> str:
        """The fault that is as good as certain and leaves the run of no use, with its mend; empty where none is."""
        run = {"score_name": self.job.score, "status": "running"}
        facts = Facts(self.job.recipe, self.progress.history, run, self.metrics, self.job.account,
                      self.vitals.content if self.vitals is not None else {}, str(self.run))
        grave = next((each for each in diagnose(facts) if each.grave and each.sure >= _CERTAIN), None)
        return "" if grave is None else f"{grave.sentence()}. `lensmith doctor {self.run}` says more"

    def _why_early(self) -> str:
        """Why training ended before its last epoch; empty where it did not."""
        progress, settings = self.progress, self.job.recipe["learner"]
        if progress.epochs == self.job.epochs:
            return ""
        best = progress.best
        return f"{count(settings['patience'], 'epoch')} brought nothing better than epoch " \
            f"{progress.history[best]['epoch']:.0f} ({self.job.score} {progress.scores[best]:.4f})"

    def _with_notes(self, report: Report) -> Report:
        """The report with the notes that are new since the last one, each shown once and kept for run.json."""
        notes = [report.note] if report.note and report.note not in self.notes else []
        notes += [note for note in self.job.notes(report) if note not in self.notes]
        self.notes += notes
        if report.row is not None and report.step < report.steps:    # the end says it by itself
            notes += self._warnings()
        return replace(report, note="; ".join(notes)) if notes else report

    def _warnings(self) -> list[str]:
        """What has to be said of the run after an epoch, each once."""
        texts = []
        if not self._warned:
            texts.append(self.job.concern(self.progress))
            self._warned = bool(texts[-1])
        if not self._warned and not self._diagnosed:
            texts.append(self._grave_fault())
            self._diagnosed = bool(texts[-1])
        return [text for text in texts if text]

    def _write_report(self) -> None:
        if self.run.writes:
            write_report(self.run.folder)

    def _write_run(self, status: str, reason: str = "") -> None:
        progress, best = self.progress, self.progress.best
        held_out = any(f"valid/{self.job.score}" in row for row in progress.history)
        self.run.write_json("run.json", {
            "recipe": self.recipe, "name": self.run.folder.name, "understood": self.understood, "command": self.command,
            "started": self.started,
            "finished": now() if status != "running" else None, "seconds": round(progress.seconds, 3),
            "status": status, "reason": reason, "warning": self.warning, "notes": self.notes,
            "epochs": progress.epochs,
            "planned_epochs": self.job.epochs,
            "best_epoch": int(progress.history[best]["epoch"]) if best >= 0 else None,
            "score_name": self.job.score, "score": progress.scores[best] if best >= 0 and held_out else None,
            "version": version("lensmith"),
            "parameters": sum(parameter.numel() for parameter in self.job.learner.judged.parameters()),
        })


def now() -> str:
    """The time of this machine with its zone, to the second, as ISO 8601."""
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")
