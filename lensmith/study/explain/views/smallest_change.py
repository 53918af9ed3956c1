"""The view `smallest_change`: how small a change of every pixel turns the network's answer."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lensmith.base.errors import UserError, escaped, nearest
from lensmith.base.viewing import viewable
from lensmith.study.explain.views.sheet import number_in_words, resized_to, sheet
from lensmith.study.explain.views.view import Panel, ViewSubject, whole

_EDGE = 200         # pixels of a picture
_FIRST = 1 / 16     # grey levels: the change that is tried first
_FINE = 0.005       # of a change, to which the smallest is found
_LEAST = 1e-6       # grey levels that are not halved any more
_FURTHER = 8        # grey levels more that are tried for a file, beyond the smallest change rounded up
_NAMED = 10         # classes that a refusal lists


@dataclass(frozen=True)
class ChangeFound:
    """The smallest change that one method found. Changes are in units of the pictures, which are grey levels at 8 bits:
    no value of any pixel moves by more than `epsilon`."""

    way: str                       # fgsm or pgd
    epsilon: float | None          # None where no change up to the whole range turns the answer
    to: str | None                 # the class that the answer turns to
    probability: float | None      # of that class, of the changed picture
    changed: Tensor | None         # float32 [channels, height, width]
    saved: Tensor | None           # uint8 or uint16: a changed picture of whole values that turns the answer
    saved_epsilon: int | None      # by how much its values differ, at most; None where no whole values were found
    saved_to: str | None           # the class that the answer turns to
    # Of fgsm, the smallest change after which each of the likeliest other classes scores more than the answer; None
    # where none was found.
    by_class: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class PictureTurned:
    """A picture, what the network says of it, and the changes that turn that."""

    file: str
    image: Tensor         # float32 [channels, height, width], whole values, as the network takes it
    answer: str
    probability: float
    changes: list[ChangeFound]


@dataclass(frozen=True)
class SmallestChange:
    """How small a change turns the answers for pictures."""

    pictures: list[PictureTurned]
    bits: int             # of the pictures

    def as_json(self) -> dict[str, Any]:
        return {"bits": self.bits, "pictures": [
            {"file": one.file, "answer": one.answer, "probability": one.probability, "changes": [
                {"way": each.way, "epsilon": each.epsilon, "to": each.to, "probability": each.probability,
                 "saved_epsilon": each.saved_epsilon, "saved_to": each.saved_to, "by_class": each.by_class}
                for each in one.changes]} for one in self.pictures]}

    def in_words(self) -> list[str]:
        return [f"{escaped(one.file)}: {one.answer}, {each.way}: {in_levels(each)}" for one in self.pictures
                for each in one.changes]


@dataclass(frozen=True)
class _Attack:
    """A picture, and the scores of the classes from which its answer follows."""

    logits: Callable[[Tensor], Tensor]    # [batch, channels, height, width] -> [batch, classes]
    picture: Tensor                       # [channels, height, width]
    answer: int
    wanted: int | None                    # the class that it is to turn to; None for any
    shades: tuple[int, int]               # black and white

    @torch.no_grad()
    def turned(self, changed: Tensor) -> bool:
        """Whether the answer for a changed picture is another, and the wanted one where there is one."""
        said = int(self.logits(changed[None])[0].argmax())
        return said == self.wanted if self.wanted is not None else said != self.answer

    @torch.no_grad()
    def is_ahead(self, changed: Tensor, other: int) -> bool:
        """Whether another class scores more than the answer."""
        scores = self.logits(changed[None])[0]
        return bool(scores[other] > scores[self.answer])

    def slope(self, picture: Tensor, other: int) -> Tensor:
        """The sign of the gradient of a class's lead over the answer."""
        given = picture[None].detach().clone().requires_grad_()
        scores = self.logits(given)[0]
        return torch.autograd.grad(scores[other] - scores[self.answer], given)[0][0].sign()

    def within(self, changed: Tensor, epsilon: float) -> Tensor:
        """The changed picture brought to at most `epsilon` from the picture, and into the range of values."""
        near = torch.maximum(torch.minimum(changed, self.picture + epsilon), self.picture - epsilon)
        return near.clamp(*self.shades)


def smallest_change(subject: ViewSubject, *, classes: int = 5, steps: int = 10) -> SmallestChange:
    """For each picture how small a change turns the class that the network names, to the class that is wanted, or to
    any: the largest difference of a single value, found by bisection, by two methods.

    FGSM moves every value by epsilon along the sign of one gradient (Goodfellow, Shlens and Szegedy 2014, arXiv
    1412.6572), of the lead of another class over the answer: each of the likeliest is tried. PGD takes several smaller
    steps of the kind, none further than epsilon from the picture, towards the class that FGSM found nearest (Madry et
    al. 2017, arXiv 1706.06083).

    classes: how many of the likeliest other classes FGSM tries.
    steps: of PGD.

    The change that is given turns the answer; half of it, by the same method, does not.
    """
    tried = whole("smallest_change", "classes", classes, most=1000)
    taken = whole("smallest_change", "steps", steps, most=1000)
    with torch.no_grad():
        target = _target(subject, subject.network(subject.blank()[None]))
    names = list(subject.names[target])
    wanted = None if subject.wanted is None else names.index(subject.wanted)

    def logits(pictures: Tensor) -> Tensor:
        return subject.task.class_logits(subject.network(pictures))[target].float()

    found = []
    for picture, place in subject.given():
        with torch.no_grad():
            scores = logits(picture[None])[0]
        answer = int(scores.argmax())
        if answer == wanted:
            raise UserError(f"{place.file} is {names[answer]!r} already, as the network says: name another class that "
                            "its answer is to turn to")
        attack = _Attack(logits, picture, answer, wanted, subject.form.shades)
        runners = [wanted] if wanted is not None else \
            [number for number in scores.argsort(descending=True, stable=True).tolist() if number != answer][:tried]
        fgsm, nearest_class = _fgsm(attack, runners, names)
        first = fgsm.epsilon if fgsm.epsilon is not None else _FIRST
        found.append(PictureTurned(place.file, picture.cpu(), names[answer], float(scores.softmax(0)[answer]),
                                   [fgsm, _pgd(attack, taken, names, nearest_class, first)]))
    return SmallestChange(found, subject.form.bits)


def _target(subject: ViewSubject, output: Any) -> str:
    """The target whose class is turned. Raises UserError where the network names no class of a picture, or not that
    one."""
    having = [target for target, logits in subject.task.class_logits(output).items() if logits.ndim == 2]
    if not having:
        raise UserError("smallest_change is of networks that name one class of a picture, and this one gives "
                        f"{', '.join(subject.names)}: the other views can be made of it")
    chosen = [target for target in having if subject.wanted is None or subject.wanted in subject.names[target]]
    if not chosen:
        known = list(dict.fromkeys(name for target in having for name in subject.names[target]))
        raise UserError(f"unknown class {subject.wanted!r}.{nearest(subject.wanted or '', known)} The network knows "
                        f"{len(known):,}: {', '.join(known[:_NAMED])}{' ...' if len(known) > _NAMED else ''}")
    return chosen[0]


def _fgsm(attack: _Attack, runners: list[int], names: list[str]) -> tuple[ChangeFound, int]:
    """What one step finds, and the class that the smallest one is aimed at."""
    most = attack.shades[1] - attack.shades[0]
    slopes = {other: attack.slope(attack.picture, other) for other in runners}

    def moved(epsilon: float, other: int) -> Tensor:
        return attack.within(attack.picture + epsilon * slopes[other], epsilon)

    by_class = {other: smallest(lambda size, other=other: attack.is_ahead(moved(size, other), other),    # type: ignore[misc]
                                first=_FIRST, most=most) for other in runners}
    best = min(runners, key=lambda other: math.inf if by_class[other] is None else float(by_class[other] or 0))
    # On the way to that class another one may turn the answer before, or it leads without being the wanted answer.
    epsilon = smallest(lambda size: attack.turned(moved(size, best)), first=by_class[best] or _FIRST, most=most)
    return _change(attack, "fgsm", epsilon, lambda size: moved(size, best), names,
                   {names[other]: size for other, size in by_class.items()}), best


def _pgd(attack: _Attack, steps: int, names: list[str], aimed_at: int, first: float) -> ChangeFound:
    def moved(epsilon: float) -> Tensor:
        """The first picture on the way that turns the answer, else the last one."""
        changed = attack.picture
        for _ in range(steps):
            # Steps that together go 2.5 times as far reach every corner, and may turn back, as Madry et al. 2017.
            step = 2.5 * epsilon / steps * attack.slope(changed, aimed_at)
            changed = attack.within(changed + step, epsilon)
            if attack.turned(changed):
                break
        return changed

    epsilon = smallest(lambda size: attack.turned(moved(size)), first=first,
                       most=attack.shades[1] - attack.shades[0])
    return _change(attack, "pgd", epsilon, moved, names, {})


def smallest(turns: Callable[[float], bool], *, first: float, most: float) -> float | None:
    """The smallest size that turns, to 0.5 %, by doubling from `first` on and then by bisection; None where `most` does
    not. Half of what is given does not turn."""
    high = min(first, most)
    while not turns(high):
        if high >= most:
            return None
        high = min(2 * high, most)
    while high > _LEAST:
        low = high / 2
        if turns(low):
            high = low
            continue
        while high - low > _FINE * high:
            middle = (low + high) / 2
            low, high = (low, middle) if turns(middle) else (middle, high)
        # A network need not be monotone: what turned at the end of the bisection may turn at half of it as well.
        if not turns(high / 2):
            return high
        high /= 2
    return high


def _change(attack: _Attack, way: str, epsilon: float | None, moved: Callable[[float], Tensor], names: list[str],
            by_class: dict[str, float | None]) -> ChangeFound:
    """What was found, with a picture of whole values, as a file has them, by the smallest whole number that does."""
    if epsilon is None:
        return ChangeFound(way, None, None, None, None, None, None, None, by_class)
    changed = moved(epsilon)
    with torch.no_grad():
        scores = attack.logits(changed[None])[0]
    to = int(scores.argmax())
    for size in range(math.ceil(epsilon), math.ceil(epsilon) + _FURTHER + 1):
        rounded = attack.within(moved(float(size)).round(), size)
        if attack.turned(rounded):
            with torch.no_grad():
                said = names[int(attack.logits(rounded[None])[0].argmax())]
            saved = rounded.to(torch.uint8 if attack.shades[1] <= 255 else torch.uint16).cpu()
            return ChangeFound(way, epsilon, names[to], float(scores.softmax(0)[to]), changed.cpu(), saved, size, said,
                               by_class)
    return ChangeFound(way, epsilon, names[to], float(scores.softmax(0)[to]), changed.cpu(), None, None, None, by_class)


def in_levels(found: ChangeFound) -> str:
    """`2.3 grey levels turn it to lynx; in whole levels 3, to lynx`"""
    if found.epsilon is None:
        return "no change along these directions turns it"
    file = f"in whole levels, as a file has them, {found.saved_epsilon}, to {found.saved_to}" \
        if found.saved is not None else "rounded to whole levels, as a file has them, it does not turn"
    sure = f"{100 * (found.probability or 0):.1f} %"
    return f"{number_in_words(found.epsilon)} grey levels turn it to {found.to} ({sure}); {file}"


def draw_smallest_change(found: SmallestChange) -> list[Panel]:
    """For each picture and method the picture, the change and the changed picture, which is a file of its own too."""
    return [_panel(one, change, f"smallest_change-{number:03d}-{change.way}", found.bits)
            for number, one in enumerate(found.pictures) for change in one.changes]


def _panel(one: PictureTurned, change: ChangeFound, name: str, bits: int) -> Panel:
    dtype = torch.uint8 if bits == 8 else torch.uint16
    title = f"{escaped(one.file)}, {change.way}"
    tiles, labels = [_shown(one.image.to(dtype))], [f"{one.answer}\n{100 * one.probability:.1f} %"]
    lines = [f"{one.answer}: {in_levels(change)}."]
    files = {}
    if change.changed is not None and change.epsilon is not None:
        shown = change.saved.float() if change.saved is not None else change.changed
        difference = shown - one.image
        largest = float(difference.abs().max()) or 1.0
        tiles += [_shown((127.5 + 127.5 * difference / largest).round().clamp(0, 255).byte()),
                  _shown(shown.round().to(dtype))]
        labels += [f"the change\n{127.5 / largest:.3g} times as strong",
                   f"{change.saved_to or change.to}\nchanged by {number_in_words(largest)}"]
        if change.saved is not None and bits == 8:
            files[f"{name}-changed.png"] = viewable(change.saved, least=1, most=1 << 20)
            lines.append("The second file is the changed picture at the network's size, without loss: the network "
                         f"names it {change.saved_to}.")
        elif change.saved is None:
            lines.append("No file of the changed picture is written: rounded to whole levels it has its old answer "
                         "again.")
    if change.by_class:
        lines.append("By class: " + "; ".join(f"{name} {'no change' if size is None else number_in_words(size)}"
                                              for name, size in change.by_class.items()) + ".")
    return Panel(name, sheet([tiles], under=[labels]), title, tuple(lines), files=files)


def _shown(picture: Tensor) -> Any:
    return resized_to(viewable(picture, least=1, most=4096), _EDGE)
