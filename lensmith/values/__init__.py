"""What is said of a picture: one file for each group of kinds, and the table of all kinds."""

from collections.abc import Mapping

from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks
from lensmith.values.labels import Label, Numbers, Tags
from lensmith.values.semantic_mask import Mask
from lensmith.values.value import Value

KINDS: dict[str, type[Value]] = {"label": Label, "tags": Tags, "numbers": Numbers, "boxes": Boxes, "mask": Mask,
                                 "masks": Masks}
OBJECTS = ("boxes", "masks")    # the kinds whose values are `Boxes`: objects, a row each


def kinds_of(targets: Mapping[str, Value]) -> dict[str, str]:
    """What each target is: label, tags, numbers, boxes, mask or masks."""
    return {name: value.kind for name, value in targets.items()}


def of_kind(targets: Mapping[str, Value], *kinds: str) -> tuple[str, ...]:
    """The names of those targets that are of one of these kinds, in their order."""
    # A misspelt kind would find nothing and say nothing.
    assert set(kinds) <= set(KINDS), f"{kinds}: the kinds are {', '.join(KINDS)}"
    return tuple(name for name, value in targets.items() if value.kind in kinds)
