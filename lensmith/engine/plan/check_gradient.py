"""Whether a candidate learns what plain float32 learns: its loss and gradient on one batch beside those of float32."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lensmith.data.sources.sample import Batch
from lensmith.engine.plan.plan import Precision
from lensmith.engine.plan.trial import Trial

# The least cosine between a candidate's gradient and the float32 gradient. For scale: the gradients of two batches of
# one data set have cosines of 0.1 to 0.9, so that a step in 16 bits is far nearer to the float32 step than the next
# batch's step is.
_COSINE: dict[Precision, float] = {"float32": 0.999, "bfloat16": 0.9, "float16": 0.9}
# A candidate's loss may be off by this fraction of the float32 loss, and by this number on top of it.
_RELATIVE, _ABSOLUTE = 0.02, 0.01
_AT_ONCE = 1 << 20    # values that are multiplied and summed in float32; the sums are added in float64


class GradientCheck:
    """Compares candidates with plain float32 on one batch.

    With the loss L and the gradient g of float32, a candidate with the loss l and the gradient h passes where

        |l - L| <= 0.01 + 0.02 |L|   and   cos(g, h) = <g, h> / (|g| |h|) >= c,

    c = 0.999 in float32 and 0.9 in 16 bits, all parameters taken together as one vector. The distance |g - h| / |g| is
    no measure: at the first weights it is 0.1 to 0.4 in 16 bits for ResNet-18, and training does not suffer from it.

    A network may draw random numbers in a way that `Trial.gradient` cannot switch off, and one with many batch norms
    may magnify the order in which numbers are added: with another number of threads the gradient of a U-Net had a
    cosine of 0.99. Then two float32 passes differ too, and both bounds are widened by twice their difference.
    """

    def __init__(self, reference: Trial, batch: Batch, loss: float, gradient: Sequence[Tensor]):
        """`loss` and `gradient` are those that `reference`, the plain float32 trial, gives of `batch`."""
        self.reference, self.batch, self.loss = reference, batch, loss
        self.threads = reference.plan.threads
        # In half the memory, which is kept while all candidates are tried; rounding changes a cosine by 1e-6.
        self.gradient = [values.bfloat16() for values in gradient]
        self._noise: tuple[float, float] | None = None

    def fault(self, precision: Precision, loss: float, gradient: Sequence[Tensor]) -> str:
        """How a candidate's loss or gradient differs from the float32 result by too much; empty where it passes."""
        if not math.isfinite(loss):
            return f"its loss is {loss:g}"
        bound, least = _ABSOLUTE + _RELATIVE * abs(self.loss), _COSINE[precision]
        off, cosine = abs(loss - self.loss), gradient_cosine(self.gradient, gradient)
        if off <= bound and cosine >= least:
            return ""
        loss_noise, cosine_noise = self._measured_noise()
        if off > bound + 2 * loss_noise:
            return f"its loss is {loss:.4g}, that of float32 {self.loss:.4g}"
        if cosine >= least - 2 * cosine_noise:
            return ""
        return f"the cosine between its gradient and that of float32 is {cosine:.3f}, less than {least}"

    def _measured_noise(self) -> tuple[float, float]:
        """(difference of the losses, 1 - cosine of the gradients) of two float32 passes, with other random numbers and
        another number of threads."""
        if self._noise is None:
            plan = self.reference.plan
            self.reference.plan = replace(plan, threads=1 if self.threads > 1 else 2)
            loss, gradient = self.reference.gradient(self.batch, seed=1)
            self.reference.plan = plan
            cosine = gradient_cosine(self.gradient, gradient)
            self._noise = abs(self.loss - loss), 0.0 if math.isnan(cosine) else 1 - cosine
        return self._noise


def gradient_cosine(gradient: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """cos(g, h) = <g, h> / (|g| |h|), all parameters taken together as one vector. 1 where both are zero, NaN where
    only one of them is, or where either holds a NaN."""
    inner, square, other_square = (
        sum(_inner_product(left, right) for left, right in zip(lefts, rights, strict=True))
        for lefts, rights in ((gradient, other), (gradient, gradient), (other, other)))
    if square > 0 and other_square > 0:
        return inner / (square * other_square) ** 0.5
    return 1.0 if square == other_square else math.nan


def _inner_product(left: Tensor, right: Tensor) -> float:
    """Without the products themselves in memory, which for a large layer are as many as its weights."""
    left, right = (values.reshape(-1) for values in torch.broadcast_tensors(left, right))
    return sum(float(some.float() @ others.float())
               for some, others in zip(left.split(_AT_ONCE), right.split(_AT_ONCE), strict=True))
