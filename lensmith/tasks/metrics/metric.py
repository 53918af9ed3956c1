"""What a metric is: a plain function of what was counted, and how its value is shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal


def figure(value: Any) -> str:
    """A number as people read it: counts with thousands apart, the rest with three or four digits."""
    if value is None:
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if 0.1 <= abs(value) < 10 or value == 0 else f"{value:.4g}"


def percent(value: float) -> str:
    """A fraction in percent, with one digit after the point."""
    return f"{100 * value:.1f} %"


@dataclass(frozen=True)
class Headline:
    """A measured split, as the sentence on its headline needs it."""

    name: str                      # of the metric that is the headline
    on: str                        # what was measured, in words: "400 test pictures"
    pictures: int                  # how many these are
    values: Mapping[str, float]    # every metric of the split
    texts: Mapping[str, str]       # the same values, each as its metric is shown
    details: Mapping[str, Any]     # as in metrics.json
    baseline: str = ""             # what one answer for all pictures would score, as a sentence

    @property
    def value(self) -> float:
        return self.values[self.name]

    @property
    def text(self) -> str:
        return self.texts[self.name]


def plain_sentence(headline: Headline) -> str:
    return f"{headline.name} is {headline.text} on {headline.on}."


@dataclass(frozen=True)
class Metric:
    """A number that says how good predictions are.

    In the table `METRICS` the `function` takes what is counted of its kinds of target and gives the value, [...] from
    counts [..., classes], or None where there is nothing to measure. Of a metric of one's own it takes the truth and
    the predictions of a whole split (`own.py`).
    """

    function: Callable[..., Any]
    kinds: tuple[str, ...] = ()                     # the kinds of target whose counts it takes
    shown: Literal["number", "percent"] = "number"  # in reports and comparisons
    better: Literal["more", "less"] = "more"
    resampled: bool = False                         # its 95 % interval is the function's over bootstrap samples
    every_epoch: bool = True                        # it may stand in the terminal's line of an epoch
    sentence: Callable[[Headline], str] = plain_sentence    # what a report says of it as the headline

    def text(self, value: float) -> str:
        """The value as it is shown; percents with two digits after the point, since runs are compared by them."""
        return f"{100 * value:.2f} %" if self.shown == "percent" else figure(float(value))
