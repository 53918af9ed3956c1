"""A trained network looked into by the views of the table: what each needs is opened for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from torch import nn

from lensmith.base.errors import UserError, nearest
from lensmith.base.pictures import Form, Place
from lensmith.data.batches.loader import Loader
from lensmith.data.sources.sample import Sample
from lensmith.engine.plan.plan import Plan
from lensmith.models.network import Network
from lensmith.ship.predict.predict_files import read_picture
from lensmith.ship.predict.thresholds import deciding
from lensmith.study.explain.views import VIEWS, check_views
from lensmith.study.explain.views.view import ViewedSet, ViewSubject
from lensmith.tasks.task import Task

_TOGETHER = 16    # pictures that were named and go through the network at once


class NamedPictures:
    """Files and Pillow pictures as a data set without targets, read when they are asked for."""

    def __init__(self, pictures: Sequence[Path | Image.Image], form: Form):
        self.pictures, self.form = pictures, form
        self.classes: dict[str, tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, i: int) -> Sample:
        """Raises BadPicture."""
        image, place = read_picture(self.pictures[i], self.form, self._name(i))
        return Sample(image, {}, place)

    def place(self, i: int) -> Place:
        """Where a picture comes from; how it is fitted is not known before it is read."""
        return Place(self._name(i), self.form.size)

    def subset(self, rows: Sequence[int]) -> "NamedPictures":
        return NamedPictures([self.pictures[row] for row in rows], self.form)

    def _name(self, i: int) -> str:
        picture = self.pictures[i]
        return f"picture {i}" if isinstance(picture, Image.Image) else str(picture)


@dataclass(frozen=True)
class ToView:
    """What is asked of a view."""

    view: str
    pictures: tuple[Path | Image.Image, ...] = ()
    layers: tuple[str, ...] = ()                 # none: found by itself
    wanted: str | None = None                    # a class
    split: str = "train"                         # of the run's own pictures
    settings: Mapping[str, Any] = field(default_factory=dict)


def view_network(network: nn.Module, task: Task, asked: ToView, *, form: Form, plan: Plan,
                 names: Mapping[str, Sequence[str]], own: Callable[[], Mapping[str, Loader]] | None,
                 tell: Callable[[str], object] = lambda text: None) -> Any:
    """The result of a view. `own` opens the run's own pictures by split; None where it has none. `tell` is called with
    a line on each picture that cannot be read.

    Raises UserError for a network that came as a file, for a view or setting that there is not, and for what a view
    needs and does not get.
    """
    check_views([asked.view], asked.settings, layers=asked.layers, wanted=asked.wanted, pictures=bool(asked.pictures))
    if not isinstance(network, Network):
        raise UserError("the layers of a file cannot be looked into: view the run folder that it was exported from")
    plan.settle()
    network.eval()
    view = VIEWS[asked.view]
    named = ViewedSet(Loader(NamedPictures(asked.pictures, form), _TOGETHER), "pictures that were named") \
        if asked.pictures else None
    searched = None
    if "set" in view.needs:
        searched = named if own is None or (view.needs == "set" and named) else _own(own, asked.split)
        if searched is None:
            raise UserError(f"{asked.view} looks at a set of pictures, and this network came without its own: name "
                            f"some, as lensmith explain RUN photos/*.jpg --view {asked.view}")
    subject = ViewSubject(network, deciding(task, threshold=None, overlap=None), names, form, asked.layers,
                          asked.wanted, named, searched)
    try:
        return view.look(subject, **asked.settings)
    finally:
        for pictures in (named, searched):
            for file, reason in (pictures.loader.dropped if pictures is not None else {}).items():
                tell(f"{file} {reason}")


def _own(own: Callable[[], Mapping[str, Loader]], split: str) -> ViewedSet:
    """The run's own pictures of a split, in order and as they are."""
    loaders = own()
    if split not in loaders:
        raise UserError(f"the data has no split {split!r}.{nearest(split, loaders)} It has: {', '.join(loaders)}")
    loader = loaders[split]
    words = {"train": "training pictures", "valid": "pictures of the split valid",
             "test": "pictures of the split test"}[split]
    return ViewedSet(Loader(loader.dataset, loader.batch, workers=loader.workers), words)
