"""The names of classes: their order, and what cannot be a name."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from lensmith.base.errors import DataError, UserError, count


def ordered(names: set[str]) -> tuple[str, ...]:
    """The names in order: by size where all are whole numbers, else by the alphabet."""
    whole = all(re.fullmatch(r"[+-]?\d{1,18}", name) for name in names)
    return tuple(sorted(names, key=(lambda name: (int(name), name)) if whole else None))


def alike(names: Sequence[str], where: str, often: Counter[str] | None = None) -> list[str]:
    """A sentence for the classes that differ by case or blanks alone; `where` they are written, and `often`: how many
    pictures show each."""
    by_form: dict[str, list[str]] = {}
    for name in names:
        by_form.setdefault("".join(unicodedata.normalize("NFKC", name).casefold().split()), []).append(name)
    return ["classes that differ by case or blanks alone: " +
            ", ".join(f"{name!r}" + (f" ({count(often[name], 'picture')})" if often else "") for name in same) +
            f"; they are learned apart unless {where} is mended" for same in by_form.values() if len(same) > 1]


def check_names(names: Sequence[str], where: str) -> None:
    """Raise a DataError where a class name is empty, there twice, or text that UTF-8 cannot write down."""
    before = set()
    for i, name in enumerate(names):
        if name in before:
            raise DataError(f"{where} names two classes {name!r}: rename one")
        if not name or any("\ud800" <= letter <= "\udfff" for letter in name):    # surrogates, which UTF-8 has not
            raise DataError(f"{where}: class {i} is called {name!a}, which is no name: give it one")
        before.add(name)


def fixed_classes(classes: list[str] | None) -> tuple[str, ...] | None:
    """The setting data.classes; raises UserError where it names no class, or one twice."""
    if classes is None:
        return None
    if not classes or len(set(classes)) < len(classes) or not all(classes):
        raise UserError(f"data.classes={classes} must hold at least one name, none empty and none twice")
    return tuple(classes)
