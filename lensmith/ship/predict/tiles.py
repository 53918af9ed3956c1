"""Large pictures by overlapping tiles: the scores of pixels are blended so that no seam shows, boxes are joined."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.base.pictures import PADDING, Form
from lensmith.data.sources.sample import Batch
from lensmith.engine.evaluate import predictions
from lensmith.engine.plan.plan import Plan
from lensmith.tasks.task import Task
from lensmith.values.box_arithmetic import area, batched_nms, shared_area
from lensmith.values.boxes import Boxes
from lensmith.values.semantic_mask import Mask, between
from lensmith.values.value import Value

_OVERLAP = 0.25        # least fraction of a tile's edge that neighbours share
_TILES = 8             # tiles that the network looks at together, at most
_SCORES = 1 << 25      # scores, over all pixels and classes, that are held at a time: 128 MB
_AT_ONCE = 1 << 22     # scores that are interpolated at a time
_CUT = 1.5             # a box that comes as near as this, in pixels, to a tile's edge is taken for one that it cuts
_INSIDE = 0.7          # such a box is part of a larger one of its class if this fraction of it lies in that one

AnswerTiles = Callable[[Tensor], Value]    # tiles, uint8 or uint16 [n, channels, height, width] -> a stacked value


def tiling(network: nn.Module, task: Task, *, form: Form, plan: Plan) -> Callable[[Tensor, tuple[int, int]], Value]:
    """A function from a picture [channels, height, width] and the (height, width) of its file to the network's answer.

    The answer is in the file's pixels. Raises UserError for a task whose answers say nothing about places.
    """
    if task.needs not in (("boxes",), ("mask",)):
        raise UserError("predict.tiles is for a network of one task, objects or a class for each pixel; this one gives "
                        f"{', '.join(task.needs)}")
    name = task.needs[0]

    def answer_tiles(tiles: Tensor) -> Value:
        return next(predictions(network, task, [Batch(tiles, {})], plan=plan))[1][name]

    def answer(image: Tensor, size: tuple[int, int]) -> Value:
        missing = [max(0, edge - length) for edge, length in zip(form.size, image.shape[1:], strict=True)]
        padding = form.level(PADDING)
        padded = image if not any(missing) else \
            F.pad(image.int(), (0, missing[1], 0, missing[0]), value=padding).to(image.dtype)
        if name == "mask":
            return _mask(answer_tiles, padded, form.size, within=(image.shape[1], image.shape[2]), size=size)
        assert task.overlap is not None    # a task of boxes leaves out the worse of two
        return _boxes(answer_tiles, padded, form.size, within=(image.shape[1], image.shape[2]), size=size,
                      overlap=task.overlap)

    return answer


def starts(length: int, tile: int) -> list[int]:
    """Where tiles begin so that they cover `length` pixels, as evenly as can be, and share a quarter or more."""
    if length <= tile:
        return [0]
    shared = max(1, math.ceil(_OVERLAP * tile)) if tile > 1 else 0
    steps = math.ceil((length - tile) / (tile - shared))
    return [round(step * (length - tile) / steps) for step in range(steps + 1)]


def tile_weights(tile: int) -> Tensor:
    """float [tile]: the weights of a tile's pixels along one axis, which fall evenly from its middle to its border.

    At the border the network has seen the least around them.
    """
    positions = torch.arange(tile) + 0.5
    return torch.minimum(positions, tile - positions) / (tile / 2)


def _mask(answer_tiles: AnswerTiles, image: Tensor, tile: tuple[int, int], *, within: tuple[int, int],
          size: tuple[int, int]) -> Mask:
    """The class of each pixel of the file. One row of tiles is held at a time."""
    (tile_height, tile_width), (height, width) = tile, (image.shape[1], image.shape[2])
    tops, lefts = starts(height, tile_height), starts(width, tile_width)
    weights = tile_weights(tile_height)[:, None] * tile_weights(tile_width)
    down, across = _total_weights(tops, tile_height, height), _total_weights(lefts, tile_width, width)
    rows, band = _Rows(within, size), torch.zeros(0)
    for number, top in enumerate(tops):
        for tiles, columns in _in_batches(image, top, lefts, tile, most=_most(band, tile)):
            masks = answer_tiles(tiles)
            assert isinstance(masks, Mask) and masks.scores is not None
            if not len(band):
                band = torch.zeros(masks.scores.shape[1], tile_height, width)
            for left, scores in zip(columns, masks.scores, strict=True):
                band[:, :, left : left + tile_width] += scores * weights
        end = tops[number + 1] if number + 1 < len(tops) else height
        finished = end - top    # lines that no later tile reaches
        rows.add(band[:, :finished, : within[1]].div_(down[top:end, None] * across[: within[1]]))
        band = torch.cat((band[:, finished:], torch.zeros(len(band), finished, width)), 1)
    return Mask(rows.classes)


def _most(band: Tensor, tile: tuple[int, int]) -> int:
    """How many tiles are looked at together: one until the number of classes is known."""
    return max(1, min(_TILES, _SCORES // (len(band) * tile[0] * tile[1]))) if len(band) else 1


def _in_batches(image: Tensor, top: int, lefts: list[int], tile: tuple[int, int], *,
                most: int) -> list[tuple[Tensor, list[int]]]:
    """The tiles of a row, at most so many together, with the columns at which they begin."""
    batches = [lefts[first : first + most] for first in range(0, len(lefts), most)]
    return [(torch.stack([image[:, top : top + tile[0], left : left + tile[1]] for left in columns]), columns)
            for columns in batches]


def _total_weights(begins: list[int], tile: int, length: int) -> Tensor:
    """float [length]: the sum of the weights of all tiles of an axis at each of its pixels."""
    total = torch.zeros(length)
    for first in begins:
        total[first : first + tile] += tile_weights(tile)
    return total


class _Rows:
    """The class of each pixel of the file, filled from the top as lines of scores come."""

    def __init__(self, lines: tuple[int, int], size: tuple[int, int]):
        """`lines`: (height, width) of the scores; `size` that of the file."""
        self.classes = torch.zeros(size, dtype=torch.uint8)
        # Where the file's rows and columns lie among the lines of scores, in lines from the middle of the first.
        self.positions, self.columns = (
            ((torch.arange(length, dtype=torch.float64) + 0.5) * edge / length - 0.5).clamp(0, edge - 1)
            for length, edge in zip(size, lines, strict=True))
        self.height, self.first, self.done = lines[0], 0, 0
        self.exact = lines == size    # nothing lies between two lines
        self.held = torch.zeros(0)    # float [classes, k, width]: lines from `first` on that are still needed

    def add(self, lines: Tensor) -> None:
        self.held = torch.cat((self.held, lines), 1) if self.held.numel() else lines
        known = self.first + self.held.shape[1]
        low = self.positions.floor().clamp(max=max(0, self.height - 2))
        ready = len(self.positions) if known >= self.height else int((low + 1 < known).sum())
        step = max(1, _AT_ONCE // (len(self.held) * len(self.columns)))
        for some_rows in torch.arange(self.done, ready).split(step):
            rows = self.positions[some_rows] - self.first
            scores = self.held[:, rows.long()] if self.exact else between(between(self.held, rows, 1), self.columns, 2)
            self.classes[some_rows] = scores.argmax(0).to(torch.uint8)
        self.done = ready
        if ready < len(self.positions):
            spare = int(low[ready]) - self.first
            self.held, self.first = self.held[:, spare:].clone(), self.first + spare    # frees the memory of the others


def _boxes(answer_tiles: AnswerTiles, image: Tensor, tile: tuple[int, int], *, within: tuple[int, int],
           size: tuple[int, int], overlap: float) -> Boxes:
    """The objects of all tiles in the file's pixels, the highest score first.

    Of an object in two tiles the box with the higher score stays. A box that a tile cuts off is left out where another
    tile shows the whole object.
    """
    tops, lefts = starts(image.shape[1], tile[0]), starts(image.shape[2], tile[1])
    found, cut = [], []
    for top in tops:
        for tiles, columns in _in_batches(image, top, lefts, tile, most=_TILES):
            boxes_of_tiles = answer_tiles(tiles)
            assert isinstance(boxes_of_tiles, Boxes) and boxes_of_tiles.image is not None
            for number, left in enumerate(columns):
                boxes = boxes_of_tiles[number]
                inner = torch.tensor([left > 0, top > 0, left + tile[1] < image.shape[2],
                                      top + tile[0] < image.shape[1]])
                edges = torch.tensor([0.0, 0.0, tile[1], tile[0]])
                cut.append((((boxes.corners - edges).abs() < _CUT) & inner).any(1))
                corners = boxes.corners + torch.tensor([left, top, left, top])
                found.append(Boxes(corners, boxes.classes, boxes.scores))
    every = Boxes.stack(found)
    assert every.scores is not None
    kept = ~_partial(every, torch.cat(cut))
    best = batched_nms(every.corners[kept], every.scores[kept], every.classes[kept], overlap)
    rows = kept.nonzero()[:, 0][best]
    scale = torch.tensor([size[1] / within[1], size[0] / within[0]]).repeat(2)
    limit = torch.tensor([size[1], size[0]]).repeat(2)
    corners = (every.corners[rows] * scale).clamp(min=0).minimum(limit)
    inside = area(corners) > 0    # what lies in the padding beside a small picture is no object
    return Boxes(corners[inside], every.classes[rows][inside], every.scores[rows][inside])


def _partial(boxes: Boxes, cut: Tensor) -> Tensor:
    """bool [n]: which of the boxes that a tile cuts lie in a larger box of their class."""
    rows = cut.nonzero()[:, 0]
    corners = boxes.corners[rows]
    fraction = shared_area(corners[:, None], boxes.corners[None]) / area(corners)[:, None].clamp(min=1e-7)
    larger = area(boxes.corners)[None] > area(corners)[:, None]
    partial = torch.zeros(len(cut), dtype=torch.bool)
    partial[rows] = ((fraction > _INSIDE) & larger &
                     (boxes.classes[rows][:, None] == boxes.classes[None])).any(1)
    return partial
