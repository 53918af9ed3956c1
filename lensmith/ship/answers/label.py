"""Labels in words, JSON and the columns of a table: the likeliest classes with their probabilities."""

from collections.abc import Sequence
from typing import Any

from lensmith.ship.answers.answer import prefix_of
from lensmith.values.labels import Label


def in_words(label: Label, names: Sequence[str], k: int) -> str:
    """`Ankle boot 97.1 %, Sneaker 2.5 %`"""
    return ", ".join(f"{names[number]} {100 * score:.1f} %" for number, score in label.top(k))


def as_json(label: Label, names: Sequence[str], top: int = 5) -> dict[str, Any]:
    """`label` and the `scores` of the `top` likeliest classes."""
    return {"label": names[int(label.index)],
            "scores": {names[number]: round(score, 6) for number, score in label.top(top)}}


def as_columns(label: Label, names: Sequence[str], top: int, target: str) -> dict[str, Any]:
    """label, score, label2, score2, ...; of several targets species, species_score, species2, species_score2, ..."""
    columns: dict[str, Any] = {}
    for rank, (number, score) in enumerate(label.top(top), start=1):
        ending = "" if rank == 1 else str(rank)
        columns |= {f"{target or 'label'}{ending}": names[number],
                    f"{prefix_of(target)}score{ending}": round(score, 6)}
    return columns
