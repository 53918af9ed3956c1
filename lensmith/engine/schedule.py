"""How the rate changes over a run: each schedule is a function of the share of the run that is done."""

import math
from collections.abc import Callable

from lensmith.base.errors import UserError

Schedule = Callable[[float], float]    # share of the run in 0..1 -> factor on the peak rate in 0..1


def constant(*, warmup: float = 0.0) -> Schedule:
    """The peak rate throughout, after a linear warm-up over the share `warmup` of the run."""
    return _warmed(_share("warmup", warmup), lambda share: 1.0)


def cosine(*, warmup: float = 0.0, final: float = 0.0) -> Schedule:
    """Half a cosine from the peak to the share `final` of it (Loshchilov 2017, without restarts)."""
    _share("final", final, of="the peak")
    return _warmed(_share("warmup", warmup),
                   lambda share: final + (1 - final) * (1 + math.cos(math.pi * share)) / 2)


def linear(*, warmup: float = 0.1, final: float = 0.0) -> Schedule:
    """Straight up over the share `warmup` of the run, then straight down to the share `final`."""
    _share("final", final, of="the peak")
    return _warmed(_share("warmup", warmup), lambda share: 1 - (1 - final) * share)


def one_cycle(*, rise: float = 0.3, start: float = 0.04, final: float = 1e-5) -> Schedule:
    """Cosine up from `start` over the share `rise`, then cosine down to `final` (Smith 2018; the rate alone)."""
    _share("rise", rise)
    _share("start", start, of="the peak")
    _share("final", final, of="the peak")

    def factor(share: float) -> float:
        if share < rise:
            return start + (1 - start) * (1 - math.cos(math.pi * share / rise)) / 2
        down = (share - rise) / (1 - rise) if rise < 1 else 1.0
        return final + (1 - final) * (1 + math.cos(math.pi * down)) / 2

    return factor


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "cosine": cosine,
    "linear": linear,
    "one_cycle": one_cycle,
}


def _share(name: str, value: float, *, of: str = "the run") -> float:
    if not 0 <= value <= 1:
        raise UserError(f"schedule.{name} is a share of {of}, 0 .. 1; got {value}")
    return value


def _warmed(warmup: float, after: Schedule) -> Schedule:
    def factor(share: float) -> float:
        if share < warmup:
            return share / warmup
        return after((share - warmup) / (1 - warmup) if warmup < 1 else 1.0)

    return factor
