"""Chooses the epochs of a run that has so many minutes: as many as end in time, told from a few real steps."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from lensmith.base.errors import count
from lensmith.base.progress import duration
from lensmith.engine.rehearse import Pace, rehearse
from lensmith.engine.supervised import Supervised
from lensmith.models.freeze import gradual_unfreezing
from lensmith.models.network import Network
from lensmith.recipe import schema as recipes
from lensmith.recipe.defaults import complete_for
from lensmith.recipe.open_data import Data

_TIMED = 0.03                # fraction of the time that the timed steps may take,
_LEAST, _MOST = 0.5, 10.0    # and at least and at most so many seconds
_STREAMED = 2.0              # the same, so many times as long, where pictures are decoded by processes meanwhile
_BY_NETWORK = ("norm_floor",)    # settings of [learner] that follow from the network, once it is built


@dataclass(frozen=True)
class Budget:
    """The time that a run has, and the place where it will be saved."""

    until: float     # by time.monotonic
    folder: Path

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.until - time.monotonic()


def with_epochs(recipe: recipes.Recipe, epochs: int) -> recipes.Recipe:
    """The recipe with these epochs in the place of its minutes, so that a resumed or repeated run has the same."""
    learner = {key: value for key, value in recipe["learner"].items() if key != "minutes"}
    return recipe | {"learner": learner | {"epochs": epochs}}


def settle_epochs(asked: recipes.Recipe, recipe: recipes.Recipe, data: Data, budget: Budget | None,
                  learner: Supervised) -> tuple[recipes.Recipe, str]:
    """The recipe with the epochs that end within its minutes, at least one, and a line on them; the same on every
    process.

    asked: the recipe before it was completed, since what is usual depends on the epochs.
    recipe: the completed one, with the usual epochs.
    budget: the time that the run has.
    learner: made by it on a copy of the network, and of no use afterwards.
    """
    assert budget is not None    # whoever begins a run knows when it was asked for
    settings, group = recipe["learner"], learner.process_group
    pace = _pace(learner, recipe, data, budget)
    shrink: list[float] = recipe["augment"].get("shrink") or []
    # A step on smaller pictures takes less in proportion to their pixels.
    left = budget.left + sum(1 - fraction**2 for fraction in shrink) * pace.step * pace.steps
    epochs = group.broadcast_json(lambda: pace.epochs_within(left))
    note = _in_words(epochs, pace, left, minutes=settings["minutes"], fraction=recipe["loading"]["fraction"])
    epochs = max(1, epochs)
    if "unfreeze" in settings:    # raises where they are too few
        gradual_unfreezing(cast(Network, learner.network), settings["unfreeze"], planned=epochs)
    settled = complete_for(with_epochs(asked, epochs), data)
    settled["learner"] |= {name: settings[name] for name in _BY_NETWORK if name in settings}
    return settled, note


def _pace(learner: Supervised, recipe: recipes.Recipe, data: Data, budget: Budget) -> Pace:
    seconds = min(_MOST, max(_LEAST, _TIMED * budget.left)) * (_STREAMED if data.account["kept"] == "not" else 1.0)
    store = data.store
    with data.paused():    # what is timed is not to be disturbed
        return rehearse(learner, seconds=learner.process_group.broadcast(lambda: seconds),
                        epoch=len(recipe["augment"].get("shrink") or ()),
                        pictures={split: len(source) for split, source in data.splits.items()},
                        undecoded=lambda: store.undecoded if store is not None else 0, folder=budget.folder)


def _in_words(epochs: int, pace: Pace, left: float, *, minutes: float, fraction: float) -> str:
    if epochs:
        return f"learner.minutes={minutes:g} has time for {count(epochs, 'epoch')} of about {duration(pace.epoch)}"
    # The fraction whose steps take what is left beside measuring and saving.
    fitting = fraction * (left - pace.final - pace.epoch_end) / max(1e-9, pace.once + pace.step * pace.steps)
    advice = f"loading.fraction={fitting:.2g} would end in time" if fitting >= 0.01 else "give it more time"
    return f"one epoch takes about {duration(pace.once + pace.epoch)} and does not end within " \
        f"learner.minutes={minutes:g}; it is trained whole all the same: {advice}"
