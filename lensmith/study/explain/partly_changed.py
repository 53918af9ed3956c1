"""Maps that differ from those of one picture in a rectangle each, so that a network computes only what can differ."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_WORTH_IT = 0.7    # the fraction of a map above which the rectangle's borders cost more than the rest of the map


@dataclass(frozen=True)
class Spans:
    """Where rectangles of one size lie along an axis: from each of `starts` over `length` cells."""

    starts: tuple[int, ...]
    length: int

    def moved(self, *, kernel: int, stride: int, padding: int, cells: int) -> "Spans":
        """Those of the `cells` of a convolution's output that see any of them; `kernel` with its dilation."""
        first = [max(0, -((kernel - 1 - padding - start) // stride)) for start in self.starts]
        last = [min(cells - 1, (start + self.length - 1 + padding) // stride) for start in self.starts]
        return _of_one_length(first, [end + 1 for end in last], cells)

    def seen(self, *, kernel: int, stride: int, padding: int) -> "Spans":
        """What a convolution sees for these cells of its output; from below 0 where it sees its padding."""
        return Spans(tuple(start * stride - padding for start in self.starts), (self.length - 1) * stride + kernel)

    def with_others(self, others: "Spans", cells: int) -> "Spans":
        """What covers these and those, of an axis with so many cells."""
        return _of_one_length(
            [min(pair) for pair in zip(self.starts, others.starts, strict=True)],
            [max(pair) for pair in zip(self._ends(), others._ends(), strict=True)], cells)

    def shared(self, others: "Spans", number: int) -> tuple[slice, slice]:
        """The cells that both have in the picture `number`, as slices of these and of those."""
        start, other = self.starts[number], others.starts[number]
        first, end = max(start, other), min(start + self.length, other + others.length)
        return slice(first - start, max(first, end) - start), slice(first - other, max(first, end) - other)

    def _ends(self) -> list[int]:
        return [start + self.length for start in self.starts]


def _of_one_length(starts: Sequence[int], ends: Sequence[int], cells: int) -> Spans:
    """From each start to its end, or longer, as the longest: computing a cell again does not change it."""
    length = max(1, *(end - start for start, end in zip(starts, ends, strict=True)))
    return Spans(tuple(max(0, min(start, cells - length)) for start in starts), length)


class PartlyChanged(Tensor):
    """Maps [batch, channels, rows, columns] that equal those of one picture outside of a rectangle each.

    Convolutions, pools and what works cell by cell compute the rectangle alone, and what is around it once; for all
    else they are whole tensors like any other (Nakandala, Kumar and Papakonstantinou 2019, "Incremental and Approximate
    Inference for Faster Occlusion-based Deep CNN Explanations"). They are for inference alone.
    """

    one: Tensor         # [1, channels, rows, columns]: the maps of the picture as it is
    patches: Tensor     # [batch, channels, rows of the rectangle, columns of it]
    rows: Spans
    columns: Spans

    @classmethod
    def of(cls, one: Tensor, patches: Tensor, rows: Spans, columns: Spans) -> "PartlyChanged":
        """The maps of a picture [1, channels, rows, columns], changed in a rectangle each."""
        # It has a shape, and no memory for the values.
        made = one.new_empty(()).expand(len(patches), *one.shape[1:]).as_subclass(cls)
        made._become(one, patches, rows, columns)
        return made

    def _become(self, one: Tensor, patches: Tensor, rows: Spans, columns: Spans) -> None:
        self.one, self.patches, self.rows, self.columns = one, patches, rows, columns

    def window(self, rows: Spans, columns: Spans, around: float = 0.0) -> Tensor:
        """[batch, channels, rows, columns]: a part of each map; beyond the map's border it is `around`."""
        height, width = self.one.shape[2:]
        above, left = max(0, -min(rows.starts)), max(0, -min(columns.starts))
        below = max(0, max(rows.starts) + rows.length - height)
        right = max(0, max(columns.starts) + columns.length - width)
        padded = F.pad(self.one, (left, right, above, below), value=around)[0]
        found = torch.stack([padded[:, top + above : top + above + rows.length, start + left : start + left +
                                    columns.length] for top, start in zip(rows.starts, columns.starts, strict=True)])
        found = found.contiguous(memory_format=_arranged(self.one))
        for number, patch in enumerate(self.patches):
            rows_here, rows_there = rows.shared(self.rows, number)
            columns_here, columns_there = columns.shared(self.columns, number)
            found[number, :, rows_here, columns_here] = patch[:, rows_there, columns_there]
        return found

    def whole(self) -> Tensor:
        """[batch, channels, rows, columns]: the maps as a tensor like any other."""
        height, width = self.one.shape[2:]
        if (self.rows.length, self.columns.length) == (height, width):
            return self.patches
        nothing = (0,) * len(self.patches)
        return self.window(Spans(nothing, height), Spans(nothing, width))

    @classmethod
    def __torch_function__(cls, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (),
                           kwargs: Mapping[str, Any] | None = None) -> Any:
        settings, name = dict(kwargs or {}), getattr(function, "__name__", "")
        if function in _OF_THE_SHAPE or name in ("size", "dim", "__len__"):
            return super().__torch_function__(function, types, args, settings)
        found = None
        if name in _RULES and isinstance(args[0], cls):
            found = _RULES[name](function, *args, **settings)
        elif name in ("cat", "concat"):
            found = _concatenated(function, *args, **settings)
        elif name in _BY_CELLS and isinstance(args[0], cls):
            found = _cell_by_cell(function, args, settings)
        return _as_whole(function, args, settings) if found is None else found


# What is asked of a tensor without looking at its values.
_OF_THE_SHAPE = {getattr(Tensor, name).__get__ for name in ("shape", "ndim", "dtype", "device", "layout",
                                                            "requires_grad", "is_cuda", "is_mkldnn", "is_quantized")}
# Functions that give for each cell what they make of this cell alone, as modules and forward passes call them.
_BY_CELLS = frozenset((
    "relu", "relu_", "relu6", "hardtanh", "hardtanh_", "leaky_relu", "leaky_relu_", "elu", "elu_", "selu", "celu",
    "gelu", "silu", "mish", "hardswish", "hardsigmoid", "softplus", "softsign", "logsigmoid", "sigmoid", "sigmoid_",
    "tanh", "tanh_", "prelu", "clamp", "clamp_", "exp", "square", "abs", "neg",
    "add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_", "__add__", "__iadd__", "__radd__", "__sub__",
    "__isub__", "__mul__", "__imul__", "__rmul__", "__truediv__", "__itruediv__",
    "to", "float", "contiguous", "clone", "batch_norm", "dropout", "dropout2d", "feature_dropout"))


def _whole(values: Any) -> Any:
    if isinstance(values, PartlyChanged):
        return values.whole()
    if isinstance(values, tuple | list) and not isinstance(values, torch.Size):
        return type(values)(map(_whole, values))
    return {key: _whole(value) for key, value in values.items()} if isinstance(values, dict) else values


def _as_whole(function: Callable[..., Any], args: tuple[Any, ...], settings: Mapping[str, Any]) -> Any:
    """What the function makes of whole maps; one that works in place changes its first argument."""
    whole = _whole(args)
    found = function(*whole, **_whole(settings))
    if args and isinstance(args[0], PartlyChanged) and _in_place(function, settings):
        first = whole[0]
        nothing = (0,) * len(first)
        args[0]._become(args[0].one, first, Spans(nothing, first.shape[2]), Spans(nothing, first.shape[3]))
        return None if found is None else args[0]
    return found


def _in_place(function: Callable[..., Any], settings: Mapping[str, Any]) -> bool:
    name = getattr(function, "__name__", "")
    return bool(settings.get("inplace")) or name.startswith("__i") or name == "__setitem__" or \
        (name.endswith("_") and not name.endswith("__"))


def _cell_by_cell(function: Callable[..., Any], args: tuple[Any, ...],
                  settings: dict[str, Any]) -> PartlyChanged | None:
    """What a function of single cells makes of maps and of numbers that are the same for all cells; None for others."""
    first, others = args[0], [value for value in args[1:] if isinstance(value, Tensor)]
    changed = [value for value in others if isinstance(value, PartlyChanged)]
    if any(value.one.shape[2:] != first.one.shape[2:] for value in changed):
        return None
    if function.__name__ not in ("batch_norm", "prelu") and not all(_is_constant(value) for value in others if
                                                                    not isinstance(value, PartlyChanged)):
        return None
    rows, columns = _covering([first, *changed])

    def part(value: Any) -> Any:
        if not isinstance(value, PartlyChanged):
            return value
        return value.patches if (value.rows, value.columns) == (rows, columns) else value.window(rows, columns)

    patches = function(*map(part, args), **settings)
    one = function(*(value.one if isinstance(value, PartlyChanged) else value for value in args), **settings)
    if one is first.one or _in_place(function, settings):    # the same maps by another name stay the same
        first._become(one, patches, rows, columns)
        return first
    return PartlyChanged.of(one, patches, rows, columns)


def _is_constant(value: Tensor) -> bool:
    """Whether it is the same for all cells and pictures."""
    return value.numel() == 1 or (value.ndim == 4 and value.shape[0] == value.shape[2] == value.shape[3] == 1)


def _covering(maps: Sequence[PartlyChanged]) -> tuple[Spans, Spans]:
    """Rectangles that hold those of all these maps, which are equally large."""
    height, width = maps[0].one.shape[2:]
    rows, columns = maps[0].rows, maps[0].columns
    for one in maps[1:]:
        rows, columns = rows.with_others(one.rows, height), columns.with_others(one.columns, width)
    return rows, columns


def _concatenated(function: Callable[..., Tensor], maps: Sequence[Tensor], dim: int = 0) -> PartlyChanged | None:
    """Maps joined along their channels; None for other axes, and where some have no rectangle."""
    changed = [one for one in maps if isinstance(one, PartlyChanged)]
    if dim not in (1, -3) or len(changed) < len(maps) or len({one.one.shape[2:] for one in changed}) > 1:
        return None
    rows, columns = _covering(changed)
    return PartlyChanged.of(function([one.one for one in changed], dim),
                            function([one.window(rows, columns) for one in changed], dim), rows, columns)


def _convolution(function: Callable[..., Tensor], maps: PartlyChanged, weight: Tensor, bias: Tensor | None = None,
                 stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
    if isinstance(padding, str):
        return None
    kernel = _extent(tuple(weight.shape[2:]), dilation)
    return _by_windows(maps, kernel, _pair(stride), _pair(padding), 0.0,
                       lambda inputs, around: function(inputs, weight, bias, stride, around, dilation, groups))


def _max_pool(function: Callable[..., Tensor], maps: PartlyChanged, kernel_size: Any, stride: Any = None,
              padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False) -> Any:
    if ceil_mode or return_indices:
        return None
    return _by_windows(maps, _extent(_pair(kernel_size), dilation), _pair(stride or kernel_size), _pair(padding),
                       float("-inf"),
                       lambda inputs, around: F.max_pool2d(inputs, kernel_size, stride, around, dilation))


def _mean_pool(function: Callable[..., Tensor], maps: PartlyChanged, kernel_size: Any, stride: Any = None,
               padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
               divisor_override: int | None = None) -> Any:
    if ceil_mode or divisor_override or (_pair(padding) != (0, 0) and not count_include_pad):
        return None
    return _by_windows(maps, _pair(kernel_size), _pair(stride or kernel_size), _pair(padding), 0.0,
                       lambda inputs, around: F.avg_pool2d(inputs, kernel_size, stride, around))


_RULES: Mapping[str, Callable[..., Any]] = {"conv2d": _convolution, "max_pool2d": _max_pool, "avg_pool2d": _mean_pool}


def _by_windows(maps: PartlyChanged, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int],
                beyond: float, compute: Callable[[Tensor, tuple[int, int]], Tensor]) -> PartlyChanged | None:
    """What `compute` makes of maps by windows of this extent, from the maps and their padding; `beyond` the border
    stands this number. None where the rectangles of the result are nearly all of it."""
    one = compute(maps.one, padding)
    found, seen = [], []
    for spans, axis in ((maps.rows, 0), (maps.columns, 1)):
        at = {"kernel": kernel[axis], "stride": stride[axis], "padding": padding[axis]}
        found.append(spans.moved(**at, cells=one.shape[2 + axis]))
        seen.append(found[-1].seen(**at))
    if found[0].length * found[1].length > _WORTH_IT * one.shape[2] * one.shape[3]:
        return None
    return PartlyChanged.of(one, compute(maps.window(seen[0], seen[1], beyond), (0, 0)), found[0], found[1])


def _extent(kernel: tuple[int, ...], dilation: Any) -> tuple[int, int]:
    """Of a kernel along both axes, with its dilation."""
    rows, columns = ((size - 1) * apart + 1 for size, apart in zip(kernel, _pair(dilation), strict=True))
    return rows, columns


def _pair(value: Any) -> tuple[int, int]:
    listed = [value] if isinstance(value, int) else list(value)
    return listed[0], listed[-1]


def _arranged(maps: Tensor) -> torch.memory_format:
    """How the numbers of maps lie in memory."""
    last = maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format
