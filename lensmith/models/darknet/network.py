"""Networks out of Darknet's cfg files, whole or as backbones, and Darknet-53 without a file."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from lensmith.base.errors import ModelError
from lensmith.models.backbone import Backbone, LastMap
from lensmith.models.darknet.build import ENDS, PICTURE, Layer, layers_of
from lensmith.models.darknet.cfg_file import Config, parse_cfg, read_cfg
from lensmith.models.darknet.cfg_options import BESIDE_CLASSES
from lensmith.models.darknet.decode import RegionLayer, YoloLayer, read_region, read_yolo
from lensmith.models.initialise import initialise
from lensmith.models.neck import padded

Step = tuple[int, tuple[int, ...]]    # the number of a layer, and the numbers of those whose maps it takes
# (channels, residual blocks) of each stage; table 1 of Redmon and Farhadi 2018, "YOLOv3: An Incremental Improvement"
DARKNET53 = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))


class Darknet(Backbone):
    """The network of a cfg, over float pictures of 0..1 [batch, inputs, height, width].

    A detector gives the maps that go into its yolo, gaussian_yolo or region layers, in the file's order (YOLOv3: the
    coarsest first); `outputs` says what each is, and `decode_yolo` makes boxes of it. A classifier gives one tensor
    [batch, classes], its scores before the softmax, and a cfg with neither the map of its last layer. With `taps`,
    numbers of layers, it gives the maps of those instead and has no layer behind the last of them.

    `inputs` and `size` (height, width) are those of the cfg where they are not given. Any size works that the strides
    divide. Batch norm has its epsilon, 1e-6, inside the root, as OpenCV has it; Darknet adds 1e-6 outside the root, its
    fork by AlexeyAB 1e-5 inside: the maps of YOLO-Fastest, up to 35, then differ by 1e-3 and 1e-2, their objectness by
    less than 1e-3. Dropout of whole blocks is plain dropout here.

    Raises ModelError for what cannot be built, with file, line and section.
    """

    header: Tensor    # int64 [4]: major, minor, revision, seen of the .weights file that was read

    def __init__(self, config: Config, *, inputs: int | None = None, size: tuple[int, int] | None = None,
                 taps: tuple[int, ...] | None = None):
        super().__init__()
        self.config = config
        self.inputs = inputs or config.net.integer("channels", 3, least=1)
        self.size = size or _size(config)
        self.standard = (0.0,) * self.inputs, (1.0,) * self.inputs
        self.plan = layers_of(config, inputs=self.inputs, size=self.size)
        ends = [layer for layer in self.plan if layer.section.kind in BESIDE_CLASSES]
        self.outputs: tuple[YoloLayer | RegionLayer, ...] = () if taps else tuple(map(self._output, ends))
        scored = [layer for layer in self.plan if layer.section.kind in ENDS]
        self.scores = not taps and not ends and bool(scored)    # whether it is a classifier
        self.taps = taps or tuple(layer.sources[0] for layer in ends or scored[:1]) or (len(self.plan) - 1,)
        if PICTURE in self.taps:
            self.plan[0].section.refuse("is the first layer: there is nothing before it")
        self.channels = tuple(self.plan[tap].shape.channels for tap in self.taps)
        self.strides = tuple(int(self.plan[tap].shape.stride) for tap in self.taps)
        # Where a map leaves a border of the picture uncovered, padding would only make it another picture.
        shapes = [self.plan[tap].shape for tap in self.taps]
        self._covered = all(self.size == (shape.height * shape.stride, shape.width * shape.stride) for shape in shapes)
        needed = self._needed()
        # A whole network keeps layers that nothing takes too: the weights file has their floats.
        self.layers = nn.ModuleList(layer.make() if layer.number in needed or not taps else nn.Identity()
                                    for layer in (self.plan[: max(taps) + 1] if taps else self.plan))
        self.plan = [replace(layer, make=nn.Identity) for layer in self.plan]    # the functions cannot be pickled
        self.steps = [(layer.number, layer.sources) for layer in self.plan if layer.number in needed]
        self._done_with = no_longer_needed(self.steps, self.taps)
        initialise(self, "leaky_relu")
        self.register_buffer("header", torch.tensor([0, 2, 5, 0]))

    def _output(self, layer: Layer) -> YoloLayer | RegionLayer:
        section, source = layer.section, layer.sources[0]
        shape = self.plan[source].shape if source != PICTURE else None
        if shape is None:
            section.refuse("is the first layer: there is nothing before it")
        # The cells always divide the whole picture, as in Darknet, whatever padding the layers before left out.
        cell = self.size[1] / shape.width, self.size[0] / shape.height    # width, height in pixels
        output = (read_region if section.kind == "region" else read_yolo)(section, layer.number, cell)
        before = self.plan[source].section
        activation = before.options.get("activation")
        if isinstance(output, YoloLayer) and output.new_coords and activation and activation.value != "logistic":
            section.refuse("new_coords = 1 takes values of 0..1, and the layer before does not end in "
                           "activation=logistic: write that there", "new_coords")
        if shape.channels != output.channels:
            section.refuse(f"with {len(output.anchors)} anchors and {output.classes} classes needs "
                           f"{len(output.anchors)} x ({BESIDE_CLASSES[section.kind]} + {output.classes}) = "
                           f"{output.channels} channels, and layer {source} [{before.kind}] gives {shape.channels}: "
                           "mend its filters, or mask and classes")
        return output

    def _needed(self) -> set[int]:
        """The layers that the taps depend on."""
        needed: set[int] = set()
        open_ends = list(self.taps)
        while open_ends:
            number = open_ends.pop()
            if number != PICTURE and number not in needed:
                needed.add(number)
                open_ends += self.plan[number].sources
        return needed

    def forward(self, pictures: Tensor) -> list[Tensor]:
        layers = list(self.layers)    # looking a layer up in a list is quicker than in a ModuleList
        return self.run([layers[number] for number, _ in self.steps], self.steps, self._done_with, pictures)

    def run(self, calls: Sequence[Callable[..., Tensor]], steps: Sequence[Step],
            done_with: Sequence[tuple[int, ...]], pictures: Tensor) -> list[Tensor]:
        """What the network gives where each of the `steps` is computed by its call. The maps that are `done_with` after
        a step (`no_longer_needed`) are freed there."""
        maps = {PICTURE: self._padded_to_cells(pictures)}
        for call, (number, sources), freed in zip(calls, steps, done_with, strict=True):
            maps[number] = call(*[maps[source] for source in sources])
            for source in freed:
                del maps[source]
        tapped = [maps[tap] for tap in self.taps]
        return [scores.flatten(1) for scores in tapped] if self.scores else tapped

    def _padded_to_cells(self, pictures: Tensor) -> Tensor:
        """The pictures of a detector padded to whole cells of its coarsest map. Those whose padding was cut off for
        measuring are not; else an upsampled map would not have the extent of the one that it is joined with."""
        coarsest = max((output.stride for output in self.outputs), default=1) if self._covered else 1
        return padded(pictures, [-(-edge // coarsest) * coarsest for edge in pictures.shape[2:]])

    def classifier(self, outputs: int) -> nn.Module:
        """The head: of a classifier one that hands its scores on, of a backbone the mean of its last map and a dense
        layer.

        Raises ModelError where a classifier has another number of scores than `outputs`.
        """
        if not self.scores:
            return super().classifier(outputs)
        if outputs != self.channels[0]:
            raise ModelError(f"{self.config.file} tells {self.channels[0]} classes apart, and {outputs} are asked for: "
                             "set the width of its last layer to that")
        return LastMap(nn.Sequential())


def no_longer_needed(steps: Sequence[Step], taps: Sequence[int]) -> list[tuple[int, ...]]:
    """For each step the layers whose maps no later step takes, and which are no taps."""
    last_use = {source: position for position, (_, sources) in enumerate(steps) for source in sources}
    return [tuple(source for source in set(sources) if last_use[source] == position and source not in taps)
            for position, (_, sources) in enumerate(steps)]


def _size(config: Config) -> tuple[int, int]:
    """(height, width) in [net]."""
    for key in ("height", "width"):
        if key not in config.net.options:
            config.net.refuse(f"has no {key}: write {key}=416, or give the size with pictures.size")
    return config.net.integer("height", 1, least=1), config.net.integer("width", 1, least=1)


def darknet_backbone(cfg: str, *, layers: int = 0, inputs: int, size: tuple[int, int]) -> Darknet:
    """The trunk of a cfg file as a backbone: the last map of each stride from 2 on, finest first.

    Of a classifier all but its tail: what begins with the first avgpool, connected or softmax, and the 1x1 convolution
    to the classes before it. Of any other cfg its first `layers` layers: 75 of yolov3.cfg are Darknet-53. Raises
    ModelError as Darknet does, and for a detector without `layers`.
    """
    return trunk(read_cfg(Path(cfg)), layers=layers, inputs=inputs, size=size)


def darknet53(*, inputs: int, size: tuple[int, int]) -> Darknet:
    """Darknet-53 (Redmon and Farhadi 2018): maps at the strides 2, 4, 8, 16 and 32. Its weights fit darknet53.cfg's."""
    return trunk(parse_cfg(darknet53_text(), file="darknet53"), layers=0, inputs=inputs, size=size)


def trunk(config: Config, *, layers: int, inputs: int, size: tuple[int, int]) -> Darknet:
    """What `darknet_backbone` gives, of a config that has been read."""
    count = layers or _trunk_length(config)
    if not 1 <= count <= len(config.layers):
        raise ModelError(f"layers = {layers} must be from 1 to {len(config.layers)}, the layers of {config.file}")
    last: dict[int, int] = {}    # stride -> the last layer that has it
    for layer in layers_of(config, inputs=inputs, size=size)[:count]:
        if layer.section.kind not in ENDS and layer.shape.stride.denominator == 1 and layer.shape.stride >= 2:
            last[int(layer.shape.stride)] = layer.number
    if not last:
        raise ModelError(f"the first {count} layers of {config.file} have no stride of 2 or more: they give no map "
                         "that a head could use")
    return Darknet(config, inputs=inputs, size=size, taps=tuple(last[stride] for stride in sorted(last)))


def _trunk_length(config: Config) -> int:
    """How many layers of a classifier come before its tail."""
    kinds = [section.kind for section in config.layers]
    if any(kind in BESIDE_CLASSES for kind in kinds):
        raise ModelError(f"{config.file} is a detector, a whole network: say with layers = N how many of its first "
                         "layers are the backbone, 75 of yolov3.cfg, or give a classifier such as darknet53.cfg")
    tail = next((i for i, kind in enumerate(kinds) if kind in ("avgpool", "connected", "softmax", "cost")), len(kinds))
    before = config.layers[tail - 1] if 0 < tail < len(kinds) else None
    to_classes = before is not None and before.kind == "convolutional" and before.integer("size", 1) == 1 \
        and not before.integer("batch_normalize", 0)
    return tail - 1 if to_classes else tail


def darknet53_text() -> str:
    """A cfg of Darknet-53 for 1000 classes at 256 x 256, layer for layer in the order of the published weights."""
    def convolution(filters: int, size: int, stride: int = 1) -> str:
        return (f"[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize={size}\nstride={stride}\npad=1\n"
                "activation=leaky\n")

    parts = ["[net]\nwidth=256\nheight=256\nchannels=3\n", convolution(32, 3)]
    for channels, blocks in DARKNET53:
        parts.append(convolution(channels, 3, 2))
        parts += [convolution(channels // 2, 1), convolution(channels, 3), "[shortcut]\nfrom=-3\n"] * blocks
    return "\n".join([*parts, "[avgpool]\n", "[convolutional]\nfilters=1000\nactivation=linear\n", "[softmax]\n"])
