"""Networks written as a list of layers, one entry a layer; LeNet and the small networks are such lists too."""

import inspect
import math
import typing
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Annotated, Any, cast, get_args, get_origin

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import Tensor, nn

from lensmith.base.errors import ModelError, nearest
from lensmith.models.backbone import Backbone, LastMap, reduced
from lensmith.models.backbones.stack_layers import ACTIVATIONS, BARE, BUILDERS, SPATIAL, UNCHANGED, Shape, StackLayer
from lensmith.models.initialise import Activation, initialise, pass_on

Entry = str | dict[str, Any]
ENDS = ("flatten", "globalpool", "dense")    # the first of these ends the maps
KNOWN = (*ACTIVATIONS, *BUILDERS)


@dataclass(frozen=True)
class ParsedEntry:
    """An entry of the list that has been read and checked."""

    label: str          # how errors name it: `layers[3]`
    kind: str           # a builder or an activation
    value: Any = None   # what stood behind its name
    settings: dict[str, Any] = field(default_factory=dict)


class Stack(Backbone):
    """A list of layers. Those before the first flatten, global pool or dense layer give the maps, the rest the head.

    There is a map wherever the next layer has a stride, and one at the end. Weights are drawn for the activation that
    follows each layer. Raises ModelError for an entry that cannot be read or built, with its number, and for pictures
    of which nothing would be left, with the arithmetic.
    """

    def __init__(self, entries: list[Entry], *, inputs: int, size: tuple[int, int], what: str = "stack"):
        super().__init__()
        parsed = [_read(entry, f"layers[{number}]") for number, entry in enumerate(entries)]
        for entry in parsed[1:]:
            if entry.kind == "whitening":
                raise ModelError(f"{entry.label}: whitening must be the first layer: it is set from the pictures "
                                 "themselves")
        ends = [number for number, entry in enumerate(parsed) if entry.kind in ENDS]
        spatial, self.behind_maps = (parsed[: ends[0]], parsed[ends[0]:]) if ends else (parsed, [])
        shape: Shape = (inputs, *size)    # the layers before the first flatten look at its channels alone
        steps, layers, names = [], [], _names(spatial)
        for name, entry in zip(names, spatial, strict=True):
            layer = _build(entry, shape)
            shape = (layer.channels, *size)
            layers.append(layer)
            if layer.window != UNCHANGED:
                steps.append((name, *layer.window))
        self.shape: Shape = (shape[0], *reduced(size, steps, what=what))
        self.layers = _sequence(names, layers)
        _initialise(layers, spatial)
        self._find_taps(layers, inputs)
        with torch.device("meta"):    # an entry of the head that cannot be built is refused now, at no cost
            self.classifier(1)

    def _find_taps(self, layers: list[StackLayer], inputs: int) -> None:
        strides = [layer.window[1] for layer in layers]
        last = len(layers) - 1
        self.taps = [i for i in range(last + 1) if i == last or strides[i + 1] > 1] or [-1]    # -1: the pictures
        self.channels = tuple(layers[i].channels if i >= 0 else inputs for i in self.taps)
        self.strides = tuple(math.prod(strides[: i + 1]) for i in self.taps)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        maps = [pictures] if self.taps == [-1] else []
        for number, layer in enumerate(self.layers):
            pictures = layer(pictures)
            if number in self.taps:
                maps.append(pictures)
        return maps

    def classifier(self, outputs: int) -> nn.Module:
        """What the list has behind the maps, freshly drawn, then the dense layer to the outputs. -> [batch, outputs]"""
        parsed = [*self.behind_maps, ParsedEntry("", "dense", outputs)]
        if parsed[0].kind == "dense":    # the first entry behind the maps: only it can meet one
            parsed.insert(0, ParsedEntry("", "flatten"))
        shape, layers = self.shape, []
        for entry in parsed:
            layers.append(_build(entry, shape))
            shape = (math.prod(shape),) if entry.kind == "flatten" else (layers[-1].channels,)
        _initialise(layers, parsed)
        return LastMap(_sequence(_names(parsed), layers))


def stack(layers: list[str | dict[str, Any]], *, inputs: int, size: tuple[int, int]) -> Stack:
    """The network of a recipe's list: `[{conv = 32, kernel = 3, padding = 1}, "relu", {maxpool = 2}, {dense = 120}]`.

    An entry's first name is a key of BUILDERS, whose signature has its settings; activations, "batchnorm", "layernorm",
    "globalpool" and "flatten" may stand as words. The dense layer to the classes is added. Raises ModelError as Stack.
    """
    return Stack(layers, inputs=inputs, size=size)


def _read(entry: Entry, label: str) -> ParsedEntry:
    if isinstance(entry, str):
        if entry in ACTIVATIONS or entry in BARE:
            return ParsedEntry(label, entry)
        if entry in BUILDERS:
            raise ModelError(f"{label}: {entry!r} needs a number: write {{{entry} = ...}}")
        raise ModelError(f"{label}: unknown layer {entry!r}.{nearest(entry, KNOWN)} Known: {', '.join(KNOWN)}.")
    if not isinstance(entry, dict) or not entry:
        raise ModelError(f'{label} must be a word such as "relu" or a table such as {{conv = 32, kernel = 3}}, '
                         f"got {entry!r}")
    kinds = [key for key in entry if key in BUILDERS]
    if not kinds:
        first = str(next(iter(entry)))
        if first in ACTIVATIONS:
            raise ModelError(f'{label}: an activation is a word alone: write "{first}"')
        raise ModelError(f"{label}: unknown layer {first!r}.{nearest(first, BUILDERS)} "
                         f"Known: {', '.join(BUILDERS)}.")
    if len(kinds) > 1:
        raise ModelError(f"{label} names {len(kinds)} layers, {' and '.join(kinds)}: write an entry for each")
    settings = {key: value for key, value in entry.items() if key != kinds[0]}
    parsed = ParsedEntry(label, kinds[0], entry[kinds[0]], settings)
    _check(parsed)
    return parsed


def _check(entry: ParsedEntry) -> None:
    """Compare an entry's settings with the signature of its builder: names, then types."""
    hints = typing.get_type_hints(BUILDERS[entry.kind], include_extras=True)
    main, *others = list(inspect.signature(BUILDERS[entry.kind]).parameters)[1:]
    for key in entry.settings:
        if key not in others:
            accepted = f"Accepted: {', '.join(others)}." if others else f"{entry.kind} has no other settings."
            raise ModelError(f"{entry.label}: {entry.kind} has no setting {key!r}.{nearest(key, others)} {accepted}")
    for key, name, value in [(entry.kind, main, entry.value), *((k, k, v) for k, v in entry.settings.items())]:
        try:
            TypeAdapter(hints[name], config=ConfigDict(strict=True)).validate_python(value)
        except ValidationError as error:
            raise ModelError(f"{entry.label}: {key} must be {_wanted(hints[name])}, got {value!r}") from error


def _wanted(hint: Any) -> str:
    """The words for a type in an error: the last part of an Annotated, the values of a Literal, or its name."""
    if get_origin(hint) is Annotated:
        return cast(str, get_args(hint)[-1])
    if get_origin(hint) is typing.Literal:
        return " or ".join(str(value).lower() if isinstance(value, bool) else repr(value) for value in get_args(hint))
    if get_args(hint):    # a union with None, which a recipe cannot write
        return _wanted(next(part for part in get_args(hint) if part is not type(None)))
    return cast(str, hint.__name__)


def _build(entry: ParsedEntry, shape: Shape) -> StackLayer:
    if entry.kind in ACTIVATIONS:
        return StackLayer(ACTIVATIONS[entry.kind](), shape[0])
    if entry.kind in SPATIAL and len(shape) != 3:
        raise ModelError(f"{entry.label}: {entry.kind} needs maps, and a layer before it has flattened them: "
                         "put it before the first flatten, globalpool or dense")
    try:
        value = () if entry.value is None else (entry.value,)
        return BUILDERS[entry.kind](shape, *value, **entry.settings)
    except ModelError as error:
        raise ModelError(f"{entry.label}: {error}") from error


def _names(parsed: list[ParsedEntry]) -> list[str]:
    """conv1, relu1, maxpool1, conv2 ...: the kind, and its number among its like."""
    kinds = [entry.kind for entry in parsed]
    return [f"{kind}{kinds[: i + 1].count(kind)}" for i, kind in enumerate(kinds)]


def _sequence(names: list[str], layers: list[StackLayer]) -> nn.Sequential:
    return nn.Sequential(OrderedDict(zip(names, (layer.module for layer in layers), strict=True)))


def _initialise(layers: list[StackLayer], parsed: list[ParsedEntry]) -> None:
    for i, entry in enumerate(parsed):
        if entry.kind == "separable":
            depthwise, pointwise = cast(nn.Sequential, layers[i].module)
            initialise(depthwise, None)
            initialise(pointwise, _following(parsed[i + 1:]))
        elif entry.kind in ("conv", "dense") and "weights" not in entry.settings:
            initialise(layers[i].module, _following(parsed[i + 1:]))
            if entry.settings.get("identity"):
                pass_on(cast(nn.Conv2d, layers[i].module))


def _following(parsed: list[ParsedEntry]) -> Activation | None:
    """The activation that the next layers apply before other weights do."""
    for entry in parsed:
        if entry.kind in ACTIVATIONS:
            return cast(Activation, entry.kind)
        if entry.kind in ("conv", "separable", "residual", "dense"):
            return None
    return None
