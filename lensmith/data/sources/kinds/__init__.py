"""What a data set has to know of each kind of target, one file a kind, and the table of all kinds."""

from lensmith.data.sources.kinds import boxes, instance_masks, label, numbers, semantic_mask, tags
from lensmith.data.sources.kinds.target_kind import TargetKind

# A set is divided by the first kind with strata that it has.
TARGETS: dict[str, TargetKind] = {
    "label": TargetKind(label.spread, label.known, label.per_class, label.strata),
    "tags": TargetKind(tags.spread, tags.known, tags.per_class, known_in_words=tags.known_in_words),
    "numbers": TargetKind(numbers.spread, numbers.known, strata=numbers.strata, known_in_words=numbers.known_in_words),
    "boxes": TargetKind(boxes.spread, boxes.known, boxes.per_class, boxes.strata, known_in_words=boxes.known_in_words),
    "mask": TargetKind(semantic_mask.spread, semantic_mask.known, to_form=semantic_mask.to_form,
                       known_in_words=semantic_mask.known_in_words),
    "masks": TargetKind(boxes.spread, boxes.known, boxes.per_class, boxes.strata, instance_masks.to_form,
                        instance_masks.known_in_words),
}
