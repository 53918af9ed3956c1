"""Occlusion: what is missed where a patch is covered."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lensmith.study.explain.partly_changed import PartlyChanged, Spans
from lensmith.study.explain.subject import Subject

_MORE = 2           # times as many pictures at once as are computed whole: what they share is computed once a batch
_ROUNDING = 1e-3    # of a score, by which it may differ when only what a patch changes is computed


@torch.no_grad()
def occlusion(subject: Subject, picture: Tensor, *, patches: int = 8) -> Tensor:
    """What the score loses where a square patch is covered by the mean colour (Zeiler and Fergus 2013, arXiv
    1311.2901); of a pixel the mean over the patches that cover it, each half a patch from the next.

    patches: how many of them, side by side, fill the shorter edge.
    """
    height, width = picture.shape[1:]
    edge = max(1, min(height, width) // patches)
    places = [(top, left) for top in _starts(height, edge) for left in _starts(width, edge)]
    lost = subject.scores([picture])[0] - _scores(subject, picture, places, edge)
    total, times = torch.zeros(height, width), torch.zeros(height, width)
    for (top, left), loss in zip(places, lost, strict=True):
        total[top : top + edge, left : left + edge] += loss
        times[top : top + edge, left : left + edge] += 1
    return total / times


def _starts(length: int, edge: int) -> list[int]:
    """Where patches begin along an axis: half a patch apart, the last one at the end."""
    starts = list(range(0, length - edge + 1, max(1, edge // 2)))
    return starts if starts[-1] == length - edge else [*starts, length - edge]


def _scores(subject: Subject, picture: Tensor, places: Sequence[tuple[int, int]], edge: int) -> Tensor:
    """float [places]: the score of the picture with the patch at each place covered.

    On a CPU only what the patch can change is computed, where that gives what the whole picture gives, which one of
    them tells: a network of the user's own may do anything with its maps.
    """
    if picture.device.type == "cpu":
        middle = len(places) // 2
        expected = subject.scores([_covered(subject, picture, *places[middle], edge)])[0]
        try:
            found = _scores_of_changes(subject, picture, places, edge)
        except (RuntimeError, TypeError, ValueError, AttributeError, AssertionError):
            pass    # it takes maps apart in a way that is not followed
        else:
            if abs(found[middle] - expected) <= _ROUNDING * abs(expected):
                return found
    return subject.scores(_covered(subject, picture, top, left, edge) for top, left in places)


def _covered(subject: Subject, picture: Tensor, top: int, left: int, edge: int) -> Tensor:
    hidden = picture.clone()
    hidden[:, top : top + edge, left : left + edge] = subject.blank
    return hidden


def _scores_of_changes(subject: Subject, picture: Tensor, places: Sequence[tuple[int, int]], edge: int) -> Tensor:
    patch = subject.blank.expand(-1, edge, edge)
    scores, at_once = [], _MORE * subject.at_once(picture)
    for first in range(0, len(places), at_once):
        some = places[first : first + at_once]
        tops, lefts = zip(*some, strict=True)
        scores.append(subject.scores_of_batch(PartlyChanged.of(
            picture[None].clone(), patch.repeat(len(some), 1, 1, 1), Spans(tops, edge), Spans(lefts, edge))))
    return torch.cat(scores)
