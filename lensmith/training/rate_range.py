"""The range test of the learning rate: steps at rates that grow, and the loss after each of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lensmith.base.errors import Stopped, UserError
from lensmith.recipe import schema as recipes
from lensmith.recipe.assemble import assemble
from lensmith.recipe.from_source import anchored, check_brought, fit_to_weights
from lensmith.recipe.open_data import Tell, silent
from lensmith.recipe.other_data import read_data
from lensmith.recipe.sections import resolve

LOW, HIGH = 1e-6, 10.0    # rates between which the loss of every usual optimizer begins to fall, and blows up
_SMOOTH = 0.9             # decay of the mean of the losses, each of which is of one batch
_BLOWN = 4.0              # times the least loss, at which nothing more is to be seen
_RISE = 2.0               # times the loss at the beginning, from which on a rate is too high
_FALL = 0.05              # the fraction by which the loss has to fall for a rate to be told


@dataclass(frozen=True)
class RateRange:
    """What a range test has seen; `losses` are smoothed."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    recipe_rate: float             # of the recipe
    suggestion: float | None       # None where the loss falls at no rate

    def in_words(self) -> str:
        """What the curve says, a line."""
        rises = _rises(self.rates, self.losses)
        if self.suggestion is None and rises is not None:
            where = "below that" if self.recipe_rate < rises else f"above it: take --rate {rises / 10:.1g}"
            return (f"the loss does not fall in {len(self.rates)} steps, as of a network that begins with what it has "
                    f"learned, and rises from a rate of {rises:.1g} on; the recipe has {self.recipe_rate:g}, {where}")
        if self.suggestion is None:
            return (f"at no rate from {self.rates[0]:.1g} to {self.rates[-1]:.1g} does the loss fall in "
                    f"{len(self.rates)} steps: something else keeps the network from learning; train for an epoch, "
                    "then lensmith doctor RUN")
        least = self.rates[self.losses.index(min(self.losses))]
        steepest = _steepest(self.rates, self.losses)
        return (f"the loss is least at a rate of {least:.1g} and falls fastest at {steepest:.1g}; the recipe has "
                f"{self.recipe_rate:g}. Take --rate {self.suggestion:g}")


def rate_range(recipe: recipes.Recipe, *, steps: int = 100, trusted: bool = False, tell: Tell = silent) -> RateRange:
    """Train a network of this recipe, which is thrown away, for so many steps at rates from LOW to HIGH, each the same
    factor above the one before (Smith 2017, arXiv 1506.01186).

    Nothing is written. Raises UserError for fewer than 20 steps.
    """
    if steps < 20:
        raise UserError(f"the range test needs 20 steps or more to show a curve; got {steps}")
    check_brought(recipe, [])
    settled = anchored(resolve(fit_to_weights(_shortened(recipe)), trusted=trusted))
    learner = assemble(settled, read_data(settled, None, tell=tell), trusted=trusted).learner
    stepper, peak = learner.stepper, learner.stepper.rate / learner.stepper.schedule(0.5 / learner.stepper.steps)
    learner.valid, learner.settings = None, replace(learner.settings, epochs=steps, unfreezing=None, head_loss=None)
    stepper.steps, stepper.schedule = steps, lambda done: LOW * (HIGH / LOW) ** done / peak
    rates, raw = list[float](), list[float]()
    try:
        for report in learner:
            if report.row is None:
                rates.append(LOW * (HIGH / LOW) ** ((report.step - 0.5) / steps))
                raw.append(report.loss)
            losses = _smoothed(raw)
            if report.step >= steps or losses[-1] > _BLOWN * min(losses):
                break
    except Stopped:    # the loss is not finite
        if not raw:
            raise
    losses = _smoothed(raw)
    return RateRange(tuple(rates), tuple(losses), peak, _suggested(rates, losses))


def _shortened(recipe: recipes.Recipe) -> recipes.Recipe:
    """The recipe without what a hundred steps cannot have: the mean of the weights, patience, minutes."""
    learner = {key: value for key, value in recipe.get("learner", {}).items() if key not in ("patience", "minutes")}
    return {**recipe, "learner": learner | {"average": 0.0}}


def _smoothed(losses: Sequence[float]) -> list[float]:
    """The mean of the losses so far, the newest counting most, as if there had been others like them before."""
    mean, smoothed = 0.0, []
    for number, loss in enumerate(losses, start=1):
        mean = _SMOOTH * mean + (1 - _SMOOTH) * loss
        smoothed.append(mean / (1 - _SMOOTH**number))
    return smoothed


def _steepest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The rate at which the loss falls fastest, by the logarithm of the rate, before it is least."""
    least = losses.index(min(losses))
    window = max(1, len(losses) // 20)
    slopes = [losses[min(i + window, least)] - losses[max(0, i - window)] for i in range(least + 1)]
    return rates[slopes.index(min(slopes))]


def _suggested(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Between the rate where the loss falls fastest, which is careful, and a tenth of that where it is least, which is
    beyond the edge for more than a few steps: their geometric mean, to one digit."""
    if not losses:
        return None
    begins = _begins(losses)
    # A least loss among the first steps, at rates that move nothing, is that of an easy batch.
    if min(losses) > (1 - _FALL) * begins or losses.index(min(losses)) <= len(losses) // 10:
        return None
    least = rates[losses.index(min(losses))]
    return float(f"{math.sqrt(_steepest(rates, losses) * least / 10):.1g}")


def _begins(losses: Sequence[float]) -> float:
    """The loss before anything is learned: the mean over the first tenth of the steps."""
    first = losses[:max(3, len(losses) // 10)]
    return sum(first) / len(first)


def _rises(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """The rate from which on the loss is well above that at the beginning; None where it never is."""
    top = _RISE * _begins(losses)
    last = next((i for i in reversed(range(len(losses))) if losses[i] <= top), -1)    # that is not above
    return rates[last + 1] if last + 1 < len(losses) else None
