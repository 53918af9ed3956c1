"""The convolutional classification networks of torchvision, as backbones with their own classification tails."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import cast

from torch import Tensor, nn

from lensmith.base.errors import ModelError
from lensmith.models.backbone import Backbone, LastMap
from lensmith.models.initialise import initialise
from lensmith.models.trial_forward import LARGE, least_edge, map_shapes, strides_of

TORCHVISION = (
    "alexnet", "convnext_base", "convnext_large", "convnext_small", "convnext_tiny", "densenet121", "densenet161",
    "densenet169", "densenet201", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3",
    "efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7", "efficientnet_v2_l",
    "efficientnet_v2_m", "efficientnet_v2_s", "googlenet", "inception_v3", "mnasnet0_5", "mnasnet0_75", "mnasnet1_0",
    "mnasnet1_3", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "regnet_x_16gf", "regnet_x_1_6gf",
    "regnet_x_32gf", "regnet_x_3_2gf", "regnet_x_400mf", "regnet_x_800mf", "regnet_x_8gf", "regnet_y_128gf",
    "regnet_y_16gf", "regnet_y_1_6gf", "regnet_y_32gf", "regnet_y_3_2gf", "regnet_y_400mf", "regnet_y_800mf",
    "regnet_y_8gf", "resnet101", "resnet152", "resnet18", "resnet34", "resnet50", "resnext101_32x8d",
    "resnext101_64x4d", "resnext50_32x4d", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0", "squeezenet1_0", "squeezenet1_1", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16",
    "vgg16_bn", "vgg19", "vgg19_bn", "wide_resnet101_2", "wide_resnet50_2",
)
# The mean and standard deviation that all of torchvision's weights of these networks were trained with.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# The children of a network that are not its trunk. Every other child works on maps, in the order in which it stands.
TAIL = ("avgpool", "dropout", "fc", "classifier")


class Trunk(Backbone):
    """The part of a torchvision network that works on maps, its weights under torchvision's names.

    There is a map wherever the next block has a stride, and one at the end.
    """

    def __init__(self, name: str, parts: dict[str, nn.Module], *, inputs: int, size: tuple[int, int]):
        super().__init__()
        self.name = name
        self.standard = IMAGENET if inputs == 3 else None
        self.parts = nn.ModuleDict(parts)
        self.taps = tuple(range(len(list(self._blocks()))))
        maps = map_shapes(self, inputs, (LARGE, LARGE))
        strides = [1, *strides_of(maps)]
        last = len(maps) - 1
        self.taps = tuple(i for i in self.taps if i == last or strides[i + 2] > strides[i + 1])
        self.channels = tuple(maps[i][1] for i in self.taps)
        self.strides = tuple(strides[i + 1] for i in self.taps)
        try:
            map_shapes(self, inputs, size)
        except RuntimeError as error:
            least = least_edge(self, inputs)
            raise ModelError(f"{name} cannot take pictures of {size[0]} x {size[1]} pixels, of which it would leave "
                             f"nothing. Take larger pictures with pictures.size={least} or more.") from error

    def _blocks(self) -> Iterator[nn.Module]:
        for part in self.parts.values():
            yield from _flat(part)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        maps = []
        for number, block in enumerate(self._blocks()):
            pictures = block(pictures)
            if number in self.taps:
                maps.append(pictures)
        return maps

    def classifier(self, outputs: int) -> nn.Module:
        """The network's own tail for this many outputs, freshly drawn. -> [batch, outputs]"""
        return LastMap(_tail(_network(self.name, outputs)))

    def numbers(self, outputs: int) -> nn.Module:
        head = self.classifier(outputs)
        for path, layer in reversed(list(head.named_modules())):
            if isinstance(layer, nn.Conv2d | nn.Linear):
                break
            if isinstance(layer, nn.ReLU):    # SqueezeNet cuts its scores off at zero before it pools them
                _replace(head, path, nn.Identity())
        return head


def torchvision_network(name: str, *, inputs: int, size: tuple[int, int], small_stem: bool = False) -> Trunk:
    """A network of torchvision without weights from elsewhere, in its own initialisation.

    `small_stem` fits the stem to small pictures: the first convolution becomes 3x3 with stride 1, and the max-pool
    right behind it is left out, as He et al. 2016 did for CIFAR. A first convolution that is changed, for that or for
    another number of channels than 3, is drawn anew (He et al. 2015). Raises ModelError for a stem with nothing to
    fit, and for pictures too small for the network, with the smallest size that works.
    """
    network = _network(name, 1)
    if small_stem:
        _fit_stem(network, name)
    path, first = _first_convolution(network)
    if first.in_channels != inputs:
        _replace(network, path, _like(first, inputs=inputs, kernel=first.kernel_size, stride=first.stride,
                                      padding=first.padding))
    parts = {key: part for key, part in network.named_children() if key not in TAIL}
    if name.startswith("densenet"):
        parts["relu"] = nn.ReLU()    # DenseNet.forward applies it between the features and the pool
    return Trunk(name, parts, inputs=inputs, size=size)


def _network(name: str, outputs: int) -> nn.Module:
    # Here, because the import takes 1.7 s, which nobody else should wait for.
    from torchvision import models

    if name == "googlenet":
        return models.googlenet(weights=None, num_classes=outputs, aux_logits=False, init_weights=True)
    if name == "inception_v3":
        return models.inception_v3(weights=None, num_classes=outputs, aux_logits=False, init_weights=True)
    return cast(nn.Module, models.get_model(name, weights=None, num_classes=outputs))


def _flat(part: nn.Module) -> Iterator[nn.Module]:
    """The blocks of a Sequential, and of those inside it, in order; anything with a forward of its own is one block."""
    if type(part).forward is nn.Sequential.forward:
        for inner in cast(nn.Sequential, part):
            yield from _flat(inner)
    else:
        yield part


def _tail(network: nn.Module) -> nn.Sequential:
    """What a network does to its last map, for the three ways in which torchvision's networks do it."""
    children = dict(network.named_children())
    last = next(reversed(children))
    inside = [type(layer) for layer in network.get_submodule(last).modules()]
    if nn.Conv2d in inside:       # squeezenet: the classes are scored on the map, then pooled
        return nn.Sequential(OrderedDict([(last, children[last]), ("flatten", nn.Flatten())]))
    pool = children.get("avgpool", nn.AdaptiveAvgPool2d(1))
    if nn.Flatten in inside:      # convnext: a norm stands between the pool and the flatten
        return nn.Sequential(OrderedDict([("avgpool", pool), (last, children[last])]))
    layers = [("avgpool", pool), ("flatten", nn.Flatten())]
    if "dropout" in children:
        layers.append(("dropout", children["dropout"]))
    return nn.Sequential(OrderedDict([*layers, (last, children[last])]))


def _first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d]:
    return next((path, layer) for path, layer in network.named_modules() if isinstance(layer, nn.Conv2d))


def _fit_stem(network: nn.Module, name: str) -> None:
    path, first = _first_convolution(network)
    if first.stride == (1, 1):
        raise ModelError(f"{name} has no stem to fit to small pictures: its first convolution, {path}, has stride 1 "
                         "already. Leave small_stem out")
    _replace(network, path, _like(first, inputs=first.in_channels, kernel=(3, 3), stride=(1, 1), padding=(1, 1)))
    for after, layer in list(network.named_modules()):
        if isinstance(layer, nn.Conv2d) and after != path:
            return
        if isinstance(layer, nn.MaxPool2d):
            _replace(network, after, nn.Identity())
            return


def _like(old: nn.Conv2d, *, inputs: int, kernel: tuple[int, ...], stride: tuple[int, ...],
          padding: tuple[int, ...] | str) -> nn.Conv2d:
    new = nn.Conv2d(inputs, old.out_channels, kernel, stride, padding, bias=old.bias is not None)    # type: ignore[arg-type]
    initialise(new, "relu")
    return new


def _replace(network: nn.Module, path: str, layer: nn.Module) -> None:
    owner, _, key = path.rpartition(".")
    setattr(network.get_submodule(owner), key, layer)
