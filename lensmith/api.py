"""What Python users and the command line call: train, resume, load; a session of training and a trained network."""

import math
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from lensmith import recipe as recipes
from lensmith.assemble import Data, Job, assemble, build_network, choose_task, make_loaders, open_data, prepare
from lensmith.base.device import environment
from lensmith.base.errors import DataError, ModelError, Stopped, UserError, nearest
from lensmith.base.files import write_text
from lensmith.base.pictures import Form
from lensmith.data import DATASETS
from lensmith.data.given import given as given_data
from lensmith.data.loading import Loader
from lensmith.data.sample import Parts
from lensmith.engine.evaluate import evaluate
from lensmith.engine.follow import Interrupted, Progress, follow, restore
from lensmith.engine.learner import Report
from lensmith.engine.plan import Plan, plan
from lensmith.engine.run import Run
from lensmith.models.network import Network
from lensmith.models.weights import load_into
from lensmith.settings import resolve
from lensmith.ship.predict import Prediction, find_pictures, predict
from lensmith.study.report import report as write_report
from lensmith.study.worst import Worst
from lensmith.tasks.task import Task

BROUGHT = "python:"    # marks, in a recipe, what a Python caller brought as an object


@dataclass
class Session:
    """One training, from its folder to its report. Iterating it trains; what a report is worth showing is the
    caller's business."""

    run: Run
    job: Job
    command: str
    progress: Progress = field(default_factory=Progress)
    started: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Report]:
        """Train to the end, then measure the best weights on every split that was held out and write the report."""
        self._write_run("running")
        try:
            yield from follow(self.job.learner, self.run, self.progress,
                              patience=self.job.recipe["learner"]["patience"],
                              save_every=self.job.recipe["run"]["save_every"])
        except Interrupted as error:
            self._write_run("interrupted", str(error))
            raise
        except (Stopped, DataError) as error:
            self._write_run("stopped", str(error))
            raise
        self._finish()

    def _finish(self) -> None:
        network = self.job.learner.judged
        network.load_state_dict(self.run.read_best()["network"])
        loaders = make_loaders(self.job.recipe, self.job.data, self.job.task)
        pictures = self.run.folder / "pictures"
        for part in ("valid", "test"):
            if part in loaders:
                watch = Worst(self.job.task.needs, self.job.data.classes)
                found = evaluate(network, self.job.task, loaders[part], plan=self.job.plan, watch=watch)
                pictures.mkdir(exist_ok=True)
                rows = watch.save(pictures, name=f"{part}-worst")
                self.metrics[part] = found | {"worst": [row | {"picture": f"pictures/{row['picture']}"}
                                                        for row in rows]}
        self.run.write_json("metrics.json", finite(self.metrics))
        train = self.job.learner.train
        if isinstance(train, Loader) and train.dropped:
            account = self.run.read_json("data.json")
            account["dropped"] += [{"file": file, "reason": f"{why} (found while training)"}
                                   for file, why in train.dropped.items()]
            self.run.write_json("data.json", account)
        self._write_run("finished")
        write_report(self.run.folder)

    def _write_run(self, status: str, reason: str = "") -> None:
        progress, score_name = self.progress, self.job.task.score
        held_out = "valid" in self.job.data.splits
        best = progress.best
        self.run.write_json("run.json", {
            "name": self.run.folder.name, "command": self.command, "started": self.started,
            "finished": _now() if status != "running" else None, "seconds": round(progress.seconds, 3),
            "status": status, "reason": reason, "epochs": len(progress.scores),
            "best_epoch": best + 1 if best >= 0 else None, "score_name": score_name,
            "score": progress.scores[best] if best >= 0 and held_out else None, "version": version("lensmith"),
            "parameters": sum(one.numel() for one in self.job.learner.network.parameters()),
        })


@dataclass(frozen=True)
class Trained:
    """A trained network with all that it needs to be used."""

    run: Run
    recipe: recipes.Recipe
    network: Network
    task: Task
    classes: dict[str, tuple[str, ...]]
    form: Form
    plan: Plan
    trusted: bool = False

    @property
    def folder(self) -> Path:
        return self.run.folder

    @property
    def metrics(self) -> dict[str, Any]:
        """What the run measured when it ended, by split."""
        return self.run.read_json("metrics.json")

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """The class names of what it predicts, by target."""
        return {name: self.classes[name] for name in self.task.needs}

    def predict(self, sources: str | Path | Image.Image | Sequence[str | Path | Image.Image], *,
                batch: int = 64) -> list[Prediction]:
        """A prediction for each picture of files, folders, patterns, or Pillow pictures. Pictures that cannot be read
        give a Prediction with `error`."""
        many = [sources] if isinstance(sources, str | Path | Image.Image) else list(sources)
        files: list[Path | Image.Image] = []
        for source in many:
            files += [source] if isinstance(source, Image.Image) else find_pictures([source])
        torch.set_num_threads(self.plan.threads)
        return list(predict(self.network, self.task, files, form=self.form, plan=self.plan, names=self.names,
                            batch=batch))

    def validate(self, split: str | None = None, *, progress: Callable[[str], object] = lambda text: None,
                 data: Any = None) -> dict[str, Any]:
        """Measure on a split of the run's data: `test` where there is one, else `valid`. -> the task's metrics.

        `data` brings the data set again for a run that was trained on a Python object.
        """
        opened = _data(self.recipe, data, progress=progress)
        account = self.run.read_json("data.json")
        if opened.account["fingerprint"] != account.get("fingerprint"):
            raise DataError(f"the data of {self.run} have changed since it was trained: its splits would not be the "
                            "same pictures. Train again, or put the files back")
        loaders = make_loaders(self.recipe, opened, self.task)
        split = split or ("test" if "test" in loaders else "valid" if "valid" in loaders else "train")
        if split not in loaders:
            raise UserError(f"the run's data has no split {split!r}.{nearest(split, loaders)} "
                            f"It has: {', '.join(loaders)}.")
        measured = loaders[split]
        if split == "train":    # in order and as they are, not as they were learned from
            measured = type(measured)(measured.dataset, measured.batch, workers=measured.workers)
        task = choose_task(dict(self.recipe), self.classes, targets=opened.splits["train"].targets)
        torch.set_num_threads(self.plan.threads)
        return {"split": split} | evaluate(self.network, task, measured, plan=self.plan)


def recipe_for(source: str | Path) -> recipes.Recipe:
    """What was named on the command line -> the beginnings of a recipe: a recipe file, a run folder (its recipe again),
    a folder of pictures, a table, or the name of a data set."""
    path = Path(source)
    if path.suffix == ".toml":
        return recipes.read(path)
    if path.is_dir() and (path / "recipe.toml").is_file():
        found = recipes.read(path / "recipe.toml")
        found.get("run", {}).pop("name", None)
        return found
    if path.suffix.lower() in (".csv", ".tsv"):
        return {"data": {"name": "table", "path": str(source)}}
    if path.is_dir():
        return {"data": {"name": "folder", "path": str(source)}}
    if str(source) in DATASETS:
        return {"data": {"name": str(source)}}
    near = nearest(path.name, [*DATASETS, *(one.name for one in path.parent.iterdir())]
                   if path.parent.is_dir() else DATASETS)
    raise DataError(f"{str(source)!r} is no recipe (.toml), table (.csv, .tsv), folder of pictures or known data set."
                    f"{near} Known data sets: {', '.join(DATASETS)}.")


def begin(recipe: recipes.Recipe, *, runs: str | Path = "runs", command: str = "", data: Any = None,
          module: nn.Module | None = None, progress: Callable[[str], object] = lambda text: None) -> Session:
    """A recipe, or the beginnings of one -> a session, its run folder made and its data ready."""
    brought = [name for name, thing in (("data", data), ("backbone", module)) if thing is not None]
    settled = _anchored(resolve(recipe, brought=brought))
    ready = _data(settled, data, progress=progress)
    job = assemble(settled, ready, module=module)
    ready.account["notes"] += job.notes
    for note in ready.account["notes"]:
        progress(note)
    label = f"{Path(settled['data'].get('path') or settled['data']['name']).stem}-{job.recipe['backbone']['name']}"
    run = Run.create(Path(runs), name=settled["run"].get("name"), fallback=label.replace(BROUGHT, ""))
    write_text(run.folder / "recipe.toml", recipes.write(job.recipe))
    run.write_json("plan.json", job.plan.as_json())
    run.write_json("environment.json", environment())
    run.write_json("data.json", ready.account)
    return Session(run, job, command, started=_now())


def resume(folder: str | Path, *, data: Any = None, module: nn.Module | None = None, trusted: bool = False,
           progress: Callable[[str], object] = lambda text: None) -> Session:
    """The session of a run folder, as its last checkpoint left it: it ends with the same bits as if it had never been
    stopped. Raises DataError where the data have changed since."""
    run = Run.open(folder)
    recipe = _own_recipe(run, module=module, data=data, trusted=trusted)
    recipe["plan"] = run.read_json("plan.json")
    facts = run.read_json("run.json") if (run.folder / "run.json").is_file() else {}
    ready = _data(recipe, data, progress=progress)
    if ready.account["fingerprint"] != run.read_json("data.json").get("fingerprint"):
        raise DataError(f"the data of {run} have changed since it began, so it cannot go on with the same bits: put "
                        "the files back, or begin a new run with its recipe: lensmith train " + str(run))
    session = Session(run, assemble(recipe, ready, module=module, trusted=trusted), facts.get("command", ""),
                      started=facts.get("started") or _now())
    if (run.folder / "last.safetensors").exists():    # a run killed before its first checkpoint begins anew
        session.progress = restore(session.job.learner, run)
    return session


def load(folder: str | Path, *, device: str | None = None, backbone: nn.Module | None = None,
         trust: bool = False) -> Trained:
    """The trained network of a run folder, its best weights.

    A run whose backbone is the user's own code names a file; it runs only with `trust`. A run trained on a module from
    Python needs that module as `backbone`. Raises ModelError for a folder that is no run, incomplete or damaged.
    """
    run = Run.open(folder)
    recipe = _own_recipe(run, module=backbone, data=True, trusted=trust)
    facts = run.read_json("data.json")
    try:
        classes = {name: tuple(names) for name, names in facts["classes"].items()}
        form = Form(**facts["form"])
    except (KeyError, TypeError) as error:
        raise ModelError(f"{run.folder / 'data.json'} is incomplete ({error}): train again") from error
    task = choose_task(recipe, classes)
    own = run.read_json("plan.json")
    chosen = Plan(**own) if device is None else plan(device=device)
    if chosen.device.startswith("cuda") and not torch.cuda.is_available():
        chosen = plan(device="auto", threads=chosen.threads)
    best = run.read_best()
    channels = form.channels
    network = build_network(recipe, task, form, outputs=len(classes[task.needs[0]]), mean=[0.0] * channels,
                            deviation=[1.0] * channels, module=backbone, trusted=trust)
    load_into(network, best["network"], what=f"{run.folder / 'best.safetensors'}")
    chosen.place(network)
    network.eval()
    return Trained(run, recipe, network, task, classes, form, chosen, trust)


def train(data: Any, *, valid: Any = None, test: Any = None, backbone: str | nn.Module | None = None,
          task: str | None = None, epochs: int | None = None, batch: int | None = None, rate: float | None = None,
          size: int | None = None, device: str | None = None, seed: int | None = None, name: str | None = None,
          runs: str | Path = "runs", settings: dict[str, Any] | None = None,
          show: Callable[[Report], object] = lambda report: None) -> Trained:
    """Train and test a network, and write its run folder; -> the trained network.

    `data` is the name of a data set, a folder of pictures, a table, a recipe, or any object with a length that gives
    (picture, label) pairs (then `valid` and `test` may be such objects too). `backbone` is a name or a module that maps
    pictures to a vector. `settings` sets anything else by its place in the recipe, {"augment.flip": True}. `show` is
    called with each report.
    """
    objects = data if not isinstance(data, str | Path) else None
    recipe = {"data": {"name": f"{BROUGHT}{type(data).__name__}"}} if objects is not None else recipe_for(data)
    module = backbone if isinstance(backbone, nn.Module) else None
    flags = {"task.name": task, "learner.epochs": epochs, "loading.batch": batch, "optimizer.rate": rate,
             "pictures.size": size, "plan.device": device, "run.seed": seed, "run.name": name,
             "backbone.name": f"{BROUGHT}{type(backbone).__name__}" if module is not None else backbone}
    recipe = recipes.put(recipe, {**flags, **(settings or {})})
    parts = {"train": objects, "valid": valid, "test": test} if objects is not None else None
    session = begin(recipe, runs=runs, command="", data=parts, module=module)
    for report in session:
        show(report)
    return load(session.run.folder, backbone=module, trust=True)


def _data(recipe: recipes.Recipe, brought: Any, *, progress: Callable[[str], object]) -> Data:
    if not recipe["data"]["name"].startswith(BROUGHT):
        return open_data(recipe, progress=progress)
    if not isinstance(brought, dict):
        brought = {"train": brought}
    size = recipe["pictures"].get("size")
    edges = (size, size) if isinstance(size, int) else tuple(size) if size else None
    opened = {part: given_data(one, size=edges) for part, one in brought.items() if one is not None}
    classes = opened["train"].classes
    for part, one in opened.items():
        if set(one.classes) != set(classes):
            raise DataError(f"the {part} part gives {', '.join(one.classes)}, the training part "
                            f"{', '.join(classes)}")
        opened[part] = copy(one)
        opened[part].classes = classes
    return prepare(Parts(opened), recipe, name=recipe["data"]["name"], progress=progress)


def _anchored(recipe: recipes.Recipe) -> recipes.Recipe:
    """The recipe with its paths absolute, so that the run folder's later commands work from anywhere."""
    data, backbone = recipe["data"], recipe.get("backbone", {})
    if "path" in data:
        data["path"] = str(Path(data["path"]).expanduser().absolute())
    place, _, attribute = str(backbone.get("name", "")).rpartition(":")
    if place.endswith(".py"):
        backbone["name"] = f"{Path(place).absolute()}:{attribute}"
    return recipe


def _own_recipe(run: Run, *, module: nn.Module | None, data: Any, trusted: bool) -> recipes.Recipe:
    recipe = recipes.read(run.folder / "recipe.toml")
    brought = [section for section in ("data", "backbone")
               if str(recipe.get(section, {}).get("name", "")).startswith(BROUGHT)]
    for section, thing, how in (("data", data, "data="), ("backbone", module, "backbone=")):
        if section in brought and thing is None:
            raise ModelError(f"{run} was trained on a Python object as its {section}: from Python, pass it again as "
                             f"{how}...")
    return resolve(recipe, trusted=trusted, brought=brought)


def finite(node: Any) -> Any:
    """JSON has no NaN: a number that is none becomes null."""
    if isinstance(node, dict):
        return {key: finite(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [finite(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node


def _now() -> str:
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")
