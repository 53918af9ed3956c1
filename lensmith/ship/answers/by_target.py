"""The answers to one picture, target by target: in words, as JSON and as a line of a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from lensmith.ship.answers import ANSWERS
from lensmith.values.value import Value


def by_names(values: Mapping[str, Value]) -> bool:
    """Whether the answers are told by the names of their targets: there are several, or one with a name of its own.

    A single target that is called what it is needs no more to be said.
    """
    return len(values) > 1 or any(name != value.kind for name, value in values.items())


def targets_in_words(values: Mapping[str, Value], names: Mapping[str, Sequence[str]], k: int) -> str:
    """One line: `Ankle boot 97.1 %, Sneaker 2.5 %`, or `species: cat 97.1 %; head: face 93.0 %`."""
    named = by_names(values)
    return "; ".join((f"{name}: " if named else "") + ANSWERS[value.kind].in_words(value, names[name], k)
                     for name, value in values.items())


def targets_as_json(values: Mapping[str, Value], names: Mapping[str, Sequence[str]], top: int) -> dict[str, Any]:
    """Plain data; of a label the `top` likeliest classes. Several values are objects under their names."""
    answers = {name: ANSWERS[value.kind].as_json(value, names[name], top) for name, value in values.items()}
    if by_names(values):
        return answers
    return {key: entry for answer in answers.values() for key, entry in answer.items()}


def targets_as_row(values: Mapping[str, Value], names: Mapping[str, Sequence[str]], top: int) -> dict[str, Any]:
    """One line of a table: of a label the `top` likeliest classes as label, score, label2, score2, ...

    The columns of several targets have their names before: species, species_score; outline_pet, the fraction of the
    pixels.
    """
    named = by_names(values)
    row: dict[str, Any] = {}
    for name, value in values.items():
        row |= ANSWERS[value.kind].as_columns(value, names[name], top, name if named else "")
    return row
