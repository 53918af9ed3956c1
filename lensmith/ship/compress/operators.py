"""What each operator of ATen does to the numbers of the channels: one rule an operator."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from lensmith.models.widths import layer_kind
from lensmith.ship.compress.numbered import FIXED, same_along, varies
from lensmith.ship.compress.recording import Recorder

Rule = Callable[[Recorder, Any, tuple[Any, ...], dict[str, Any], Any], None]


def follow_operator(recorder: Recorder, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any],
                    output: Any) -> None:
    """Give the output of an operator its numbers, and tie those that it computes with each other."""
    inputs = _tensors_in((args, kwargs))
    if not inputs:
        return    # a constant
    name = function._schema.name.partition("::")[2]
    rule = RULES.get(name) or RULES.get(name.removesuffix("_"))
    if rule is None and torch.Tag.pointwise in function.tags:
        rule = _pointwise
    (rule or _unknown)(recorder, function, args, kwargs, output)


def _tensors_in(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def _unknown(recorder: Recorder, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    """An operator without a rule: what goes into it stays."""
    recorder.stop(function._schema.name.partition("::")[2].strip("_"), *_tensors_in((args, kwargs)))


def _passed(recorder: Recorder, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    """A copy, in another type perhaps, or a constant of the same shape."""
    recorder.note(output, recorder.of(args[0]))


def _moved(recorder: Recorder, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    """Values that are moved: the numbers are moved by the same operator."""
    first = args[0] if isinstance(args[0], Tensor) else None
    if first is not None and first.ndim == 2 and id(first) in recorder.names and output.shape == first.shape[::-1]:
        recorder.turned[id(output)] = output, recorder.names[id(first)]
    numbers = function(*tree_map(lambda leaf: recorder.of(leaf) if isinstance(leaf, Tensor) else leaf, args), **kwargs)
    outputs = output if isinstance(output, list | tuple) else [output]
    for tensor, its_numbers in zip(outputs, numbers if isinstance(numbers, list | tuple) else [numbers], strict=True):
        recorder.note(tensor, its_numbers)


def _padded(recorder: Recorder, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    recorder.note(output, function(recorder.of(args[0]), args[1], FIXED))


def _viewed(recorder: Recorder, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    """A view in another shape. Where it divides the channels, as a shuffle does, those that differ in the first of the
    new dimensions alone go together, so that this one keeps its length."""
    numbers = recorder.of(args[0])
    recorder.note(output, numbers.reshape(output.shape))
    along = varies(numbers)
    if not along:
        return
    groups = _aligned(numbers.shape, output.shape)
    if groups is None:
        recorder.stop("a view that mixes channels with places", args[0])
        return
    for ours, theirs in groups:
        if len(theirs) < 2 or ours[0] not in along:
            continue
        if len(theirs) > 2:
            recorder.stop("a view that divides channels among three dimensions", args[0])
        else:
            divided = numbers.reshape(output.shape)
            recorder.numbers.tie(divided.narrow(theirs[0], 0, 1), divided)


def _aligned(shape: tuple[int, ...], target: tuple[int, ...]) -> list[tuple[list[int], list[int]]] | None:
    """The dimensions longer than one of two shapes in groups of equal products; None where one is of several to
    several."""
    ours, theirs = ([(number, length) for number, length in enumerate(lengths) if length > 1]
                    for lengths in (shape, target))
    groups = []
    while ours and theirs:
        left, right = [ours.pop(0)], [theirs.pop(0)]
        while (product := math.prod(length for _, length in left)) != \
                (other := math.prod(length for _, length in right)):
            smaller, rest = (left, ours) if product < other else (right, theirs)
            smaller.append(rest.pop(0))
        if len(left) > 1 and len(right) > 1:
            return None
        groups.append(([number for number, _ in left], [number for number, _ in right]))
    return groups


def _split(recorder: Recorder, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    """Equal parts stay equal: the channels at one place of all parts go together."""
    numbers = recorder.of(args[0])
    dimension = (args[2] if len(args) > 2 else kwargs.get("dim", 0)) % numbers.ndim
    parts = function(numbers, *args[1:], **kwargs)
    if dimension in varies(numbers):
        if len({part.shape[dimension] for part in parts}) > 1 or not isinstance(args[1], int):
            recorder.stop("a split into unequal parts", args[0])
        else:
            for part in parts[1:]:
                recorder.numbers.tie(parts[0], part)
    for tensor, part in zip(output, parts, strict=True):
        recorder.note(tensor, part)


def _chosen(recorder: Recorder, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    """Places that are chosen by their numbers: where they are channels, these stay."""
    numbers = recorder.of(args[0])
    dimension = (args[1] if len(args) > 1 else 0) % numbers.ndim
    taken = function(numbers, *args[1:], **kwargs)
    if dimension in varies(numbers) and taken.shape != numbers.shape:
        recorder.stop("channels chosen by their place", args[0])
    recorder.note(output, taken)


def _pointwise(recorder: Recorder, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    """A function of the values at each place: the channels at one place go together."""
    if not isinstance(output, Tensor):
        _unknown(recorder, function, args, kwargs, output)
        return
    found = [recorder.of(tensor) for tensor in _tensors_in((args, kwargs))]
    channels = {dimension - some.ndim for some in found for dimension in varies(some)}    # counted from the end
    result: Tensor | None = None
    for numbers in found:
        if channels and all(-dimension > numbers.ndim or numbers.shape[dimension] == 1 for dimension in channels):
            recorder.numbers.fix([numbers])    # one value for all channels, as of attention to places
            continue
        spread = numbers.expand(output.shape)
        if result is not None:
            recorder.numbers.tie(result, spread)
        result = spread if result is None else torch.maximum(result, spread)
    recorder.note(output, torch.full(output.shape, FIXED) if result is None else result)


def _pooled(recorder: Recorder, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    """Pools and resizing: each channel of [batch, channels, height, width] by itself."""
    maps = output[0] if isinstance(output, tuple) else output
    numbers = same_along(recorder.of(args[0]), (2, 3))
    if numbers is None:
        recorder.stop("a pool over channels", args[0])
        return
    recorder.note(maps, numbers.expand(maps.shape))


def _averaged(recorder: Recorder, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    """A reduction over dimensions; over channels they stay. The larger of two tensors has the same name."""
    if len(args) > 1 and isinstance(args[1], Tensor):
        _pointwise(recorder, function, args, kwargs, output)
        return
    numbers = recorder.of(args[0])
    dimensions = args[1] if len(args) > 1 and args[1] is not None else kwargs.get("dim") or range(numbers.ndim)
    over = [dimension % numbers.ndim for dimension in ([dimensions] if isinstance(dimensions, int) else dimensions)]
    result = same_along(numbers, over)
    if result is None:
        recorder.stop(f"{function._schema.name.partition('::')[2]} over channels", args[0])
        return
    for tensor in _tensors_in(output):
        recorder.note(tensor, result.reshape(tensor.shape))


def _softmax(recorder: Recorder, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    """Along places the channels pass; along channels they stay."""
    numbers = recorder.of(args[0])
    if args[1] % numbers.ndim in varies(numbers):
        recorder.stop("softmax over channels", args[0])
        return
    recorder.note(output, numbers)


def _convolution(recorder: Recorder, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    images, weight, bias, groups, transposed = args[0], args[1], args[2], args[8], args[6]
    name = recorder.names.get(id(weight), "")
    layer = recorder.owners[name][1] if name else None
    incoming = same_along(recorder.of(images), range(2, images.ndim))
    if layer is None or layer_kind(layer) is None or not name.endswith("weight") or incoming is None or \
            (transposed and groups > 1):
        recorder.stop("a convolution with weights that are computed" if layer is None else
                      "a convolution that cannot be narrowed", images)
        return
    cells = (images if transposed else output)[0, 0].numel()
    recorder.call(name, cells, tuple(images.shape[1:]), taking=1 - int(transposed))
    incoming = incoming.flatten()
    outgoing = recorder.axis(name, int(transposed), output.shape[1])
    if groups == 1:
        recorder.numbers.tie(recorder.axis(name, 1 - int(transposed), images.shape[1]), incoming)
    else:    # whole groups are left out: all channels that go into one and come out of it go together
        for some in (incoming.view(groups, -1), outgoing.view(groups, -1)):
            recorder.numbers.tie(outgoing.view(groups, -1)[:, :1], some)
    if not weight.requires_grad:
        recorder.numbers.fix([outgoing])
    _add_vector(recorder, bias, outgoing)
    recorder.note(output, outgoing.view(1, -1, *[1] * (output.ndim - 2)).expand(output.shape))


def _add_vector(recorder: Recorder, vector: Tensor | None, numbers: Tensor) -> None:
    """Tie a layer's vector, as its bias, to the channels that it belongs to; a constant needs them all."""
    if vector is None:
        return
    name = recorder.names.get(id(vector))
    if name is None or layer_kind(recorder.owners[name][1]) is None:
        recorder.numbers.tie(recorder.of(vector), numbers)
    else:
        recorder.numbers.tie(recorder.axis(name, 0, len(vector)), numbers)


def _dense(recorder: Recorder, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    """addmm(bias, rows, weight) and mm(rows, weight), the weight transposed before."""
    bias, rows, weight = args if len(args) == 3 else (None, *args)
    name = recorder.turned[id(weight)][1] if id(weight) in recorder.turned else ""
    incoming = same_along(recorder.of(rows), (0,))
    if not name or not isinstance(recorder.owners[name][1], nn.Linear) or incoming is None:
        recorder.stop("a product of matrices", *_tensors_in(args))
        return
    recorder.call(name, len(rows), tuple(rows.shape[1:]))
    recorder.numbers.tie(recorder.axis(name, 1, rows.shape[1]), incoming.flatten())
    outgoing = recorder.axis(name, 0, output.shape[1])
    _add_vector(recorder, bias, outgoing)
    recorder.note(output, outgoing.view(1, -1).expand(output.shape))


def _batch_norm(recorder: Recorder, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    numbers = same_along(recorder.of(args[0]), (0, *range(2, args[0].ndim)))
    if numbers is None:
        recorder.stop("a norm over channels", args[0])
        return
    for vector in args[1:5]:
        _add_vector(recorder, vector, numbers.flatten())
    recorder.note(output[0], recorder.of(args[0]))


def _group_norm(recorder: Recorder, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    """Of several groups whole ones are left out."""
    maps, groups = args[0], args[6]
    numbers = same_along(recorder.of(maps), (0, *range(2, maps.ndim)))
    if numbers is None or args[1] is None:
        recorder.stop("a norm that cannot be narrowed", maps)
        return
    numbers = numbers.flatten()
    for vector in args[1:3]:
        _add_vector(recorder, vector, numbers)
    if groups > 1:
        recorder.numbers.tie(numbers.view(groups, -1)[:, :1], numbers.view(groups, -1))
    recorder.note(output[0], recorder.of(maps))


def _layer_norm(recorder: Recorder, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    """Over the last dimension; over several the channels stay."""
    values = args[0]
    numbers = same_along(recorder.of(values), range(values.ndim - 1))
    if len(args[1]) != 1 or numbers is None or args[2] is None:
        recorder.stop("a norm that cannot be narrowed", values)
        return
    for vector in args[2:4]:
        _add_vector(recorder, vector, numbers.flatten())
    recorder.note(output[0], recorder.of(values))


def _restrided(recorder: Recorder, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    """Another order in memory, as the mean of maps in channels_last gets; the values stay where they are."""
    rule = _passed if output.shape == args[0].shape else _unknown
    rule(recorder, function, args, kwargs, output)


# The name of an operator of ATen, in place or not -> its rule. Those with the tag `pointwise` need none.
RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("alias", "detach", "lift_fresh", "clone", "_to_copy", "contiguous", "zeros_like", "ones_like",
                     "full_like", "empty_like", "rand_like", "native_dropout"), _passed),
    **dict.fromkeys(("t", "transpose", "permute", "unsqueeze", "squeeze", "expand", "cat", "stack", "repeat", "flip"),
                    _moved),
    **dict.fromkeys(("view", "_unsafe_view", "_reshape_alias", "reshape"), _viewed),
    **dict.fromkeys(("split", "split_with_sizes"), _split),
    **dict.fromkeys(("slice", "select"), _chosen),
    **dict.fromkeys(("constant_pad_nd",), _padded),
    **dict.fromkeys(("max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d",
                     "upsample_nearest2d", "upsample_bilinear2d", "_upsample_bilinear2d_aa", "upsample_bicubic2d",
                     "reflection_pad2d", "replication_pad2d"), _pooled),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "var_mean"), _averaged),
    **dict.fromkeys(("_softmax", "_log_softmax"), _softmax),
    "as_strided": _restrided,
    "convolution": _convolution,
    "addmm": _dense,
    "mm": _dense,
    "native_batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "native_group_norm": _group_norm,
    "native_layer_norm": _layer_norm,
}
