"""The layers that a stack is made of: one builder for each kind of entry."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, cast

from pydantic import Field
from torch import Tensor, nn

from lensmith.base.errors import ModelError
from lensmith.models.backbones.typed_kernels import TypedConv2d, TypedKernels, read_kernels
from lensmith.models.backbones.whitening import Whitening
from lensmith.models.initialise import initialise

# The values of a patch that is whitened: its directions are the eigenvectors of a matrix of so many rows and columns.
MOST_VALUES = 1024
# Channels, values or pixels. A larger number is a slip, and PyTorch's own sizes overflow at some point.
MOST = 65_536
# The last argument of each is how an error names the type.
Count = Annotated[int, Field(ge=1, le=MOST), f"int from 1 to {MOST}"]
Extent = Annotated[int, Field(ge=0, le=MOST), f"int from 0 to {MOST}"]
Fraction = Annotated[float, Field(ge=0, lt=1), "float from 0 to less than 1"]
# Of one picture's values: (channels, height, width), or (their number,) behind a flatten.
Shape = tuple[int, ...]
_USUAL = 3               # the edge of a kernel where none is named
UNCHANGED = (1, 1, 0)    # the window of a layer that leaves the extent as it is


@dataclass(frozen=True)
class StackLayer:
    """A layer that has been made, with what it does to the shape of a map."""

    module: nn.Module
    channels: int                               # of its output
    window: tuple[int, int, int] = UNCHANGED    # (kernel, stride, padding) of a convolution or pool


class Residual(nn.Module):
    """Two 3x3 convolutions around which the input is added: the basic block of He et al. 2016, batch norm included."""

    def __init__(self, inputs: int, outputs: int, *, stride: int):
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.activation = nn.ReLU()
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        initialise(self, "relu")

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.activation(self.first_norm(self.first(maps)))
        return cast(Tensor, self.activation(self.second_norm(self.second(inner)) + self.shortcut(maps)))


class Scale(nn.Module):
    """Multiplies by a number that is not learned."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, values: Tensor) -> Tensor:
        return values * self.factor


class GlobalPool(nn.Module):
    """The mean or the largest value of each channel. -> [batch, channels]"""

    def __init__(self, kind: Literal["mean", "max"]):
        super().__init__()
        self.kind = kind

    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3)) if self.kind == "mean" else maps.amax((2, 3))


def conv(shape: Shape, outputs: Count, *, kernel: Count | None = None, stride: Count = 1, padding: Extent = 0,
         dilation: Count = 1, groups: Count = 1, bias: bool = True, identity: bool = False,
         weights: TypedKernels | None = None) -> StackLayer:
    """A convolution to `outputs` channels, 3x3 by itself; with `identity` its first filters begin as copies of its
    input channels. `weights` are kernels that stay as they are typed: they say the size, and only the bias learns."""
    for channels, name in ((shape[0], "incoming"), (outputs, "outgoing")):
        if channels % groups:
            raise ModelError(f"groups = {groups} must divide the {channels} {name} channels")
    if identity and groups > 1:
        raise ModelError(f"identity = true goes with groups = 1, not with groups = {groups}")
    if identity and weights is not None:
        raise ModelError("identity = true says how the kernels begin, and weights which they are: leave one of them "
                         "out")
    layer: nn.Conv2d
    if weights is None:
        layer = nn.Conv2d(shape[0], outputs, kernel or _USUAL, stride, padding, dilation, groups, bias)
    else:
        kernels = read_kernels(weights, filters=outputs, channels=shape[0] // groups, kernel=kernel)
        layer = TypedConv2d(kernels, shape[0], stride=stride, padding=padding, dilation=dilation, groups=groups,
                            bias=bias)
    return StackLayer(layer, outputs, ((layer.kernel_size[0] - 1) * dilation + 1, stride, padding))


def separable(shape: Shape, outputs: Count, *, kernel: Count = 3, stride: Count = 1, padding: Extent = 0,
              dilation: Count = 1, bias: bool = True) -> StackLayer:
    """A convolution of each channel by itself, then one over the channels (Chollet 2017), nothing between them."""
    depthwise = nn.Conv2d(shape[0], shape[0], kernel, stride, padding, dilation, shape[0], bias=False)
    pointwise = nn.Conv2d(shape[0], outputs, 1, bias=bias)
    return StackLayer(nn.Sequential(depthwise, pointwise), outputs, ((kernel - 1) * dilation + 1, stride, padding))


def whitening(shape: Shape, kernel: Count, *, directions: Count | None = None) -> StackLayer:
    """A first layer set from the training pictures and not learned: patches along their `directions` of greatest
    variance, all where none are given, and along their opposites."""
    length = shape[0] * kernel**2
    values = f"{shape[0]} x {kernel} x {kernel} = {length} values of a patch"
    if length > MOST_VALUES:
        raise ModelError(f"whitening = {kernel}: the {values} are more than {MOST_VALUES}")
    if directions is not None and directions > length:
        raise ModelError(f"directions = {directions} must be at most the {values}")
    layer = Whitening(shape[0], kernel, directions=directions or length)
    return StackLayer(layer, layer.out_channels, (kernel, 1, 0))


def residual(shape: Shape, outputs: Count, *, stride: Count = 1) -> StackLayer:
    """A residual block; its shortcut is a 1x1 convolution where channels or extent change."""
    return StackLayer(Residual(shape[0], outputs, stride=stride), outputs, (3, stride, 1))


def maxpool(shape: Shape, kernel: Count, *, stride: Count | None = None, padding: Extent = 0) -> StackLayer:
    """The largest value of each window; windows lie side by side where no stride is given."""
    _check_padding(kernel, padding)
    step = stride or kernel
    return StackLayer(nn.MaxPool2d(kernel, step, padding), shape[0], (kernel, step, padding))


def avgpool(shape: Shape, kernel: Count, *, stride: Count | None = None, padding: Extent = 0) -> StackLayer:
    """The mean of each window; windows lie side by side where no stride is given."""
    _check_padding(kernel, padding)
    step = stride or kernel
    return StackLayer(nn.AvgPool2d(kernel, step, padding), shape[0], (kernel, step, padding))


def globalpool(shape: Shape, kind: Literal["mean", "max"] = "mean") -> StackLayer:
    """One value a channel."""
    return StackLayer(GlobalPool(kind), shape[0])


def scale(shape: Shape, factor: Annotated[float, Field(gt=0), "float above 0"]) -> StackLayer:
    """All values multiplied by a number. A small one before the last dense layer makes the first answers unsure."""
    return StackLayer(Scale(factor), shape[0])


def flatten(shape: Shape, on: Literal[True] = True) -> StackLayer:
    """All values of a picture in one row; a dense layer does it by itself."""
    return StackLayer(nn.Flatten(), shape[0])


def batchnorm(shape: Shape, on: Literal[True] = True) -> StackLayer:
    """Batch norm of each channel (Ioffe and Szegedy 2015)."""
    return StackLayer(nn.BatchNorm2d(shape[0]) if len(shape) == 3 else nn.BatchNorm1d(shape[0]), shape[0])


def groupnorm(shape: Shape, groups: Count) -> StackLayer:
    """Group norm (Wu and He 2018)."""
    if shape[0] % groups:
        raise ModelError(f"groupnorm = {groups} must divide the {shape[0]} incoming channels")
    return StackLayer(nn.GroupNorm(groups, shape[0]), shape[0])


def layernorm(shape: Shape, on: Literal[True] = True) -> StackLayer:
    """Layer norm over all values of a picture (Ba et al. 2016): group norm with one group, so any extent will do."""
    return StackLayer(nn.GroupNorm(1, shape[0]), shape[0])


def dropout(shape: Shape, fraction: Fraction) -> StackLayer:
    """Sets this fraction of the values to 0 in training (Srivastava et al. 2014)."""
    return StackLayer(nn.Dropout(fraction), shape[0])


def dense(shape: Shape, outputs: Count, *, bias: bool = True) -> StackLayer:
    """A fully connected layer."""
    return StackLayer(nn.Linear(shape[0], outputs, bias), outputs)


def _check_padding(kernel: int, padding: int) -> None:
    if padding > kernel // 2:
        raise ModelError(f"padding = {padding} must be at most half of the kernel, which is {kernel}")


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
# Kinds that may stand as a word, without settings.
BARE: tuple[str, ...] = ("globalpool", "flatten", "batchnorm", "layernorm")
# Kinds that take maps and no vectors.
SPATIAL = ("conv", "separable", "whitening", "residual", "maxpool", "avgpool", "globalpool")
BUILDERS: dict[str, Callable[..., StackLayer]] = {
    "conv": conv, "separable": separable, "whitening": whitening, "residual": residual, "maxpool": maxpool,
    "avgpool": avgpool, "globalpool": globalpool, "scale": scale, "flatten": flatten, "batchnorm": batchnorm,
    "groupnorm": groupnorm, "layernorm": layernorm, "dropout": dropout, "dense": dense,
}
