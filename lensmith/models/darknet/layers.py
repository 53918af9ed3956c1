"""The layers of Darknet that PyTorch does not have as they are: its activations, pools, sums and reorders."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-6    # of batch norm, added to the variance under the root, as OpenCV does


class Pointwise(nn.Module):
    """An activation that PyTorch does not have: a function of each value."""

    def __init__(self, name: str, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.name, self.function = name, function

    def forward(self, values: Tensor) -> Tensor:
        return self.function(values)

    def extra_repr(self) -> str:
        return self.name


def loggy(x: Tensor) -> Tensor:
    return 2 * torch.sigmoid(x) - 1


def ramp(x: Tensor) -> Tensor:
    return F.relu(x) + 0.1 * x


def plse(x: Tensor) -> Tensor:
    """The logistic function approximated by three straight lines."""
    return torch.where(x < -4, 0.01 * (x + 4), torch.where(x > 4, 0.01 * (x - 4) + 1, 0.125 * x + 0.5))


def stair(x: Tensor) -> Tensor:
    """Flat from an even number to the next odd one, rising by one from there to the next even one."""
    floor = x.floor()
    return (x / 2).floor() + torch.where(floor % 2 == 0, torch.zeros_like(x), x - floor)


def lhtan(x: Tensor) -> Tensor:
    return torch.where(x < 0, 0.001 * x, torch.where(x > 1, 0.001 * (x - 1) + 1, x))


def hard_mish(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, torch.where(x > -2, x * x / 2 + x, torch.zeros_like(x)))


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "logistic": nn.Sigmoid,
    "loggy": lambda: Pointwise("loggy", loggy),
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": lambda: nn.GELU(approximate="tanh"),
    "relie": lambda: nn.LeakyReLU(0.01),
    "ramp": lambda: Pointwise("ramp", ramp),
    "leaky": lambda: nn.LeakyReLU(0.1),
    "revleaky": lambda: nn.LeakyReLU(0.1),    # differs from leaky in its backward pass alone
    "tanh": nn.Tanh,
    "plse": lambda: Pointwise("plse", plse),
    "stair": lambda: Pointwise("stair", stair),
    "hardtan": nn.Hardtanh,
    "lhtan": lambda: Pointwise("lhtan", lhtan),
    "swish": nn.SiLU,
    "mish": nn.Mish,
    "hard_mish": lambda: Pointwise("hard_mish", hard_mish),
}


class MaxPool(nn.Module):
    """Darknet's max pool: `padding` pixels of minus infinity in all, the smaller half of them above and on the left."""

    def __init__(self, size: int, stride: tuple[int, int], padding: int):
        super().__init__()
        before = padding // 2
        self.sides = (before, padding - before, before, padding - before)
        self.pool = nn.MaxPool2d(size, stride)

    def forward(self, maps: Tensor) -> Tensor:
        return self.pool(F.pad(maps, self.sides, value=float("-inf")))


def max_pool(size: int, stride: tuple[int, int], padding: int) -> nn.Module:
    """PyTorch's own pool where that pads in the same way, else `MaxPool`."""
    if padding % 2 == 0 and padding <= size:
        return nn.MaxPool2d(size, stride, padding // 2)
    if (size, stride, padding) == (2, (2, 2), 1):    # one pixel behind an odd edge: the same as a window cut off there
        return nn.MaxPool2d(2, 2, ceil_mode=True)
    return MaxPool(size, stride, padding)


class AveragePool(nn.Module):
    """`local_avgpool`: the mean of the pixels in each window, without the padding, which lies as that of `MaxPool`."""

    def __init__(self, size: int, stride: tuple[int, int], padding: int):
        super().__init__()
        before = padding // 2
        self.size, self.stride = size, stride
        self.sides = (before, padding - before, before, padding - before)

    def forward(self, maps: Tensor) -> Tensor:
        ones = torch.ones_like(maps[:1, :1])
        means, inside = (F.avg_pool2d(F.pad(values, self.sides), self.size, self.stride) for values in (maps, ones))
        return means / inside


class GlobalMean(nn.Module):
    """`avgpool`: the mean of each channel. -> [batch, channels, 1, 1]"""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3), keepdim=True)


class Route(nn.Module):
    """The maps of other layers, joined by channels; of each map only its group number `group` of `groups`."""

    def __init__(self, groups: int, group: int):
        super().__init__()
        self.groups, self.group = groups, group

    def forward(self, *maps: Tensor) -> Tensor:
        if self.groups > 1:
            maps = tuple(whole.chunk(self.groups, 1)[self.group] for whole in maps)
        return maps[0] if len(maps) == 1 else torch.cat(maps, 1)


class Shortcut(nn.Module):
    """The sum of maps, of the first one's shape, then an activation.

    As in Darknet's first form, maps of other shapes are added in part: of a map with more channels the first ones, of
    one that is k times as large every k-th pixel, and one that is k times as small to every k-th pixel of the sum.
    """

    def __init__(self, activation: nn.Module):
        super().__init__()
        self.activation = activation

    def forward(self, maps: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            maps = maps + (other if other.shape == maps.shape else _brought_to(maps, other))
        return self.activation(maps)


def _brought_to(maps: Tensor, other: Tensor) -> Tensor:
    """`other` in the shape of `maps`, with zeros where it has nothing."""
    channels, height, width = maps.shape[1:]
    step = max(1, other.shape[3] // width)      # of the pixels that are taken
    spacing = max(1, width // other.shape[3])   # of the pixels that are filled
    taken = other[:, :channels, ::step, ::step][:, :, :height, :width]
    if spacing > 1:
        spread = taken.new_zeros(*taken.shape[:2], taken.shape[2] * spacing, taken.shape[3] * spacing)
        spread[:, :, ::spacing, ::spacing] = taken
        taken = spread[:, :, :height, :width]
    return F.pad(taken, (0, width - taken.shape[3], 0, height - taken.shape[2], 0, channels - taken.shape[1]))


class Multiply(nn.Module):
    """`sam` and `scale_channels`: the product of two maps, the smaller one spread, then an activation."""

    def __init__(self, activation: nn.Module):
        super().__init__()
        self.activation = activation

    def forward(self, maps: Tensor, other: Tensor) -> Tensor:
        return self.activation(maps * other)


class Upsample(nn.Module):
    """Each pixel `stride` by `stride` times, its values multiplied by `scale`."""

    def __init__(self, stride: int, scale: float):
        super().__init__()
        self.stride, self.scale = stride, scale

    def forward(self, maps: Tensor) -> Tensor:
        larger = F.interpolate(maps, scale_factor=float(self.stride), mode="nearest")
        return larger if self.scale == 1 else larger * self.scale


class Reorg(nn.Module):
    """Squares of `stride` by `stride` pixels to channels.

    With `mixed`, as in YOLOv2's passthrough layer, the memory is first read as [channels / stride^2, height * stride,
    width * stride]. Weights that were trained with that order need it. `reverse` goes from channels to squares, never
    mixed.
    """

    def __init__(self, stride: int, *, mixed: bool, reverse: bool = False):
        super().__init__()
        self.stride, self.mixed, self.reverse = stride, mixed, reverse

    def forward(self, maps: Tensor) -> Tensor:
        batch, channels, height, width = maps.shape
        s = self.stride
        if self.reverse:    # with c channels in the output, channel k of the input is square position k // c of k % c
            fewer = channels // s**2
            squares = maps.view(batch, s, s, fewer, height, width).permute(0, 3, 4, 1, 5, 2)
            return squares.reshape(batch, fewer, height * s, width * s)
        source = maps.reshape(batch, channels // s**2, height * s, width * s) if self.mixed else maps
        _, planes, rows, columns = source.shape
        squares = source.reshape(batch, planes, rows // s, s, columns // s, s).permute(0, 3, 5, 1, 2, 4)
        return squares.reshape(batch, channels * s**2, height // s, width // s)


class Crop(nn.Module):
    """The middle of the picture. Unless `plain`, its values are brought from 0..1 to -1..1."""

    def __init__(self, height: int, width: int, *, plain: bool):
        super().__init__()
        self.height, self.width, self.plain = height, width, plain

    def forward(self, pictures: Tensor) -> Tensor:
        top, left = (pictures.shape[2] - self.height) // 2, (pictures.shape[3] - self.width) // 2
        middle = pictures[:, :, top:top + self.height, left:left + self.width]
        return middle if self.plain else middle * 2 - 1


class Connected(nn.Module):
    """A dense layer on all values of the maps, batch norm where the cfg asks for it, and an activation."""

    def __init__(self, inputs: int, outputs: int, activation: nn.Module, *, normalize: bool):
        super().__init__()
        self.dense = nn.Linear(inputs, outputs, bias=not normalize)
        self.norm = nn.BatchNorm1d(outputs, eps=EPSILON) if normalize else None
        self.activation = activation

    def forward(self, maps: Tensor) -> Tensor:    # -> [batch, outputs, 1, 1]
        values = self.dense(maps.flatten(1))
        values = values if self.norm is None else self.norm(values)
        return self.activation(values)[:, :, None, None]
