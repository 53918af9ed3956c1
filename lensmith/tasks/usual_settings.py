"""The defaults of a task: what it is learned with where a recipe does not say."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lensmith.base.pictures import Form
from lensmith.models.adapters.embedded_weights import IMAGENET

_SMALL = 64          # pixels: up to this edge three plain convolutions are enough
_ENLARGED = 128      # pixels to which small pictures are brought for a network that has learned from photographs
_FEW = 10_000        # small pictures
_PASSES = 1_500      # pictures that a network with learned weights sees in all, where that makes 2 to 10 epochs
_MOST_EPOCHS = 10
_FEW_MASKS = 320           # pictures with masks of which batches are small
_MASKS = 3_500             # such pictures that are seen in all, where that makes 10 to 30 epochs
_FROM_NOTHING = 150_000    # pictures that a network without them sees in all, where that makes 10 to 40 epochs


@dataclass(frozen=True)
class Known:
    """What the defaults of a recipe depend on."""

    form: Form                  # that the pictures have by themselves, before a size is chosen for the network
    pictures: int               # that are learned from
    epochs: int | None          # that the recipe names; None where it names none
    sized: bool = False         # whether the recipe names their size
    pretrained: bool = False    # whether it begins with weights that have learned already, or may


@dataclass(frozen=True)
class Usual:
    """The defaults of a task, each for a setting that a recipe leaves out."""

    backbone: str                     # backbone.name
    weights: str | None = None        # learner.weights, where neither these nor the backbone are named; None: drawn
    size: int | None = None           # pictures.size: the edge in pixels; None leaves it to the pictures
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
    small = max(known.form.size) <= _SMALL
    if known.pretrained and not small:
        return Usual("efficientnet_lite0", weights=IMAGENET if _like_photographs(known.form) else None)
    return Usual("cnn3" if small else "mobilenet_v3_small")


def usual_of_pictures(known: Known) -> Usual:
    """The defaults of a task whose head takes the last map: labels, tags, numbers."""
    usual = usual_beginning(known)
    # Enlarged, small colour pictures gain from ImageNet too. So many of them that they teach enough by themselves are
    # learned from nothing in the time that one epoch on enlarged ones takes.
    if (known.pretrained and usual.backbone == "cnn3" and not known.sized and known.form.channels == 3
            and _like_photographs(known.form) and known.pictures <= _FEW):
        usual = Usual("efficientnet_lite0", weights=IMAGENET, size=_ENLARGED)
    if not known.pretrained or usual.backbone == "cnn3":
        return replace(usual, epochs=min(40, max(10, round(_FROM_NOTHING / (known.pictures or _FROM_NOTHING)))))
    # Few steps at a low rate, lower from layer to layer away from the head, keep what the backbone has learned; its
    # norms keep their statistics, which some hundred pictures would make worse.
    epochs = min(_MOST_EPOCHS, max(2, round(_PASSES / max(1, known.pictures))))
    return replace(usual, epochs=epochs, batch=32, rate=5e-4, head_first=20, freeze="norms", depth_decay=0.9)


def usual_of_masks(known: Known) -> Usual:
    """The defaults of a task that names every pixel. Thin and rare classes are found after some hundred steps, so that
    few pictures are learned from more often, in smaller batches."""
    pictures = known.pictures or _MASKS
    return replace(usual_beginning(known), epochs=min(30, max(10, round(_MASKS / pictures))),
                   batch=8 if pictures <= _FEW_MASKS else 16,
                   augment={"flip": True} if known.form.channels == 3 else {})


def _like_photographs(form: Form) -> bool:
    return form.bits == 8 and form.channels in (1, 3)


def usual_of_objects(known: Known) -> Usual:
    """The defaults of a task that looks for objects. In the last quarter of the `epochs`, of the recipe or else the
    usual ones, pictures come without mosaics, as in use (Ge et al. 2021, "YOLOX", arXiv 2107.08430)."""
    usual = 50    # objects take more steps to learn than classes, at twice the rate, and the EMA of some fifty steps
    colour = {"saturation": 0.5, "hue": 0.015} if known.form.channels == 3 else {}
    return Usual("csp", epochs=usual, batch=16, rate=2e-3, average=0.98,
                 augment={"flip": True, "mosaic": 1.0, "zoom": [0.5, 1.5], "brightness": 0.3, **colour,
                          "close_mosaic": max(1, (known.epochs or usual) // 4)})
