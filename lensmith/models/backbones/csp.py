"""A small backbone for detectors trained from scratch: plain 3x3 convolutions that half of the channels bypass."""

import torch
from torch import Tensor, nn

from lensmith.base.errors import UserError
from lensmith.models.backbone import Backbone
from lensmith.models.neck import Convolution

_BLOCKS = (1, 2, 2, 1)    # residual blocks at strides 4, 8, 16 and 32


class Csp(Backbone):
    """Cross-stage partial stages (Wang et al. 2020, "CSPNet"), each joining the outputs of all its blocks, and pools of
    three extents at the end (He et al. 2014, "Spatial pyramid pooling"). Maps at strides 2, 4, 8, 16 and 32."""

    def __init__(self, *, width: int, inputs: int):
        super().__init__()
        self.channels, self.strides = tuple(width * factor for factor in (1, 2, 4, 8, 16)), (2, 4, 8, 16, 32)
        self.stem = Convolution(inputs, width, 3, stride=2)
        self.stages = nn.ModuleList(Stage(width << level, width << (level + 1), blocks)
                                    for level, blocks in enumerate(_BLOCKS))
        self.pool = PyramidPool(self.channels[-1])

    def forward(self, pictures: Tensor) -> list[Tensor]:
        maps = [self.stem(pictures)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        maps[-1] = self.pool(maps[-1])
        return maps


class Stage(nn.Module):
    """Half the extent, then residual blocks on half of the channels; the other half and every block's output are
    joined by a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, blocks: int):
        super().__init__()
        half = outputs // 2
        self.halve = nn.Sequential(Convolution(inputs, outputs, 3, stride=2), Convolution(outputs, outputs, 1))
        self.blocks = nn.ModuleList(nn.Sequential(Convolution(half, half, 3), Convolution(half, half, 3))
                                    for _ in range(blocks))
        self.join = Convolution(half * (2 + blocks), outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        branches = list(self.halve(maps).chunk(2, 1))
        for block in self.blocks:
            branches.append(branches[-1] + block(branches[-1]))
        joined: Tensor = self.join(torch.cat(branches, 1))
        return joined


class PyramidPool(nn.Module):
    """The map beside its maxima over 5, 9 and 13 cells."""

    def __init__(self, channels: int):
        super().__init__()
        self.reduce = Convolution(channels, channels // 2, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.join = Convolution(2 * channels, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        pooled = [self.reduce(maps)]
        for _ in range(3):
            pooled.append(self.pool(pooled[-1]))
        joined: Tensor = self.join(torch.cat(pooled, 1))
        return joined


def csp(*, width: int = 24, inputs: int, size: tuple[int, int]) -> Csp:
    """`width` channels at stride 2, twice as many at each stride after it. Raises UserError for a width that is not
    even and above 0."""
    if width < 2 or width % 2:
        raise UserError(f"backbone.width={width} cannot be: accepted are even numbers from 2 on; usual are 16, 24, 32")
    return Csp(width=width, inputs=inputs)
