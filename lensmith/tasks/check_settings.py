"""Settings that a task refuses: its own out of their range, and augmentations that its kind of truth cannot follow."""

from collections.abc import Mapping, Sequence
from typing import Any

from lensmith.base.errors import UserError
from lensmith.values import OBJECTS


def check_settings(**settings: tuple[float, bool, str]) -> None:
    """Raises UserError for the first setting of the task that is not right, each as (value, whether it is right, what
    is accepted)."""
    for name, (value, right, accepted) in settings.items():
        if not right:
            raise UserError(f"task.{name}={value} cannot be: accepted is {accepted}")


def decoding(threshold: float, overlap: float, most: int) -> dict[str, tuple[float, bool, str]]:
    """The settings of decoding as `check_settings` takes them."""
    return {"threshold": (threshold, 0 <= threshold < 1, "0 <= threshold < 1"),
            "overlap": (overlap, 0 < overlap <= 1, "0 < overlap <= 1"), "most": (most, most >= 1, "1 or more")}


def check_augment(augment: Mapping[str, Any], kinds: Sequence[str], *, task: str) -> None:
    """Raises UserError for an augmentation in the section [augment] that truth of these `kinds` cannot follow; `task`
    is the name of the task that learns them."""
    if set(OBJECTS) & set(kinds) and augment["cutmix"]:
        raise UserError(f"augment.cutmix={augment['cutmix']:g} hides objects whose boxes stay: use augment.mixup or "
                        "augment.mosaic where boxes are learned")
    if augment["mosaic"] and not set(kinds) <= set(OBJECTS):
        raise UserError(f"augment.mosaic={augment['mosaic']:g} puts four pictures together, which only objects "
                        f"can follow; task {task!r} learns {', '.join(dict.fromkeys(kinds))}")
    if "mask" in kinds and (augment["mixup"] or augment["cutmix"]):
        raise UserError("mixup and cutmix blend labels, tags and numbers; a mask target cannot be blended: set "
                        "augment.mixup=0 and augment.cutmix=0")
