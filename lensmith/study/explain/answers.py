"""Which answers of a prediction are explained, by the kind of its value, and the table of all kinds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from lensmith.base.errors import UserError, choose, nearest
from lensmith.values.boxes import Boxes
from lensmith.values.labels import Label, Numbers, Tags
from lensmith.values.semantic_mask import Mask
from lensmith.values.value import Value

_TAG = 0.5      # the score from which a tag is one of the answer
_MOST = 3       # answers of a target that are explained
_NAMED = 10     # classes that a refusal lists


@dataclass(frozen=True)
class ExplainedAnswer:
    """One answer: the class `number` of a target, or one object, or the pixels of a class."""

    target: str
    number: int            # of the class, tag or quantity
    name: str              # of it
    score: float | None    # what the network gives it, where that is a probability
    of: Mapping[str, Value]    # as `Task.evidence` takes it, in the network's pixels
    corners: tuple[float, ...] | None = None    # of an object: x0 y0 x1 y1 in the network's pixels
    quantity: float | None = None    # of a quantity: what the network says, in its own unit
    of_several: bool = False    # whether the network has other targets too, of which some may know the same classes

    def in_words(self) -> str:
        """`tabby 83.1 %` or `age 12.5`, and of several targets `breed: tabby 83.1 %`"""
        said = self.name
        if self.score is not None:
            said = f"{said} {100 * self.score:.1f} %"
        elif self.quantity is not None:
            said = f"{said} {self.quantity:.4g}"
        return f"{self.target}: {said}" if self.of_several else said


@dataclass(frozen=True)
class _Said:
    """The class that is meant, its score, and the value of it, or the one object."""

    number: int
    score: float | None
    value: Value
    corners: tuple[float, ...] | None = None
    quantity: float | None = None


Answers = list[_Said]


def _of_label(value: Value, only: int | None) -> Answers:
    assert isinstance(value, Label) and value.scores is not None
    number = int(value.scores.argmax()) if only is None else only
    return [_Said(number, float(value.scores[number]), value)]


def _of_tags(value: Value, only: int | None) -> Answers:
    assert isinstance(value, Tags) and value.scores is not None
    order = value.scores.argsort(descending=True, stable=True).tolist()
    chosen = [only] if only is not None else \
        [number for number in order if value.scores[number] >= _TAG][:_MOST] or order[:1]
    return [_Said(number, float(value.scores[number]), value) for number in chosen]


def _of_numbers(value: Value, only: int | None) -> Answers:
    assert isinstance(value, Numbers)
    return [_Said(number, None, value, quantity=float(value.values[number]))
            for number in ([only] if only is not None else range(len(value.values))[:_MOST])]


def _of_objects(value: Value, only: int | None) -> Answers:
    assert isinstance(value, Boxes) and value.scores is not None
    rows = value.scores.argsort(descending=True, stable=True)
    rows = rows if only is None else rows[value.classes[rows] == only]
    return [_Said(int(value.classes[row]), float(value.scores[row]), _one_of(value, row),
                  corners=tuple(value.corners[row].tolist())) for row in rows[:_MOST]]


def _one_of(value: Boxes, row: Tensor) -> Value:
    return Boxes(value.corners[row][None], value.classes[row][None])


def _of_mask(value: Value, only: int | None) -> Answers:
    assert isinstance(value, Mask)
    mask = replace(value, scores=None)
    if only is not None:
        return [_Said(only, None, mask)]
    numbers, counts = value.classes.unique(return_counts=True)
    return [_Said(int(numbers[row]), None, mask) for row in counts.argsort(descending=True)[:_MOST]]


EXPLAINED: Mapping[str, Callable[[Value, int | None], Answers]] = {
    "label": _of_label, "tags": _of_tags, "numbers": _of_numbers, "boxes": _of_objects, "mask": _of_mask,
    "masks": _of_objects,
}


def explained_answers(values: Mapping[str, Value], names: Mapping[str, Sequence[str]],
                      wanted: str | None = None) -> list[ExplainedAnswer]:
    """What is explained of the single values that a network gives for a picture, in its own pixels: the likeliest
    class, the tags, the quantities, the surest objects, the largest classes of a mask; at most three a target. With
    `wanted`, the name of a class, what is said of it alone.

    Raises UserError for a class that no target has.
    """
    holding = [target for target in values if wanted is None or wanted in names[target]]
    if not holding:
        known = list(dict.fromkeys(name for target in values for name in names[target]))
        some = f"{', '.join(known[:_NAMED])}{' ...' if len(known) > _NAMED else ''}"
        raise UserError(f"unknown class {wanted!r}.{nearest(wanted or '', known)} The network knows {len(known):,}: "
                        f"{some}")
    answers = []
    for target in holding:
        value, of_target = values[target], list(names[target])
        only = None if wanted is None else of_target.index(wanted)
        for said in choose(EXPLAINED, value.kind, "kind to explain")(value, only):
            answers.append(ExplainedAnswer(target, said.number, of_target[said.number], said.score,
                                           {target: said.value}, said.corners, quantity=said.quantity,
                                           of_several=len(values) > 1))
    return answers
