"""Which of two trials is the faster, told from steps that they take in turn."""

from collections.abc import Callable, Sequence
from statistics import median

from lensmith.data.sources.sample import Batch
from lensmith.engine.plan.plan import Plan
from lensmith.engine.plan.trial import Trial

# A candidate that changes one of these replaces the best only if its step takes at most this fraction of the best's
# time; of several changes the smallest fraction counts. The margin is for what changes the arithmetic or costs
# something later. Another layout is only another order of the same arithmetic and needs no margin.
NEEDED_FRACTION = {"precision": 0.97, "threads": 0.95, "compiled": 0.95, "rewrites": 0.98, "layout": 1.0}
# At most this many turns decide between two.
TURNS = 8
# One turn is enough where the ratio of the two is so far from 1.
_FAR = 1.5
# Three are enough where all are so near to the needed fraction that it matters little which of the two is taken.
_ALIKE = 0.06


def faster(best: Trial, trial: Trial, batch: Batch, *, goes_on: Callable[[], bool],
           looks: Sequence[float] = ()) -> Trial:
    """The faster of the two: `trial` where it replaces `best`. One turn is always taken, a further one where `goes_on`
    says so.

    In each turn both take a pass right after each other, so that a busy moment of the machine hits both. What counts is
    the ratio of the two; the one that begins changes from turn to turn, and the median of the ratios decides. `looks`
    are ratios that are known already.
    """
    needed, ratios, taken = needed_fraction(best.plan, trial.plan), list(looks), 0
    while taken < TURNS and not (taken and (_is_clear(ratios, needed) or not goes_on())):
        if taken % 2:
            before, seconds = best.step(batch), trial.step(batch)
        else:
            seconds, before = trial.step(batch), best.step(batch)
        ratios.append(seconds / before)
        taken += 1
    return trial if median(ratios) < needed else best


def _is_clear(ratios: Sequence[float], needed: float) -> bool:
    """Whether further turns would hardly change which of the two is taken, or what that is worth."""
    least, most = min(ratios), max(ratios)
    return (least > _FAR or most < 1 / _FAR
            or (len(ratios) > 1 and (least >= needed or most < needed))
            or (len(ratios) > 2 and max(needed - least, most - needed) < _ALIKE))


def needed_fraction(best: Plan, other: Plan) -> float:
    """The fraction of the time of `best` that `other` has to come down to in order to replace it."""
    return min((fraction for name, fraction in NEEDED_FRACTION.items() if getattr(best, name) != getattr(other, name)),
               default=1.0)
