"""The layers of Darknet that PyTorch does not have as they are: its activations, pools, sums and reorders."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-6    # of batch norm, inside the root, as OpenCV has it


class Pointwise(nn.Module):
    """An activation that is a function of each value."""

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
    """Of three straight lines, an approximation of the logistic function."""
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
    """Darknet's max pool: `padding` pixels in all, its smaller half in front, that never are the largest."""

    def __init__(self, size: int, stride: tuple[int, int], padding: int):
        super().__init__()
        front = padding // 2
        self.sides = (front, padding - front, front, padding - front)
        self.pool = nn.MaxPool2d(size, stride)

    def forward(self, maps: Tensor) -> Tensor:
        return self.pool(F.pad(maps, self.sides, value=float("-inf")))


def max_pool(size: int, stride: tuple[int, int], padding: int) -> nn.Module:
    """PyTorch's own pool where its padding can say the same, else `MaxPool`."""
    if padding % 2 == 0 and padding <= size:
        return nn.MaxPool2d(size, stride, padding // 2)
    if (size, stride, padding) == (2, (2, 2), 1):    # the pixel behind an odd edge: a window that is cut there
        return nn.MaxPool2d(2, 2, ceil_mode=True)
    return MaxPool(size, stride, padding)


class AveragePool(nn.Module):
    """`local_avgpool`: the mean of what each window has of the picture; padded as `MaxPool` is."""

    def __init__(self, size: int, stride: tuple[int, int], padding: int):
        super().__init__()
        front = padding // 2
        self.size, self.stride = size, stride
        self.sides = (front, padding - front, front, padding - front)

    def forward(self, maps: Tensor) -> Tensor:
        ones = torch.ones_like(maps[:1, :1])
        sums, counts = (F.avg_pool2d(F.pad(one, self.sides), self.size, self.stride) for one in (maps, ones))
        return sums / counts


class GlobalMean(nn.Module):
    """`avgpool`: the mean of each channel. -> [batch, channels, 1, 1]"""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3), keepdim=True)


class Route(nn.Module):
    """The maps of other layers, joined by channels; of several `groups` of each only the one of number `group`."""

    def __init__(self, groups: int, group: int):
        super().__init__()
        self.groups, self.group = groups, group

    def forward(self, *maps: Tensor) -> Tensor:
        if self.groups > 1:
            maps = tuple(one.chunk(self.groups, 1)[self.group] for one in maps)
        return maps[0] if len(maps) == 1 else torch.cat(maps, 1)


class Shortcut(nn.Module):
    """The sum of maps, of the first one's shape, then an activation.

    Of a map with other channels the first ones are added, of a larger one every `step`-th pixel, and a smaller one
    goes to every `step`-th pixel of the sum, as in Darknet's first form.
    """

    def __init__(self, activation: nn.Module):
        super().__init__()
        self.activation = activation

    def forward(self, maps: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            maps = maps + (other if other.shape == maps.shape else _fitted(other, maps))
        return self.activation(maps)


def _fitted(other: Tensor, maps: Tensor) -> Tensor:
    """`other` brought to the shape of `maps`, with zeros where it has nothing."""
    height, width = maps.shape[2:]
    take = max(1, other.shape[3] // width)
    put = max(1, width // other.shape[3])
    part = other[:, :maps.shape[1], ::take, ::take][:, :, :height, :width]
    if put > 1:
        spread = part.new_zeros(*part.shape[:2], part.shape[2] * put, part.shape[3] * put)
        spread[:, :, ::put, ::put] = part
        part = spread[:, :, :height, :width]
    return F.pad(part, (0, width - part.shape[3], 0, height - part.shape[2], 0, maps.shape[1] - part.shape[1]))


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

    With `mixed`, as YOLOv2's passthrough layer has it, the memory is first read as [channels / stride^2, height *
    stride, width * stride]; weights that were trained with that order need it. Its `reverse` is then the clean one,
    from channels to squares.
    """

    def __init__(self, stride: int, *, mixed: bool, reverse: bool = False):
        super().__init__()
        self.stride, self.mixed, self.reverse = stride, mixed, reverse

    def forward(self, maps: Tensor) -> Tensor:
        batch, channels, height, width = maps.shape
        s = self.stride
        if self.reverse:    # channel k of the input is square position k // rest of channel k % rest
            rest = channels // s**2
            squares = maps.view(batch, s, s, rest, height, width).permute(0, 3, 4, 1, 5, 2)
            return squares.reshape(batch, rest, height * s, width * s)
        seen = maps.reshape(batch, channels // s**2, height * s, width * s) if self.mixed else maps
        _, rows, high, wide = seen.shape
        squares = seen.reshape(batch, rows, high // s, s, wide // s, s).permute(0, 3, 5, 1, 2, 4)
        return squares.reshape(batch, channels * s**2, height // s, width // s)


class Crop(nn.Module):
    """The middle of the picture; unless `plain`, its values brought from 0..1 to -1..1."""

    def __init__(self, height: int, width: int, *, plain: bool):
        super().__init__()
        self.height, self.width, self.plain = height, width, plain

    def forward(self, pictures: Tensor) -> Tensor:
        top, left = (pictures.shape[2] - self.height) // 2, (pictures.shape[3] - self.width) // 2
        middle = pictures[:, :, top:top + self.height, left:left + self.width]
        return middle if self.plain else middle * 2 - 1


class Connected(nn.Module):
    """All values of the maps, then a dense layer, batch norm where the cfg says so, and an activation."""

    def __init__(self, inputs: int, outputs: int, activation: nn.Module, *, normalize: bool):
        super().__init__()
        self.dense = nn.Linear(inputs, outputs, bias=not normalize)
        self.norm = nn.BatchNorm1d(outputs, eps=EPSILON) if normalize else None
        self.activation = activation

    def forward(self, maps: Tensor) -> Tensor:    # -> [batch, outputs, 1, 1]
        values = self.dense(maps.flatten(1))
        values = values if self.norm is None else self.norm(values)
        return self.activation(values)[:, :, None, None]
