"""The metrics of a measured split in words: each value, and the sentence that stands under the headline."""

from collections.abc import Mapping
from typing import Any

from lensmith.base.errors import count
from lensmith.tasks.metrics import metric_named
from lensmith.tasks.metrics.metric import Headline


def metric_text(name: str, value: float) -> str:
    """A metric's value in its own manner: percents with two digits after the point, as they are compared."""
    return metric_named(name).text(value)


def pictures_counted(measured: Mapping[str, Any]) -> int:
    """The pictures that the metrics counted; those without a truth are not among them."""
    return int(measured.get("details", {}).get("count", measured.get("count", 0)))


def sentence(split: str, measured: Mapping[str, Any], score: str, values: Mapping[str, float]) -> str:
    """The headline in words, with what to compare it with, and a warning where it flatters."""
    pictures = pictures_counted(measured)
    on = count(pictures, f"{'validation' if split == 'valid' else split} picture")
    headline = Headline(score, on, pictures, values, {name: metric_text(name, value) for name, value in values.items()},
                        measured.get("details", {}))
    text = metric_named(score).sentence(headline)
    if split == "valid":
        text += " These pictures also chose the best epoch, so the number flatters a little; a test split does not."
    return text
