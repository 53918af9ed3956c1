"""The worst errors of an evaluation, as small pictures with the truth and what was said."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from lensmith.base.atomic_files import write_atomic
from lensmith.base.errors import UserError
from lensmith.base.viewing import viewable
from lensmith.data.sources.sample import Batch
from lensmith.tasks.metrics.box_matching import right_and_wrong
from lensmith.values.boxes import Boxes
from lensmith.values.drawing import draw_boxes, draw_mask, draw_masks, surest
from lensmith.values.instance_masks import Masks
from lensmith.values.labels import UNKNOWN, Label, Numbers, Tags
from lensmith.values.semantic_mask import IGNORED, Mask
from lensmith.values.value import Value

SMALLEST, LARGEST = 96, 192    # pixels of a saved picture's longer edge
DRAWN_ON = (192, 320)          # the same, where boxes or a mask are drawn on it
SHOWN = 0.25                   # the least score of a found box that counts and is drawn
_GAP = 6                       # pixels between the truth and what was found


@dataclass(frozen=True)
class Error:
    """One picture on which the network was wrong."""

    score: float       # how wrong; larger is worse
    number: int        # of the picture in the order of the evaluation, which settles ties
    image: Tensor      # as in the batch, [channels, height, width]
    file: str
    truth: Value       # single
    found: Value       # single


class Worst:
    """Sees each batch of an evaluation with its predictions and keeps, for each target, the `keep` worst errors.

    A wrong label is the worse the surer it was; wrong tags by the sum over the tags of |score - truth|; numbers by
    their largest error over the quantities, in standard deviations of the truth of all pictures seen; boxes by how many
    were missed and the sum of the scores of those found in vain, at an IoU of 0.5 and from a score of 0.25 on, and
    likewise objects with their pixels, by the IoU of these; a mask by the share of its known pixels that were taken for
    another class.
    """

    def __init__(self, needs: tuple[str, ...], classes: Mapping[str, Sequence[str]], *, keep: int = 24):
        """`classes`: target name -> the names of its classes, tags or quantities."""
        self.needs, self.classes, self.keep = needs, classes, keep
        self.kept: dict[tuple[str, int], list[Error]] = {}    # of a target; of numbers, of each of its quantities
        self.moments: dict[str, Tensor] = {}                  # float64 [3, quantities]: count, mean, sum of squares
        self.seen = 0

    def update(self, batch: Batch, predictions: dict[str, Value]) -> None:
        """Look at one batch. Raises UserError for a target whose errors have no picture here."""
        for name in self.needs:
            if name not in batch.targets:
                continue
            truth, found = batch.targets[name].to("cpu"), predictions[name].to("cpu")
            if isinstance(truth, Label) and isinstance(found, Label):
                badness = _label_errors(truth, found)[:, None]
            elif isinstance(truth, Tags) and isinstance(found, Tags):
                badness = _tag_errors(truth, found)[:, None]
            elif isinstance(truth, Numbers) and isinstance(found, Numbers):
                # Which pictures are worst in one quantity does not depend on its deviation, known only at the end:
                # the worst overall are among the worst of each quantity.
                badness = (found.values - truth.values).abs()
                self._count(name, truth.values.double())
            elif isinstance(truth, Boxes) and isinstance(found, Boxes):
                badness = _box_errors(truth, found, len(batch), len(self.classes[name]))[:, None]
            elif isinstance(truth, Mask) and isinstance(found, Mask):
                badness = _mask_errors(truth, found)[:, None]
            else:
                raise UserError(f"the worst errors of {type(truth).__name__.lower()} targets cannot be shown: "
                                "only those of labels, tags, numbers, boxes and masks can")
            for column in range(badness.shape[1]):
                self._consider((name, column), badness[:, column], batch, truth=truth, found=found)
        self.seen += len(batch)

    def _consider(self, key: tuple[str, int], badness: Tensor, batch: Batch, *, truth: Value, found: Value) -> None:
        kept = self.kept.setdefault(key, [])
        least = kept[-1].score if len(kept) == self.keep else 0.0
        rows = (badness > least).nonzero()[:, 0]
        rows = rows[badness[rows].argsort(descending=True, stable=True)[: self.keep]]
        for row in rows.tolist():
            file = batch.places[row].file if batch.places else f"picture {self.seen + row}"
            # A view would hold the whole batch in memory.
            kept.append(Error(badness[row].item(), self.seen + row, batch.images[row].cpu().clone(), file, truth[row],
                              found[row]))
        kept.sort(key=_worst_first)
        del kept[self.keep:]

    def _count(self, name: str, values: Tensor) -> None:
        """Add to a target's moments, merged by Chan, Golub and LeVeque 1979."""
        known = ~values.isnan()
        count, mean = known.sum(0).double(), values.nanmean(0).nan_to_num()
        squares = torch.where(known, values - mean, 0.0).square().sum(0)
        if name in self.moments:
            before, middle, spread = self.moments[name]
            total = before + count
            shift = mean - middle
            share = count / total.clamp(min=1)
            mean, squares = middle + shift * share, spread + squares + shift.square() * before * share
            count = total
        self.moments[name] = torch.stack((count, mean, squares))

    def errors(self, name: str) -> list[Error]:
        """The worst errors of a target, worst first; those of numbers scored in standard deviations."""
        if name not in self.moments:
            return list(self.kept.get((name, 0), []))
        count, _, squares = self.moments[name]
        deviation = (squares / count.clamp(min=1)).sqrt()
        # A quantity that never changes has no deviation to measure by; its own unit serves.
        deviation = torch.where(deviation > 0, deviation, 1.0)
        worst: dict[int, Error] = {}
        for column, unit in enumerate(deviation.tolist()):
            for error in self.kept.get((name, column), []):
                score = error.score / unit
                if error.number not in worst or score > worst[error.number].score:
                    worst[error.number] = Error(score, error.number, error.image, error.file, error.truth, error.found)
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
                picture = f"{name}-{len(rows):02d}.png"
                _write(folder / picture, _shown(error, self.classes[target]))
                truth, predicted = in_words(error.truth, error.found, self.classes[target])
                rows.append({"picture": picture, "file": error.file, "target": target,
                             "kind": type(error.truth).__name__.lower(), "truth": truth,
                             "predicted": predicted, "score": error.score})
        return rows


def _shown(error: Error, names: Sequence[str]) -> Image.Image:
    """The picture; of boxes the truth and what was found side by side, of masks the picture before these too."""
    if not isinstance(error.truth, Boxes | Mask):
        return viewable(error.image, least=SMALLEST, most=LARGEST)
    picture = viewable(error.image, least=DRAWN_ON[0], most=DRAWN_ON[1])
    if isinstance(error.truth, Boxes) and isinstance(error.found, Boxes):
        scale = picture.width / error.image.shape[2], picture.height / error.image.shape[1]
        sides = (error.truth, surest(error.found, SHOWN))
        drawn = [draw_masks(picture, one, names, width=error.image.shape[2], scale=scale) if isinstance(one, Masks)
                 else draw_boxes(picture, one, names, scale=scale) for one in sides]
    else:
        assert isinstance(error.truth, Mask) and isinstance(error.found, Mask)
        # What is void was not judged.
        judged = Mask(error.found.classes.long().where(error.truth.classes != IGNORED, IGNORED))
        drawn = [picture.convert("RGB"), *(draw_mask(picture, mask, names) for mask in (error.truth, judged))]
    sheet = Image.new("RGB", (len(drawn) * (picture.width + _GAP) - _GAP, picture.height), "white")
    for number, one in enumerate(drawn):
        sheet.paste(one, (number * (picture.width + _GAP), 0))
    return sheet


def _worst_first(error: Error) -> tuple[float, int]:
    return -error.score, error.number


def _write(path: Path, picture: Image.Image) -> None:
    write_atomic(path, lambda aside: picture.save(aside, format="PNG"))


def in_words(truth: Value, found: Value, names: Sequence[str]) -> tuple[str, str]:
    """The truth and the prediction of one picture as text."""
    if isinstance(truth, Label) and isinstance(found, Label):
        sure = f" ({found.scores.max().item():.0%})" if found.scores is not None else ""
        return names[int(truth.index)], names[int(found.index)] + sure
    if isinstance(truth, Tags) and isinstance(found, Tags):
        def said(present: Tensor) -> str:
            return ", ".join(name for name, on in zip(names, present.tolist(), strict=True) if on >= 0.5) or "none"
        return said(truth.present), said(found.present)
    if isinstance(truth, Boxes) and isinstance(found, Boxes):
        counted = [Counter(boxes.classes.tolist()) for boxes in (truth, surest(found, SHOWN))]
        said_of = [", ".join(f"{many} {names[number]}" for number, many in sorted(one.items())) or "nothing"
                   for one in counted]
        return said_of[0], said_of[1]
    if isinstance(truth, Mask) and isinstance(found, Mask):
        known = truth.classes != IGNORED
        return _covered(truth.classes[known], names), _covered(found.classes[known], names)
    assert isinstance(truth, Numbers) and isinstance(found, Numbers)
    texts = [", ".join(f"{name} {value:.4g}" for name, value in zip(names, numbers.tolist(), strict=True))
             for numbers in (truth.values, found.values)]
    return texts[0], texts[1]


def _covered(classes: Tensor, names: Sequence[str]) -> str:
    """The share of the pixels that each class has, the largest first, from half a percent on: `ground 81 %, disc 19 %`.
    """
    counts = torch.bincount(classes.long(), minlength=len(names))
    order = counts.argsort(descending=True, stable=True).tolist()
    shares = [(names[number], 100 * int(counts[number]) / max(1, len(classes))) for number in order]
    return ", ".join(f"{name} {share:.0f} %" for name, share in shares if share >= 0.5)


def _mask_errors(truth: Mask, found: Mask) -> Tensor:
    """float [batch]: the share of the known pixels that were taken for another class; 0 where none is known."""
    known = truth.classes != IGNORED
    wrong = known & (truth.classes.long() != found.classes.long())
    return wrong.sum((1, 2)) / known.sum((1, 2)).clamp(min=1)


def _box_errors(truth: Boxes, found: Boxes, pictures: int, classes: int) -> Tensor:
    """float [batch]: the true boxes that were missed, and the summed scores of those found where none is."""
    right, wrong = right_and_wrong(truth, found, pictures, classes, score=SHOWN)
    assert truth.image is not None
    there = torch.ones(len(truth.image), dtype=torch.bool) if truth.crowd is None else ~truth.crowd
    return torch.bincount(truth.image[there], minlength=pictures) - right + wrong


def _label_errors(truth: Label, found: Label) -> Tensor:
    """float [batch]: the probability of the wrong class that was said; 0 where right or not known."""
    wrong = (truth.index != found.index) & (truth.index != UNKNOWN)
    return wrong * (found.scores.amax(1) if found.scores is not None else torch.ones(len(wrong)))


def _tag_errors(truth: Tags, found: Tags) -> Tensor:
    """float [batch]: the summed distance of the scores to the truth; 0 where every known tag was said rightly."""
    known = ~truth.present.isnan()
    wrong = (((truth.present >= 0.5) != (found.present >= 0.5)) & known).any(1)
    scores = found.scores if found.scores is not None else found.present
    return wrong * torch.where(known, (scores - truth.present).abs(), 0.0).sum(1)
