"""Weights of the classes of objects, in losses whose terms are sums over points or anchors."""

from typing import Literal

import torch
from torch import Tensor

from lensmith.base.errors import UserError
from lensmith.tasks.losses.picture_losses import balanced_weights, given_weights, unweighted
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks
from lensmith.values.value import Value

Weighing = Literal["balanced"] | list[float]


class ObjectWeights:
    """What `task.class_weights` says of objects: a factor on the class term of each point or anchor that has an object,
    by the class of the object. "balanced" is inversely to how many training objects a class has."""

    def __init__(self, wanted: Weighing | None, classes: tuple[str, ...], targets: Value | None):
        """Raises UserError for a list that does not fit."""
        self.balanced = wanted == "balanced"
        self.weights = given_weights(wanted, classes, "class")    # float32 [classes]
        if self.balanced and targets is not None:
            assert isinstance(targets, Boxes | Masks)
            there = targets.classes if targets.crowd is None else targets.classes[~targets.crowd]
            self.weights = balanced_weights(torch.bincount(there, minlength=len(classes)))

    def of(self, classes: Tensor, like: Tensor) -> Tensor | None:
        """[n] in the dtype and on the device of `like`: the factors of objects with these classes; None where all are
        1. Raises UserError where they are to be balanced and no training targets were counted."""
        if self.balanced and self.weights is None:
            raise unweighted("objects")
        return None if self.weights is None else self.weights.to(like)[classes]

    def refuse_whole(self, what: str) -> None:
        """Raises UserError where weights are set, for a network that computes its loss by itself."""
        if self.balanced or self.weights is not None:
            raise UserError(f"task.class_weights cannot be set for {what}, which computes its loss by itself: draw its "
                            "pictures evenly with loading.balance=true, or take a backbone such as backbone.name=csp")
