"""The heads with anchors: YOLOv3's three scales behind any backbone, and the maps of Darknet networks."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lensmith.models.backbone import Size
from lensmith.models.darknet.decode import RegionLayer, YoloLayer, without_uncertainty
from lensmith.models.initialise import initialise
from lensmith.models.neck import Levels, resized_like

# How an anchor's numbers are read: as in YOLOv3, in v4 with new_coords, and in YOLOv2, whose classes exclude others;
# the last two as in YOLOv3, for a corner of the box in the place of its centre, as gaussian_yolo layers may have it.
EXPONENTIAL, SQUARED, EXCLUSIVE, LEFT_TOP, RIGHT_BOTTOM = 0, 1, 2, 3, 4
_POINTS = {"center": EXPONENTIAL, "left_top": LEFT_TOP, "right_bottom": RIGHT_BOTTOM}
_MOST_STRETCH = 20.0    # limit of the logarithm of width / anchor: real ones stay below 5, (e^20)^2 is still a float32
_PRIOR = 0.01           # objectness of an anchor before anything is learned (Lin et al. 2017, "Focal loss")


class Anchored(NamedTuple):
    """The output of a head with anchors: all that a loss or a decision needs.

    With the raw numbers t, the cell's corner c and stride s, the anchor's extent a and the spread p, a box has

        centre = c + s * (p * sigmoid(t_xy) - (p - 1) / 2),  or the corner that the form names
        size   = a * exp(t_wh),  or  a * (2 * sigmoid(t_wh))^2  where the form is SQUARED
        score  = sigmoid(t_object) * sigmoid(t_class),  with the softmax over classes where the form is EXCLUSIVE
    """

    raw: Tensor        # float [batch, anchors, 5 + classes]: x y width height, objectness, classes, before any sigmoid
    cells: Tensor      # float32 [anchors, 2]: x y of the upper left corner of the anchor's cell, pixels
    strides: Tensor    # float32 [anchors, 2]: width and height of that cell, pixels
    extents: Tensor    # float32 [anchors, 2]: width and height of the anchor, pixels
    spread: Tensor     # float32 [anchors]: how far a centre may leave its cell: 1 not at all
    forms: Tensor      # int64 [anchors]: EXPONENTIAL, SQUARED, EXCLUSIVE, LEFT_TOP or RIGHT_BOTTOM

    def above(self, threshold: float) -> "Anchored":
        """The anchors whose objectness reaches the threshold in any picture: no class of the others can score it."""
        chosen = (_wide(self.raw[..., 4]).sigmoid() >= threshold).any(0).nonzero()[:, 0]
        return Anchored(self.raw[:, chosen], *(column[chosen] for column in self[1:]))

    def corners(self) -> Tensor:
        """float [..., anchors, 4]: the boxes in pixels, not clipped to the picture."""
        centre, extent = self.centres(), self.sizes()
        # Added for all anchors: to look whether there are corners would wait for the device.
        side = (self.forms == LEFT_TOP).to(extent.dtype) - (self.forms == RIGHT_BOTTOM).to(extent.dtype)
        centre = centre + side[:, None] * extent / 2
        return torch.cat((centre - extent / 2, centre + extent / 2), -1)

    def centres(self) -> Tensor:
        """float [..., anchors, 2], pixels."""
        spread = self.spread[:, None]
        inside = _wide(self.raw[..., :2]).sigmoid() * spread - (spread - 1) / 2
        return inside * self.strides + self.cells

    def sizes(self) -> Tensor:
        """float [..., anchors, 2]: widths and heights in pixels."""
        stretch = _wide(self.raw[..., 2:4])
        grown = torch.where(self.forms[:, None] == SQUARED, 4 * stretch.sigmoid().square(),
                            stretch.clamp(max=_MOST_STRETCH).exp())
        return grown * self.extents

    def scores(self) -> Tensor:
        """float [..., anchors, classes]: the objectness times the probability of each class."""
        logits = _wide(self.raw[..., 5:])
        of_class = torch.where(self.forms[:, None] == EXCLUSIVE, logits.softmax(-1), logits.sigmoid())
        return _wide(self.raw[..., 4:5]).sigmoid() * of_class


def _wide(numbers: Tensor) -> Tensor:
    """In float32 at least: exp and sigmoid lose too much in the half precisions."""
    return numbers if numbers.dtype == torch.float64 else numbers.float()


def read_map(raw: Tensor, extents: Tensor, cell: tuple[float, float], *, spread: float = 1.0,
             form: int = EXPONENTIAL) -> Anchored:
    """The numbers in a map [batch, anchors x (5 + classes), rows, columns], in the order anchors, rows, columns.

    `extents` [anchors, 2] are the anchors' widths and heights, `cell` the (width, height) of a cell, in pixels.
    """
    batch, _, rows, columns = raw.shape
    anchors = len(extents)
    flat = raw.view(batch, anchors, -1, rows, columns).permute(0, 1, 3, 4, 2).flatten(1, 3)
    stride = torch.tensor(cell, dtype=torch.float32, device=raw.device)
    x, y = (torch.arange(edge, dtype=torch.float32, device=raw.device) for edge in (columns, rows))
    cells = torch.stack(torch.meshgrid(x, y, indexing="xy"), 2).flatten(0, 1) * stride
    count = anchors * rows * columns
    return Anchored(flat, cells.repeat(anchors, 1), stride.expand(count, 2),
                    # Each as often as there are cells. ONNX has no repeat_interleave of a number that it learns late.
                    extents.to(torch.float32)[:, None].expand(-1, rows * columns, -1).flatten(0, 1),
                    torch.full((count,), spread, device=raw.device), torch.full((count,), form, device=raw.device))


def concatenate(levels: Sequence[Anchored]) -> Anchored:
    """The anchors of several maps as one."""
    return Anchored(torch.cat([level.raw for level in levels], 1), *(
        torch.cat([level[field] for level in levels]) for field in range(1, len(Anchored._fields))))


class YoloHead(nn.Module):
    """YOLOv3's three scales (Redmon and Farhadi 2018, section 2.3), from coarse to fine. Each scale appends the
    upsampled features of the coarser one to its map and applies five convolutions, then two more for its anchors."""

    extents: Tensor    # float32 [levels, anchors, 2]: width and height in pixels, the finest level first

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...], classes: int, extents: Tensor):
        """
        channels, strides: of the backbone's maps, finest first.
        classes: the number of classes.
        extents: float [n, 2], widths and heights of the anchors in pixels, the smallest first; each level gets as many.

        The width of a set is half the channels of its map, as behind Darknet-53, within 32 to 512, and at most that of
        the coarser set.
        """
        super().__init__()
        self.levels = Levels(channels, strides)
        self.strides = self.levels.strides
        count = len(self.strides)
        used = extents[len(extents) % count:].float()    # of nine anchors and two levels the smallest is left out
        self.register_buffer("extents", used.view(count, -1, 2))
        widths = [max(32, min(512, inputs // 2)) for inputs in self.levels.channels]
        for at in reversed(range(count - 1)):
            widths[at] = min(widths[at], widths[at + 1])
        self.sets, self.outputs, self.routes = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for at, (inputs, width) in enumerate(zip(self.levels.channels, widths, strict=True)):
            if at < count - 1:
                inputs += width
                self.routes.append(_convolution(widths[at + 1], width, 1))
            self.sets.append(nn.Sequential(
                _convolution(inputs, width, 1), _convolution(width, 2 * width, 3), _convolution(2 * width, width, 1),
                _convolution(width, 2 * width, 3), _convolution(2 * width, width, 1)))
            last = nn.Conv2d(2 * width, self.extents.shape[1] * (5 + classes), 1)
            nn.init.normal_(last.weight, std=0.01)
            with torch.no_grad():
                assert last.bias is not None
                last.bias.zero_().view(-1, 5 + classes)[:, 4] = -math.log((1 - _PRIOR) / _PRIOR)
            self.outputs.append(nn.Sequential(_convolution(width, 2 * width, 3), last))

    def forward(self, maps: list[Tensor], size: Size | None = None) -> Anchored:
        levels = self.levels(maps)
        outputs: list[Anchored] = []
        coarser: Tensor | None = None
        for at in reversed(range(len(levels))):
            level, stride = levels[at], float(self.strides[at])
            if coarser is not None:
                route = resized_like(self.routes[at](coarser), level)
                level = torch.cat((route, level), 1)
            coarser = self.sets[at](level)
            outputs.append(read_map(self.outputs[at](coarser), self.extents[at], (stride, stride)))
        return concatenate(outputs[::-1])


class DarknetHead(nn.Module):
    """Reads the maps of a Darknet network that comes whole, each as its yolo, gaussian_yolo or region layer
    prescribes."""

    def __init__(self, layers: Sequence[YoloLayer | RegionLayer]):
        super().__init__()
        self.layers = tuple(layers)
        for number, layer in enumerate(self.layers):
            self.register_buffer(f"extents{number}", torch.tensor(layer.anchors, dtype=torch.float32))

    def forward(self, maps: list[Tensor], size: Size | None = None) -> Anchored:
        return concatenate([self._read(number, layer, raw, size)
                       for number, (layer, raw) in enumerate(zip(self.layers, maps, strict=True))])

    def _read(self, number: int, layer: YoloLayer | RegionLayer, raw: Tensor, size: Size | None) -> Anchored:
        extents, cell = self.get_buffer(f"extents{number}"), (float(layer.stride), float(layer.stride))
        if size is not None:    # the cells divide the whole picture
            cell = float(size[1]) / raw.shape[3], float(size[0]) / raw.shape[2]
        if isinstance(layer, RegionLayer):
            return read_map(raw, extents, cell, form=EXCLUSIVE if layer.softmax else EXPONENTIAL)
        if layer.uncertain:
            return read_map(without_uncertainty(raw, layer), extents, cell, spread=layer.scale_x_y,
                            form=_POINTS[layer.point])
        if not layer.new_coords:
            return read_map(raw, extents, cell, spread=layer.scale_x_y)
        # The convolution before is logistic already, and the loss wants what goes into the sigmoid.
        return read_map(_wide(raw).logit(1e-6), extents, cell, spread=layer.scale_x_y, form=SQUARED)


def _convolution(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    layers = nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs),
                           nn.LeakyReLU(0.1, inplace=True))
    initialise(layers, "leaky_relu")
    return layers
