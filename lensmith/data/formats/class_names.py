"""The names of classes: their order, and what is no name."""

import re
from collections.abc import Sequence

from lensmith.base.errors import DataError, UserError


def ordered(names: set[str]) -> tuple[str, ...]:
    """Whole numbers by size, anything else by the alphabet."""
    whole = all(re.fullmatch(r"[+-]?\d{1,18}", name) for name in names)
    return tuple(sorted(names, key=(lambda name: (int(name), name)) if whole else None))


def check_names(names: Sequence[str], where: str) -> None:
    """Raise a DataError where class names are missing, there twice, or no text that can be written down."""
    seen = set()
    for i, name in enumerate(names):
        if name in seen:
            raise DataError(f"{where} names two classes {name!r}: rename one")
        if not name or any("\ud800" <= sign <= "\udfff" for sign in name):    # halves of signs, which UTF-8 has not
            raise DataError(f"{where}: class {i} is called {name!a}, which is no name: give it one")
        seen.add(name)


def fixed_classes(classes: list[str] | None) -> tuple[str, ...] | None:
    """The setting data.classes; raises UserError where it names no class, or one twice."""
    if classes is None:
        return None
    if not classes or len(set(classes)) < len(classes) or not all(classes):
        raise UserError(f"data.classes={classes} must hold at least one name, none empty and none twice")
    return tuple(classes)
