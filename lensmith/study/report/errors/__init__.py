"""How wrong predictions are told and shown, one file a kind of target, and the table of all kinds."""

from lensmith.study.report.errors import boxes, instance_masks, label, numbers, semantic_mask, tags
from lensmith.study.report.errors.error_kind import ErrorKind

ERRORS: dict[str, ErrorKind] = {
    "label": ErrorKind(
        label.how_wrong, label.both_in_words,
        "Where the network was wrong and most sure of it: the truth, then what it said."),
    "tags": ErrorKind(
        tags.how_wrong, tags.both_in_words,
        "Where the scores of the tags were furthest from the truth: the truth, then what the network said.",
        score="summed error {:.2f}"),
    "numbers": ErrorKind(
        numbers.how_wrong, numbers.both_in_words,
        "Where a number was furthest off, in standard deviations of the truth: the truth, then what was said.",
        score="{:.1f} deviations off", scaled_by=numbers.scaled_by),
    "boxes": ErrorKind(
        boxes.how_wrong, boxes.both_in_words,
        "Where most was missed or found in vain: the truth on the left, what was found with a score of 0.25 or more on "
        "the right. A box that was missed counts 1, one found in vain its score.",
        score="errors {:.1f}", draw_both=boxes.draw_both),
    "mask": ErrorKind(
        semantic_mask.how_wrong, semantic_mask.both_in_words,
        "Where the largest fraction of the pixels was wrong: the picture, the truth and what was found. What was not "
        "known to be of a class is left as it is.",
        score="{:.1%} of the pixels wrong", draw_both=semantic_mask.draw_both),
    "masks": ErrorKind(
        boxes.how_wrong, boxes.both_in_words,
        "Where most was missed or found in vain: the truth on the left, what was found with a score of 0.25 or more on "
        "the right. An object whose pixels were missed counts 1, one found in vain its score.",
        score="errors {:.1f}", draw_both=instance_masks.draw_both),
}
