"""The defaults of a task: what it is learned with where a recipe does not say."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lensmith.base.pictures import Form
from lensmith.models.adapters.embedded_weights import IMAGENET

_SMALL = 64    # pixels: up to this edge three plain convolutions are enough


@dataclass(frozen=True)
class Known:
    """What the defaults of a recipe depend on."""

    form: Form                  # that the pictures have by themselves, before a size is chosen for the network
    pictures: int               # that are learned from
    epochs: int | None          # that the recipe names; None where it names none
    pretrained: bool = False    # whether it begins with weights that have learned already, or may


@dataclass(frozen=True)
class Usual:
    """The defaults of a task, each for a setting that a recipe leaves out."""

    backbone: str                     # backbone.name
    weights: str | None = None        # learner.weights, where neither these nor the backbone are named; None: drawn
    epochs: int = 10                  # learner.epochs
    batch: int = 64                   # loading.batch: pictures a step
    rate: float | None = None         # optimizer.rate; None leaves the optimizer its own
    average: float = 0.0              # learner.average: the decay of the EMA of the weights; 0 is without
    head_first: int = 0               # learner.head_first: epochs of the head alone, where its last map suffices
    freeze: str | None = None         # learner.freeze
    depth_decay: float = 1.0          # learner.depth_decay
    augment: Mapping[str, Any] = field(default_factory=dict)    # the section [augment]


def usual_beginning(known: Known) -> Usual:
    """The backbone for classes, tags, numbers and pixels, and its weights where pictures are like those of ImageNet."""
    if max(known.form.size) <= _SMALL:
        return Usual("cnn3")
    if known.pretrained:
        photographs = known.form.bits == 8 and known.form.channels in (1, 3)
        return Usual("efficientnet_lite0", weights=IMAGENET if photographs else None)
    return Usual("mobilenet_v3_small")


def usual_of_pictures(known: Known) -> Usual:
    """The defaults of a task whose head takes the last map: labels, tags, numbers."""
    if not known.pretrained:
        return usual_beginning(known)
    # Few steps at a low rate, lower from layer to layer away from the head, keep what the backbone has learned; its
    # norms keep their statistics, which some hundred pictures would make worse.
    return replace(usual_beginning(known), epochs=3, batch=32, rate=5e-4, head_first=20, freeze="norms",
                   depth_decay=0.9)


def usual_of_objects(known: Known) -> Usual:
    """The defaults of a task that looks for objects. In the last quarter of the `epochs`, of the recipe or else the
    usual ones, pictures come without mosaics, as in use (Ge et al. 2021, "YOLOX", arXiv 2107.08430)."""
    usual = 50    # objects take more steps to learn than classes, at twice the rate, and the EMA of some fifty steps
    colour = {"saturation": 0.5, "hue": 0.015} if known.form.channels == 3 else {}
    return Usual("csp", epochs=usual, batch=16, rate=2e-3, average=0.98,
                 augment={"flip": True, "mosaic": 1.0, "zoom": [0.5, 1.5], "brightness": 0.3, **colour,
                          "close_mosaic": max(1, (known.epochs or usual) // 4)})
