"""What is wrong before a dense layer: too few or too many poolings, maps where a vector is due, pictures mixed."""

import math
from collections.abc import Mapping

from torch import Tensor, nn

from lensmith.study.inspect.calls import PICTURE, Call
from lensmith.study.inspect.evidence import Cause, Fault, ForwardPass, main_input, times
from lensmith.study.inspect.join_causes import batch_joined
from lensmith.study.inspect.sizes import edge_with, flattened, history_to, often

_REDUCING = ("mean", "sum", "amax", "amin", "std", "var")
_RESHAPES = ("view", "reshape", "flatten", "squeeze", "unflatten", "unsqueeze")


def fed_with_maps(evidence: ForwardPass) -> Fault | None:
    """A dense layer that gets a map, or the picture itself, where a vector is due."""
    call = evidence.failing
    wanted = _features_wanted(call)
    if wanted is None or len(call.inputs[0].shape) < 3:
        return None
    fact = call.inputs[0]
    shape = fact.shape[1:] if len(fact.shape) > 3 or fact.shape[0] == evidence.batch else fact.shape
    values, channels = math.prod(shape), shape[0]
    what = "a picture" if fact.source == PICTURE else "a map"
    words = f"{call.name} expects {wanted} features and gets {what} of {times(shape)}, of which it takes the last axis"
    if values == wanted:
        return Fault(f"{words}. Flatten it before, as with x.flatten(1)", call.place)
    if channels == wanted and len(shape) == 3:
        return Fault(f"{words}. Pool and flatten it before, as with x.mean((2, 3))", call.place)
    history = history_to(evidence, fact.source)
    told = f": {history.in_words()}" if history is not None and fact.source != PICTURE else ""
    return Fault(f"{words}; flattened it has {values} = {times(shape)}{told}. Flatten it before, as with x.flatten(1), "
                 f"and {_mend(evidence, call, wanted=wanted, shape=shape)}", call.place)


def wrong_width(evidence: ForwardPass) -> Fault | None:
    """A dense layer that gets vectors of another length."""
    call = evidence.failing
    wanted = _features_wanted(call)
    if wanted is None or len(call.inputs[0].shape) > 2:
        return None
    fact = call.inputs[0]
    got = fact.shape[-1]
    if got == wanted:
        return None
    words = f"{call.name} expects {wanted} features and gets {got}"
    chain = evidence.chain(fact.source)
    view = next((other for other in chain if other.outputs and _rows(other, evidence.batch)), None)
    if view is not None and len(fact.shape) == 2 and fact.shape[0] != evidence.batch:
        return _rows_made(evidence, view, wanted=wanted)
    mean = next((other for other in chain[:1] if 1 in _axes(other)), None)
    if mean is not None and mean.inputs[0].shape[1] == wanted:
        return Fault(f"{words}: {evidence.where(mean)} goes over the {wanted} channels of "
                     f"{times(mean.inputs[0].shape[1:])}, and {got} rows or columns are left. Write "
                     f"x.{mean.function}((2, 3))", call.place)
    found = flattened(evidence, fact.source)
    if found is not None:
        history = history_to(evidence, main_input(found[0]).source)
        told = f": {history.in_words()}" if history is not None else ""
        mend = _mend(evidence, call, wanted=wanted, shape=found[1])
        return Fault(f"{words} = {times(found[1])}{told}. {mend[0].upper()}{mend[1:]}", call.place)
    before = next((other for other in chain if isinstance(other.module, nn.Linear)), None)
    if before is not None:
        return Fault(f"{words} from {evidence.where(before)}. Set in_features={got} of {call.name}, or "
                     f"out_features={wanted} of {before.name}", call.place)
    if fact.source == PICTURE:
        return Fault(f"{words}, the vector that it is shown. Set in_features={got}, or show it others: --vector "
                     f"{wanted}", call.place)
    return Fault(f"{words}. Set in_features={got}", call.place)


def impossible_view(evidence: ForwardPass) -> Fault | None:
    """A view whose sizes do not divide what a picture has."""
    call = evidence.failing
    wanted = _row_of(call)
    if wanted is None or not isinstance(evidence.trace.error, RuntimeError):
        return None
    shape = call.inputs[0].shape[1:]
    return Fault(f"{call.name} needs {wanted} values and a picture has {_origin(evidence, call, shape)}. "
                 f"{_flatten_instead(evidence, call, wanted, shape)}", call.place)


def pictures_mixed(evidence: ForwardPass) -> Fault | None:
    """A view that makes several rows of a picture, or one row of several, which the layers after it take for pictures.
    """
    output = evidence.trace.output
    if evidence.trace.error is None and (not isinstance(output, Tensor) or output.shape[:1] == (evidence.batch,)):
        return None
    source = evidence.trace.source_of(output) if isinstance(output, Tensor) else \
        next((fact.source for fact in evidence.failing.inputs if fact.source is not None), None)
    call = next((call for call in evidence.chain(source) if call.outputs and _rows(call, evidence.batch)), None)
    if call is None:
        joined = batch_joined(evidence, source)
        if joined is not None or not isinstance(output, Tensor):
            return joined
        return Fault(f"the network gives {list(output.shape)} for {_pictures(evidence.batch)}, where the first number "
                     f"should be {evidence.batch}. Look for the line that changes it")
    return _rows_made(evidence, call)


def _rows_made(evidence: ForwardPass, call: Call, *, wanted: int | None = None) -> Fault:
    """What is said of a call that makes another number of rows; `wanted` features follow, by itself those of a row."""
    shape, after = call.inputs[0].shape[1:], call.outputs[0].shape
    row = wanted or (after[-1] if len(after) > 1 else math.prod(after))
    if call.function == "squeeze" or len(after) < 2:
        return Fault(f"{call.name} makes {list(after)} of {_pictures(evidence.batch)}: it takes the batch away where "
                     "it is one picture. Write x.flatten(1)", call.place)
    gives = f"{call.name} makes {after[0]} rows of {_pictures(evidence.batch)}".replace(" 1 rows", " one row")
    return Fault(f"{gives}, since a picture has {_origin(evidence, call, shape)}. "
                 f"{_flatten_instead(evidence, call, row, shape)}", call.place)


def along_the_columns(evidence: ForwardPass) -> Fault | None:
    """A last dense layer that got a map, whose width happens to fit."""
    output = evidence.trace.output
    if not isinstance(output, Tensor) or output.dim() < 3:
        return None
    chain = evidence.chain(evidence.trace.source_of(output))
    last = next((call for call in chain if call.module is not None
                 and any(True for _ in call.module.parameters(recurse=False))), None)
    if last is None or not isinstance(last.module, nn.Linear) or len(last.inputs[0].shape) != 4:
        return None
    shape = last.inputs[0].shape[1:]
    history = history_to(evidence, last.inputs[0].source)
    if history is None or shape[1:] != history.steps[-1][1]:    # its last axis is not that of the columns
        return None
    return Fault(f"{last.name} gets a map of {times(shape)} and works along its {shape[2]} columns. Flatten it before, "
                 f"as with x.flatten(1), and set in_features={math.prod(shape)}", last.place)


def _features_wanted(call: Call) -> int | None:
    """in_features of a dense layer, of a call of linear, or of a product with a matrix of weights; else None."""
    if not call.inputs:
        return None
    if isinstance(call.module, nn.Linear):
        return call.module.in_features
    if call.function == "linear" and len(call.inputs) > 1:
        return call.inputs[1].shape[-1]
    if call.function in ("matmul", "mm", "__matmul__") and len(call.inputs) > 1 and len(call.inputs[1].shape) == 2:
        return call.inputs[1].shape[0]
    return None


def _row_of(call: Call) -> int | None:
    """How many values a row has of what a view or reshape of a map asks for; None of another call."""
    if call.function not in ("view", "reshape") or not call.inputs or len(call.inputs[0].shape) != 4:
        return None
    values = call.values[0] if len(call.values) == 1 and isinstance(call.values[0], list | tuple) else call.values
    sizes = [value for value in values if isinstance(value, int)]
    return math.prod(sizes[1:]) if len(sizes) > 1 and min(sizes[1:]) > 0 else None


def _rows(call: Call, batch: int) -> bool:
    """Whether a call reshapes what has a row a picture into another number of rows."""
    before, after = call.inputs[0].shape, call.outputs[0].shape
    return call.function in _RESHAPES and before[0] == batch and after[:1] != (batch,)


def _axes(call: Call) -> tuple[int, ...]:
    """The axes of a map that a mean, a sum or the like goes over; none of another call."""
    if call.function not in _REDUCING or not call.inputs or len(call.inputs[0].shape) != 4:
        return ()
    axes = call.named.get("dim", call.named.get("axis", call.values[0] if call.values else ()))
    return tuple(axis % 4 for axis in (axes if isinstance(axes, list | tuple) else [axes]) if isinstance(axis, int))


def _origin(evidence: ForwardPass, call: Call, shape: tuple[int, ...]) -> str:
    """`6272 = 32 x 14 x 14 values: 28 is halved once`"""
    history = history_to(evidence, main_input(call).source)
    words = f"{math.prod(shape)}" + (f" = {times(shape)}" if len(shape) > 1 else "")
    return words + (f": {history.in_words()}" if history is not None and len(shape) == 3 else "")


def _flatten_instead(evidence: ForwardPass, call: Call, wanted: int, shape: tuple[int, ...]) -> str:
    layer = next((name for name, module in evidence.trace.network.named_modules()
                  if isinstance(module, nn.Linear) and module.in_features == wanted), None)
    values = math.prod(shape)
    if layer is None or wanted == values:
        return "Write x.flatten(1), which keeps a row for each picture"
    mend = _mend(evidence, call, wanted=wanted, shape=shape, of=f" of {layer}")
    return f"Write x.flatten(1), and {mend}"


def _mend(evidence: ForwardPass, call: Call, *, wanted: int, shape: tuple[int, ...], of: str = "") -> str:
    """`set in_features=6272, or pool twice`, for a map of this `shape` where `wanted` features are expected."""
    values, channels = math.prod(shape), shape[0]
    words = f"set in_features={values}{of}"
    picture = _picture_with(evidence, wanted) if shape == evidence.shape else None
    if picture is not None:
        return f"{words}, or show it other pictures: {picture}"
    if wanted == channels and values > channels:
        return f"pool the map to one cell before, as with nn.AdaptiveAvgPool2d(1), since {channels} are its " \
            f"channels; or {words}"
    if wanted % channels:
        return words
    history = history_to(evidence, main_input(call).source if call.function else _map_source(evidence, call))
    number = history.halvings_to(wanted // channels) if history is not None else None
    if number is not None:
        return f"{words}, or {f'pool {often(number)}' if number else 'do not pool'}"
    edge = edge_with(evidence, call, wanted)
    return words if edge is None or (edge, edge) == evidence.shape[1:] else \
        f"{words}, or take pictures of {edge} x {edge} pixels (--size {edge})"


def _map_source(evidence: ForwardPass, call: Call) -> int | None:
    """Where the map comes from that was flattened for a dense layer."""
    found = flattened(evidence, main_input(call).source)
    return main_input(found[0] if found is not None else call).source


def _picture_with(evidence: ForwardPass, values: int) -> str | None:
    """`--size 28 --channels 1`: the square picture of so many values; None where there is none."""
    for channels in (1, 3):
        edge = math.isqrt(values // channels)
        if edge > 1 and channels * edge * edge == values and evidence.shape != (channels, edge, edge):
            return f"--size {edge} --channels {channels}"
    return None


def _pictures(number: int) -> str:
    return "one picture" if number == 1 else f"{number} pictures"


# Why a forward pass ends.
DENSE: Mapping[str, Cause] = {
    "a map where a vector is due": fed_with_maps,
    "features that do not follow": wrong_width,
    "a view that does not divide": impossible_view,
}
# What shows in an output.
ROWS: Mapping[str, Cause] = {
    "pictures mixed with each other": pictures_mixed,
    "a map where a vector is due": along_the_columns,
}
