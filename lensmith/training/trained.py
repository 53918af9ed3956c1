"""A trained network: what Python users call on it."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar, overload

import torch
from PIL import Image
from torch import nn

from lensmith.base.errors import DataError, ModelError, UserError, nearest
from lensmith.base.pictures import OWN, Form
from lensmith.data.batches.loader import Loader
from lensmith.data.sources.chosen_split import split_to_score
from lensmith.engine.evaluate import Watch, evaluate, for_inference, quickest
from lensmith.engine.plan.plan import Plan, make_plan
from lensmith.engine.run_folder import Run
from lensmith.models.adapters.embedded_weights import IMAGENET
from lensmith.recipe.build_network import LearnedNetwork, network_of_file, network_of_run
from lensmith.recipe.choose_task import choose_task
from lensmith.recipe.make_loaders import make_loaders
from lensmith.recipe.model_file import is_model_file
from lensmith.recipe.open_data import Data
from lensmith.recipe.other_data import other_data, read_data
from lensmith.recipe.schema import BROUGHT, NO_DATA
from lensmith.recipe.user_metrics import check_metrics
from lensmith.ship.export.darknet import Imported
from lensmith.ship.export.imagenet import ImagenetClassifier
from lensmith.ship.predict.find_files import find_pictures, named_sources
from lensmith.ship.predict.large_pictures import has_map, predict_tiles, predict_whole
from lensmith.ship.predict.own_size import at_own_size
from lensmith.ship.predict.predict_files import predict_pictures
from lensmith.ship.predict.prediction import Prediction
from lensmith.ship.predict.thresholds import chosen_classes, deciding
from lensmith.ship.predict.video import FILMS, Frame, frame_predictor, pictures_and_films, watch
from lensmith.ship.runtimes.file_network import FileNetwork, FileTask
from lensmith.study.check.labels.held_out import HeldOut
from lensmith.study.explain.explained_picture import USUAL, ExplainedPicture, ToExplain
from lensmith.study.explain.views import view_that_gives
from lensmith.tasks.metrics.own import not_measured
from lensmith.training.explained import explain_pictures, make_explainer
from lensmith.training.ids_in_files import coco_image_ids, mask_ids
from lensmith.training.own_plan import plan_of
from lensmith.training.same_data import check_same_data
from lensmith.training.same_recipe import check_same_recipe
from lensmith.training.viewed import ToView, view_network

Viewed = TypeVar("Viewed")


@dataclass(frozen=True, kw_only=True)
class Trained(LearnedNetwork):
    """A trained network with all that it needs to be used."""

    plan: Plan
    category_ids: tuple[int, ...] | None = None    # of the classes in the COCO file that was learned from
    trusted: bool = False                          # whether code that the recipe names may run

    @property
    def folder(self) -> Path:
        return self.run.folder

    @property
    def fits_inside(self) -> bool:
        """Whether the network is a file that takes pictures of any size and brings them to the form itself."""
        return isinstance(self.task, FileTask) and self.task.facts.fits_inside

    @property
    def seen_form(self) -> Form:
        """The form in which pictures go in where they are predicted."""
        return replace(self.form, fit=OWN) if self.fits_inside else self.form

    @property
    def metrics(self) -> dict[str, Any]:
        """What the run measured when it ended, by split."""
        return dict(self.facts["scores"]) if self.is_file else self.run.read_json("metrics.json")

    @property
    def is_file(self) -> bool:
        """Whether it is of a file of weights alone, without its run folder."""
        return is_model_file(self.folder)

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """The class names of what it predicts, by target."""
        return {name: self.classes[name] for name in self.task.needs}

    @cached_property
    def image_ids(self) -> dict[str, int | str]:
        """The ids of the pictures in the COCO files that were learned from, by their real paths; none where the run
        learned from other files, or these are gone."""
        return coco_image_ids(self._account.get("source") or {})

    @property
    def _ids(self) -> dict[str, str]:
        """What the ids in the masks that it learned from are called."""
        return mask_ids(self._account.get("source") or {})

    @property
    def _account(self) -> Mapping[str, Any]:
        """What is known of the data that it learned from."""
        return self.facts if self.is_file else self.run.facts("data.json")

    @cached_property
    def ready(self) -> tuple[nn.Module, Plan]:
        """The network rewritten for inference, once, and the plan for what is left to do, its threads timed."""
        pictures = torch.zeros((2, self.form.channels, *self.form.size), dtype=self.form.dtype)
        network, plan = for_inference(self.network, self.plan, pictures.to(self.plan.device))
        if plan.deterministic:    # other threads would give other last bits
            return network, plan
        return network, quickest(network, plan, pictures[:1].to(plan.device))

    def predict(self, sources: str | Path | Image.Image | Sequence[str | Path | Image.Image], *, batch: int = 64,
                threshold: float | None = None, overlap: float | None = None,
                classes: Sequence[str] | None = None, tiles: float | None = None) -> list[Prediction]:
        """A prediction for each picture. A picture that cannot be read gives a Prediction with `error`.

        sources: files, folders, patterns such as "photos/*.jpg", or Pillow pictures.
        batch: how many pictures the network is given at once.
        threshold: of objects, the least score that is shown; 0.25 by itself.
        overlap: of objects, the IoU above which of two of one class only the surer one is shown.
        classes: of objects, the classes to show; all by themselves.
        tiles: objects and masks of large pictures are looked for in tiles that overlap. A picture is first made so many
            times as large; 1 leaves it as it is.

        A fully convolutional classifier takes pictures at their own size. The answer for a picture does not depend on
        the others, but for the last digits of its scores (`predict_pictures` says how many).
        """
        pictures = _pictures_named(sources)
        network, plan = self.ready
        plan.settle()
        task = deciding(self.task, threshold=threshold, overlap=overlap)
        only = chosen_classes(self.task, self.names, classes)
        common: dict[str, Any] = {"form": self.seen_form, "plan": plan, "names": self.names}
        if tiles is not None:
            if self.fits_inside:
                raise UserError(f"predict.tiles={tiles:g} cannot be asked of {self.run}, which brings pictures to its "
                                "own size: export the run without export.any_size")
            return list(predict_tiles(network, task, pictures, **common, scale=tiles, only=only))
        if has_map(task):
            return list(predict_whole(network, task, pictures, **common))
        return list(predict_pictures(network, task, pictures, **common, batch=batch, only=only))

    def watch(self, sources: str | Path | Sequence[str | Path], *, out: str | Path | None = None, every: int = 1,
              top: int = 3, threshold: float | None = None, overlap: float | None = None,
              classes: Sequence[str] | None = None) -> Iterator[Frame]:
        """The frames of films and cameras with what is predicted of them, each as it comes. Needs OpenCV, the extra
        `video`.

        sources: films, folders and patterns of them, or cameras as "camera:0". A camera gives frames until Ctrl-C.
        out: a folder into which they are written too, drawn as films and as lines of JSON.
        every: only each so many-th frame is looked at.
        top: how many of the likeliest labels are written.

        The other parameters are as of `predict`.
        """
        pictures, films = pictures_and_films([sources] if isinstance(sources, str | Path) else sources)
        if pictures:
            raise DataError(f"{pictures[0]} is no film: accepted are {', '.join(FILMS)} and camera:0; pictures go to "
                            "predict")
        network, plan = self.ready
        plan.settle()
        task = deciding(self.task, threshold=threshold, overlap=overlap)
        look = frame_predictor(network, task, form=self.seen_form, plan=plan, names=self.names,
                               only=chosen_classes(self.task, self.names, classes))
        return watch(films, look, out=None if out is None else Path(out), every=every, top=top)

    def explain(self, sources: str | Path | Image.Image | Sequence[str | Path | Image.Image], *,
                method: str | Sequence[str] = USUAL, wanted: str | None = None, layers: Sequence[str] = (),
                check: bool = False, tell: Callable[[str], object] = lambda text: None,
                **settings: Any) -> list[ExplainedPicture]:
        """What the network looked at in each picture that can be read: `[0].explanations[0].map` is float32 [height,
        width] in the pixels of the first file.

        sources: as of `predict`.
        method: of the table `METHODS` of study/explain/methods, one or several.
        wanted: the class, tag or quantity to explain; what the network says by itself.
        layers: whose maps class activation maps are made of, by their names in `inspect`; found by itself.
        check: whether to take pixels away by each map, and of objects to look whether the strongest lies in the box,
            and in a true one of its class where the picture is of the run's own data.
        tell: called with a line on a picture that cannot be read.
        settings: of the methods, as masks=1000 of rise.

        Raises UserError for a method, setting, layer or class that there is not or that cannot be.
        """
        methods = (method,) if isinstance(method, str) else tuple(method)
        asked = ToExplain(methods, settings, wanted, tuple(layers), check)
        explainer = make_explainer(self.network, self.task, self.names, asked, plan=self.plan)
        return list(explain_pictures(explainer, _pictures_named(sources), form=self.form, plan=self.plan, tell=tell,
                                     own_data=lambda: self.own_data(None, lambda text: None)))

    @overload
    def view(self, view: type[Viewed], sources: Any = (), **asked: Any) -> Viewed: ...

    @overload
    def view(self, view: str, sources: Any = (), **asked: Any) -> Any: ...

    def view(self, view: str | type[Any], sources: Any = (), *, layers: Sequence[str] = (), wanted: str | None = None,
             split: str = "train", tell: Callable[[str], object] = lambda text: None, **settings: Any) -> Any:
        """What is in the network: its filters, the maps of a picture, pictures that are alike, and more, as plain data.

        view: of the table `VIEWS` of study/explain/views by its name, or by the class of its result.
        sources: pictures as of `predict`, for views that look at some; of views of a set in the place of the run's own.
        layers: by their names in `inspect`; found by itself.
        wanted: the class, for views of one.
        split: which of the run's own pictures are looked at.
        tell: called with a line on a picture that cannot be read.
        settings: of the view, as nearest=5 of neighbours.

        Raises UserError for a view, setting, layer or class that there is not or that cannot be.
        """
        name = view if isinstance(view, str) else view_that_gives(view)
        asked = ToView(name, tuple(_pictures_named(sources)), tuple(layers), wanted, split, settings)
        has_data = self.recipe["data"]["name"] != NO_DATA
        return view_network(self.network, self.task, asked, form=self.form, plan=self.plan, names=self.names,
                            own=(lambda: self._own_loaders) if has_data else None, tell=tell)

    @cached_property
    def _own_loaders(self) -> dict[str, Loader]:
        """Of the run's own pictures, by split, opened once for all views."""
        return make_loaders(self.recipe, self.own_data(None, lambda text: None), self.task)

    def validate(self, split: str | None = None, *, data: Any = None, settings: Sequence[str] = (),
                 tell: Callable[[str], object] = lambda text: None,
                 watches: Sequence[Watch] = ()) -> dict[str, Any]:
        """The task's metrics on a split of the run's data.

        split: by itself `test` where there is one, else `valid`.
        data: other data to measure on, named as for `lensmith.train`, which may have fewer classes than the network.
            For a run that was trained on Python objects, these again by split.
        settings: how other data are read, as ["data.name=masks"].
        tell: called with each line that is worth showing while the data are read.
        watches: see each batch with its predictions.
        """
        if isinstance(data, str | Path):
            return self._evaluate(other_data(data, self.recipe, self.form, self.names, ids=self._ids, settings=settings,
                                             tell=tell), split, tell, watches)
        return self._evaluate(self.own_data(data, tell), split, tell, watches)

    def held_out(self, data: str | Path, section: Mapping[str, Any], *,
                 tell: Callable[[str], object] = lambda text: None) -> HeldOut:
        """The network with the pictures of a data set that it never learned from: of the run's own data what was held
        out, of other data all.

        data: the set, named as for `lensmith.train`.
        section: the resolved section [data] that it stands for.
        """
        own = self.recipe["data"]
        if all(_same(section.get(key), own.get(key)) for key in ("name", "path")):
            loaders = make_loaders(self.recipe, self.own_data(None, tell), self.task)
            loaders = {split: loader for split, loader in loaders.items() if split != "train"}
            if not loaders:
                raise UserError(f"{self.run} learned from all of its pictures, so that it cannot tell which of them "
                                "are annotated wrongly: train again with split.valid=0.2, or leave the run out")
        else:
            others = other_data(data, self.recipe, self.form, self.names, ids=self._ids, tell=tell)
            loaders = {split: Loader(loader.dataset, loader.batch, workers=loader.workers)
                       for split, loader in make_loaders(self.recipe, others, self.task).items()}
        return HeldOut(f"the run {self.run.folder.name}", self.network, self.task, loaders, plan=self.plan,
                       classes=self.names)

    def own_data(self, data: Any, tell: Callable[[str], object]) -> Data:
        """The data that the run learned from, unchanged since. Raises ModelError and DataError where they are not."""
        if self.recipe["data"]["name"] == NO_DATA:
            what = "is a file" if self.is_file or isinstance(self.network, FileNetwork) else \
                "was converted from files of another program"
            raise ModelError(f"{self.run} {what} and has no data of its own: name some to measure on, with "
                             "validate.data")
        if self.recipe["data"]["name"].startswith(BROUGHT) and data is None:
            raise ModelError(f"{self.run} was trained on a Python object as its data: from Python, pass it again as "
                             "data={'train': ..., 'test': ...}")
        check_same_recipe(self.run, self.run.facts("run.json").get("recipe"), only=("data", "split", "pictures"),
                          why=f"{self.run} is measured on the data that it began with")
        opened = read_data(self.recipe, data, tell=tell)
        check_same_data(self.run, opened.account, changed=f"the data of {self.run} have changed since it was trained: "
                        "its splits would not be the same pictures. Train again, or put the files back")
        return opened

    def _evaluate(self, opened: Data, split: str | None, tell: Callable[[str], object],
                  watches: Sequence[Watch] = ()) -> dict[str, Any]:
        check_metrics(self.recipe, trusted=self.trusted)
        loaders = make_loaders(self.recipe, opened, self.task)
        split = split or split_to_score(loaders)
        if split not in loaders:
            raise UserError(f"the data has no split {split!r}.{nearest(split, loaders)} "
                            f"It has: {', '.join(loaders)}.")
        loader = loaders[split]
        if split == "train":    # measured in order and as they are, while they are learned from shuffled and augmented
            loader = Loader(loader.dataset, loader.batch, workers=loader.workers,
                            rectangular=self.form.fit == "pad" and self.task.needs == ("boxes",))
        task = self.task if isinstance(self.network, FileNetwork) else \
            choose_task(dict(self.recipe), self.classes, targets=opened.splits["train"].targets)
        self.plan.settle()
        whole = Loader(loader.dataset, loader.batch, workers=loader.workers)
        batches = at_own_size(whole, self.form, opened.roots.get(split)) if self.fits_inside else loader
        scores = evaluate(self.network, task, batches, plan=self.plan, watches=watches)
        for problem in not_measured(scores).values():
            tell(problem)
        ran = {"runtime": self.network.account()} if isinstance(self.network, FileNetwork) else {}
        return {"split": split} | scores | ran


def _same(name: Any, other: Any) -> bool:
    """Whether two names or paths of a recipe mean the same."""
    return name == other or (isinstance(name, str) and isinstance(other, str)
                             and os.path.realpath(Path(name).expanduser()) == os.path.realpath(other))


def _pictures_named(sources: Any) -> list[Path | Image.Image]:
    """Pillow pictures as they are, and the picture files of every other source, in the order named; of neighbours that
    are files each once."""
    pictures: list[Path | Image.Image] = []
    for in_memory, neighbours in groupby(named_sources(sources), key=lambda source: isinstance(source, Image.Image)):
        group: list[Any] = list(neighbours)
        pictures += group if in_memory else find_pictures(group)
    return pictures


def load(folder: str | Path, *, device: str | None = None, backbone: nn.Module | None = None,
         trust: bool = False) -> Trained:
    """The trained network of a run folder, with its best weights.

    folder: the run folder; its best.safetensors alone, wherever it lies; or "imagenet": the classifier of ImageNet's
        classes that is installed with the package. A run folder of that name is given as "./imagenet", or as a Path.
    device: where it runs, as "cpu" or "cuda:0"; by itself where it was trained.
    backbone: the module again with which a run from Python was begun.
    trust: whether code of the user's own that the run names as its backbone may run.

    Raises ModelError for a folder that is no run, is incomplete or damaged, and for a file that does not say what it is
    of.
    """
    if folder == IMAGENET:
        return _imagenet(device)
    if is_model_file(folder):
        learned = network_of_file(Path(folder), module=backbone, trusted=trust)
    else:
        learned = network_of_run(Run.open(folder), module=backbone, trusted=trust)
    plan = plan_of(folder) if device is None else make_plan(device=device)
    plan.place(learned.network)
    return Trained(**vars(learned), plan=plan, category_ids=_category_ids(learned.facts), trusted=trust)


def _imagenet(device: str | None) -> Trained:
    classifier = ImagenetClassifier(device=device or "cpu")
    classifier.plan.place(classifier.network)
    classifier.network.eval()
    return Trained(Run(Path(IMAGENET)), classifier.recipe, classifier.network, classifier.task, classifier.classes,
                   classifier.form, plan=classifier.plan)


def _category_ids(facts: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The numbers of the classes in the COCO file; None where there are none, or none that a file can hold."""
    ids = (facts.get("source") or {}).get("category_ids")
    return tuple(ids) if isinstance(ids, list) and all(type(number) is int for number in ids) else None


def darknet(cfg: str | Path, weights: str | Path, names: str | Path | None = None) -> Trained:
    """The network of Darknet's files, ready to predict and to be measured, without a run folder.

    cfg: the file that describes the layers.
    weights: the file of their weights.
    names: a file of the class names, one a line.

    Raises ModelError for files that do not belong together.
    """
    imported = Imported(Path(cfg), Path(weights), None if names is None else Path(names))
    imported.plan.place(imported.network)
    imported.network.eval()
    return Trained(Run(Path(cfg).parent), imported.recipe, imported.network, imported.task, imported.classes,
                   imported.form, plan=imported.plan)
