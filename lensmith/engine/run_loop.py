"""The one outer loop: takes a learner's reports, saves, stops, and hands each report on to whoever shows it."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from lensmith.base.errors import INTERRUPTED, ModelError, Stopped, UserError, first_line, no_memory
from lensmith.engine.distributed.process_group import Lost
from lensmith.engine.learner import Learner, Report
from lensmith.engine.run_folder import Run

_WORTH = 5.0    # seconds of learning that are saved before they are measured
_CTRL_C = "interrupted"


class Interrupted(Stopped):
    """Ctrl-C or SIGTERM: all is saved, and the message says how to go on."""

    code = INTERRUPTED


class Signals:
    """SIGINT and SIGTERM while a run goes on. They are noted in `caught`, so that none ends the process in the middle
    of what must be whole, and raise KeyboardInterrupt only within `raised_after`."""

    def __init__(self) -> None:
        self.caught: list[str] = []
        self._noted: int | None = None    # how many are noted before one raises; None: all are

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Within it signals come here, unless it is another thread than the main one that runs."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def raised_after(self, count: int) -> Iterator[None]:
        """Within it KeyboardInterrupt is raised, once, as soon as more than `count` signals were caught; where one may
        be noted, a Ctrl-C must be among them."""
        before, self._noted = self._noted, count
        try:
            self._raise_if_due()
            yield
        finally:
            self._noted = before

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.caught.append(_CTRL_C if number == signal.SIGINT else "told to end (SIGTERM)")
        self._raise_if_due()

    def _raise_if_due(self) -> None:
        if self._noted is not None and len(self.caught) > self._noted and (not self._noted or _CTRL_C in self.caught):
            self._noted = None    # the unwinding is not interrupted again
            raise KeyboardInterrupt


@dataclass
class Progress:
    """The history of a run so far: that part of a run's state that is not the learner's."""

    history: list[dict[str, float]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    seconds: float = 0.0    # spent in training, also before the run was resumed

    @property
    def best(self) -> int:
        """The index of the best epoch, the first of equals; the newest where none has a score; -1 before the first.

        Where a head learned first, in epoch 0, the equal one with the least validation loss goes before: a small split
        soon has a perfect score, and cannot tell the head alone and half-learned epochs from those that learned to the
        end. That of epoch 0 itself does not count: the others learn from harder, augmented pictures.
        """
        if not self.scores:
            return -1
        most = max(self.scores)
        if most == -math.inf:
            return len(self.scores) - 1
        first = self.scores.index(most)
        if self.history[0]["epoch"] != 0:
            return first
        equal = [index for index, score in enumerate(self.scores) if score == most and index > 0]
        return min(equal, key=lambda index: self.history[index].get("valid/loss", 0.0)) if equal else first

    @property
    def epochs(self) -> int:
        """The epochs that have been learned; epoch 0, in which a head that learned first is measured, is none."""
        return int(self.history[-1]["epoch"]) if self.history else 0

    def patient(self, patience: int) -> bool:
        """Whether the best epoch lies less than `patience` epochs back; always with a patience of 0."""
        return not patience or len(self.scores) - 1 - self.best < patience


def follow(learner: Learner, run: Run, progress: Progress, signals: Signals, *, patience: int = 0,
           save_every: float = 60.0) -> Iterator[Report]:
    """Run the learner to its end, or until `patience` epochs brought nothing better; yields each report, after what it
    reports has been saved where it had to be.

    The last state is saved after each epoch and every `save_every` seconds, the best weights after each epoch that is
    the best so far. SIGINT and SIGTERM, which come to `signals`, are held back until the learner is between two steps.
    Then the state is saved and Interrupted is raised; a second one raises KeyboardInterrupt at once. At whatever moment
    the process is killed, the state on the disk is whole, and resuming from it gives the same weights. An epoch is
    saved before it is measured too, where that is worth it, and where measuring fails: it need not be learned again.
    """
    if patience < 0:
        raise UserError(f"learner.patience is a number of epochs, 0 for never stopping early; got {patience}")
    began, saved = time.monotonic() - progress.seconds, time.monotonic()

    def save() -> None:
        nonlocal saved
        run.save_last(learner.state_dict(), _rows(progress), progress.seconds)
        saved = time.monotonic()

    with signals.raised_after(1):
        if not progress.patient(patience):
            return
        for report in _explained(_saving(learner, save), learner, run):
            progress.seconds = time.monotonic() - began
            if report.row is not None:
                progress.history.append({"epoch": report.row["epoch"], "step": report.row["step"],
                                         "time": round(progress.seconds, 3), **_waited(report), **report.row})
                progress.scores.append(_ranked(report, len(progress.scores)))
                if progress.best == len(progress.scores) - 1:
                    run.save_best(learner.judged.state_dict(), progress.history[-1], progress.scores[-1])
                save()
            elif time.monotonic() - saved > (min(save_every, _WORTH) if report.measures else save_every):
                save()
            yield report
            if signals.caught:
                learner.process_group.ask_to_stop()
            if learner.process_group.stopping:
                save()
                reason = signals.caught[0] if signals.caught else "another process was told to end"
                raise Interrupted(f"{reason} after step {report.step} of {report.steps}; all is saved. Go on with: "
                                  f"lensmith train --resume {run}")
            if report.row is not None and not progress.patient(patience):
                return


def _saving(learner: Learner, save: Callable[[], None]) -> Iterator[Report]:
    """The learner's reports. Where measuring fails after an epoch was learned, that is saved."""
    learned = False
    try:
        for report in learner:
            learned = report.measures
            yield report
    except Exception:
        if learned:
            save()
        raise


def _explained(reports: Iterator[Report], learner: Learner, run: Run) -> Iterator[Report]:
    """The learner's reports. The errors that a step can run into become sentences: too little memory, batch norm of one
    value, another process that is missing."""
    try:
        yield from reports
    except Lost as error:
        raise _go_on(error, run) from error
    except ValueError as error:
        if "more than 1 value per channel" in str(error):
            raise Stopped(f"batch normalisation cannot learn from one value a channel ({error}): take larger batches "
                          "with loading.batch, or larger pictures with pictures.size") from error
        raise
    except (MemoryError, RuntimeError) as error:
        if no_memory(error):
            raise Stopped(f"not enough memory for a step: {first_line(error)}. Take smaller batches with "
                          "loading.batch, and learner.accumulate to keep their sum, or smaller pictures with "
                          "pictures.size") from error
        lost = learner.process_group.as_lost(error) if isinstance(error, RuntimeError) else None
        if lost is not None:
            raise _go_on(lost, run) from error
        raise


def _go_on(lost: Lost, run: Run) -> Lost:
    return Lost(f"{lost}; the last state saved is whole. Go on with: lensmith train --resume {run}")


def _waited(report: Report) -> dict[str, float]:
    return {} if report.waited is None else {"waited": round(report.waited, 3)}


def _ranked(report: Report, before: int) -> float:
    """The score that an epoch is ranked by. Where nothing was held out, the newest epoch is the best. An epoch whose
    score is not a number never is."""
    if report.score is None:
        return float(before)
    return report.score if math.isfinite(report.score) else -math.inf


def _rows(progress: Progress) -> list[dict[str, Any]]:
    return [{**row, "score": score} for row, score in zip(progress.history, progress.scores, strict=True)]


def restore(learner: Learner, run: Run) -> Progress:
    """Put the learner where the run's last checkpoint stands; -> the history until then."""
    state = learner.process_group.broadcast(run.read_last)
    rows = state["history"]
    history = [{name: value for name, value in row.items() if name != "score"} for row in rows]
    progress = Progress(history, [row["score"] for row in rows], state["seconds"])
    try:
        learner.load_state_dict(state["learner"])
        epoch = state["learner"].get("epoch", progress.epochs)
        if epoch != progress.epochs:
            raise ValueError(f"its history has {progress.epochs} epochs, its learner {epoch}")
    except UserError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise ModelError(f"{run.folder / 'last.safetensors'} is not a whole checkpoint ({first_line(error)}): put it "
                         "back, or train again") from error
    if run.writes:
        run.write_summaries(rows)
    return progress
