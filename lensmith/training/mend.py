"""A run begun anew with the mend of what was found in it, and whether that helped."""

from collections.abc import Mapping, Sequence
from typing import Any

from lensmith.base.errors import UserError
from lensmith.engine.run_folder import Run
from lensmith.recipe import schema as recipes
from lensmith.recipe.from_source import recipe_for
from lensmith.recipe.open_data import Tell, silent
from lensmith.study.doctor.diagnosis import Diagnosis
from lensmith.training.begin_or_resume import Allowed, begin_session
from lensmith.training.session import Session


def mending(run: Run, found: Sequence[Diagnosis]) -> Diagnosis:
    """The most certain of what was found that settings alone mend. Raises UserError where there is none, or where the
    most certain of all is another, which is to be mended by hand first."""
    if not found:
        raise UserError(f"nothing was found in {run}, so there is nothing to mend")
    first = found[0]
    mendable = next((each for each in found if each.settings), None)
    if mendable is None or (first.grave and not mendable.grave):
        raise UserError(f"{run}: {first.fault} is not mended by a setting: {first.mend}. Then train again: lensmith "
                        f"train {run}")
    return mendable


def begin_mended(run: Run, diagnosis: Diagnosis, *, trusted: bool, command: str, tell: Tell = silent) -> Session:
    """The session of the run's own recipe with the settings that mend it, in a new folder beside it."""
    recipe = recipes.put(recipe_for(run.folder), diagnosis.settings)
    return begin_session(recipe, runs=run.folder.parent, command=command, allowed=Allowed(trusted, trusted), tell=tell)


def outcome(before: Mapping[str, Any], after: Session) -> str:
    """Whether a mend helped, in words: the score of the run as run.json had it, and that of the mended one."""
    name, old = after.job.score, before.get("score") if before.get("score_name") == after.job.score else None
    best = after.progress.best
    new = after.progress.scores[best] if best >= 0 and f"valid/{name}" in after.progress.history[best] else None
    if new is None or old is None:
        return f"the mended run is {after.run}; without the score of both on a valid split nothing tells if it helped"
    words = "it helped" if new > old else "it did not help"
    return f"{words}: valid {name} {old:.4f} -> {new:.4f} ({after.run})"
