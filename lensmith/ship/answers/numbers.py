"""Numbers in words, JSON and the columns of a table, by the names of the quantities."""

from collections.abc import Sequence
from typing import Any

from lensmith.ship.answers.answer import prefix_of
from lensmith.values.labels import Numbers


def in_words(numbers: Numbers, names: Sequence[str], k: int) -> str:
    """`kg 12.5, years 3`"""
    return ", ".join(f"{name} {number:.5g}" for name, number in zip(names, numbers.values.tolist(), strict=True))


def as_json(numbers: Numbers, names: Sequence[str], top: int = 5) -> dict[str, Any]:
    """`numbers`: each quantity by its name."""
    return numbers.as_json(names)


def as_columns(numbers: Numbers, names: Sequence[str], top: int, target: str) -> dict[str, Any]:
    """A column for each quantity."""
    return {f"{prefix_of(target)}{name}": number for name, number in zip(names, numbers.values.tolist(), strict=True)}
