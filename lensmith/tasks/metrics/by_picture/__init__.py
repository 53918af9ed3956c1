"""What is kept of each held-out picture, one file a kind of target, and the table of all kinds: from it the metrics of
any of the pictures are computed again without the network, as tests on the very same pictures need them."""

from lensmith.tasks.metrics.by_picture import boxes, instance_masks, label, numbers, semantic_mask, tags
from lensmith.tasks.metrics.by_picture.picture_counts import PictureCounts

BY_PICTURE: dict[str, PictureCounts] = {
    "label": PictureCounts(label.COLUMNS, label.keep, label.measure, "f1", label.by_class, label.quality, label.say),
    "tags": PictureCounts(tags.COLUMNS, tags.keep, tags.measure, "f1", tags.by_class, tags.quality, tags.say),
    "numbers": PictureCounts(numbers.COLUMNS, numbers.keep, numbers.measure, "MAE", numbers.by_class, numbers.quality,
                             numbers.say),
    "boxes": PictureCounts(boxes.COLUMNS, boxes.keep, boxes.measure, "AP50", boxes.by_class, boxes.quality, boxes.say),
    "mask": PictureCounts(semantic_mask.COLUMNS, semantic_mask.keep, semantic_mask.measure, "IoU",
                          semantic_mask.by_class, semantic_mask.quality, semantic_mask.say),
    "masks": PictureCounts(instance_masks.COLUMNS, instance_masks.keep, instance_masks.measure, "AP50",
                           instance_masks.by_class, instance_masks.quality, instance_masks.say),
}
