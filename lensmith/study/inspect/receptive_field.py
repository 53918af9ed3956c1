"""Which pixels of the picture a cell of a map can see, followed through every operation of a forward pass."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

aten = torch.ops.aten
Pair = tuple[int, int]


@dataclass(frozen=True)
class Field:
    """Cell i of an axis sees the pixels from i * jump + low to i * jump + high, the border's padding included."""

    low: Pair = (0, 0)        # rows, columns
    high: Pair = (0, 0)
    jump: Pair = (1, 1)       # pixels from cell to cell
    axes: Pair = (-2, -1)     # of the tensor, counted from its end: where its rows and columns lie

    @property
    def edge(self) -> int:
        """Pixels on the longer side."""
        return max(high - low + 1 for low, high in zip(self.low, self.high, strict=True))

    def windowed(self, kernel: Pair, stride: Pair, padding: Pair) -> "Field":
        """Behind a convolution or pool; `kernel` counts its dilation."""
        (low, low_), (high, high_), (jump, jump_) = self.low, self.high, self.jump
        return replace(self, low=(low - padding[0] * jump, low_ - padding[1] * jump_),
                       high=(high + (kernel[0] - 1 - padding[0]) * jump, high_ + (kernel[1] - 1 - padding[1]) * jump_),
                       jump=(stride[0] * jump, stride[1] * jump_))

    def joined(self, other: "Field") -> "Field | None":
        """Both together, as where branches meet; None where their cells do not lie alike."""
        if (self.jump, self.axes) != (other.jump, other.axes):
            return None
        low = (min(self.low[0], other.low[0]), min(self.low[1], other.low[1]))
        high = (max(self.high[0], other.high[0]), max(self.high[1], other.high[1]))
        return replace(self, low=low, high=high)


class Follow(TorchDispatchMode):
    """While it is entered, notes for each tensor that comes from the picture its Field, and counts multiply-adds.

    A tensor whose cells see the whole picture (behind a flatten, a global pool, a squeeze-and-excite gate), or whose
    way cannot be followed, has None. The statistics of normalisations are not counted as seeing.
    """

    def __init__(self, picture: Tensor, work: Callable[[int], None]):
        super().__init__()
        self.fields = WeakTensorKeyDictionary()
        self.flattened = WeakTensorKeyDictionary()    # of a flat tensor: the shape of one picture's map before
        self.fields[picture] = Field()
        self.work = work

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        # An operation in place changes its argument's entry, so the entries are read before it runs.
        sources = _tensors(args)
        known = [(tensor, tensor.shape, self.fields[tensor]) for tensor in sources if tensor in self.fields]
        result = func(*args, **(kwargs or {}))
        self.work(_multiply_adds(func, args, result))
        if known:
            for output in _tensors((result,)):
                self.fields[output] = _field(func, args, output.shape, known)
                self._note_flattened(output, known[0][0])
        return result

    def _note_flattened(self, output: Tensor, source: Tensor) -> None:
        if output.dim() == 2 and source.dim() == 4 and output.numel() == source.numel():
            self.flattened[output] = tuple(source.shape[1:])
        elif source in self.flattened and output.shape == source.shape:
            self.flattened[output] = self.flattened[source]


Known = list[tuple[Tensor, torch.Size, Field | None]]


def _field(func: Any, args: tuple, shape: torch.Size, known: Known) -> Field | None:
    _, before, first = known[0]
    packet = func.overloadpacket
    if first is None:
        return None
    if packet is aten.convolution:
        _, weight, _, stride, padding, dilation, transposed, *_ = args
        kernel = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
        return None if transposed or len(kernel) != 2 else first.windowed(_pair(kernel), _pair(stride), _pair(padding))
    if packet in (aten.max_pool2d_with_indices, aten.max_pool2d, aten.avg_pool2d):
        return first.windowed(*_pool(packet, args))
    if packet in (aten._adaptive_avg_pool2d, aten.adaptive_max_pool2d):
        return _adaptive(first, before, shape)
    if packet is aten.constant_pad_nd:
        left, _, top, _ = (*args[1], 0, 0, 0)[:4]
        return replace(first, low=_shifted(first.low, (top, left), first.jump),
                       high=_shifted(first.high, (top, left), first.jump))
    if packet in (aten.permute, aten.transpose, aten.t):
        return _moved(first, packet, args, len(before))
    if packet in (aten.view, aten._unsafe_view, aten._reshape_alias, aten.reshape):
        return _viewed(first, before, shape)
    return _together(shape, known)


def _together(shape: torch.Size, known: Known) -> Field | None:
    """Operations from cell to cell: sums, products, concatenations, activations, norms."""
    joined = known[0][2]
    for _, before, field in known:
        if field is None or joined is None or len(before) != len(shape):
            return None
        if any(before[axis] != shape[axis] for axis in field.axes):
            return None
        joined = joined.joined(field)
    return joined


def _adaptive(field: Field, before: torch.Size, shape: torch.Size) -> Field | None:
    edges = [(before[axis], shape[axis]) for axis in (-2, -1)]
    if any((after == 1 and edge > 1) or edge % after for edge, after in edges):
        return None
    step = _pair([edge // after for edge, after in edges])
    return field.windowed(step, step, (0, 0))


def _moved(field: Field, packet: Any, args: tuple, rank: int) -> Field:
    order = list(range(rank))
    if packet is aten.permute:
        order = [axis % rank for axis in args[1]]
    else:
        one, two = (args[1], args[2]) if packet is aten.transpose else (0, 1)
        order[one], order[two] = order[two], order[one]
    row, column = (order.index(axis % rank) - rank for axis in field.axes)
    return replace(field, axes=(row, column))


def _viewed(field: Field, before: torch.Size, after: torch.Size) -> Field | None:
    """The axes are found again where the same extent starts at the same place in memory; else they were merged."""
    axes = []
    for axis in field.axes:
        place = math.prod(before[axis:])
        same = [i - len(after) for i in range(len(after)) if after[i] == before[axis] and math.prod(after[i:]) == place]
        if not same:
            return None
        axes.append(same[-1])
    return replace(field, axes=_pair(axes)) if len(after) >= 3 else None


def _pool(packet: Any, args: tuple) -> tuple[Pair, Pair, Pair]:
    """The extent of a pool's window, its stride and its padding."""
    kernel = _pair(args[1])
    stride = _pair(args[2]) if len(args) > 2 and args[2] else kernel
    padding = _pair(args[3]) if len(args) > 3 else (0, 0)
    dilation = _pair(args[4]) if len(args) > 4 and packet is not aten.avg_pool2d else (1, 1)
    return ((kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1), stride, padding


def _shifted(bounds: Pair, by: Pair, jump: Pair) -> Pair:
    return bounds[0] - by[0] * jump[0], bounds[1] - by[1] * jump[1]


def _pair(values: Any) -> Pair:
    listed = [values] if isinstance(values, int) else list(values)
    return listed[0], listed[-1]


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    return [tensor for value in values for tensor in _tensors(value)] if isinstance(values, tuple | list) else []


def _multiply_adds(func: Any, args: tuple, result: Any) -> int:
    """Those of convolutions and matrix products; everything else is small beside them."""
    packet = func.overloadpacket
    if packet is aten.convolution:
        taken = args[0] if args[6] else result    # a transposed one works once for each value that it takes
        return taken.numel() * args[1][0].numel()
    if packet in (aten.mm, aten.bmm):
        return result.numel() * args[0].shape[-1]
    if packet in (aten.addmm, aten.baddbmm):
        return result.numel() * args[1].shape[-1]
    if packet is aten.linear:
        return result.numel() * args[0].shape[-1]
    return 0
