"""A picture's answers explained by methods of the table, each map in the pixels of the file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from lensmith.base.errors import UserError, choose
from lensmith.base.pictures import Place
from lensmith.models.network import Network
from lensmith.study.explain.answers import ExplainedAnswer, explained_answers
from lensmith.study.explain.believable import Covered, covered, is_believable, largest_in_box, likeness_to_random
from lensmith.study.explain.map_layers import map_layers, named_layers
from lensmith.study.explain.methods import METHODS
from lensmith.study.explain.subject import Subject
from lensmith.tasks.task import Task
from lensmith.values.semantic_mask import between, seen_pixels

USUAL = ("grad_cam",)


@dataclass(frozen=True)
class ToExplain:
    """What is asked of an explanation."""

    methods: tuple[str, ...] = USUAL
    settings: Mapping[str, Any] | None = None    # of the methods that have one of that name
    wanted: str | None = None                    # a class; None for what the network says
    layers: tuple[str, ...] = ()                 # of class activation maps; none: found by itself
    check: bool = False                          # whether pixels are taken away by each map
    seed: int = 0
    # What the test by random weights found of methods before, by method, settings and
    # layers; filled in where one is missing.
    likeness: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Explanation:
    """One answer, explained by one method."""

    answer: ExplainedAnswer
    method: str
    map: Tensor                 # float32 [height, width] in the pixels of the file; NaN where the network saw nothing
    layers: tuple[str, ...]     # that it was made of; none of a method that takes none
    likeness: float             # rank correlation of the method's map of this network with those of random weights
    covered: Covered | None     # with `check`, where there is anything to lose
    in_box: bool | None         # of an object, with `check`: whether the largest value lies in its box

    @property
    def problem(self) -> str | None:
        """Why it should not be believed, in a clause; None where nothing speaks against it."""
        if not is_believable(self.likeness):
            return f"random weights give nearly the same map (rank correlation {self.likeness:.2f})"
        if self.covered is not None and not self.covered.beats_random:
            return "taking its pixels away changes the score no more than taking others"
        return None

    def as_json(self) -> dict[str, Any]:
        """Plain data, without the map."""
        answer = self.answer
        return {"target": answer.target, "class": answer.name, "score": answer.score, "corners": answer.corners,
                "method": self.method, "layers": list(self.layers), "likeness_to_random": round(self.likeness, 4),
                "covered": None if self.covered is None else vars(self.covered), "in_box": self.in_box,
                "problem": self.problem}


@dataclass(frozen=True)
class ExplainedPicture:
    """What a network says of a picture, and why."""

    file: str
    size: tuple[int, int]           # height, width of the file, upright
    fit: tuple[float, ...]          # from its pixels to the network's, as Place.fit
    picture: Path | Image.Image     # to be drawn on
    explanations: list[Explanation]


def check_asked(asked: ToExplain) -> None:
    """Raise UserError for a method that there is not, or a setting that none of the methods has."""
    for name in asked.methods:
        choose(METHODS, name, "method")
    for key in asked.settings or {}:
        if not any(key in _settings_of(name) for name in asked.methods):
            having = [f"{name}: {', '.join(_settings_of(name))}" for name in METHODS if _settings_of(name)]
            raise UserError(f"none of {', '.join(asked.methods)} has a setting {key!r}. Settings are those of "
                            f"{'; '.join(having)}")
    if asked.layers and not any(METHODS[name].of_maps for name in asked.methods):
        raise UserError(f"{', '.join(asked.methods)} is not made of the maps of a layer: leave --layer out, or take "
                        f"{', '.join(name for name, method in METHODS.items() if method.of_maps)}")


def explain_picture(network: Network, task: Task, image: Tensor, place: Place, *, names: Mapping[str, Sequence[str]],
                    asked: ToExplain, source: Path | Image.Image) -> ExplainedPicture:
    """The answers of a task that decides as predictions are shown, explained for a picture `image` [channels, height,
    width] in the form of the network. Raises UserError for a class, layer or method that cannot be."""
    network.eval()
    picture = image.float()
    with torch.no_grad():
        values = {name: value[0] for name, value in task.decode(network(picture[None])).items()}

    @cache    # the same for every answer of a kind
    def layers(several: bool) -> tuple[str, ...]:
        if not any(METHODS[name].of_maps for name in asked.methods):
            return ()
        return named_layers(network, picture, asked.layers) if asked.layers else \
            map_layers(network, picture, several=several)

    explanations = []
    for answer in explained_answers(values, names, asked.wanted):
        (meant,) = answer.of.values()
        subject = Subject(network, partial(task.evidence, index=answer.number, of=answer.of), layers(meant.spatial),
                          asked.seed)
        for name in asked.methods:
            explanations.append(_explained(subject, picture, answer, name, asked, place))
    return ExplainedPicture(place.file, place.size, place.fit, source, explanations)


def _explained(subject: Subject, picture: Tensor, answer: ExplainedAnswer, name: str, asked: ToExplain,
               place: Place) -> Explanation:
    method = METHODS[name]
    if method.of_maps and not subject.layers:
        others = [other for other, one in METHODS.items() if not one.of_maps]
        raise UserError(f"{name} is made of maps, and no layer of this network gives one with more than one cell: "
                        f"take {', '.join(others)}")
    settings = {key: value for key, value in (asked.settings or {}).items() if key in _settings_of(name)}
    explain = partial(method.explain, **settings)
    found = explain(subject, picture)
    key = json.dumps([name, settings, subject.layers, asked.seed], sort_keys=True)
    if key not in asked.likeness:    # once a network and method: it takes a few times as long as the explanation
        asked.likeness[key] = likeness_to_random(subject, picture, explain, found)
    likeness = asked.likeness[key]
    in_box = largest_in_box(found, answer.corners) if asked.check and answer.corners is not None else None
    return Explanation(answer, name, _in_file(found, place), subject.layers if method.of_maps else (), likeness,
                       covered(subject, picture, found) if asked.check else None, in_box)


def _settings_of(name: str) -> dict[str, Any]:
    parameters = signature(METHODS[name].explain).parameters.values()
    return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}


def _in_file(found: Tensor, place: Place) -> Tensor:
    """The map in the pixels of the file, interpolated bilinearly; NaN where the network saw nothing."""
    whole = torch.full(place.size, float("nan"))
    (rows, seen_rows), (columns, seen_columns) = seen_pixels(place, found.shape)
    if len(rows) and len(columns):
        whole[seen_rows, seen_columns] = between(between(found.float(), rows, 0), columns, 1)
    return whole
