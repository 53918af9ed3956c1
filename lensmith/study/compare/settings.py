"""The settings in which runs differ, and which runs differ in their seed alone."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lensmith.base.errors import count
from lensmith.study.compare.entry import Entry

_SEED = "run.seed"
_NAMES = (_SEED, "run.name")    # in which runs of one recipe may differ
_LONGEST = 60                   # letters of a value in a table


@dataclass(frozen=True)
class SeedGroup:
    """Runs whose recipes differ in their seed alone; a run by itself is one too."""

    runs: tuple[Entry, ...]

    @property
    def name(self) -> str:
        first = self.runs[0].run
        return first if len(self.runs) == 1 else f"{first} and {count(len(self.runs) - 1, 'other seed')}"


def groups_by_seed(runs: Sequence[Entry]) -> list[SeedGroup]:
    """The runs by their recipe without its seed, in the order in which they were named. Two with one seed are the same
    training twice, which says nothing of other seeds: the second is a group of its own."""
    groups: dict[tuple[str, int], list[Entry]] = {}
    met: dict[tuple[str, str], int] = {}
    for run in runs:
        settings = _flat(run)
        recipe = json.dumps({place: value for place, value in settings.items() if place not in _NAMES}, default=str,
                            sort_keys=True)
        again = (recipe, str(settings.get(_SEED)))
        met[again] = met.get(again, -1) + 1
        groups.setdefault((recipe, met[again]), []).append(run)
    return [SeedGroup(tuple(entries)) for entries in groups.values()]


def differing_settings(groups: Sequence[SeedGroup]) -> list[tuple[str, tuple[str, ...]]]:
    """Each setting that is not the same in all groups with its value in each, as the recipe has it."""
    recipes = [_flat(group.runs[0]) for group in groups]
    places = dict.fromkeys(place for recipe in recipes for place in recipe if place not in _NAMES)
    rows = []
    for place in places:
        texts = tuple(_text(recipe[place]) if place in recipe else "–" for recipe in recipes)
        if len(set(texts)) > 1:
            rows.append((place, texts))
    seeds = [sorted(str(_flat(run).get(_SEED, "–")) for run in group.runs) for group in groups]
    if any(other != seeds[0] for other in seeds):
        rows.append((_SEED, tuple(", ".join(each) for each in seeds)))
    return rows


def _flat(run: Entry) -> dict[str, Any]:
    return {f"{section}.{key}": value for section, values in run.recipe.items() for key, value in values.items()}


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
