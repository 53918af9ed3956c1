"""The view `class_image`: a picture made so that the network sees a class in it, or that excites a channel."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.base.errors import UserError, nearest
from lensmith.base.hashed_random import seed_of
from lensmith.base.viewing import viewable
from lensmith.study.explain.answers import explained_answers
from lensmith.study.explain.views.layers import channel_of, layer_in_words, map_of, one_layer
from lensmith.study.explain.views.sheet import number_in_words, resized_to, sheet
from lensmith.study.explain.views.spectrum import Spectrum
from lensmith.study.explain.views.view import Panel, ViewSubject, whole
from lensmith.values.value import Value

_MOST = 10         # classes of which a picture is made each, where none is named
_SHIFT = 32        # a shift goes up to so large a part of the picture's shorter edge
_RATE = 0.05       # of Adam, as Olah et al. 2017
_SURE = 0.75       # part of the steps after which the probability alone is raised, since other classes' scores grow too
_EDGE = 260        # pixels of the picture on a page
_NAMED = 10        # classes that a refusal lists
_AT_ONCE = 16      # jittered copies that the network looks at together


@dataclass(frozen=True)
class Made:
    """A picture that was made for one class or channel."""

    of: str                          # the class, or `channel 3 of layer backbone.layer2`
    image: Tensor                    # uint8 or uint16 [channels, height, width], in the form of the network
    before: float                    # the score, or the mean activation, of the picture that it began with
    after: float                     # the same of the picture that was made
    probabilities: Tensor | None     # float32 [draws]: of the class, under shifts; None of a channel and of a quantity
    shift: int                       # pixels that the shifts go up to, each way

    def in_words(self) -> str:
        """What was reached, in a clause."""
        raised = f"from {number_in_words(self.before)} to {number_in_words(self.after)}"
        if self.probabilities is None:
            return f"raised {raised}"
        return (f"probability {float(self.probabilities.mean()):.3f} under {len(self.probabilities)} shifts by up to "
                f"{self.shift} pixel{'s' * (self.shift != 1)}, at least {float(self.probabilities.min()):.3f}; score "
                f"{raised}")


@dataclass(frozen=True)
class ClassImages:
    """Pictures that were made, one a class."""

    made: list[Made]
    steps: int

    def as_json(self) -> dict[str, Any]:
        return {"steps": self.steps, "made": [
            {"of": one.of, "before": one.before, "after": one.after, "shift": one.shift,
             "probability": None if one.probabilities is None else float(one.probabilities.mean()),
             "lowest": None if one.probabilities is None else float(one.probabilities.min())} for one in self.made]}

    def in_words(self) -> list[str]:
        return [f"{one.of}: {one.in_words()}" for one in self.made]


@dataclass(frozen=True)
class _Aim:
    """What a picture is made for."""

    of: str
    score: Callable[[Tensor], Tensor]                  # pictures -> [batch]: what is raised
    log_probability: Callable[[Tensor], Tensor] | None     # pictures -> [batch]; None of what has no softmax
    probability: Callable[[Tensor], Tensor] | None     # pictures -> [batch]; None of what has none


def class_image(subject: ViewSubject, *, channel: int | None = None, steps: int = 160, draws: int = 16) -> ClassImages:
    """A picture of a class: from a nearly gray one by gradient ascent over its spectrum, each step of a shifted copy,
    so that what comes out does not hang on single pixels (Simonyan et al. 2013, arXiv 1312.6034; Olah et al. 2017,
    doi 10.23915/distill.00007). Of a label or a mask's pixels the score and the logarithm of the probability are raised
    together, at last this alone; of a tag, a quantity or a class of objects the score.

    channel: in the place of a class, the mean of this channel's map, from 0, of the layer, is raised (activation
        maximisation).
    steps: of the ascent.
    draws: shifts under which the probability is measured, of the picture rounded to whole values.
    """
    taken = whole("class_image", "steps", steps, most=10_000)
    drawn = whole("class_image", "draws", draws, most=1000)
    if channel is not None and subject.wanted is not None:
        raise UserError("class_image is of a class or of a channel: leave --class or channel out")
    if channel is None and subject.layers:
        raise UserError("class_image of a layer is of one of its channels: add --set channel=0, or leave --layer out")
    aims = [_of_channel(subject, channel)] if channel is not None else [_of_class(subject, *one)
                                                                       for one in _classes(subject)]
    return ClassImages([_made(subject, aim, number, taken, drawn) for number, aim in enumerate(aims)], taken)


def _classes(subject: ViewSubject) -> list[tuple[str, int]]:
    """The targets and numbers of the classes that are meant. Raises UserError for one that there is not."""
    every = [(target, number) for target, names in subject.names.items() for number in range(len(names))]
    if subject.wanted is not None:
        chosen = [(target, number) for target, number in every if subject.names[target][number] == subject.wanted][:1]
    else:
        chosen = every if len(every) <= _MOST else []
    if not chosen:
        known = list(dict.fromkeys(name for names in subject.names.values() for name in names))
        some = f"{', '.join(known[:_NAMED])}{' ...' if len(known) > _NAMED else ''}"
        if subject.wanted is None:
            raise UserError(f"class_image is of one class where there are more than {_MOST}: name it with --class. The "
                            f"network knows {len(known):,}: {some}")
        raise UserError(f"unknown class {subject.wanted!r}.{nearest(subject.wanted, known)} The network knows "
                        f"{len(known):,}: {some}")
    return chosen


def _of_channel(subject: ViewSubject, channel: int) -> _Aim:
    layer = one_layer(subject)
    with torch.no_grad():
        _, maps = map_of(subject, layer, subject.blank()[None])
    number = channel_of(channel, maps.shape[1], layer)

    def activation(pictures: Tensor) -> Tensor:
        return map_of(subject, layer, pictures)[1][:, number].mean((1, 2))

    return _Aim(f"channel {number} of {layer_in_words(layer)}", activation, None, None)


def _of_class(subject: ViewSubject, target: str, number: int) -> _Aim:
    task, name = subject.task, subject.names[target][number]
    with torch.no_grad():
        output = subject.network(subject.blank()[None])
        values = {one: value[0] for one, value in task.decode(output).items()}
        of_softmax = target in task.class_logits(output)
    several = len(subject.names) > 1
    if several and target in task.objects:
        raise UserError(f"class_image cannot be made of {name!r}, a class of objects beside other tasks: take a class "
                        f"of {', '.join(one for one in subject.names if one not in task.objects)}")

    def score(pictures: Tensor) -> Tensor:
        output = subject.network(pictures)
        if of_softmax:
            return _of_picture(task.class_logits(output)[target][:, number])
        return task.evidence(output, number, {target: values[target]} if several else None)

    def log_probability(pictures: Tensor) -> Tensor:
        return _of_picture(task.class_logits(subject.network(pictures))[target].log_softmax(1)[:, number])

    return _Aim(name, score, log_probability if of_softmax else None,
                None if target in _without(values) else partial(_probability, subject, target, number))


def _of_picture(values: Tensor) -> Tensor:
    """[batch] for [batch, ...]: the mean of a picture, over its pixels where there are any."""
    return values.reshape(len(values), -1).mean(1)


def _without(values: dict[str, Value]) -> list[str]:
    """The targets whose answers have no probability: quantities."""
    return [target for target, value in values.items() if value.kind == "numbers"]


@torch.no_grad()
def _probability(subject: ViewSubject, target: str, number: int, pictures: Tensor) -> Tensor:
    """[batch]: of a class, the mean over the pixels of a mask; of objects the confidence of the surest one."""
    output = subject.network(pictures)
    logits = subject.task.class_logits(output).get(target)
    if logits is not None:
        return _of_picture(logits.softmax(1)[:, number])
    value = subject.task.decode(output)[target]
    names, wanted = {target: subject.names[target]}, subject.names[target][number]
    scores = []
    for row in range(len(pictures)):
        answers = explained_answers({target: value[row]}, names, wanted)
        scores.append(answers[0].score or 0.0 if answers else 0.0)
    return torch.tensor(scores)


def _made(subject: ViewSubject, aim: _Aim, number: int, steps: int, draws: int) -> Made:
    drawn = torch.Generator().manual_seed(seed_of(subject.seed, 3, number))
    height, width = subject.form.size
    black, white = subject.form.shades
    shift = max(1, min(height, width) // _SHIFT)
    spectrum = Spectrum(subject.form.channels, height, width, drawn).to(subject.device)
    learned = torch.optim.Adam(spectrum.parameters(), lr=_RATE)
    with torch.no_grad():
        before = float(aim.score((black + (white - black) * spectrum.picture())[None]))
    for step in range(steps):
        moved = shifted(black + (white - black) * spectrum.picture(), shift, drawn)[None]
        raised = [aim.score(moved).sum()] if aim.log_probability is None or step < _SURE * steps else []
        if aim.log_probability is not None:
            raised.append(aim.log_probability(moved).sum())
        # Of the spectrum alone: `backward` would leave gradients with the network's weights.
        (spectrum.amplitudes.grad,) = torch.autograd.grad(-torch.stack(raised).sum(), spectrum.amplitudes)
        learned.step()
    with torch.no_grad():
        picture = (black + (white - black) * spectrum.picture()).round()
        after = float(aim.score(picture[None]))
        probabilities = None
        if aim.probability is not None:
            copies = torch.stack([shifted(picture, shift, drawn) for _ in range(draws)])
            probabilities = torch.cat([aim.probability(several) for several in copies.split(_AT_ONCE)])
    return Made(aim.of, picture.to(subject.form.dtype).cpu(), before, after,
                None if probabilities is None else probabilities.float().cpu(), shift)


def shifted(picture: Tensor, most: int, drawn: torch.Generator) -> Tensor:
    """A picture [channels, height, width] moved by up to `most` pixels each way, its edge values repeated."""
    down, across = torch.randint(0, 2 * most + 1, (2,), generator=drawn).tolist()
    padded = F.pad(picture[None], (most, most, most, most), mode="replicate")[0]
    return padded[:, down : down + picture.shape[1], across : across + picture.shape[2]]


def draw_class_image(found: ClassImages) -> list[Panel]:
    """The picture of each class, enlarged; beside it as a file at the network's size, without loss."""
    panels = []
    for number, one in enumerate(found.made):
        name = f"class_image-{number:03d}"
        picture = viewable(one.image, least=1, most=4096)
        image = sheet([[resized_to(picture, _EDGE)]])
        size = f"{one.image.shape[2]} x {one.image.shape[1]}"
        words = (f"Made in {found.steps} steps from a nearly gray picture: {one.in_words()}. The second file has the "
                 f"size that the network takes, {size}.",)
        panels.append(Panel(name, image, one.of, words, files={f"{name}-{size.replace(' ', '')}.png": picture}))
    return panels
