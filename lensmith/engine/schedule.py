"""How the learning rate changes over a run: a schedule is a function of the fraction of the run that is done."""

import math
from collections.abc import Callable

from lensmith.base.errors import UserError

Schedule = Callable[[float], float]    # fraction of the run in 0 .. 1 -> factor on the peak rate in 0 .. 1

# In the formulas s is the fraction of the run that is done, after the warm-up where there is one: it is 0 where the
# warm-up ends and 1 at the end of the run.


def constant(*, warmup: float = 0.0) -> Schedule:
    """The peak rate throughout, after a linear warm-up over the fraction `warmup` of the run."""
    return _warmed(_checked("warmup", warmup), lambda done: 1.0)


def cosine(*, warmup: float = 0.0, final: float = 0.0) -> Schedule:
    """Half a cosine from the peak to the fraction `final` of it (Loshchilov 2017, without restarts). The factor is
    final + (1 - final) (1 + cos(pi s)) / 2, after a linear warm-up over the fraction `warmup` of the run."""
    _checked("final", final, of="the peak")
    return _warmed(_checked("warmup", warmup),
                   lambda done: final + (1 - final) * (1 + math.cos(math.pi * done)) / 2)


def linear(*, warmup: float = 0.1, final: float = 0.0) -> Schedule:
    """Straight up over the fraction `warmup` of the run, then straight down to the fraction `final` of the peak. The
    factor on the way down is 1 - (1 - final) s."""
    _checked("final", final, of="the peak")
    return _warmed(_checked("warmup", warmup), lambda done: 1 - (1 - final) * done)


def one_cycle(*, rise: float = 0.3, start: float = 0.04, final: float = 1e-5) -> Schedule:
    """Cosine up from `start` over the fraction `rise`, then cosine down to `final` (Smith 2018; the rate alone). With
    u = s / rise and d = (s - rise) / (1 - rise) the factor is start + (1 - start) (1 - cos(pi u)) / 2 on the way up and
    final + (1 - final) (1 + cos(pi d)) / 2 on the way down."""
    _checked("rise", rise)
    _checked("start", start, of="the peak")
    _checked("final", final, of="the peak")

    def factor(done: float) -> float:
        if done < rise:
            return start + (1 - start) * (1 - math.cos(math.pi * done / rise)) / 2
        down = (done - rise) / (1 - rise) if rise < 1 else 1.0
        return final + (1 - final) * (1 + math.cos(math.pi * down)) / 2

    return factor


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "cosine": cosine,
    "linear": linear,
    "one_cycle": one_cycle,
}


def _checked(name: str, value: float, *, of: str = "the run") -> float:
    """The value of a setting that is a fraction; raises UserError where it is none."""
    if not 0 <= value <= 1:
        raise UserError(f"schedule.{name} is a fraction of {of}, 0 .. 1; got {value}")
    return value


def _warmed(warmup: float, after: Schedule) -> Schedule:
    """A linear warm-up over the fraction `warmup` of the run, then `after`, stretched over the rest of the run."""
    def factor(done: float) -> float:
        if done < warmup:
            return done / warmup
        return after((done - warmup) / (1 - warmup) if warmup < 1 else 1.0)

    return factor
