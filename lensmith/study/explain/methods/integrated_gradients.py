"""Integrated gradients."""

import numpy as np
import torch
from torch import Tensor

from lensmith.study.explain.subject import Subject


def integrated_gradients(subject: Subject, picture: Tensor, *, steps: int = 50) -> Tensor:
    """Integrated gradients (Sundararajan, Taly and Yan 2017, arXiv 1703.01365): the slopes on the straight way from a
    picture of the mean colour to this one, times the way, summed over the channels. Over all pixels they add up to the
    difference of the two scores.

    steps: of the Gauss-Legendre quadrature along the way.
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    start = subject.blank.expand_as(picture)
    total = torch.zeros_like(picture)
    for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
        total += weight / 2 * subject.gradient(start + (node + 1) / 2 * (picture - start))
    return (total * (picture - start)).sum(0)
