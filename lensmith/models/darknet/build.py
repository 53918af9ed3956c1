"""From the sections of a Darknet cfg to layers: what each takes, the shape it gives, and how to make it."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

from torch import nn
from torch.nn.utils import skip_init

from lensmith.models.darknet.cfg_file import Config, Section
from lensmith.models.darknet.cfg_options import BESIDE_CLASSES
from lensmith.models.darknet.layers import (
    ACTIVATIONS,
    EPSILON,
    AveragePool,
    Connected,
    Crop,
    GlobalMean,
    Multiply,
    Reorg,
    Route,
    Shortcut,
    Upsample,
    max_pool,
)

MOST_WEIGHTS = 2**28     # floats of a network, 1 GiB: VGG-16 has 138 million
MOST_VALUES = 2**28      # floats of one layer's output for one picture
PICTURE = -1             # stands for the picture among the numbers of layers
ENDS = (*BESIDE_CLASSES, "softmax", "cost")    # kinds that give no map, so that no layer may take what they give


@dataclass(frozen=True)
class Shape:
    """What a layer gives for a picture of the size that was asked for."""

    channels: int
    height: int
    width: int
    stride: Fraction = Fraction(1)    # pixels of the picture per cell

    def __str__(self) -> str:
        return f"{self.width} x {self.height} x {self.channels}"


@dataclass(frozen=True)
class Layer:
    """A layer that could be made: the size of its weights is known before memory is taken for them."""

    number: int                     # counted from 0, as Darknet and `route` count
    section: Section
    sources: tuple[int, ...]        # numbers of the layers whose maps it takes; PICTURE for the first
    shape: Shape
    make: Callable[[], nn.Module] = nn.Identity
    weights: int = 0                # floats that it has in a .weights file


def layers_of(config: Config, *, inputs: int, size: tuple[int, int]) -> list[Layer]:
    """Every layer of a cfg for pictures of `inputs` channels and `size` (height, width).

    Raises ModelError for what cannot be built, with file, line and section: a layer that takes what does not exist or
    comes later, shapes that do not go together, and more weights or values than MOST_WEIGHTS and MOST_VALUES.
    """
    shapes = {PICTURE: Shape(inputs, *size)}
    if inputs * size[0] * size[1] > MOST_VALUES:
        config.net.refuse(f"asks for pictures of {shapes[PICTURE]} values; at most {MOST_VALUES:,} are accepted")
    layers: list[Layer] = []
    weights = 0
    for number, section in enumerate(config.layers):
        section.must_be_off("dontload", "dontloadscales")
        sources = _sources(config, section, number)
        for source in sources:
            if source != PICTURE and config.layers[source].kind in ENDS \
                    and not (section.kind == "cost" and config.layers[source].kind == "softmax"):
                section.refuse(f"takes what layer {source} [{config.layers[source].kind}] gives, which is no map. Put "
                               "a [route] before it")
        shape, make, floats = BUILDERS[section.kind](section, [shapes[source] for source in sources])
        weights += floats
        if weights > MOST_WEIGHTS:
            section.refuse(f"brings the network to {weights:,} weights; at most {MOST_WEIGHTS:,} are accepted")
        if shape.channels * shape.height * shape.width > MOST_VALUES:
            section.refuse(f"gives {shape} values for one picture; at most {MOST_VALUES:,} are accepted")
        shapes[number] = shape
        layers.append(Layer(number, section, sources, shape, make, floats))
    return layers


def _sources(config: Config, section: Section, number: int) -> tuple[int, ...]:
    """The numbers of the layers whose maps a layer takes. In the cfg a number below 0 counts back from the layer."""
    before = number - 1
    key = {"route": "layers", "shortcut": "from", "sam": "from", "scale_channels": "from"}.get(section.kind)
    if key is None:
        return (before,)
    if key not in section.options:
        section.refuse(f"says of no other layer what it takes: write {key}=-2 or such")
    sources = []
    for value in section.integers(key, least=-10**6, most=10**6):
        source = number + value if value < 0 else value
        if source < 0 or source >= len(config.layers):
            section.refuse(f"{key} names layer {value}, which does not exist: this is layer {number} of "
                           f"{len(config.layers)}, counted from 0", key)
        if source >= number:
            section.refuse(f"{key} names layer {source}, and this is layer {number}: a layer can only take what was "
                           "made before it, else there is a loop", key)
        sources.append(source)
    if section.kind in ("sam", "scale_channels") and len(sources) > 1:
        section.refuse(f"{key} names {len(sources)} layers; one is accepted", key)
    return tuple(sources) if section.kind == "route" else (before, *sources)


# Of a layer: its output's shape, what makes the module, and its floats in the weights file.
Built = tuple[Shape, Callable[[], nn.Module], int]


def _activation(section: Section, default: str) -> Callable[[], nn.Module]:
    return ACTIVATIONS[section.word("activation", default, tuple(ACTIVATIONS))]


def _strides(section: Section) -> tuple[int, int]:
    """(down, across)"""
    stride = section.integer("stride", 1, least=1, most=1024)
    return (section.integer("stride_y", stride, least=1, most=1024),
            section.integer("stride_x", stride, least=1, most=1024))


def _after_window(section: Section, source: Shape, channels: int, *, size: int, strides: tuple[int, int],
                  padding: int) -> Shape:
    """The shape after a window of `size` has gone over the map; `padding` pixels are around it, both sides together."""
    height, width = ((edge + padding - size) // stride + 1
                     for edge, stride in zip((source.height, source.width), strides, strict=True))
    if height < 1 or width < 1:
        section.refuse(f"size {size} leaves nothing of {source}: take a larger picture, or a smaller size")
    return Shape(channels, height, width, source.stride * strides[0])


def _convolutional(section: Section, inputs: list[Shape]) -> Built:
    section.must_be_off("antialiasing", "flipped", "binary", "xnor", "bin_output", "sway", "rotate", "stretch",
                        "stretch_sway", "coordconv")
    if "share_index" in section.options:
        section.refuse("share_index is not supported: each layer has weights of its own here", "share_index")
    source = inputs[0]
    filters = section.integer("filters", 1, least=1)
    size = section.integer("size", 1, least=1, most=1024)
    strides = _strides(section)
    dilation = section.integer("dilation", 1, least=1, most=1024) if size > 1 else 1
    padding = size // 2 if section.integer("pad", 0) else section.integer("padding", 0, most=1024)
    groups = section.integer("groups", 1, least=1)
    for channels, name in ((source.channels, "incoming"), (filters, "outgoing")):
        if channels % groups:
            section.refuse(f"groups = {groups} must divide the {channels} {name} channels", "groups")
    if dilation > 1 and 2 * padding != size - 1:
        section.refuse(f"dilation = {dilation} goes with pad = 1 and an odd size alone", "dilation")
    normalize = bool(section.integer("batch_normalize", 0) or section.integer("cbn", 0))
    activation = _activation(section, "logistic")
    shape = _after_window(section, source, filters, size=size, strides=strides, padding=2 * padding)
    floats = filters * (source.channels // groups) * size**2 + filters * (4 if normalize else 1)

    def make() -> nn.Module:
        conv = skip_init(nn.Conv2d, source.channels, filters, size, strides, padding * dilation, dilation, groups,
                         bias=not normalize)    # not drawn here: `Darknet` draws the weights of all layers
        parts: list[tuple[str, nn.Module]] = [("conv", conv)]
        if normalize:
            parts.append(("norm", nn.BatchNorm2d(filters, eps=EPSILON)))
        return nn.Sequential(OrderedDict([*parts, *_unless_linear(activation())]))

    return shape, make, floats


def _unless_linear(activation: nn.Module) -> list[tuple[str, nn.Module]]:
    return [] if isinstance(activation, nn.Identity) else [("activation", activation)]


def _connected(section: Section, inputs: list[Shape]) -> Built:
    outputs = section.integer("output", 1, least=1)
    values = inputs[0].channels * inputs[0].height * inputs[0].width
    normalize = bool(section.integer("batch_normalize", 0))
    activation = _activation(section, "logistic")
    stride = inputs[0].stride * max(inputs[0].height, inputs[0].width)
    return (Shape(outputs, 1, 1, stride),
            lambda: Connected(values, outputs, activation(), normalize=normalize),
            outputs * values + outputs * (4 if normalize else 1))


def _pool(section: Section, inputs: list[Shape]) -> Built:
    section.must_be_off("antialiasing", "maxpool_depth")
    strides = _strides(section)
    size = section.integer("size", section.integer("stride", 1, least=1), least=1, most=1024)
    padding = section.integer("padding", size - 1, most=2048)
    if padding > 2 * (size - 1):
        section.refuse(f"padding = {padding} must be at most twice size - 1, here {2 * (size - 1)}: a window must see "
                       "a part of the map", "padding")
    shape = _after_window(section, inputs[0], inputs[0].channels, size=size, strides=strides, padding=padding)
    return shape, partial(max_pool if section.kind == "maxpool" else AveragePool, size, strides, padding), 0


def _avgpool(section: Section, inputs: list[Shape]) -> Built:
    source = inputs[0]
    return Shape(source.channels, 1, 1, source.stride * max(source.height, source.width)), GlobalMean, 0


def _route(section: Section, inputs: list[Shape]) -> Built:
    first = inputs[0]
    groups = section.integer("groups", 1, least=1)
    group = section.integer("group_id", 0)
    if group >= groups:
        section.refuse(f"group_id = {group} does not exist: groups = {groups} are counted from 0", "group_id")
    for other in inputs:
        if (other.height, other.width) != (first.height, first.width):
            section.refuse(f"joins maps of {first} and of {other}: width and height must be the same", "layers")
        if other.channels % groups:
            section.refuse(f"groups = {groups} must divide the {other.channels} channels of each map", "groups")
    channels = sum(shape.channels // groups for shape in inputs)
    return Shape(channels, first.height, first.width, first.stride), partial(Route, groups, group), 0


def _shortcut(section: Section, inputs: list[Shape]) -> Built:
    if section.word("weights_type", "none", ("none", "per_feature", "per_layer", "per_channel")) != "none":
        section.refuse(f"weights_type = {section.options['weights_type'].value} is not supported; only none is",
                       "weights_type")
    activation = _activation(section, "linear")
    return inputs[0], lambda: Shortcut(activation()), 0


def _multiply(section: Section, inputs: list[Shape]) -> Built:
    factor, maps = inputs
    extent = (factor.channels, factor.height, factor.width)
    if section.kind == "sam":
        wanted, rule = (maps.channels, maps.height, maps.width), "the same"
    elif section.integer("scale_wh", 0):
        wanted, rule = (1, maps.height, maps.width), "one channel of the same width and height"
    else:
        wanted, rule = (maps.channels, 1, 1), "1 x 1 of the same channels"
    if extent != wanted:
        section.refuse(f"multiplies maps of {factor} and of {maps}: the first must be {rule}", "from")
    activation = _activation(section, "linear")
    return maps, lambda: Multiply(activation()), 0


def _upsample(section: Section, inputs: list[Shape]) -> Built:
    stride = section.integer("stride", 2, least=1, most=1024)
    source = inputs[0]
    shape = Shape(source.channels, source.height * stride, source.width * stride, source.stride / stride)
    return shape, partial(Upsample, stride, section.number("scale", 1)), 0


def _reorg(section: Section, inputs: list[Shape]) -> Built:
    section.must_be_off("flatten", "extra", *(("reverse",) if section.kind == "reorg3d" else ()))
    source = inputs[0]
    stride = section.integer("stride", 1, least=1, most=1024)
    reverse = bool(section.integer("reverse", 0))
    mixed = section.kind == "reorg" and not reverse
    if (mixed or reverse) and source.channels % stride**2:
        section.refuse(f"stride = {stride} needs channels that {stride**2} divides, got {source.channels}", "stride")
    if not reverse and (source.height % stride or source.width % stride):
        section.refuse(f"stride = {stride} must divide the width and height of {source}", "stride")
    shape = Shape(source.channels // stride**2, source.height * stride, source.width * stride, source.stride / stride) \
        if reverse else \
        Shape(source.channels * stride**2, source.height // stride, source.width // stride, source.stride * stride)
    return shape, partial(Reorg, stride, mixed=mixed, reverse=reverse), 0


def _dropout(section: Section, inputs: list[Shape]) -> Built:
    return inputs[0], partial(nn.Dropout, section.number("probability", 0.2, least=0, most=0.999)), 0


def _only_activation(section: Section, inputs: list[Shape]) -> Built:
    return inputs[0], _activation(section, "linear"), 0


def _batchnorm(section: Section, inputs: list[Shape]) -> Built:
    channels = inputs[0].channels
    return inputs[0], partial(nn.BatchNorm2d, channels, eps=EPSILON), 4 * channels


def _crop(section: Section, inputs: list[Shape]) -> Built:
    height, width = section.integer("crop_height", 1, least=1), section.integer("crop_width", 1, least=1)
    source = inputs[0]
    if height > source.height or width > source.width:
        section.refuse(f"cuts {width} x {height} out of {source}: it must not be larger")
    plain = bool(section.integer("noadjust", 0))
    return Shape(source.channels, height, width, source.stride), partial(Crop, height, width, plain=plain), 0


def _as_it_is(section: Section, inputs: list[Shape]) -> Built:
    return inputs[0], nn.Identity, 0


def _softmax(section: Section, inputs: list[Shape]) -> Built:
    section.must_be_off("spatial")
    if "tree" in section.options:
        section.refuse("tree is not supported: classes that contain each other need a file of their own", "tree")
    if section.integer("groups", 1) != 1:
        section.refuse(f"groups = {section.options['groups'].value} is not supported; only groups = 1 is", "groups")
    return inputs[0], nn.Identity, 0


BUILDERS: dict[str, Callable[[Section, list[Shape]], Built]] = {
    "convolutional": _convolutional, "connected": _connected, "maxpool": _pool, "local_avgpool": _pool,
    "avgpool": _avgpool, "route": _route, "shortcut": _shortcut, "scale_channels": _multiply, "sam": _multiply,
    "upsample": _upsample, "reorg": _reorg, "reorg3d": _reorg, "dropout": _dropout, "activation": _only_activation,
    "batchnorm": _batchnorm, "crop": _crop, "empty": _as_it_is, "softmax": _softmax, "cost": _as_it_is,
    **dict.fromkeys(BESIDE_CLASSES, _as_it_is),
}
