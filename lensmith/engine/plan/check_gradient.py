"""Whether a candidate learns what plain float32 learns: its loss and gradient on one batch beside those of float32."""

import math
from collections.abc import Callable, Sequence

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


class GradientCheck:
    """Compares candidates with plain float32 on one batch.

    With the loss L and the gradient g of float32, a candidate with the loss l and the gradient h passes where

        |l - L| <= 0.01 + 0.02 |L|   and   cos(g, h) = <g, h> / (|g| |h|) >= c,

    c = 0.999 in float32 and 0.9 in 16 bits, all parameters taken together as one vector. The distance |g - h| / |g| is
    no measure: at the first weights it is 0.1 to 0.4 in 16 bits for ResNet-18, and training does not suffer from it.

    A network may draw random numbers in a way that `Trial.gradient` cannot switch off. Then two float32 passes differ
    too, and both bounds are widened by twice their difference.
    """

    def __init__(self, reference: Trial, batch: Batch, *, again: Callable[[], Trial]):
        """`reference` is the plain float32 trial, and `again` makes another one of the same plan."""
        self.batch, self.again = batch, again
        self.loss, self.gradient = reference.gradient(batch)
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
        """(difference of the losses, 1 - cosine of the gradients) of two float32 passes with other random numbers."""
        if self._noise is None:
            trial = self.again()
            (loss, gradient), (other_loss, other) = (trial.gradient(self.batch, seed=seed) for seed in (0, 1))
            cosine = gradient_cosine(gradient, other)
            self._noise = abs(loss - other_loss), 0.0 if math.isnan(cosine) else 1 - cosine
        return self._noise


def gradient_cosine(gradient: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """cos(g, h) = <g, h> / (|g| |h|), all parameters taken together as one vector. 1 where both are zero, NaN where
    only one of them is, or where either holds a NaN."""
    inner, square, other_square = (
        sum(float((left * right).sum()) for left, right in zip(lefts, rights, strict=True))
        for lefts, rights in ((gradient, other), (gradient, gradient), (other, other)))
    if square > 0 and other_square > 0:
        return inner / (square * other_square) ** 0.5
    return 1.0 if square == other_square else math.nan
