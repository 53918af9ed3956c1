"""Whether the recipe in a run folder is the one that the run began with."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from lensmith.base.errors import UserError, in_short
from lensmith.engine.run_folder import Run
from lensmith.recipe import schema as recipes

# Settings that may change on the way: they say where things lie, how fast they come and when they are saved, and not
# what is learned. That the files are the same is seen by their contents.
_FREE = {"run.name", "run.save_every", "run.vitals", "run.language", "data.path", "data.sets", "loading.workers",
         "loading.memory", "loading.disk", "learner.weights", "learner.teacher", "plan.device", "plan.timeout"}


def check_same_recipe(run: Run, began: Mapping[str, Any] | None, *, why: str, only: Collection[str] = ()) -> None:
    """Raise a UserError where recipe.toml is another one than the run `began` with.

    began: the sections as run.json keeps them; None where a run that was begun before keeps none.
    why: what a run with another recipe cannot do.
    only: the sections that are compared; without any, all.
    """
    if began is None:
        return
    before, now = _by_place(began), _by_place(recipes.read_recipe(run.folder / "recipe.toml"))
    changed = [place for place in dict.fromkeys([*before, *now]) if place not in _FREE
               and (not only or place.partition(".")[0] in only) and before.get(place) != now.get(place)]
    if changed:
        words = [f"{place} was {_shown(before, place)} and is {_shown(now, place)}" for place in changed[:3]]
        raise UserError(f"{run.folder / 'recipe.toml'} was changed since the run began ({', '.join(words)}"
                        f"{' ...' if len(changed) > 3 else ''}), and {why}: put it back, or begin a new run with it: "
                        f"lensmith train {run}")


def _by_place(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The settings by `section.key`, as JSON has their values."""
    plain = json.loads(json.dumps(recipe, default=str))
    return {f"{section}.{key}": value for section, settings in plain.items() for key, value in settings.items()}


def _shown(settings: Mapping[str, Any], place: str) -> str:
    return in_short(settings[place]) if place in settings else "left out"
