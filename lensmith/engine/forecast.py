"""How long a run will still take, from the times that its own steps and epochs have taken so far."""

import time
from collections import deque
from collections.abc import Callable

from lensmith.engine.learner import Report

_WARMING = 2          # steps that a process takes more time for: its memory is handed out, its threads begin
_LATEST = 100         # steps whose mean is the time of a step
_ENOUGH = (4, 2.0)    # steps and seconds of them that tell what a step takes
_FILLING = 15.0       # the same while pictures are decoded beside the training, which slows these steps down
# Measuring a picture takes about this fraction of learning from it: of forward, backward and update the forward alone.
MEASURING = 0.4
# Seconds at the end of a run beside measuring: the worst pictures are drawn and the report is written.
END = 1.5


class Forecast:
    """The seconds that are left of a run. It is told of each report as it comes.

    Before an epoch has been measured that time is guessed from that of a step. Waiting for pictures that are being
    decoded is counted for the epoch in which they are, and not for those that follow.
    """

    def __init__(self, *, epochs: int, steps: int, pictures: dict[str, int], processes: int = 1,
                 decoding: Callable[[], bool] = lambda: False, clock: Callable[[], float] = time.perf_counter):
        """
        epochs: of the whole run.
        steps: of one epoch.
        pictures: in each split.
        processes: that share the steps and what is measured after each epoch; the last measurement is made by one.
        decoding: whether pictures are still being decoded beside the training.
        clock: gives the present time in seconds.
        """
        self.epochs, self.steps, self.pictures = epochs, steps, pictures
        self.processes, self.decoding, self.clock = processes, decoding, clock
        self._last = clock()
        self._waited = 0.0                                             # as the last report had it
        self._taken: deque[tuple[float, float]] = deque(maxlen=_LATEST)    # seconds of a step, and waited thereof
        self._seen, self._measured = 0, 0.0    # steps of this process, and their seconds after warming up
        self._epoch_end: float | None = None   # seconds in which the last epoch was measured and saved
        self._epoch = self._position = 0       # epochs finished, and steps of the present one
        self._ended = False                    # whether this process has seen an epoch end

    def note(self, report: Report, waited: float) -> None:
        """Take note of a report, and of the seconds that its epoch has waited for pictures so far."""
        now = self.clock()
        took, self._last = now - self._last, now
        self._epoch = report.epoch
        if report.row is not None:
            self._epoch_end, self._position, self._waited = took, 0, 0.0
            self._ended = self._seen > 0    # before the first step a head is measured that has learned already
            return
        self._position = report.step - report.epoch * self.steps
        idle, self._waited = max(0.0, waited - self._waited), waited
        self._seen += 1
        if self._seen > _WARMING:
            self._taken.append((took, min(idle, took) if self.decoding() else 0.0))
            self._measured += took

    @property
    def is_sure(self) -> bool:
        """Whether enough has been seen to say how long it will take."""
        steps, seconds = _ENOUGH
        if len(self._taken) < steps:
            return self._ended and bool(self._taken)
        return self._measured >= (_FILLING if self.decoding() else seconds) or self._ended

    def left(self) -> float | None:
        """The seconds until the run is over, its last measurement and report included; None before the first steps."""
        if not self._taken:
            return None
        seconds, waited = (sum(column) / len(self._taken) for column in zip(*self._taken, strict=True))
        of_picture = MEASURING * self.steps * (seconds - waited) / max(1, self.pictures["train"])
        held_out = self.pictures.get("valid", 0)
        epoch_end = of_picture * held_out if self._epoch_end is None else self._epoch_end
        if self._epoch_end is not None and held_out:
            of_picture = self._epoch_end / held_out
        remaining = self.epochs - self._epoch
        present = min(remaining, 1) * (self.steps - self._position)    # steps of the present epoch
        later = max(0, remaining - 1) * self.steps
        final = of_picture * self.processes * (held_out + self.pictures.get("test", 0)) + END
        return present * seconds + later * (seconds - waited) + remaining * epoch_end + final
