"""The decoder of U-Net on any backbone, from its coarsest map over every finer one to the pixels of the picture."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.models.heads.map_sizes import brought_to
from lensmith.models.initialise import initialise

_WIDEST = 16    # no step has more than this many times the channels of the last


class UNetHead(nn.Module):
    """The decoder of Ronneberger et al. 2015, "U-Net", with batch norm, and padding where that paper crops.

    Each step upsamples the map to the size of the next finer one of the backbone, concatenates the two and applies two
    3x3 convolutions. Below the backbone's finest stride it upsamples by two until every pixel has a cell. Of several
    maps of one stride the last is taken.

    Where the coarsest map has more channels than the first step gives, a 1x1 convolution comes before. With the 1280
    channels that networks for phones end with, a third of the decoder's work would be in its first layer otherwise.
    """

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...], classes: int, *, width: int,
                 kernel: int = 3):
        """
        channels, strides: of the backbone's maps, finest first.
        classes: the number of classes.
        width: channels of the last step; each step before it has twice as many, up to 16 times as many.
        kernel: of the convolution that scores the classes. On so few channels 1x1 cannot let its scores grow within the
            few hundred steps of a small set, and thin and rare classes stay unfound.
        """
        super().__init__()
        last_of_stride = {stride: number for number, stride in enumerate(strides)}
        order = sorted(last_of_stride, reverse=True)
        self.taken = tuple(last_of_stride[stride] for stride in order)    # numbers of the maps, coarsest first
        # (upsampling factor, channels of the backbone's map that is concatenated) of each step
        steps = [(round(coarse / fine), channels[last_of_stride[fine]]) for coarse, fine in pairwise(order)]
        self.finest = stride = order[-1]
        while stride > 1:
            factor = 2 if stride % 2 == 0 else stride
            steps.append((factor, 0))
            stride //= factor
        self.factors = tuple(factor for factor, _ in steps)
        self.blocks = nn.ModuleList()
        widths = [width * min(_WIDEST, 2 ** number) for number in reversed(range(len(steps)))]
        inputs = channels[self.taken[0]]
        self.narrow: nn.Module = nn.Identity()
        if widths and inputs > widths[0]:
            self.narrow, inputs = _block(inputs, widths[0], kernels=(1,)), widths[0]
        for (_, skipped), outputs in zip(steps, widths, strict=True):
            self.blocks.append(_block(inputs + skipped, outputs, kernels=(3, 3)))
            inputs = outputs
        self.classify = nn.Conv2d(inputs, classes, kernel, padding=kernel // 2)
        initialise(self.classify, None)

    def forward(self, maps: list[Tensor], size: tuple[int, int]) -> Tensor:    # -> [batch, classes, *size]
        level = self.narrow(maps[self.taken[0]])
        for number, (factor, block) in enumerate(zip(self.factors, self.blocks, strict=True), start=1):
            level = F.interpolate(level, scale_factor=float(factor), mode="nearest")
            if number < len(self.taken):
                finer = maps[self.taken[number]]
                level = torch.cat((brought_to(level, finer.shape[2:], within=factor), finer), 1)
            level = block(level)
        return brought_to(self.classify(level), size, within=self.finest)


def _block(inputs: int, outputs: int, *, kernels: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for kernel in kernels:
        layers += [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs),
                   nn.ReLU(inplace=True)]
        inputs = outputs
    block = nn.Sequential(*layers)
    initialise(block, "relu")
    return block
