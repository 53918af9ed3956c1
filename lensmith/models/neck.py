"""What stands between any backbone and a detection head: maps at strides 8, 16 and 32, and a light neck over them."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.models.initialise import initialise

FINEST, COARSEST = 8, 32    # strides between which objects are looked for
_FURTHER = 128              # channels of the levels that a backbone lacks


class Convolution(nn.Sequential):
    """A convolution that keeps the extent, or halves it with stride 2, with batch norm and SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1):
        super().__init__(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs),
                         nn.SiLU(inplace=True))
        initialise(self, "silu")


class Levels(nn.Module):
    """A backbone's maps from stride 8 to 32, of each stride the last; `channels` and `strides` are theirs.

    Where its coarsest is finer than 32, further levels are made by strided convolutions; where its finest is coarser
    than 8, there are fewer levels.
    """

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...]):
        super().__init__()
        last_map = {stride: number for number, stride in enumerate(strides)}
        within = sorted(stride for stride in last_map if FINEST <= stride <= COARSEST)
        begin = within or [max((stride for stride in last_map if stride < FINEST), default=min(last_map))]
        self.taken = tuple(last_map[stride] for stride in begin)
        self.further = nn.ModuleList()
        self.kept = [channels[number] for number in self.taken] if within or begin[0] > COARSEST else []
        reached = list(begin) if self.kept else []
        inputs, stride = channels[self.taken[-1]], begin[-1]
        while stride < COARSEST:
            outputs, stride = min(2 * inputs, _FURTHER), 2 * stride
            self.further.append(Convolution(inputs, outputs, 3, stride=2))
            if stride >= FINEST:
                self.kept.append(outputs)
                reached.append(stride)
            inputs = outputs
        self.channels, self.strides = tuple(self.kept), tuple(reached)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:    # -> one map a stride, finest first
        levels = [maps[number] for number in self.taken]
        for further in self.further:
            levels.append(further(levels[-1]))
        return levels[len(levels) - len(self.strides):]


class PyramidNeck(nn.Module):
    """Levels of a backbone -> as many maps of `width` channels that know of each other: from coarse to fine, then back
    (Liu et al. 2018, "Path aggregation network"), with sums where that paper and YOLO join."""

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...], *, width: int, depth: int):
        """`depth` is the number of 3x3 convolutions wherever two maps have been added."""
        super().__init__()
        self.levels = Levels(channels, strides)
        self.strides, self.channels = self.levels.strides, (width,) * len(self.levels.strides)
        steps = len(self.strides) - 1
        self.lateral = nn.ModuleList(Convolution(inputs, width, 1) for inputs in self.levels.channels)
        self.down = nn.ModuleList(_block(width, depth) for _ in range(steps))
        self.halve = nn.ModuleList(Convolution(width, width, 3, stride=2) for _ in range(steps))
        self.up = nn.ModuleList(_block(width, depth) for _ in range(steps))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:    # -> [batch, width, height, width] each, finest first
        levels = [lateral(level) for lateral, level in zip(self.lateral, self.levels(maps), strict=True)]
        for number, block in zip(reversed(range(len(levels) - 1)), self.down, strict=True):
            levels[number] = block(levels[number] + resized_like(levels[number + 1], levels[number]))
        for number, (halve, block) in enumerate(zip(self.halve, self.up, strict=True), start=1):
            levels[number] = block(levels[number] + resized_like(halve(levels[number - 1]), levels[number]))
        return levels


def _block(width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(Convolution(width, width, 3) for _ in range(depth)))


def resized_like(level: Tensor, like: Tensor) -> Tensor:
    """A map at the extent of another: twice the cells, or one less where a layer without padding left out an
    odd one."""
    return level if level.shape[2:] == like.shape[2:] else F.interpolate(level, like.shape[2:], mode="nearest")


def padded(pictures: Tensor, size: Sequence[int]) -> Tensor:
    """Standardised pictures padded with zeros to `size` (height, width) on the right and below, so that no pixel
    moves."""
    below, right = (edge - present for edge, present in zip(size, pictures.shape[2:], strict=True))
    return F.pad(pictures, (0, right, 0, below)) if below or right else pictures
