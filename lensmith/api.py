"""What Python users call, and the command line with them: train, resume, load, and a trained network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from lensmith.base.errors import UserError
from lensmith.engine.learner import Report
from lensmith.recipe.from_source import is_run, recipe_for
from lensmith.recipe.schema import BROUGHT
from lensmith.recipe.sections import switch
from lensmith.training.begin_or_resume import begin_session, resume_session
from lensmith.training.session import Session
from lensmith.training.trained import Trained, load


def train(data: Any, *, valid: Any = None, test: Any = None, backbone: str | nn.Module | None = None,
          task: str | None = None, epochs: int | None = None, batch: int | None = None, rate: float | None = None,
          size: int | None = None, device: str | None = None, seed: int | None = None, name: str | None = None,
          runs: str | Path = "runs", settings: dict[str, Any] | None = None, trust: bool = False,
          show: Callable[[Report], object] = lambda report: None) -> Trained:
    """Train and test a network, and write its run folder; -> the trained network.

    `data` is the name of a data set, a folder of pictures, a table, a recipe, or any object with a length that gives
    (picture, label) pairs, with boxes (picture, {"boxes": [n, 4], "labels": [n]}) (then `valid` and `test` may be such
    objects too). `backbone` is a name, a run folder or a module that maps pictures to a vector. `settings` sets
    anything else by its place in the recipe, {"augment.flip": True}. Code that a recipe file or a run folder names runs
    only with `trust`.
    `show` is called with each report.
    """
    brought = not isinstance(data, str | Path)
    if not brought and (valid is not None or test is not None):
        raise UserError(f"valid= and test= go with a data set object; {str(data)!r} brings its own parts: set "
                        "split.valid and split.test")
    module = backbone if isinstance(backbone, nn.Module) else None
    flags = {"task.name": task, "learner.epochs": epochs, "loading.batch": batch, "optimizer.rate": rate,
             "pictures.size": size, "plan.device": device, "run.seed": seed, "run.name": name,
             "backbone.name": f"{BROUGHT}{type(backbone).__name__}" if module is not None else backbone}
    recipe = {"data": {"name": f"{BROUGHT}{type(data).__name__}"}} if brought else recipe_for(data)
    recipe = switch(recipe, {**flags, **(settings or {})})
    parts = {"train": data, "valid": valid, "test": test} if brought else None
    given = {name: value for name, value in flags.items() if value is not None} | (settings or {})
    shown = ", ".join([repr(data) if not brought else type(data).__name__, f"settings={given!r}"])
    session = begin_session(recipe, runs=runs, command=f"lensmith.train({shown})", data=parts, module=module,
                    trusted=trust or (isinstance(backbone, str) and not is_run(backbone)),
                    downloads="learner.weights" in (settings or {}))
    return _through(session, module, show)


def resume(folder: str | Path, *, data: Any = None, valid: Any = None, test: Any = None,
           backbone: nn.Module | None = None, trust: bool = False,
           show: Callable[[Report], object] = lambda report: None) -> Trained:
    """Go on with a run that was stopped; -> the trained network, the same to the bit as if it had not been.

    A run on Python objects needs the same ones again as `data`, `valid`, `test` and `backbone`.
    """
    parts = {"train": data, "valid": valid, "test": test} if data is not None else None
    return _through(resume_session(folder, data=parts, module=backbone, trusted=trust), backbone, show)


def _through(session: Session, module: nn.Module | None, show: Callable[[Report], object]) -> Trained:
    for report in session:
        show(report)
    return load(session.run.folder, backbone=module, trust=True)
