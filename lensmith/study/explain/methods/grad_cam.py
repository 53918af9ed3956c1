"""Grad-CAM."""

from torch import Tensor

from lensmith.study.explain.activation_map import from_gradients
from lensmith.study.explain.subject import Subject


def grad_cam(subject: Subject, picture: Tensor) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391): relu(sum_k w_k A_k), w_k the mean of d score / d A_k."""
    return from_gradients(subject, picture, lambda maps, slopes: (slopes.mean((1, 2), keepdim=True) * maps).sum(0))
