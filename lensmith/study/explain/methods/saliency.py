"""Saliency: the slope by each pixel."""

from torch import Tensor

from lensmith.study.explain.subject import Subject


def saliency(subject: Subject, picture: Tensor) -> Tensor:
    """The slope of the score by each pixel, the largest over its channels without their signs (Simonyan, Vedaldi and
    Zisserman 2013, arXiv 1312.6034)."""
    return subject.gradient(picture).abs().amax(0)
