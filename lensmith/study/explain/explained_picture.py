"""A picture's answers explained by methods of the table, each map in the pixels of the file."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from lensmith.base.errors import UserError, choose
from lensmith.base.pictures import Place
from lensmith.data.sources.fitting import corners_in_file
from lensmith.models.network import Network
from lensmith.study.explain.answers import ExplainedAnswer, explained_answers
from lensmith.study.explain.believable import Covered, covered, is_believable, largest_in_boxes, likeness_to_random
from lensmith.study.explain.kept_likeness import KeptLikeness
from lensmith.study.explain.map_layers import map_layers, named_layers
from lensmith.study.explain.methods import METHODS
from lensmith.study.explain.subject import Subject
from lensmith.tasks.task import Task
from lensmith.values.boxes import Boxes
from lensmith.values.semantic_mask import between, seen_pixels

USUAL = ("grad_cam",)
_FLAT = 0.05    # of a map's largest value: one whose values differ by no more tells nothing of where


@dataclass(frozen=True)
class ToExplain:
    """What is asked of an explanation."""

    methods: tuple[str, ...] = USUAL
    settings: Mapping[str, Any] | None = None    # of the methods that have one of that name
    wanted: str | None = None                    # a class; None for what the network says
    layers: tuple[str, ...] = ()                 # of class activation maps; none: found by itself
    check: bool = False                          # whether pixels are taken away by each map
    seed: int = 0


@dataclass(frozen=True)
class Explanation:
    """One answer, explained by one method."""

    answer: ExplainedAnswer
    method: str
    map: Tensor                 # float32 [height, width] in the pixels of the file; NaN where the network saw nothing
    layers: tuple[str, ...]     # that it was made of; none of a method that takes none
    likeness: float             # rank correlation of the method's map of this network with those of random weights
    corners: tuple[float, ...] | None    # of an object: x0 y0 x1 y1 in the pixels of the file
    checked: bool                        # whether pixels were to be taken away by the map
    covered: Covered | None              # what that did to the score; None where the picture has nothing to lose
    # Of an object, with `check`: whether the largest value lies in its box, and in a true one of its class; None where
    # the picture has none, or it is not known.
    in_box: bool | None
    in_true_box: bool | None

    @property
    def problem(self) -> str | None:
        """Why it should not be believed, in a clause; None where nothing speaks against it."""
        if not is_believable(self.likeness):
            return f"random weights give nearly the same map (rank correlation {self.likeness:.2f})"
        if self.covered is not None and not self.covered.beats_random:
            return "taking its pixels away changes the score no more than taking others"
        values = self.map[self.map.isfinite()]
        if not len(values) or values.max() - values.min() <= _FLAT * values.abs().max():
            return "its map is nearly the same over the whole picture"
        return None

    @property
    def notes(self) -> str:
        """How far it can be believed, in numbers."""
        notes = [f"random weights: rank correlation {self.likeness:.2f}"]
        if self.covered is not None:
            notes.append(self.covered.in_words())
        elif self.checked:
            notes.append("a blank picture scores no less, so there is nothing to take away")
        for inside, box in ((self.in_box, "its box"), (self.in_true_box, f"a true box of {self.answer.name}")):
            if inside is not None:
                notes.append(f"the strongest pixel lies {'in' if inside else 'outside of'} {box}")
        return "; ".join(notes)

    def as_json(self) -> dict[str, Any]:
        """Plain data, without the map."""
        answer = self.answer
        return {"target": answer.target, "class": answer.name, "score": answer.score,
                "quantity": answer.quantity, "answer": answer.in_words(),
                "corners": self.corners, "method": self.method, "layers": list(self.layers),
                "likeness_to_random": round(self.likeness, 4),
                "covered": None if self.covered is None else vars(self.covered), "in_box": self.in_box,
                "in_true_box": self.in_true_box, "problem": self.problem, "notes": self.notes}


@dataclass(frozen=True)
class ExplainedPicture:
    """What a network says of a picture, and why."""

    file: str
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


@dataclass(frozen=True)
class Explainer:
    """A network that is asked for its reasons, picture after picture."""

    network: Network                       # in float32
    task: Task                             # which decides as predictions are shown
    names: Mapping[str, Sequence[str]]     # of the classes, by target
    asked: ToExplain
    forward: Callable[[Tensor], Any]       # what `quick_forward` makes of the network
    kept: KeptLikeness                     # what is known of the network with random weights

    def explain(self, image: Tensor, place: Place, source: Path | Image.Image,
                truth: Mapping[str, Boxes]) -> ExplainedPicture:
        """The answers to a picture, explained.

        image: [channels, height, width] in the form of the network, which came from `source` as `place` says.
        truth: the true boxes of the picture in the pixels of its file by target, as far as they are known.

        Raises UserError for a class, layer or method that cannot be.
        """
        network, task, asked = self.network.eval(), self.task, self.asked
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
        for answer in explained_answers(values, self.names, asked.wanted):
            (meant,) = answer.of.values()
            subject = Subject(network, partial(task.evidence, index=answer.number, of=answer.of),
                              layers(meant.spatial), asked.seed, self.forward)
            for name in asked.methods:
                explanations.append(self._explained(subject, picture, answer, name, place=place, truth=truth))
        return ExplainedPicture(place.file, source, explanations)

    def _explained(self, subject: Subject, picture: Tensor, answer: ExplainedAnswer, name: str, *, place: Place,
                   truth: Mapping[str, Boxes]) -> Explanation:
        method, asked = METHODS[name], self.asked
        if method.of_maps and not subject.layers:
            others = [other for other, one in METHODS.items() if not one.of_maps]
            raise UserError(f"{name} is made of maps, and no layer of this network gives one with more than one cell: "
                            f"take {', '.join(others)}")
        settings = {key: value for key, value in (asked.settings or {}).items() if key in _settings_of(name)}

        def explain(one: Subject, shown: Tensor) -> Tensor:
            return method.explain(one, shown, **settings).float().cpu()

        found = explain(subject, picture)
        likeness = self.kept.look_up(json.dumps([name, settings, subject.layers, asked.seed], sort_keys=True),
                                     lambda: likeness_to_random(subject, picture, explain, found))
        map_ = _in_file(found, place)
        own = None if answer.corners is None else corners_in_file(answer.corners, place)
        true = _true_corners(answer, truth)
        return Explanation(
            answer, name, map_, subject.layers if method.of_maps else (), likeness, own, asked.check,
            covered(subject, picture, found) if asked.check else None,
            largest_in_boxes(map_, torch.tensor([own])) if asked.check and own is not None else None,
            largest_in_boxes(map_, true) if asked.check and len(true) else None)


def _true_corners(answer: ExplainedAnswer, truth: Mapping[str, Boxes]) -> Tensor:
    """float [n, 4]: the true boxes of an answer's class; none where they are not known, or the answer is no object."""
    if answer.corners is None or answer.target not in truth:
        return torch.zeros(0, 4)
    boxes = truth[answer.target]
    counted = boxes.classes == answer.number
    return boxes.corners[counted if boxes.crowd is None else counted & ~boxes.crowd]


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
