"""What is wrong with a map before a layer: its channels, its size, the order of its axes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from lensmith.base.errors import count
from lensmith.study.inspect.calls import Call
from lensmith.study.inspect.evidence import Cause, Fault, ForwardPass, times
from lensmith.study.inspect.join_causes import JOINING_ROWS
from lensmith.study.inspect.sizes import history_to, least_edge_past

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
_POOLS = (nn.MaxPool2d, nn.AvgPool2d)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm2d)
_MOVING = ("permute", "transpose", "movedim", "moveaxis", "swapaxes")


@dataclass(frozen=True)
class _Window:
    """What a convolution or a pool is set to, of its module or of its functional call."""

    channels: int | None    # that it expects; None of a pool
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    @property
    def least(self) -> list[int]:
        """The smallest map that it can take."""
        return [max(1, (kernel - 1) * dilation + 1 - 2 * padding)
                for kernel, dilation, padding in zip(self.kernel, self.dilation, self.padding, strict=True)]


def channels_last(evidence: ForwardPass) -> Fault | None:
    """A convolution that gets height x width x channels, or a permute that made this of the right order."""
    call, window = evidence.failing, _window(evidence.failing)
    if window is None or window.channels is None or len(call.inputs[0].shape) != 4:
        return None
    wanted, shape = window.channels, call.inputs[0].shape[1:]
    if shape[0] == wanted:
        return None
    moved = next((other for other in evidence.chain(call.inputs[0].source) if other.function in _MOVING), None)
    if moved is not None and moved.inputs[0].shape[1] == wanted:
        return Fault(f"{call.name} expects {count(wanted, 'channel')} and gets {shape[0]} in {times(shape)}, which "
                     f"{evidence.where(moved)} made of {times(moved.inputs[0].shape[1:])}. Leave it out: pictures come "
                     "as channels x height x width", call.place)
    if shape[2] != wanted:
        return None
    return Fault(f"{call.name} expects {count(wanted, 'channel')} and gets {times(shape)}, whose channels come last. "
                 "Bring them to the front with x.permute(0, 3, 1, 2)", call.place)


def another_picture(evidence: ForwardPass) -> Fault | None:
    """A first convolution for colours that is shown gray, or the other way round."""
    call, window = evidence.failing, _window(evidence.failing)
    if window is None or window.channels is None or len(call.inputs[0].shape) != 4:
        return None
    wanted, got = window.channels, call.inputs[0].shape[1]
    of_picture = all(other.outputs and other.outputs[0].shape[1:] == evidence.shape
                     for other in evidence.chain(call.inputs[0].source))
    if wanted == got or not of_picture or len(evidence.shape) != 3:
        return None
    words = f"{call.name} expects {count(wanted, 'channel')} and gets {got}, {_kind_of(got)}"
    shown = f", or show it {_kind_of(wanted)}: pictures.channels={wanted} (--channels {wanted})" \
        if wanted in (1, 3, 4) else ""
    return Fault(f"{words}. Set in_channels={got}{shown}", call.place)


def channels_that_do_not_follow(evidence: ForwardPass) -> Fault | None:
    """A convolution or a norm for other channels than the map has."""
    call = evidence.failing
    if not call.inputs or len(call.inputs[0].shape) < 3:
        return None
    window = _window(call)
    wanted = call.module.num_features if isinstance(call.module, _BATCH_NORMS) else window.channels if window else None
    got = call.inputs[0].shape[1]
    if wanted is None or wanted == got or len(call.inputs[0].shape) != 4:
        return None
    setting = "num_features" if isinstance(call.module, _BATCH_NORMS) else "in_channels"
    words = f"{call.name} expects {count(wanted, 'channel')} and gets {got}"
    before = next((other for other in evidence.chain(call.inputs[0].source) if _changes_channels(other)), None)
    if before is None:
        return Fault(f"{words}. Set {setting}={got} of {call.name}", call.place)
    if before.function in JOINING_ROWS:
        parts = [fact.shape[1] for fact in before.inputs if len(fact.shape) == 4]
        return Fault(f"{words} = {' + '.join(map(str, parts))}, joined by {evidence.where(before)}. Set "
                     f"{setting}={got} of {call.name}", call.place)
    other = f", or out_channels={wanted} of {before.name}" if isinstance(before.module, _CONVOLUTIONS) else ""
    return Fault(f"{words} from {evidence.where(before)}. Set {setting}={got} of {call.name}{other}", call.place)


def map_too_small(evidence: ForwardPass) -> Fault | None:
    """A convolution or pool whose kernel is larger than the map that is left."""
    call, window = evidence.failing, _window(evidence.failing)
    if window is None or len(call.inputs[0].shape) not in (3, 4):
        return None
    size = call.inputs[0].shape[-2:]
    if all(edge >= least for edge, least in zip(size, window.least, strict=True)):
        return None
    history = history_to(evidence, call.inputs[0].source)
    told = f": {history.in_words()}" if history is not None and len(history.steps) > 1 else ""
    edge = least_edge_past(evidence)
    larger = "" if edge is None else f"Take pictures of {edge} x {edge} pixels or more (--size {edge}), "
    return Fault(f"{call.name} needs a map of at least {times(window.least)} and gets {times(size)}{told}. "
                 f"{larger}{'or fewer' if larger else 'Take fewer'} pools before it, or padding", call.place)


def vector_where_a_map_is_due(evidence: ForwardPass) -> Fault | None:
    """A layer for maps that gets a vector, or a norm for vectors that gets a map."""
    call = evidence.failing
    if not call.inputs:
        return None
    shape = call.inputs[0].shape
    if isinstance(call.module, nn.BatchNorm1d) and len(shape) == 4:
        return Fault(f"{call.name} is for vectors and gets a map of {times(shape[1:])}. Take "
                     f"nn.BatchNorm2d({shape[1]})", call.place)
    for_maps = _window(call) is not None or isinstance(call.module, nn.BatchNorm2d | nn.AdaptiveAvgPool2d)
    if not for_maps or len(shape) > 2:
        return None
    made = next((other for other in evidence.chain(call.inputs[0].source)
                 if other.inputs and len(other.inputs[0].shape) == 4), None)
    told = f", which {evidence.where(made)} made of {times(made.inputs[0].shape[1:])}" if made is not None else ""
    mend = "Put it before that line" if made is not None else "Show it pictures, with --size in the place of --vector"
    return Fault(f"{call.name} is for maps and gets a vector of {shape[-1]}{told}. {mend}", call.place)


def groups_of_another_map(evidence: ForwardPass) -> Fault | None:
    """Groups of a functional convolution or norm that do not divide the channels."""
    call = evidence.failing
    groups = _groups(call)
    if not isinstance(groups, int) or not call.inputs or len(call.inputs[0].shape) < 2:
        return None
    channels = call.inputs[0].shape[1]
    if channels % groups == 0:
        return None
    return Fault(f"{call.name} divides {channels} channels into {groups} groups, which leaves {channels % groups} "
                 f"over. {groups_in_words(channels)}", call.place)


def groups_in_words(channels: int) -> str:
    """`32 channels can have 1, 2, 4, 8, 16 or 32 groups`"""
    numbers = [str(number) for number in range(1, channels + 1) if channels % number == 0]
    listed = " or ".join([", ".join(numbers[:-1]), numbers[-1]]) if len(numbers) > 1 else numbers[0]
    return f"{channels} channels can have {listed} groups"


def _window(call: Call) -> _Window | None:
    """The settings of a convolution or a pool; None of another call, and of padding by words, which always fits."""
    module, values = call.module, dict(call.named)
    if not call.inputs:
        return None
    if isinstance(module, _CONVOLUTIONS):
        if isinstance(module.padding, str):
            return None
        return _Window(module.in_channels, _pair(module.kernel_size), _pair(module.stride), _pair(module.padding),
                       _pair(module.dilation))
    if isinstance(module, _POOLS):
        return _Window(None, _pair(module.kernel_size), _pair(module.stride or module.kernel_size),
                       _pair(module.padding), _pair(getattr(module, "dilation", 1)))
    names = {"conv2d": ("stride", "padding", "dilation", "groups"),
             "max_pool2d": ("kernel_size", "stride", "padding", "dilation"),
             "avg_pool2d": ("kernel_size", "stride", "padding")}.get(call.function)
    if names is None:
        return None
    plain = [value for value in call.values if value is not None or call.function != "conv2d"]    # a bias that is None
    values |= dict(zip(names, plain, strict=False))
    if isinstance(values.get("padding"), str):
        return None
    settings = _pair(values.get("padding", 0)), _pair(values.get("dilation", 1))
    if call.function == "conv2d":
        weight = next((fact.shape for fact in call.inputs[1:] if len(fact.shape) == 4), None)
        return None if weight is None else _Window(weight[1] * values.get("groups", 1), _pair(weight[2:]),
                                                   _pair(values.get("stride", 1)), *settings)
    kernel = values.get("kernel_size")
    return None if kernel is None else _Window(None, _pair(kernel), _pair(values.get("stride") or kernel), *settings)


def _groups(call: Call) -> Any:
    """The groups that a functional convolution or group norm asks for, or those of the layer; None of another call."""
    if isinstance(call.module, nn.GroupNorm):
        return call.module.num_groups
    place = {"group_norm": 0, "conv2d": 3}.get(call.function)
    if place is None:
        return None
    plain = [value for value in call.values if value is not None]
    return call.named.get("groups", call.named.get("num_groups", plain[place] if len(plain) > place else None))


def _changes_channels(call: Call) -> bool:
    if isinstance(call.module, _CONVOLUTIONS) or call.function in ("conv2d", *JOINING_ROWS):
        return True
    before = next((fact.shape for fact in call.inputs if fact.source is not None), ())
    after = call.outputs[0].shape if call.outputs else ()
    return len(before) != len(after) or before[1:2] != after[1:2]


def _kind_of(channels: int) -> str:
    return {1: "a gray picture", 3: "a colour picture", 4: "a picture with transparency"}.get(
        channels, f"a picture of {channels} channels")


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


# Why a forward pass ends, the special before the general.
MAPS: Mapping[str, Cause] = {
    "channels last": channels_last,
    "gray and colour": another_picture,
    "channels that do not follow": channels_that_do_not_follow,
    "a kernel larger than its input": map_too_small,
    "a vector where a map is due": vector_where_a_map_is_due,
    "groups that do not divide": groups_of_another_map,
}
