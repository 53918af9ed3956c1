"""What is wrong where maps are joined: they do not lie over each other, or the pictures of a batch were joined."""

import math
from collections.abc import Mapping
from itertools import pairwise

from torch import nn

from lensmith.study.inspect.calls import Call, TensorFacts
from lensmith.study.inspect.evidence import Cause, Fault, ForwardPass, main_input, times
from lensmith.study.inspect.sizes import History, gets_past, history_to

JOINING_ROWS = ("cat", "concat", "concatenate")
_JOINING = ("add", "sub", "mul", "div", "where", "maximum", "minimum", "add_", "mul_", "sub_", "div_", *JOINING_ROWS)


def maps_that_do_not_fit(evidence: ForwardPass) -> Fault | None:
    """Maps that are joined and do not lie over each other."""
    call = evidence.failing
    maps = [fact for fact in call.inputs if len(fact.shape) == 4]
    if call.function.strip("_") not in _JOINING or len(maps) < 2:
        return None
    first = maps[0]
    second = next((fact for fact in maps if fact.shape[1:] != first.shape[1:]), maps[1])
    joined = call.function in JOINING_ROWS    # along their channels, which may differ
    words = f"{call.function.strip('_')} joins maps of {times(first.shape[1:])} and {times(second.shape[1:])}"
    if first.shape[2:] == second.shape[2:]:
        return Fault(f"{words}. {_shortcut(evidence, first, second)}", call.place)
    histories = [history_to(evidence, fact.source) for fact in (first, second)]
    told = "; ".join(history.in_words() for history in histories if history is not None)
    mend = _upsampling(evidence, first, second) or (None if joined else _strided(first, second))
    if mend is None:
        mend = _other_picture(evidence, histories) or \
            "Give the layers of both branches the same strides and paddings, as padding=1 with a kernel of 3"
        return Fault(f"{words}: {told}. {mend}", call.place)
    return Fault(f"{words}{_last_steps(evidence, first, second)}. {mend}", call.place)


def batch_joined(evidence: ForwardPass, source: int | None) -> Fault | None:
    """The call on the way to `source` that put several tensors one after another along the batch, which makes more
    pictures of them."""
    for call in evidence.chain(source):
        rows = [fact.shape[0] for fact in call.inputs if fact.shape]
        if call.function in JOINING_ROWS and len(rows) > 1 and call.outputs and \
                call.outputs[0].shape[0] == sum(rows) and set(rows) == {evidence.batch}:
            return Fault(f"{call.name} puts its {len(rows)} inputs of {times(call.inputs[0].shape[1:])} one after "
                         f"another as pictures: {sum(rows)} of {evidence.batch}. Join their channels with "
                         f"torch.{call.function}([...], 1)", call.place)
    return None


def batch_joined_before_failing(evidence: ForwardPass) -> Fault | None:
    """The same, on the way to a layer that then failed."""
    return batch_joined(evidence, main_input(evidence.failing).source) if evidence.failing.inputs else None


def _upsampling(evidence: ForwardPass, first: TensorFacts, second: TensorFacts) -> str | None:
    """The setting of a transposed convolution that makes another size than the map which it is to fit; None where it
    enlarges by its stride."""
    for fact, wanted in ((first, second.shape[2]), (second, first.shape[2])):
        call = _last_change(evidence, fact)
        if call is None or not isinstance(call.module, nn.ConvTranspose2d):
            continue
        layer, before, after = call.module, main_input(call).shape[2], call.outputs[0].shape[2]
        stride, kernel = int(layer.stride[0]), int(layer.kernel_size[0])
        if before * stride != wanted or after == wanted or kernel < stride or layer.dilation[0] != 1:
            continue
        padding = math.ceil((kernel - stride) / 2)
        return f"Set padding={padding} and output_padding={stride + 2 * padding - kernel} of {call.name}, or " \
            f"kernel_size={stride}, padding=0 and output_padding=0: then {before} becomes {wanted}"
    return None


def _strided(first: TensorFacts, second: TensorFacts) -> str | None:
    """The convolution of 1 x 1 that brings the larger map to the smaller one; None where the sizes are no multiple."""
    large, small = (first, second) if first.shape[2] > second.shape[2] else (second, first)
    stride = round(large.shape[2] / small.shape[2])
    if stride < 2 or any(-(-edge // stride) != less for edge, less in zip(large.shape[2:], small.shape[2:],
                                                                          strict=True)):
        return None
    return f"Bring the {'first' if large is first else 'second'} to {times(small.shape[1:])} with a shortcut of its " \
        f"own, nn.Conv2d({large.shape[1]}, {small.shape[1]}, 1, stride={stride})"


def _shortcut(evidence: ForwardPass, first: TensorFacts, second: TensorFacts) -> str:
    """The mend of maps with other channels: a convolution on the one that came by fewer calls."""
    far = len(evidence.chain(first.source)) > len(evidence.chain(second.source))
    short, long = (second, first) if far else (first, second)
    return f"Give the last layers of both branches the same out_channels, or bring the " \
        f"{'second' if far else 'first'} to {long.shape[1]} channels with nn.Conv2d({short.shape[1]}, " \
        f"{long.shape[1]}, 1)"


def _other_picture(evidence: ForwardPass, histories: list[History | None]) -> str | None:
    """The pictures of which no halving leaves a remainder, where one has: an odd size loses a row that enlarging does
    not bring back."""
    steps = [pair for history in histories if history is not None for pair in pairwise(history.steps)]
    odd = any(before[1][0] > after[1][0] and before[1][0] % 2 and after[1][0] in (before[1][0] // 2,
                                                                                  before[1][0] // 2 + 1)
              for before, after in steps)
    grown = any(before[1][0] < after[1][0] for before, after in steps)
    if not odd or not grown:
        return None
    edge = max(evidence.shape[1:])
    least = min(after[1][0] for _, after in steps)
    factor = 2 ** round(math.log2(max(1, edge / max(1, least))))
    fitting = [str(size) for size in (edge // factor * factor, (edge // factor + 1) * factor)
               if size and gets_past(evidence, size)]
    if not fitting:
        return None
    return f"Take pictures whose edges are multiples of {factor} (--size {' or '.join(fitting)}), or bring one map " \
        "to the size of the other with F.interpolate(x, size=y.shape[2:])"


def _last_steps(evidence: ForwardPass, first: TensorFacts, second: TensorFacts) -> str:
    """`, since conv1 (my_net.py:12) makes 16 of 32`: the call that last changed the size of either."""
    call = _last_change(evidence, first) or _last_change(evidence, second)
    if call is None:
        return ""
    return f", since {evidence.where(call)} makes {call.outputs[0].shape[2]} of {main_input(call).shape[2]}"


def _last_change(evidence: ForwardPass, fact: TensorFacts) -> Call | None:
    """The call that gave a map its size."""
    for call in evidence.chain(fact.source):
        before = main_input(call).shape if call.inputs else ()
        if call.outputs and len(before) == 4 and before[2:] != call.outputs[0].shape[2:]:
            return call
    return None


# Why a forward pass ends.
JOINS: Mapping[str, Cause] = {
    "pictures joined along the batch": batch_joined_before_failing,
    "maps of two sizes": maps_that_do_not_fit,
}
