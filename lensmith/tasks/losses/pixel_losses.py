"""What wrong pixels cost: cross entropy, focal, dice and Lovász losses over the pixels whose class is known."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.values.semantic_mask import IGNORED

_LEAST = 1e-6    # of a focal factor's base: the slope of x ** gamma is infinite at 0 where gamma is below 1


def pixel_entropy(logits: Tensor, classes: Tensor, *, weights: Tensor | None = None, focal: float = 0.0) -> Tensor:
    """The mean cross entropy of `logits` [batch, classes, height, width] over the pixels of `classes` (integers
    [batch, height, width]) that are not IGNORED, as torch.nn.functional.cross_entropy weighs it.

    With `focal`, a gamma, each pixel's counts (1 - p) ** gamma times as much, p the chance of its class (Lin et al.
    2017, arXiv 1708.02002, in the form for one class of several). A scalar, 0 with its graph kept where no pixel is
    known.
    """
    goal = classes.long()
    known = goal != IGNORED
    if weights is None:
        total = known.sum()
    else:
        weights = weights.to(logits)
        total = (weights[goal.masked_fill(~known, 0)] * known).sum()
    if not focal:
        return F.cross_entropy(logits, goal, weights, ignore_index=IGNORED, reduction="sum") / _or_one(total)
    each = F.cross_entropy(logits, goal, ignore_index=IGNORED, reduction="none")
    factor = (-torch.expm1(-each)).clamp(min=_LEAST) ** focal
    if weights is not None:
        factor = factor * weights[goal.masked_fill(~known, 0)]
    return (factor * each).sum() / _or_one(total)


def dice_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """1 - the soft dice of each class, 2 sum(p t) / (sum(p) + sum(t)) over the known pixels of the whole batch, in
    the mean over the classes met in the truth (Milletari et al. 2016, "V-Net", with the sums not squared)."""
    chance, truth, known = _chances(logits, classes)
    axes = (0, 2, 3)
    both, there = (chance * truth).sum(axes), truth.sum(axes)
    score = 2 * both / _or_one((chance * known[:, None]).sum(axes) + there)
    met = there > 0
    return ((1 - score) * met).sum() / _or_one(met.sum())


def lovasz_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """The Lovász-softmax of Berman, Triki and Blaschko 2018 (arXiv 1705.08790) over the known pixels of the whole
    batch, in the mean over the classes met in the truth: a convex surrogate of 1 - IoU."""
    chance = logits.softmax(1).movedim(1, 0).flatten(1)    # [classes, pixels]
    goal = classes.flatten().long()
    known = (goal != IGNORED).nonzero()[:, 0]
    goal = goal[known]
    costs = [_lovasz(chance[number][known], goal == number) for number in goal.unique().tolist()]
    return torch.stack(costs).mean() if costs else 0.0 * logits.sum()


def _lovasz(chance: Tensor, there: Tensor) -> Tensor:
    """The extension of one class's Jaccard loss at its errors; `chance` float and `there` bool, [pixels]."""
    errors, order = torch.where(there, 1 - chance, chance).sort(descending=True, stable=True)
    there = there[order]
    # The Jaccard loss after each of the worst so many pixels was taken for wrong; what each adds is its weight.
    missed = there.cumsum(0)
    total = missed[-1]
    invented = (~there).cumsum(0)
    loss = 1 - (total - missed).to(chance) / (total + invented).to(chance)
    return errors @ torch.cat((loss[:1], loss[1:] - loss[:-1]))


def _chances(logits: Tensor, classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The softmax, and the truth as 0 or 1, both [batch, classes, height, width], the truth nowhere 1 where it is
    not known; and where it is, bool [batch, height, width]."""
    chance = logits.softmax(1)
    goal = classes.long()[:, None]
    known = goal != IGNORED
    truth = torch.zeros_like(chance).scatter_(1, goal.masked_fill(~known, 0), known.to(chance.dtype))
    return chance, truth, known[:, 0]


def _or_one(total: Tensor) -> Tensor:
    """The divisor of a sum, 1 where nothing was summed: 0 / 0 would put NaN into every weight."""
    return total + (total == 0)
