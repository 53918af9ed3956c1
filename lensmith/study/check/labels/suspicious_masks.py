"""Masks of which a part is likely wrong, told from a network's probabilities of every pixel."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lensmith.values.semantic_mask import IGNORED

_TEMPERATURE = 0.1     # of the soft minimum: Lad and Mueller 2023, "Estimating label quality and errors in semantic
                       # segmentation data via any model", arXiv 2307.05080
_LEAST_PIXELS = 16     # that a part has to have to be spoken of: outlines are never exact
_LEAST_FRACTION = 5e-4    # and this fraction of the picture


@dataclass(frozen=True)
class SuspiciousMask:
    """The pair of classes in which a mask and a network differ most."""

    score: float       # 0 .. 1; high is suspicious
    given: int         # the class of these pixels in the mask
    suggested: int     # that of the network
    pixels: int        # that it is surely about
    box: tuple[int, int, int, int]    # x0 y0 x1 y1 around them, in pixels of the network's picture


class ClassConfidence:
    """The mean probability of each class over the pixels that are annotated so, gathered picture by picture: from it
    on a pixel counts as surely of the class, as in confident learning."""

    def __init__(self, classes: int):
        self.totals, self.counts = torch.zeros(classes, dtype=torch.float64), torch.zeros(classes, dtype=torch.int64)

    def update(self, mask: Tensor, probabilities: Tensor) -> None:
        """Count one picture: `mask` uint8 [height, width], `probabilities` float [classes, height, width]."""
        known = mask != IGNORED
        labels = mask[known].long()
        own = probabilities.permute(1, 2, 0)[known].gather(1, labels[:, None])[:, 0]
        self.totals.index_add_(0, labels, own.double())
        self.counts += torch.bincount(labels, minlength=len(self.counts))

    def thresholds(self) -> Tensor:
        """float32 [classes]; infinite for a class that no pixel has."""
        return torch.where(self.counts > 0, self.totals / self.counts.clamp(min=1), torch.inf).float()


def suspicious_part(mask: Tensor, probabilities: Tensor, thresholds: Tensor) -> SuspiciousMask | None:
    """The part of a mask that is the most suspicious; None where network and mask agree but for outlines.

    Pixels differ where the network is sure of another class than the mask's. The score of a class is the fraction of
    its pixels, those of the mask and those that the network is sure of, in which the two differ: 1 less the IoU of the
    class, in which only what is sure counts against the mask. The score of the mask is that of its worst class.
    """
    sure = probabilities >= thresholds[:, None, None]
    likeliest = torch.where(sure, probabilities, -1.0).argmax(0)
    known = mask != IGNORED
    differ = known & sure.any(0) & (likeliest != mask.long())
    least = max(_LEAST_PIXELS, _LEAST_FRACTION * mask.numel())
    classes = len(probabilities)
    pairs = torch.bincount(mask[differ].long() * classes + likeliest[differ], minlength=classes**2).view(classes, -1)
    if int(pairs.max()) < least:
        return None
    annotated = torch.bincount(mask[known].long(), minlength=classes)
    union = (annotated + pairs.sum(0)).clamp(min=1)
    scores = torch.where(pairs >= least, pairs / torch.minimum(union[:, None], union[None]), 0.0)
    given, suggested = divmod(int(scores.argmax()), classes)
    of_pair = differ & (mask == given) & (likeliest == suggested)
    rows, columns = of_pair.any(1).nonzero()[:, 0], of_pair.any(0).nonzero()[:, 0]
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    score = min(1.0, float(scores[given, suggested]))
    return SuspiciousMask(score, given, suggested, int(pairs[given, suggested]), box)


def soft_minimum(mask: Tensor, probabilities: Tensor) -> float:
    """The quality of a mask: the soft minimum of the probabilities p that its pixels' own classes have,
    sum p exp((1 - p) / t) / sum exp((1 - p) / t). Low is suspicious; 1 where no pixel is known."""
    known = mask != IGNORED
    own = probabilities.gather(0, mask.long().clamp(max=len(probabilities) - 1)[None])[0][known].double()
    if not len(own):
        return 1.0
    weights = torch.softmax((1 - own) / _TEMPERATURE, 0)
    return float((own * weights).sum())
