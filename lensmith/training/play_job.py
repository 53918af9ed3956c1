"""What a session does with learning by playing: forecast, measure, and say what the returns tell."""

from dataclasses import dataclass, field
from typing import Any

from lensmith.engine.forecast import Forecast
from lensmith.engine.learner import Report
from lensmith.engine.plan.candidates import Choice
from lensmith.engine.plan.plan import Plan
from lensmith.engine.run_folder import Run
from lensmith.engine.run_loop import Progress
from lensmith.engine.vitals import Vitals
from lensmith.recipe.assemble_play import AssembledPlay
from lensmith.recipe.schema import Recipe
from lensmith.rl.playing import Playing
from lensmith.training.played import Player
from lensmith.training.played_explained import explained_moments, write_moments

TESTED = 100    # fresh episodes by which the best network is measured at the end


@dataclass
class PlayJob:
    """A `Job` that learns by playing a world."""

    assembled: AssembledPlay
    trusted: bool
    account: dict[str, Any] = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        return self.assembled.recipe

    @property
    def learner(self) -> Playing:
        return self.assembled.learner

    @property
    def choice(self) -> Choice:
        return self.assembled.choice

    @property
    def plan(self) -> Plan:
        return self.assembled.plan

    @property
    def score(self) -> str:
        return "return"

    @property
    def epochs(self) -> int:
        return self.learner.epochs

    def waited(self) -> float:
        return 0.0

    def begin_forecast(self) -> Forecast:
        """Of moments as steps; a measurement is as long as the last one."""
        learner = self.learner
        return Forecast(epochs=learner.epochs, steps=max(1, learner.steps // learner.epochs),
                        pictures={"train": max(1, learner.steps // learner.epochs),
                                  "valid": self.recipe["learner"]["episodes"], "test": TESTED})

    def begin_vitals(self, run: Run, *, began: float | None) -> Vitals | None:
        """Nothing looks at it between steps: the history has what tells of play."""
        return None

    def notes(self, report: Report) -> list[str]:
        return list(self.assembled.notes)

    def concern(self, progress: Progress) -> str:
        """The doctor says what there is to be said of play."""
        return ""

    def final_concerns(self, run: Run, metrics: dict[str, Any]) -> list[str]:
        return []

    def measure(self, run: Run) -> dict[str, Any]:
        """What the network reaches in fresh episodes; films of the best and the worst go into the run folder."""
        learner = self.learner
        player = Player(run, self.recipe, learner.judged, learner.algorithm, self.plan, self.assembled.spaces,
                        self.trusted)
        measured = player.measure(TESTED, films=run.picture_folder())
        if player.spaces.pictures:
            write_moments(explained_moments(player), run.picture_folder() / "looked-at.png")
            measured["films"].append({"picture": "pictures/looked-at.png",
                                      "words": "what speaks for the action that it takes, in moments of an episode"})
        return {"test": measured}

    def update_account(self, run: Run) -> None:
        """There are no data that could turn out otherwise."""
