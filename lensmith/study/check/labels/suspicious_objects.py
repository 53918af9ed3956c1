"""Findings on boxes and masks that a trained run contradicts in pictures that it never learned from."""

from collections.abc import Iterator, Sequence

from lensmith.base.errors import count
from lensmith.base.pictures import Place
from lensmith.study.check.finding import Finding, Pictured
from lensmith.study.check.known_set import KnownSet
from lensmith.study.check.labels.held_out import HeldOut, JudgedMask
from lensmith.study.check.labels.suspicious_boxes import (
    MISPLACED,
    NOTHING,
    OTHER_CLASS,
    OVERLOOKED,
    SuspiciousBox,
    suspicious_boxes,
)
from lensmith.values import of_kind

BOX_KINDS, MASK_KINDS = ("suspicious-box", "doubtful-box"), ("suspicious-mask", "doubtful-mask")
_LIKELY, _LOOKED_AT = 0.5, 0.25    # scores from which a box or mask is likely wrong, and is worth a look
_LISTED = 2_000                    # boxes or masks that a finding lists at most
_SENTENCES = {
    OVERLOOKED: "no box where a {suggested} is seen",
    OTHER_CLASS: "labelled {given}, rather {suggested}",
    MISPLACED: "the box of a {given} lies beside what is seen",
    NOTHING: "a box of a {given} around nothing that is seen",
}


def suspicious_boxes_of_run(known: KnownSet) -> Iterator[Finding]:
    """The boxes that the run contradicts, the most suspicious first; nothing without a run."""
    held_out = known.held_out
    for target in _common(known, held_out, "boxes", "masks"):
        assert held_out is not None
        names = held_out.classes[target]
        annotated, predicted = held_out.boxes(target)
        pictured = [_of_box(known, held_out, box, names) for box in suspicious_boxes(annotated, predicted, len(names))
                    if box.score >= _LOOKED_AT]
        yield from _findings("suspicious-boxes", BOX_KINDS, "box", pictured, held_out)


def suspicious_masks_of_run(known: KnownSet) -> Iterator[Finding]:
    """The masks of which the run contradicts a part, the most suspicious first; nothing without a run."""
    held_out = known.held_out
    for target in _common(known, held_out, "mask"):
        assert held_out is not None
        pictured = [_of_mask(known, mask, held_out.classes[target]) for mask in held_out.masks(target)
                    if mask.part is not None and mask.part.score >= _LOOKED_AT]
        pictured.sort(key=lambda one: -(one.score or 0))
        yield from _findings("suspicious-masks", MASK_KINDS, "mask", pictured, held_out)


def _common(known: KnownSet, held_out: HeldOut | None, *kinds: str) -> list[str]:
    """The targets of these kinds that the set has and the run predicts."""
    return [] if held_out is None else [target for target in of_kind(known.first.targets, *kinds)
                                        if target in held_out.targets]


def _of_box(known: KnownSet, held_out: HeldOut, box: SuspiciousBox, names: Sequence[str]) -> Pictured:
    words = _SENTENCES[box.fault].format(given="" if box.given is None else names[box.given],
                                         suggested="" if box.suggested is None else names[box.suggested])
    corners = [corners for corners in (box.given_corners, box.suggested_corners) if corners is not None]
    drawn = tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in (tuple(edges.tolist()) for edges in corners))
    return Pictured((known.at(known.row_of(held_out.paths[box.row])),), (words,), box.score, drawn)


def _of_mask(known: KnownSet, mask: JudgedMask, names: Sequence[str]) -> Pictured:
    part = mask.part
    assert part is not None
    words = f"{part.pixels:,} pixels of {names[part.given]} as the network has them, rather {names[part.suggested]}; "\
        f"quality of the mask {mask.quality:.2g}"
    return Pictured((known.at(known.row_of(mask.place.file)),), (words,), part.score, (_in_file(part.box, mask.place),))


def _findings(check: str, kinds: tuple[str, str], noun: str, pictured: Sequence[Pictured],
              held_out: HeldOut) -> Iterator[Finding]:
    """The likely ones, and those that are worth a look, of a ranking."""
    likely = [one for one in pictured if (one.score or 0) >= _LIKELY]
    others = pictured[len(likely) :]
    by = f"told by {held_out.name} from {count(len(held_out.paths), 'picture')} that it never learned from"
    if likely:
        yield Finding(check, kinds[0], "warning", f"{count(len(likely), noun)} {'is' if len(likely) == 1 else 'are'} "
                      f"likely wrong or lacking: {by}", tuple(likely[:_LISTED]),
                      count=len(likely), leave_out=tuple(dict.fromkeys(one.pictures[0] for one in likely)))
    if others:
        yield Finding(check, kinds[1], "note", f"{count(len(others), 'more ' + noun)} "
                      f"{'is' if len(others) == 1 else 'are'} worth a look: {by}", tuple(others[:_LISTED]),
                      count=len(others))


def _in_file(box: tuple[int, int, int, int], place: Place) -> tuple[float, float, float, float]:
    """A box in pixels of the network's picture as one in those of its file."""
    scale_x, scale_y, left, top = place.fit
    height, width = place.size
    return (max(0.0, (box[0] - left) / scale_x), max(0.0, (box[1] - top) / scale_y),
            min(float(width), (box[2] - left) / scale_x), min(float(height), (box[3] - top) / scale_y))
