"""What is written and drawn of each kind of answer, one file a kind, and the table of all kinds."""

from lensmith.ship.answers import boxes, instance_masks, label, numbers, semantic_mask, tags
from lensmith.ship.answers.answer import Answer

ANSWERS: dict[str, Answer] = {
    "label": Answer(label.in_words, label.as_json, label.as_columns),
    "tags": Answer(tags.in_words, tags.as_json, tags.as_columns),
    "numbers": Answer(numbers.in_words, numbers.as_json, numbers.as_columns),
    "boxes": Answer(boxes.in_words, boxes.as_json, boxes.as_columns, boxes.as_rows, boxes.draw,
                    write_beside=boxes.write_beside),
    "mask": Answer(semantic_mask.in_words, semantic_mask.as_json, semantic_mask.as_columns, semantic_mask.as_rows,
                   semantic_mask.draw, covers=True, write_beside=semantic_mask.write_beside),
    "masks": Answer(boxes.in_words, instance_masks.as_json, boxes.as_columns, instance_masks.as_rows,
                    instance_masks.draw, write_beside=instance_masks.write_beside),
}
