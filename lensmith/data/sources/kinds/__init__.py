"""What a data set has to know of each kind of target, one file a kind, and the table of all kinds."""

from lensmith.data.sources.kinds import boxes, instance_masks, label, numbers, semantic_mask, tags
from lensmith.data.sources.kinds.target_kind import TargetKind

# A set is divided by the first kind with strata that it has.
TARGETS: dict[str, TargetKind] = {
    "label": TargetKind(label.spread, label.known, label.per_class, label.strata),
    "tags": TargetKind(tags.spread, tags.known, tags.per_class),
    "numbers": TargetKind(numbers.spread, numbers.known, strata=numbers.strata),
    "boxes": TargetKind(boxes.spread, boxes.known, boxes.per_class, boxes.strata),
    "mask": TargetKind(semantic_mask.spread, semantic_mask.known, to_form=semantic_mask.to_form),
    "masks": TargetKind(boxes.spread, boxes.known, boxes.per_class, boxes.strata, instance_masks.to_form),
}
