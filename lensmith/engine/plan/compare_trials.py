"""Which of two trials is the faster, told from the steps that they took in turn."""

from statistics import median

from lensmith.engine.plan.plan import Plan, Precision
from lensmith.engine.plan.trial import Trial

# A candidate that changes one of these replaces the best only if its step takes at most this fraction of the best's
# time; of several changes the smallest fraction counts. The margin is for what changes the arithmetic or costs
# something later. Another layout is only another order of the same arithmetic and needs no margin.
NEEDED_FRACTION = {"precision": 0.97, "threads": 0.95, "compiled": 0.95, "rewrites": 0.98, "layout": 1.0}
# From this many turns on, medians are compared: they are less noisy than the least of so many. Of fewer turns the least
# time counts.
_MEDIAN_TURNS = 4


def is_faster(trial: Trial, turns: list[float], best: Trial, best_turns: list[float]) -> bool:
    """Whether `trial` replaces `best`. The steps that both took in turn decide where there are at least two: `best` may
    have taken many more over a longer time, and the least of all of them can be that of a lucky moment."""
    common, fraction = min(len(turns), len(best_turns)), needed_fraction(best.plan, trial.plan)
    if common < 2:
        return trial.best < fraction * best.best
    typical = median if common >= _MEDIAN_TURNS else min
    return typical(turns) < fraction * typical(best_turns)


def needed_fraction(best: Plan, other: Plan) -> float:
    """The fraction of the time of `best` that `other` has to come down to in order to replace it."""
    return min((fraction for name, fraction in NEEDED_FRACTION.items() if getattr(best, name) != getattr(other, name)),
               default=1.0)


def best_in(precision: Precision, trials: list[Trial], *, none: float) -> float:
    """The least time of a step in this precision, seconds; `none` where no trial has it."""
    return min((trial.best for trial in trials if trial.plan.precision == precision), default=none)
