"""The defaults of a task: what it is learned with where a recipe does not say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lensmith.base.pictures import Form

_SMALL = 64    # pixels: up to this edge three plain convolutions are enough, above it MobileNetV3 is the default


@dataclass(frozen=True)
class Usual:
    """The defaults of a task, each for a setting that a recipe leaves out."""

    backbone: str                     # backbone.name
    epochs: int = 10                  # learner.epochs
    batch: int = 64                   # loading.batch: pictures a step
    rate: float | None = None         # optimizer.rate; None leaves the optimizer its own
    average: float = 0.0              # learner.average: the decay of the EMA of the weights; 0 is without
    augment: Mapping[str, Any] = field(default_factory=dict)    # the section [augment]


def by_size(form: Form) -> str:
    """The backbone for classes, tags, numbers and pixels of pictures of this size."""
    return "cnn3" if max(form.size) <= _SMALL else "mobilenet_v3_small"


def usual_of_objects(form: Form, *, epochs: int | None) -> Usual:
    """The defaults of a task that looks for objects. In the last quarter of the `epochs`, of the recipe or else the
    usual ones, pictures come without mosaics, as in use (Ge et al. 2021, "YOLOX", arXiv 2107.08430)."""
    usual = 50    # objects take more steps to learn than classes, at twice the rate, and the EMA of some fifty steps
    colour = {"saturation": 0.5, "hue": 0.015} if form.channels == 3 else {}
    return Usual("csp", epochs=usual, batch=16, rate=2e-3, average=0.98,
                 augment={"flip": True, "mosaic": 1.0, "zoom": [0.5, 1.5], "brightness": 0.3, **colour,
                          "close_mosaic": max(1, (epochs or usual) // 4)})
