"""Score-CAM."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.study.explain.activation_map import joined
from lensmith.study.explain.subject import Subject

_FLAT = 1e-8    # the range of a map from which its picture is a blank one: many channels say nothing of a picture


@torch.no_grad()
def score_cam(subject: Subject, picture: Tensor) -> Tensor:
    """Score-CAM (Wang et al. 2020, arXiv 1910.01279): relu(sum_k w_k A_k), w the softmax of the scores of the picture
    seen through each A_k, brought to 0 .. 1; where a mask is 0 stands the mean colour. One run a channel, and one for
    all channels that are flat."""
    _, maps = subject.maps(picture[None])
    return joined([_weighed(subject, picture, one[0]) for one in maps], (picture.shape[1], picture.shape[2]))


def _weighed(subject: Subject, picture: Tensor, maps: Tensor) -> Tensor:
    cells = maps.flatten(1)
    alive = (cells.amax(1) - cells.amin(1) > _FLAT).cpu()

    def seen_through() -> Iterator[Tensor]:
        for one in maps[alive]:
            mask = F.interpolate(one[None, None], (picture.shape[1], picture.shape[2]), mode="bilinear",
                                 align_corners=True)[0]    # as pytorch-grad-cam, with which it is compared
            low, high = mask.aminmax()
            yield torch.lerp(subject.blank, picture, (mask - low) / (high - low))
        yield subject.blank.expand_as(picture)

    seen = subject.scores(seen_through())
    scores = seen[-1].repeat(len(maps))
    scores[alive] = seen[:-1]
    weights = scores.softmax(0).to(maps)
    return (weights[:, None, None] * maps).sum(0).relu()
