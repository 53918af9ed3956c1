"""Large pictures by overlapping tiles: scores of pixels blended so that no seam shows, boxes joined."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.base.pictures import GROUND, Form
from lensmith.data.sources.sample import Batch
from lensmith.engine.evaluate import predictions
from lensmith.engine.plan.plan import Plan
from lensmith.tasks.task import Task
from lensmith.values.box_arithmetic import area, batched_nms, shared_area
from lensmith.values.boxes import Boxes
from lensmith.values.semantic_mask import Mask, between
from lensmith.values.value import Value

_OVERLAP = 0.25        # of a tile's edge: what neighbours share at least
_TILES = 8             # that the network looks at together, at most
_SCORES = 1 << 25      # of pixels and classes that are held at a time, 128 MB
_AT_ONCE = 1 << 22     # numbers of all classes that are interpolated at a time
_CUT = 1.5             # pixels from a tile's edge within which a box is taken for one that it cuts
_INSIDE = 0.7          # the share of such a box that lies in a larger one of its class where it is a part of that one

Say = Callable[[Tensor], Value]    # what the network says of tiles, uint8 or uint16 [n, channels, height, width]


def tiling(network: nn.Module, task: Task, *, form: Form, plan: Plan) -> Callable[[Tensor, tuple[int, int]], Value]:
    """A function from a picture [channels, height, width] and the size of its file to what the network says of it, in
    the file's pixels. Raises UserError for a task that has no places."""
    if task.needs not in (("boxes",), ("mask",)):
        raise UserError("predict.tiles is for a network of one task, objects or a class for each pixel; this one gives "
                        f"{', '.join(task.needs)}")
    name = task.needs[0]

    def say(tiles: Tensor) -> Value:
        return next(predictions(network, task, [Batch(tiles, {})], plan=plan))[1][name]

    def answer(image: Tensor, size: tuple[int, int]) -> Value:
        missing = [max(0, edge - own) for edge, own in zip(form.size, image.shape[1:], strict=True)]
        ground = GROUND * (257 if form.bits == 16 else 1)
        whole = image if not any(missing) else \
            F.pad(image.int(), (0, missing[1], 0, missing[0]), value=ground).to(image.dtype)
        if name == "mask":
            return _mask(say, whole, form.size, within=(image.shape[1], image.shape[2]), size=size)
        assert task.overlap is not None    # a task of boxes leaves out the worse of two
        return _boxes(say, whole, form.size, within=(image.shape[1], image.shape[2]), size=size, overlap=task.overlap)

    return answer


def starts(length: int, tile: int) -> list[int]:
    """Where tiles begin so that they cover `length` pixels, as evenly as can be, and share a quarter or more."""
    if length <= tile:
        return [0]
    shared = max(1, math.ceil(_OVERLAP * tile)) if tile > 1 else 0
    steps = math.ceil((length - tile) / (tile - shared))
    return [round(step * (length - tile) / steps) for step in range(steps + 1)]


def ramp(tile: int) -> Tensor:
    """float [tile]: what a tile's pixels weigh: they fall evenly from its middle to nothing beyond its border, where
    the network has seen the least around them."""
    place = torch.arange(tile) + 0.5
    return torch.minimum(place, tile - place) / (tile / 2)


def _mask(say: Say, image: Tensor, tile: tuple[int, int], *, within: tuple[int, int], size: tuple[int, int]) -> Mask:
    """The class of each pixel of the file. One row of tiles is held at a time."""
    (high, wide), (height, width) = tile, (image.shape[1], image.shape[2])
    tops, lefts, weight = starts(height, high), starts(width, wide), ramp(high)[:, None] * ramp(wide)
    down, across = _total(tops, high, height), _total(lefts, wide, width)
    rows, band = _Rows(within, size), torch.zeros(0)
    for number, top in enumerate(tops):
        for tiles, places in _in_batches(image, top, lefts, tile, most=_most(band, tile)):
            found = say(tiles)
            assert isinstance(found, Mask) and found.scores is not None
            if not len(band):
                band = torch.zeros(found.scores.shape[1], high, width)
            for left, scores in zip(places, found.scores, strict=True):
                band[:, :, left : left + wide] += scores * weight
        ends = tops[number + 1] if number + 1 < len(tops) else height
        finished = ends - top    # lines that no later tile reaches
        rows.add(band[:, :finished, : within[1]].div_(down[top:ends, None] * across[: within[1]]))
        band = torch.cat((band[:, finished:], torch.zeros(len(band), finished, width)), 1)
    return Mask(rows.classes)


def _most(band: Tensor, tile: tuple[int, int]) -> int:
    """How many tiles are looked at together: one until the number of classes is known."""
    return max(1, min(_TILES, _SCORES // (len(band) * tile[0] * tile[1]))) if len(band) else 1


def _in_batches(image: Tensor, top: int, lefts: list[int], tile: tuple[int, int], *,
                most: int) -> list[tuple[Tensor, list[int]]]:
    chosen = [lefts[first : first + most] for first in range(0, len(lefts), most)]
    return [(torch.stack([image[:, top : top + tile[0], left : left + tile[1]] for left in one]), one)
            for one in chosen]


def _total(begins: list[int], tile: int, length: int) -> Tensor:
    """float [length]: what all tiles of an axis weigh together at each of its pixels."""
    total = torch.zeros(length)
    for first in begins:
        total[first : first + tile] += ramp(tile)
    return total


class _Rows:
    """The class of each pixel of the file, filled from the top as lines of scores come."""

    def __init__(self, lines: tuple[int, int], size: tuple[int, int]):
        """`lines`: (height, width) of the scores; `size` that of the file."""
        self.classes = torch.zeros(size, dtype=torch.uint8)
        self.places, self.columns = (((torch.arange(own, dtype=torch.float64) + 0.5) * edge / own - 0.5
                                      ).clamp(0, edge - 1) for own, edge in zip(size, lines, strict=True))
        self.height, self.first, self.done = lines[0], 0, 0
        self.exact = lines == size    # nothing lies between two lines
        self.held = torch.zeros(0)    # float [classes, k, width]: lines from `first` on that are still needed

    def add(self, lines: Tensor) -> None:
        self.held = torch.cat((self.held, lines), 1) if self.held.numel() else lines
        known = self.first + self.held.shape[1]
        low = self.places.floor().clamp(max=max(0, self.height - 2))
        ready = len(self.places) if known >= self.height else int((low + 1 < known).sum())
        step = max(1, _AT_ONCE // (len(self.held) * len(self.columns)))
        for part in torch.arange(self.done, ready).split(step):
            rows = self.places[part] - self.first
            scores = self.held[:, rows.long()] if self.exact else between(between(self.held, rows, 1), self.columns, 2)
            self.classes[part] = scores.argmax(0).to(torch.uint8)
        self.done = ready
        if ready < len(self.places):
            spare = int(low[ready]) - self.first
            self.held, self.first = self.held[:, spare:].clone(), self.first + spare    # the others' memory is free


def _boxes(say: Say, image: Tensor, tile: tuple[int, int], *, within: tuple[int, int], size: tuple[int, int],
           overlap: float) -> Boxes:
    """The objects of all tiles in the file's pixels, the surest first; of one that two tiles show the surer, and of one
    that a tile cuts off not the part."""
    tops, lefts = starts(image.shape[1], tile[0]), starts(image.shape[2], tile[1])
    found, cut = [], []
    for top in tops:
        for tiles, places in _in_batches(image, top, lefts, tile, most=_TILES):
            boxes = say(tiles)
            assert isinstance(boxes, Boxes) and boxes.image is not None
            for number, left in enumerate(places):
                own = boxes[number]
                inner = torch.tensor([left > 0, top > 0, left + tile[1] < image.shape[2],
                                      top + tile[0] < image.shape[1]])
                edges = torch.tensor([0.0, 0.0, tile[1], tile[0]])
                cut.append((((own.corners - edges).abs() < _CUT) & inner).any(1))
                corners = own.corners + torch.tensor([left, top, left, top])
                found.append(Boxes(corners, own.classes, own.scores))
    every = Boxes.stack(found)
    assert every.scores is not None
    kept = ~_parts(every, torch.cat(cut))
    best = batched_nms(every.corners[kept], every.scores[kept], every.classes[kept], overlap)
    rows = kept.nonzero()[:, 0][best]
    scale = torch.tensor([size[1] / within[1], size[0] / within[0]]).repeat(2)
    limit = torch.tensor([size[1], size[0]]).repeat(2)
    corners = (every.corners[rows] * scale).clamp(min=0).minimum(limit)
    inside = area(corners) > 0    # what lies on the ground beside a small picture is no object
    return Boxes(corners[inside], every.classes[rows][inside], every.scores[rows][inside])


def _parts(boxes: Boxes, cut: Tensor) -> Tensor:
    """bool [n]: which of the boxes that a tile cuts lie in a larger one of their class."""
    rows = cut.nonzero()[:, 0]
    own = boxes.corners[rows]
    share = shared_area(own[:, None], boxes.corners[None]) / area(own)[:, None].clamp(min=1e-7)
    larger = area(boxes.corners)[None] > area(own)[:, None]
    part = torch.zeros(len(cut), dtype=torch.bool)
    part[rows] = ((share > _INSIDE) & larger & (boxes.classes[rows][:, None] == boxes.classes[None])).any(1)
    return part
