"""The worst errors of an evaluation, as small pictures with the truth and the prediction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from lensmith.base.atomic_files import write_atomic
from lensmith.base.errors import UserError
from lensmith.base.viewing import viewable
from lensmith.data.sources.sample import Batch
from lensmith.study.report.errors import ERRORS
from lensmith.values.value import Value

SMALLEST, LARGEST = 96, 192    # pixels of a saved picture's longer edge
DRAWN_ON = (192, 320)          # the same, where the values are drawn on it
_GAP = 6                       # pixels between pictures side by side


@dataclass(frozen=True)
class Error:
    """One picture on which the network was wrong."""

    score: float        # how wrong; larger is worse
    number: int         # of the picture in the order of the evaluation, which settles ties
    image: Tensor       # as in the batch, [channels, height, width]
    file: str
    truth: Value        # single
    predicted: Value    # single


class WorstErrors:
    """Sees each batch of an evaluation with its predictions and keeps, for each target, the `keep` worst errors.

    How wrong a prediction is depends on its kind (`study/report/errors/`): a wrong label by its probability, wrong tags
    by the sum over the tags of |score - truth|, numbers by their largest error over the quantities, in standard
    deviations of the truth of all pictures seen. Boxes count by how many were missed and the sum of the scores of those
    found in vain, at an IoU of 0.5 and from a score of 0.25 on; objects with their pixels likewise, by the IoU of
    these. A mask counts by the fraction of its known pixels that were taken for another class.
    """

    def __init__(self, needs: tuple[str, ...], classes: Mapping[str, Sequence[str]], *, keep: int = 24):
        """`classes`: target name -> the names of its classes, tags or quantities."""
        self.needs, self.classes, self.keep = needs, classes, keep
        self.kept: dict[tuple[str, int], list[Error]] = {}    # (target, column of `how_wrong`) -> the worst errors
        self.moments: dict[str, Tensor] = {}                  # float64 [3, columns]: count, mean, sum of squares
        self.seen = 0

    def update(self, batch: Batch, predictions: dict[str, Value]) -> None:
        """Look at one batch. Raises UserError for a target whose errors have no picture here."""
        for name in self.needs:
            if name not in batch.targets:
                continue
            truth, predicted = batch.targets[name].to("cpu"), predictions[name].to("cpu")
            if truth.kind not in ERRORS or predicted.kind != truth.kind:
                raise UserError(f"the worst errors of {truth.kind} targets cannot be shown: "
                                "only those of labels, tags, numbers, boxes and masks can")
            errors = ERRORS[truth.kind]
            badness = errors.how_wrong(truth, predicted, len(batch), len(self.classes[name]))
            if errors.scaled_by is not None:
                # Which pictures are worst in one column does not depend on its standard deviation, which is known only
                # at the end: the worst overall are among the worst of each column.
                self._add_moments(name, errors.scaled_by(truth).double())
            for column in range(badness.shape[1]):
                self._consider((name, column), badness[:, column], batch, truth=truth, predicted=predicted)
        self.seen += len(batch)

    def _consider(self, key: tuple[str, int], badness: Tensor, batch: Batch, *, truth: Value,
                  predicted: Value) -> None:
        kept = self.kept.setdefault(key, [])
        least = kept[-1].score if len(kept) == self.keep else 0.0
        rows = (badness > least).nonzero()[:, 0]
        rows = rows[badness[rows].argsort(descending=True, stable=True)[: self.keep]]
        for row in rows.tolist():
            file = batch.places[row].file if batch.places else f"picture {self.seen + row}"
            # A view would hold the whole batch in memory.
            kept.append(Error(badness[row].item(), self.seen + row, batch.images[row].cpu().clone(), file, truth[row],
                              predicted[row]))
        kept.sort(key=_worst_first)
        del kept[self.keep:]

    def _add_moments(self, name: str, values: Tensor) -> None:
        """Merge a batch's `values`, float64 [pictures, columns], into a target's moments (Chan, Golub and LeVeque
        1979)."""
        known = ~values.isnan()
        count, mean = known.sum(0).double(), values.nanmean(0).nan_to_num()
        squares = torch.where(known, values - mean, 0.0).square().sum(0)
        if name in self.moments:
            count_before, mean_before, squares_before = self.moments[name]
            total = count_before + count
            shift = mean - mean_before
            fraction = count / total.clamp(min=1)
            squares = squares_before + squares + shift.square() * count_before * fraction
            mean, count = mean_before + shift * fraction, total
        self.moments[name] = torch.stack((count, mean, squares))

    def errors(self, name: str) -> list[Error]:
        """The worst errors of a target, worst first; those of numbers scored in standard deviations."""
        if name not in self.moments:
            return list(self.kept.get((name, 0), []))
        count, _, squares = self.moments[name]
        deviation = (squares / count.clamp(min=1)).sqrt()
        # A quantity that never changes has no standard deviation to measure by; its own unit serves.
        deviation = torch.where(deviation > 0, deviation, 1.0)
        worst: dict[int, Error] = {}
        for column, unit in enumerate(deviation.tolist()):
            for error in self.kept.get((name, column), []):
                score = error.score / unit
                if error.number not in worst or score > worst[error.number].score:
                    worst[error.number] = replace(error, score=score)
        return sorted(worst.values(), key=_worst_first)[: self.keep]

    def save(self, folder: Path, *, name: str = "worst") -> list[dict[str, Any]]:
        """Write `worst-00.png`, ... into `folder` and give a row for each, worst first, target by target.

        A row is {picture (the file written), file (where it came from), target, kind, truth, predicted, score}; `kind`
        is what the target is, as `boxes`, whatever its name.
        """
        folder.mkdir(parents=True, exist_ok=True)
        rows: list[dict[str, Any]] = []
        for target in self.needs:
            for error in self.errors(target):
                picture, names = f"{name}-{len(rows):02d}.png", self.classes[target]
                _write(folder / picture, _drawn(error, names))
                truth, predicted = ERRORS[error.truth.kind].both_in_words(error.truth, error.predicted, names)
                rows.append({"picture": picture, "file": error.file, "target": target, "kind": error.truth.kind,
                             "truth": truth, "predicted": predicted, "score": error.score})
        return rows


def _drawn(error: Error, names: Sequence[str]) -> Image.Image:
    """The picture, or what its kind draws of it, side by side."""
    draw = ERRORS[error.truth.kind].draw_both
    if draw is None:
        return viewable(error.image, least=SMALLEST, most=LARGEST)
    picture = viewable(error.image, least=DRAWN_ON[0], most=DRAWN_ON[1])
    pictures = draw(picture, error.truth, error.predicted, names, (error.image.shape[1], error.image.shape[2]))
    sheet = Image.new("RGB", (len(pictures) * (picture.width + _GAP) - _GAP, picture.height), "white")
    for number, drawn in enumerate(pictures):
        sheet.paste(drawn, (number * (picture.width + _GAP), 0))
    return sheet


def _worst_first(error: Error) -> tuple[float, int]:
    return -error.score, error.number


def _write(path: Path, picture: Image.Image) -> None:
    write_atomic(path, lambda aside: picture.save(aside, format="PNG"))
