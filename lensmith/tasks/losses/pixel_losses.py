"""Losses of pixels: cross entropy, focal, dice and Lovász losses over the pixels whose class is known."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.values.semantic_mask import IGNORED

_LEAST = 1e-6    # of 1 - p in a focal loss: the slope of x ** gamma is infinite at 0 where gamma is below 1


def pixel_entropy(logits: Tensor, classes: Tensor, *, weights: Tensor | None = None, focal: float = 0.0) -> Tensor:
    """The cross entropy of `logits` [batch, classes, height, width] over the pixels of `classes` (integers
    [batch, height, width]) that are not IGNORED, a scalar:

        - sum_i w_i (1 - p_i)^focal log p_i / sum_i w_i

    with p_i the probability of the true class of pixel i, and w_i its weight, as in torch.nn.functional.cross_entropy.
    `focal` is the gamma of Lin et al. 2017 (arXiv 1708.02002). It is 0 with its graph kept where no pixel is known.
    """
    targets = classes.long()
    known = targets != IGNORED
    if weights is None:
        total = known.sum()
    else:
        weights = weights.to(logits)
        total = (weights[targets.masked_fill(~known, 0)] * known).sum()
    if not focal:
        return F.cross_entropy(logits, targets, weights, ignore_index=IGNORED, reduction="sum") / _or_one(total)
    costs = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="none")
    factors = (-torch.expm1(-costs)).clamp(min=_LEAST) ** focal
    if weights is not None:
        factors = factors * weights[targets.masked_fill(~known, 0)]
    return (factors * costs).sum() / _or_one(total)


def dice_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """1 - the soft dice of a class, in the mean over the classes that occur in the truth, a scalar. Of one class

        dice = 2 sum_i p_i t_i / (sum_i p_i + sum_i t_i)

    over the known pixels i of the whole batch, with p_i its probability and t_i 1 where it is the truth, else 0
    (Milletari et al. 2016, "V-Net", whose sums in the divisor are of squares).
    """
    probabilities, truth, known = _probabilities(logits, classes)
    axes = (0, 2, 3)
    both, true = (probabilities * truth).sum(axes), truth.sum(axes)
    dice = 2 * both / _or_one((probabilities * known[:, None]).sum(axes) + true)
    occurs = true > 0
    return ((1 - dice) * occurs).sum() / _or_one(occurs.sum())


def lovasz_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """The Lovász-softmax loss of Berman, Triki and Blaschko 2018 (arXiv 1705.08790) over the known pixels of the whole
    batch, in the mean over the classes that occur in the truth, a scalar: a convex surrogate of 1 - IoU."""
    probabilities = logits.softmax(1).movedim(1, 0).flatten(1)    # [classes, pixels]
    targets = classes.flatten().long()
    known = (targets != IGNORED).nonzero()[:, 0]
    targets = targets[known]
    costs = [_lovasz(probabilities[number][known], targets == number) for number in targets.unique().tolist()]
    return torch.stack(costs).mean() if costs else 0.0 * logits.sum()


def _lovasz(probabilities: Tensor, true: Tensor) -> Tensor:
    """The Lovász extension of one class's Jaccard loss at its errors, a scalar. `probabilities` are float [pixels],
    `true` is bool [pixels]."""
    errors, order = torch.where(true, 1 - probabilities, probabilities).sort(descending=True, stable=True)
    true = true[order]
    # loss[k] is the Jaccard loss if the k + 1 pixels with the largest errors are wrong and all others right. The weight
    # of an error is what its pixel adds to that loss.
    missed = true.cumsum(0)
    total = missed[-1]
    invented = (~true).cumsum(0)
    loss = 1 - (total - missed).to(probabilities) / (total + invented).to(probabilities)
    return errors @ torch.cat((loss[:1], loss[1:] - loss[:-1]))


def _probabilities(logits: Tensor, classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The softmax, and the truth as 0 or 1, both [batch, classes, height, width]; and where the truth is known, bool
    [batch, height, width]. Elsewhere the truth is 0 for every class."""
    probabilities = logits.softmax(1)
    targets = classes.long()[:, None]
    known = targets != IGNORED
    truth = torch.zeros_like(probabilities).scatter_(1, targets.masked_fill(~known, 0), known.to(probabilities.dtype))
    return probabilities, truth, known[:, 0]


def _or_one(total: Tensor) -> Tensor:
    """The divisor of a sum, or 1 where nothing was summed: 0 / 0 would put NaN into every weight of the network."""
    return total + (total == 0)
