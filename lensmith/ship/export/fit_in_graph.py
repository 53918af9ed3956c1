"""A picture of any size brought to the form of the network, and answers brought back, by operations that a file holds.

The picture becomes a smaller one by two matrix products, whose weights are computed from its size: ONNX's own Resize
has antialiasing in few runtimes. It is in whole numbers as far as it can be, since a runtime may compute int64 as int32
and float64 as float32.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lensmith.base.pictures import PADDING, Form, Interpolation
from lensmith.ship.runtimes.file_facts import OBJECTS_IN_FILES, TargetFacts
from lensmith.values.semantic_mask import IGNORED

_STRIDE = 32    # pixels: a letterbox is cut to multiples of it, as `data.sources.fitting.trimmed` does


@dataclass(frozen=True)
class Fitting:
    """How a picture lies in the form, int64 [2] each, (vertical, horizontal), in pixels."""

    size: Tensor      # of the picture
    start: Tensor     # of the part that is used
    cut: Tensor       # its lengths
    edges: Tensor     # what it is brought to
    corner: Tensor    # where that is put
    window: Tensor    # the part of the form that goes into the network: its lengths
    shift: Tensor     # and its beginning

    def to_picture(self) -> tuple[Tensor, Tensor]:
        """(scale, shift) float [2] each: picture * scale + shift are pixels of the network's picture."""
        scale = self.edges.float() / self.cut.float()
        return scale, (self.corner - self.shift).float() - self.start.float() * scale


def fitting_of(pictures: Tensor, form: Form, *, trims: bool) -> Fitting:
    """How pictures [1, channels, height, width] lie in the form, as `base.pictures` has it.

    `trims` cuts a letterbox to what it shows, in multiples of 32 pixels.
    """
    size = torch.stack([torch.full((), pictures.shape[axis], dtype=torch.int64) for axis in (2, 3)])
    whole, nothing = torch.tensor(form.size), torch.zeros(2, dtype=torch.int64)
    start, cut, edges, corner = nothing, size, whole, nothing
    other_whole, other_size = whole.flip(0), size.flip(0)    # of the other axis, whose scale may be the one that holds
    if form.fit == "crop":
        cut = _rounded(whole * other_size, other_whole, whole.double() / (other_whole.double() / other_size.double()))
        cut = cut.minimum(size).clamp(min=1)
        start = (size - cut) // 2
    elif form.fit == "pad":
        edges = _rounded(size * other_whole, other_size, size.double() * (other_whole.double() / other_size.double()))
        edges = edges.minimum(whole).clamp(min=1)
        corner = (whole - edges) // 2
    window, shift = whole, nothing
    if trims:
        window = ((edges + _STRIDE - 1) // _STRIDE * _STRIDE).minimum(whole)
        shift = (corner - (window - edges) // 2).clamp(min=0).minimum(whole - window)
    return Fitting(size, start, cut, edges, corner, window, shift)


def _rounded(numbers: Tensor, divisors: Tensor, quotients: Tensor) -> Tensor:
    """int64: numbers / divisors, rounded.

    A half goes where float64 `quotients`, computed as `base.pictures` does, fall by their last bits; a runtime that has
    float32 alone may then be one pixel off.
    """
    doubled = 2 * numbers + divisors
    nearest = doubled // (2 * divisors)
    return quotients.round().long().where(doubled - nearest * (2 * divisors) == 0, nearest)


class FitPicture(nn.Module):
    """A picture uint8 or uint16 [1, channels, height, width] of any size -> the same in `form`."""

    def __init__(self, form: Form, *, trims: bool):
        super().__init__()
        self.form, self.trims = form, trims

    def forward(self, pictures: Tensor) -> Tensor:
        form, fitting = self.form, fitting_of(pictures, self.form, trims=self.trims)
        across, columns = _weights(fitting, 1, form.width, pictures.shape[3], form.interpolation)
        down, rows = _weights(fitting, 0, form.height, pictures.shape[2], form.interpolation)
        planes = torch.matmul(pictures[0].float(), across.T)
        if form.bits == 8:    # rounded between the passes, as Pillow does
            planes = (planes + 0.5).floor().clamp(0, 255)
        planes = (torch.matmul(down, planes) + 0.5).floor().clamp(0, 255 if form.bits == 8 else 65535)
        if form.fit == "pad":
            planes = planes.where(rows[:, None] & columns[None], float(form.level(PADDING)))
        if self.trims:
            lines, along = (torch.arange(edge) for edge in form.size)
            first, last = fitting.shift, fitting.shift + fitting.window
            planes = planes[:, (lines >= first[0]) & (lines < last[0])]
            planes = planes[:, :, (along >= first[1]) & (along < last[1])]
        return planes.to(form.dtype)[None]


def _weights(fitting: Fitting, axis: int, edge: int, length: int,
             interpolation: Interpolation) -> tuple[Tensor, Tensor]:
    """float [edge, length]: how much each of the `length` pixels of the picture's axis counts in each of the form's,
    and bool [edge]: which of these show the picture.

    The weight of pixel j in pixel i is filter(distance / max(scale, 1)) with scale = cut / n, divided by the sum
    (Pillow's Resample.c); the distance of their centres is |n (2 j + 1) - (2 i + 1) cut| / (2 n), j counted from
    where the part begins.
    """
    cut, number = fitting.cut[axis], fitting.edges[axis]
    target = (torch.arange(edge) - fitting.corner[axis])[:, None]
    source = (torch.arange(length) - fitting.start[axis])[None]
    distance = (number * (2 * source + 1) - cut * (2 * target + 1)).abs().float() / (2 * cut.maximum(number)).float()
    weights = _cubic(distance) if interpolation == "bicubic" else (1 - distance).clamp(min=0)
    weights = weights * ((source >= 0) & (source < cut)).float()
    shows = (target >= 0) & (target < number)
    return (weights / weights.sum(1, keepdim=True).clamp(min=1e-6)) * shows.float(), shows[:, 0]


def _cubic(x: Tensor) -> Tensor:
    """Keys' cubic convolution with a = -1/2, as Pillow has it, for x >= 0."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return near.where(x < 1, far.where(x < 2, 0.0))


# kind -> which outputs of `file_facts.outputs_of` `AnswersInPicture` takes, and which it gives, by their numbers there.
TAKEN = {"mask": (1,), "boxes": (0, 1), "masks": (1, 2, 5)}
GIVEN = {"mask": (0,), "boxes": (0,), "masks": (0, 1)}


class AnswersInPicture(nn.Module):
    """The picture, and those answers to what was made of it that say where something is -> these in its own pixels."""

    def __init__(self, targets: dict[str, TargetFacts], form: Form, *, trims: bool):
        super().__init__()
        self.kinds, self.form, self.trims = [target.kind for target in targets.values()], form, trims

    def forward(self, pictures: Tensor, answers: list[Tensor]) -> list[Tensor]:
        fitting = fitting_of(pictures, self.form, trims=self.trims)
        size, found, left = (pictures.shape[2], pictures.shape[3]), list[Tensor](), list(answers)
        for kind in self.kinds:
            number = len(TAKEN.get(kind, ()))
            taken, left = left[:number], left[number:]
            if kind == "mask":
                found.append(_mask(taken[0], fitting, self.form, size))
            elif kind in OBJECTS_IN_FILES:
                corners = _corners(taken[0], taken[1], fitting)
                if kind == "masks":
                    found.append(_object_pixels(taken[2], corners, taken[1], fitting, self.form, size))
                found.append(corners)
        return found


def _corners(corners: Tensor, classes: Tensor, fitting: Fitting) -> Tensor:
    """Corners [1, n, 4] in the picture's pixels, 0 behind the last object."""
    scale, shift = (pair.flip(0).repeat(2) for pair in fitting.to_picture())
    limit = fitting.size.float().flip(0).repeat(2)
    moved = ((corners - shift) / scale).clamp(min=0).minimum(limit)
    return moved.where((classes >= 0)[..., None], 0.0)


def _positions(fitting: Fitting, axis: int, length: int) -> Tensor:
    """float [length]: where the centres of the picture's pixels lie in the network's, as `Place.fit` says."""
    scale, shift = fitting.to_picture()
    return (torch.arange(length).float() + 0.5) * scale[axis] + shift[axis]


def _mask(scores: Tensor, fitting: Fitting, form: Form, size: tuple[int, int]) -> Tensor:
    """uint8 [1, height, width] as `Mask.in_file` has it, of `scores` [1, classes, rows, columns]. Class after class, so
    that a few numbers a pixel of the picture are held and not as many as there are classes."""
    (rows, seen_rows), (columns, seen_columns) = (_seen(fitting, axis, size[axis], form.size[axis]) for axis in (0, 1))
    best, classes = _between(scores[0, 0], rows, columns), torch.zeros(size, dtype=torch.uint8)
    for number in range(1, scores.shape[1]):
        score = _between(scores[0, number], rows, columns)
        classes = torch.where(score > best, torch.full((), number, dtype=torch.uint8), classes)
        best = torch.maximum(score, best)
    seen = seen_rows[:, None] & seen_columns[None]
    return torch.where(seen, classes, torch.full((), IGNORED, dtype=torch.uint8))[None]


def _seen(fitting: Fitting, axis: int, length: int, edge: int) -> tuple[Tensor, Tensor]:
    """float [length]: the picture's pixels among the form's, counted from the middle of the first one, and bool
    [length]: which of them the network saw."""
    positions = _positions(fitting, axis, length)
    first = fitting.corner[axis].float()
    last = first + fitting.edges[axis].float() - 1
    return (positions - 0.5).maximum(first).minimum(last), (positions > 0) & (positions < edge)


def _object_pixels(margins: Tensor, corners: Tensor, classes: Tensor, fitting: Fitting, form: Form,
                   size: tuple[int, int]) -> Tensor:
    """uint8 [1, objects, height, width] as `values.instance_masks.in_boxes` has it, of the objects that there are."""
    there = classes[0] >= 0
    margins, corners = margins[0, there], corners[0, there]
    cells = margins.shape[1:]
    rows, columns = ((_positions(fitting, axis, size[axis]) * (cells[axis] / form.size[axis]) - 0.5)
                     .clamp(0, cells[axis] - 1) for axis in (0, 1))
    inside = _between(margins, rows, columns) > 0
    x0, y0, x1, y1 = (edge[:, None] for edge in corners.unbind(1))
    down, along = (torch.arange(length).float() + 0.5 for length in size)
    inside_rows, inside_columns = (down >= y0) & (down < y1), (along >= x0) & (along < x1)
    return (inside & inside_rows[:, :, None] & inside_columns[:, None]).to(torch.uint8)[None]


def _between(numbers: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The `numbers` [..., rows, columns] at fractional positions, interpolated bilinearly."""
    for axis, positions in ((-2, rows), (-1, columns)):
        low = positions.floor().long()
        high = (low + 1).clamp(max=numbers.shape[axis] - 1)
        fraction = positions - low.float()
        fraction = fraction[:, None] if axis == -2 else fraction
        below, above = numbers.index_select(axis, low), numbers.index_select(axis, high)
        numbers = below + (above - below) * fraction
    return numbers
