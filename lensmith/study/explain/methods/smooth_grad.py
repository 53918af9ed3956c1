"""SmoothGrad: saliency without its noise."""

import torch
from torch import Tensor

from lensmith.study.explain.subject import Subject


def smooth_grad(subject: Subject, picture: Tensor, *, samples: int = 25, noise: float = 0.15) -> Tensor:
    """The mean slope over pictures with noise, the largest over the channels without its sign (Smilkov et al. 2017,
    arXiv 1706.03825).

    samples: pictures with noise.
    noise: standard deviation of the noise, as a fraction of the picture's range.
    """
    drawn = torch.Generator().manual_seed(subject.seed)
    deviation = noise * (picture.max() - picture.min())
    total = torch.zeros_like(picture)
    for _ in range(samples):
        noise_drawn = torch.randn(picture.shape, generator=drawn).to(picture.device)
        total += subject.gradient(picture + deviation * noise_drawn)
    return (total / samples).abs().amax(0)
