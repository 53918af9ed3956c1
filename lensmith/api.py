"""What Python users call, and the command line with them: train, resume, load, and a trained network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from lensmith.base.errors import UserError
from lensmith.engine.learner import Report
from lensmith.recipe.from_source import is_run, recipe_for
from lensmith.recipe.schema import BROUGHT
from lensmith.recipe.sections import switch, without_other_length
from lensmith.recipe.user_metrics import names_metrics
from lensmith.training.begin_or_resume import Allowed, begin_session, resume_session
from lensmith.training.played import Player, load_player
from lensmith.training.session import Session
from lensmith.training.trained import Trained, load


def train(data: Any, *, valid: Any = None, test: Any = None, backbone: str | nn.Module | None = None,
          task: str | None = None, epochs: int | None = None, minutes: float | None = None, batch: int | None = None,
          rate: float | None = None, size: int | None = None, device: str | None = None, seed: int | None = None,
          name: str | None = None, runs: str | Path = "runs", settings: dict[str, Any] | None = None,
          trust: bool = False, show: Callable[[Report], object] = lambda report: None) -> Trained:
    """Train and test a network, and write its run folder; -> the trained network.

    data: the name of a data set, a folder of pictures, a table or a recipe; or any object with a length that gives
        pairs by number, (picture, label), or with boxes (picture, {"boxes": [n, 4], "labels": [n]}).
    valid, test: where `data` is such an object, further ones for these splits.
    backbone: a network's name, a run folder, or a module that maps pictures to a vector.
    task: what is learned; by itself the first task that the data can feed.
    epochs, batch, rate: passes over the training pictures, pictures a step, and the optimizer's peak learning rate.
    minutes: in the place of epochs: as many as end within so many minutes of this call.
    size: the edge of the network's pictures in pixels.
    device: "auto", "cpu", "cuda", "cuda:0" or "mps".
    seed: of the first weights, the order of the pictures and their augmentation.
    name: of the run folder; by itself the next free number.
    runs: the folder in which the run folder is made.
    settings: any other setting by its place in the recipe, as {"augment.flip": True}.
    trust: whether code that a recipe file or a run folder names may run.
    show: called with each report.
    """
    from_python = not isinstance(data, str | Path)
    if not from_python and (valid is not None or test is not None):
        raise UserError(f"valid= and test= go with a data set object; {str(data)!r} brings its own splits: set "
                        "split.valid and split.test")
    module = backbone if isinstance(backbone, nn.Module) else None
    by_place = {"task.name": task, "learner.epochs": epochs, "learner.minutes": minutes,
                "loading.batch": batch, "optimizer.rate": rate, "pictures.size": size,
                "plan.device": device, "run.seed": seed, "run.name": name,
                "backbone.name": f"{BROUGHT}{type(backbone).__name__}" if module is not None else backbone}
    recipe = {"data": {"name": f"{BROUGHT}{type(data).__name__}"}} if from_python else \
        recipe_for(data, name=(settings or {}).get("data.name"))
    changed = {place: value for place, value in by_place.items() if value is not None} | (settings or {})
    recipe = switch(without_other_length(recipe, changed), {**by_place, **(settings or {})})
    splits = {"train": data, "valid": valid, "test": test} if from_python else None
    source = type(data).__name__ if from_python else repr(data)
    allowed = Allowed(network=trust or (isinstance(backbone, str) and not is_run(backbone)),
                      metrics=trust or names_metrics(settings or {}), downloads="learner.weights" in (settings or {}))
    session = begin_session(recipe, runs=runs, command=f"lensmith.train({source}, settings={changed!r})", data=splits,
                            module=module, allowed=allowed)
    return _run_to_end(session, module, show)


def learn_to_play(world: str | Path, *, algorithm: str = "dqn", steps: int | None = None, seed: int | None = None,
                  runs: str | Path = "runs", settings: dict[str, Any] | None = None, trust: bool = False,
                  show: Callable[[Report], object] = lambda report: None) -> Player:
    """Learn to play a world, measure it and write its run folder; -> what has learned.

    world: one of `lensmith list worlds`, gym:NAME or my_world.py:World; a recipe of play; or the folder of a run that
        was stopped, which goes on as it began, to the same bits, and takes no other setting.
    algorithm: dqn, ppo, a2c or reinforce.
    steps: of the world, all copies together.
    seed, runs, show: as of `train`.
    settings: any other setting by its place in the recipe, as {"algorithm.n_step": 3}.
    trust: whether code that is named as the world, or in a recipe file, may run.
    """
    if is_run(str(world)):
        session = resume_session(world, trusted=trust)
    else:
        recipe = recipe_for(world) if str(world).endswith(".toml") else {"world": {"name": str(world)}}
        by_place = {"algorithm.name": algorithm if "algorithm" not in recipe else None, "learner.steps": steps,
                    "run.seed": seed}
        session = begin_session(switch(recipe, by_place | (settings or {})), runs=runs, allowed=Allowed(network=trust),
                                command=f"lensmith.learn_to_play({str(world)!r}, settings={settings or {}!r})")
    for report in session:
        show(report)
    return load_player(session.run.folder, trusted=trust)


def resume(folder: str | Path, *, data: Any = None, valid: Any = None, test: Any = None,
           backbone: nn.Module | None = None, trust: bool = False,
           show: Callable[[Report], object] = lambda report: None) -> Trained:
    """Go on with a run that was stopped; -> the trained network, the same to the bit as if it had not been.

    folder: the run folder.
    data, valid, test, backbone: the same objects again for a run that was begun with Python objects.
    trust: whether code that the run names may run.
    show: called with each report.
    """
    splits = {"train": data, "valid": valid, "test": test} if data is not None else None
    return _run_to_end(resume_session(folder, data=splits, module=backbone, trusted=trust), backbone, show)


def _run_to_end(session: Session, module: nn.Module | None, show: Callable[[Report], object]) -> Trained:
    """The trained network of a session that is iterated here."""
    for report in session:
        show(report)
    return load(session.run.folder, backbone=module, trust=True)
