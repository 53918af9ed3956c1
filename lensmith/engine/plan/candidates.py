"""What is asked of picking a plan, and what it gives: the plan, and the time of every candidate."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, get_args

from lensmith.base.device import choose_device
from lensmith.base.errors import UserError
from lensmith.engine.plan.plan import Layout, Plan, Precision, make_plan, plan_from_json

# Timing may take this fraction of the run's expected time.
_FRACTION = 0.01
# Of a short run it may take this fraction, but then no more than so many seconds.
_SHORT_FRACTION, MOST = 0.15, 1.5
# It may take so many looks at one way to run, as long as they take no more than this fraction: with fewer, plans that
# differ by a third were told apart by chance where pictures are large.
_LOOKS, _LONG_FRACTION = 8, 0.03
# It may take so many seconds in any case.
_LEAST = 0.5
# A compilation may take so many seconds. It is tried where that is little of the run: it makes it faster by more.
_COMPILING, _COMPILING_FRACTION = 60.0, 0.02
UNTRIED = "not tried"    # how the verdict begins on a plan for which there was no time or memory


def limit_of(expected: float, *, look: float = 0.0) -> float:
    """Seconds that picking may take for a run that is expected to take so many, where one look at a way to run takes
    `look` seconds."""
    return max(_FRACTION * expected, min(MOST, _SHORT_FRACTION * expected),
               min(_LOOKS * look, _LONG_FRACTION * expected), _LEAST)


def pays_to_compile(expected: float, spent: float) -> bool:
    """Whether a run of so many expected seconds pays for a compilation, after so many spent on timing."""
    return _COMPILING_FRACTION * expected > spent + _COMPILING


@dataclass(frozen=True)
class Timing:
    """What timing told of one candidate."""

    plan: Plan
    seconds: float | None    # the least time of a step on the timed pictures; None where none was timed
    verdict: str             # "chosen", "slower", "cut off: ...", "refused: ..."


@dataclass(frozen=True)
class Choice:
    """The plan that was picked, and the way to it."""

    plan: Plan
    source: str = "as asked"            # or "timed", "exact", "not timed", "the cache", "the run", a file's name
    timings: Sequence[Timing] = ()
    pictures: int = 0                   # in each timed step
    seconds: float = 0.0                # that picking took
    step: float = 0.0                   # seconds that a float32 step on a whole batch was expected to take
    limit: float = 0.0                  # seconds that picking was allowed
    other_load: float | None = None     # the fraction of the machine that other work took meanwhile
    gains: dict[str, float] = field(default_factory=dict)    # of rewrites for inference: how many times as fast

    def as_json(self) -> dict[str, Any]:
        """What plan.json keeps: the plan's own fields and the way to it."""
        return self.plan.as_json() | {
            "source": self.source, "picked_in": round(self.seconds, 3), "timed_pictures": self.pictures,
            "step_seconds": round(self.step, 6), "limit": round(self.limit, 3),
            "other_load": self.other_load, "gains": self.gains,
            "timings": [{**timing.plan.as_json(), "verdict": timing.verdict,
                         "milliseconds": None if timing.seconds is None else round(1000 * timing.seconds, 3)}
                        for timing in self.timings]}

    def hurried(self, steps: int) -> bool:
        """Whether a run of so many steps allows for much more than was tried: a compilation, or candidates for which
        there was no time."""
        expected = self.step * steps
        if pays_to_compile(expected, 0.0) and not any(timing.plan.compiled for timing in self.timings):
            return True
        return limit_of(expected) > 2 * self.limit and any(
            timing.verdict.startswith(UNTRIED) for timing in self.timings)


def choice_of(content: dict[str, Any], source: str) -> Choice:
    """What `as_json` gave, from a file; raises ModelError, KeyError or TypeError for one that is damaged."""
    timings = []
    for row in content["timings"]:
        seconds = None if row["milliseconds"] is None else row["milliseconds"] / 1000
        timings.append(Timing(plan_from_json(row), seconds, row["verdict"]))
    return Choice(plan_from_json(content), source, timings, int(content["timed_pictures"]),
                  step=float(content["step_seconds"]), limit=float(content["limit"]),
                  other_load=content["other_load"], gains=dict(content["gains"]))


@dataclass(frozen=True)
class Wanted:
    """What is asked for by name; None, and 0 threads, are left to the timing.

    The plan cache hashes its `repr`: another name or field would make all plans picked before void.
    """

    device: str = "auto"
    precision: Precision | None = None
    layout: Layout | None = None
    threads: int = 0
    compiled: bool | None = None

    @property
    def open(self) -> bool:
        """Whether anything is left to the timing."""
        return not (self.precision and self.layout and self.threads and self.compiled is not None)

    def plain(self) -> Plan:
        """The plan where nothing is timed."""
        return make_plan(device=self.device, precision=self.precision or "float32",
                         layout=self.layout or "channels_last", threads=self.threads, compiled=bool(self.compiled))

    def candidates(self) -> list[Plan]:
        """Every precision that the device has, in every layout, those first that win most often."""
        if self.precision is not None:
            self.plain()    # Raises where the device does not have it.
        plans = []
        precisions = (self.precision,) if self.precision is not None else get_args(Precision)
        layouts: tuple[Layout, ...] = ("channels_last", "contiguous") if self.layout is None else (self.layout,)
        for layout, precision in product(layouts, precisions):
            try:
                plans.append(make_plan(device=str(choose_device(self.device)), precision=precision, layout=layout,
                                       threads=self.threads, compiled=bool(self.compiled)))
            except UserError:
                continue
        return plans
