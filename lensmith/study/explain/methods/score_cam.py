"""Score-CAM."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.study.explain.activation_map import joined
from lensmith.study.explain.subject import Subject


@torch.no_grad()
def score_cam(subject: Subject, picture: Tensor) -> Tensor:
    """Score-CAM (Wang et al. 2020, arXiv 1910.01279): relu(sum_k w_k A_k), w the softmax of the scores of the picture
    seen through each A_k, brought to 0 .. 1; where a mask is 0 stands the mean colour. One run a channel."""
    _, maps = subject.maps(picture[None])
    return joined([_weighed(subject, picture, one[0]) for one in maps], (picture.shape[1], picture.shape[2]))


def _weighed(subject: Subject, picture: Tensor, maps: Tensor) -> Tensor:
    def seen_through() -> Iterator[Tensor]:
        for one in maps:
            mask = F.interpolate(one[None, None], (picture.shape[1], picture.shape[2]), mode="bilinear",
                                 align_corners=True)[0]    # as pytorch-grad-cam, with which it is compared
            mask = (mask - mask.min()) / (mask.max() - mask.min()).clamp(min=1e-8)
            yield subject.blank + (picture - subject.blank) * mask

    weights = subject.scores(seen_through()).softmax(0)
    return (weights[:, None, None] * maps).sum(0).relu()
