"""What a session asks of whatever is learned: from pictures, or by playing."""

from typing import Any, Protocol

from lensmith.engine.forecast import Forecast
from lensmith.engine.learner import Learner, Report
from lensmith.engine.plan.candidates import Choice
from lensmith.engine.plan.plan import Plan
from lensmith.engine.run_folder import Run
from lensmith.engine.run_loop import Progress
from lensmith.engine.vitals import Vitals
from lensmith.recipe.schema import Recipe


class Job(Protocol):
    """A learner that is ready to start, and what is measured, watched and said of it."""

    @property
    def recipe(self) -> Recipe:
        """Complete, as the run folder has it."""

    @property
    def learner(self) -> Learner: ...

    @property
    def choice(self) -> Choice:
        """How it is run, and where that was picked."""

    @property
    def plan(self) -> Plan: ...

    @property
    def score(self) -> str:
        """The metric of the valid split that ranks epochs, more is better."""

    @property
    def epochs(self) -> int:
        """How many rows the history has when all is learned."""

    @property
    def account(self) -> dict[str, Any]:
        """What data.json has of it; nothing where no data are learned from."""

    def begin_forecast(self) -> Forecast: ...

    def begin_vitals(self, run: Run, *, began: float | None) -> Vitals | None:
        """What looks at the network from the present step on; None where nothing is to."""

    def waited(self) -> float:
        """Seconds of this epoch in which nothing could be learned, since what is learned from was not ready."""

    def notes(self, report: Report) -> list[str]:
        """What came up on the way, the same lines again and again."""

    def concern(self, progress: Progress) -> str:
        """What has to be said of the scores so far, with what to try; empty where there is nothing."""

    def final_concerns(self, run: Run, metrics: dict[str, Any]) -> list[str]:
        """What has to be said when it has ended, beside that."""

    def measure(self, run: Run) -> dict[str, Any]:
        """What the best weights score, by split; pictures of it are written into the run folder. On rank 0 alone."""

    def update_account(self, run: Run) -> None:
        """Bring data.json up to date with what turned out while the data were used, on any rank."""
