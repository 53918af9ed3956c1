"""What changed between two runs: which classes gained and lost, and which pictures only one of them gets right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lensmith.study.compare.same_pictures import SamePictures
from lensmith.tasks.metrics.differences import LEVEL, ScoreDifference, holm, resampled_difference

MOST_PICTURES = 12    # of each side, those where the two differ most
_SAMPLES = 300        # of the pictures, for the standard error of a class


@dataclass(frozen=True)
class ClassChange:
    """A class as two runs have it, by the `class_metric` of its kind."""

    name: str
    first: float
    second: float
    difference: ScoreDifference    # the first less the second
    p: float                       # corrected for the number of classes (Holm)

    @property
    def beyond_noise(self) -> bool:
        return self.p < LEVEL


@dataclass(frozen=True)
class PictureChange:
    """A picture that one of two runs answers better than the other."""

    file: str
    row: int           # among the pictures that both have
    truth: str
    first: str         # what the first run said
    second: str
    by: float          # how much better the first is; below 0 the second


def class_changes(same: SamePictures, first: int, second: int) -> tuple[str, list[ClassChange]]:
    """The name of the metric, and the classes that both know, from the largest gain of the first run to its largest
    loss; none where the classes of the two are not the same."""
    ours, others = same.answers[first], same.answers[second]
    metric = ours.counts.class_metric
    if ours.names != others.names:
        return metric, []
    everything, drawn = np.ones((1, len(same))), same.samples(2, most=_SAMPLES)
    values, draws = ([answers.counts.by_class(answers.columns, same.weights(run, weights), len(answers.names))
                      for run, answers in ((first, ours), (second, others))] for weights in (everything, drawn))
    differences = [resampled_difference(float(values[0][0, number] - values[1][0, number]),
                                        draws[0][:, number] - draws[1][:, number], len(same))
                   for number in range(len(ours.names))]
    corrected = holm([difference.p for difference in differences])
    rows = [ClassChange(name, float(values[0][0, number]), float(values[1][0, number]), differences[number],
                        corrected[number])
            for number, name in enumerate(ours.names) if np.isfinite(differences[number].value)]
    less = metric == "MAE"
    return metric, sorted(rows, key=lambda row: row.difference.value if less else -row.difference.value)


def picture_changes(same: SamePictures, first: int, second: int, *,
                    most: int = MOST_PICTURES) -> tuple[list[PictureChange], list[PictureChange]]:
    """The pictures that the first run answers better, and those that the second does, the most different first."""
    by = _ahead(same, first, second)
    order = np.argsort(-np.nan_to_num(by), kind="stable")
    better = [row for row in order[:most].tolist() if by[row] > 0]
    worse = [row for row in order[::-1][:most].tolist() if by[row] < 0]
    return [_picture(same, first, second, row, float(by[row])) for row in better], \
        [_picture(same, first, second, row, float(by[row])) for row in worse]


def _ahead(same: SamePictures, first: int, second: int) -> np.ndarray:
    """float [pictures]: how much better the first run answers each; NaN where that is not known."""
    with np.errstate(invalid="ignore"):    # an answer of a network that diverged may be infinite
        return same.right(first) - same.right(second)


def _picture(same: SamePictures, first: int, second: int, row: int, by: float) -> PictureChange:
    said = [answers.counts.say(answers.columns, int(same.rows[run][row]), answers.names)
            for run, answers in ((first, same.answers[first]), (second, same.answers[second]))]
    return PictureChange(same.files[row], row, said[0][0], said[0][1], said[1][1], by)


def pictures_by_side(same: SamePictures, first: int, second: int) -> Sequence[int]:
    """How many pictures only the first run gets right, and how many only the second does; by how far each is right."""
    by = _ahead(same, first, second)
    return int((by > 0).sum()), int((by < 0).sum())
