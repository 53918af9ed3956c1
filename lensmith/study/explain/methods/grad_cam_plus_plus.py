"""Grad-CAM++."""

from torch import Tensor

from lensmith.study.explain.activation_map import from_gradients
from lensmith.study.explain.subject import Subject

_LEAST = 1e-6    # of a divisor


def grad_cam_plus_plus(subject: Subject, picture: Tensor) -> Tensor:
    """Grad-CAM++ (Chattopadhay et al. 2018, arXiv 1710.11063): as Grad-CAM, with w_k = sum_ij a_ij relu(g_ij) and
    a_ij = g_ij^2 / (2 g_ij^2 + g_ij^3 sum A_k), g = d score / d A_k, by which each of several objects counts."""
    return from_gradients(subject, picture, _combine)


def _combine(maps: Tensor, slopes: Tensor) -> Tensor:
    squares = slopes.square()
    shares = squares / (2 * squares + maps.sum((1, 2), keepdim=True) * slopes * squares + _LEAST)
    shares = shares.where(slopes != 0, 0.0)
    return ((shares * slopes.relu()).sum((1, 2), keepdim=True) * maps).sum(0)
