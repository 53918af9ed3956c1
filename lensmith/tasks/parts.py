"""The parts of a data set that several tasks learn together: which they are, and of what kind."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lensmith.base.errors import UserError, nearest


def kinds_of_parts(section: Mapping[str, Any]) -> tuple[str, ...]:
    """The kind of each part of a settled section [task]: by itself a part is of the kind that its name is."""
    kinds = section.get("kinds", {})
    return tuple(kinds.get(name, name) for name in section["parts"])


def check_parts(parts: Sequence[str], targets: Mapping[str, Any]) -> None:
    """Raises UserError where a part is no target of the data, is named twice, or there is none."""
    if not parts:
        raise UserError("task.parts names no part to learn: leave it out for all, or name some of "
                        f"{', '.join(targets)}")
    check_named("parts", parts, targets)
    if len(set(parts)) < len(parts):
        twice = next(name for name in parts if list(parts).count(name) > 1)
        raise UserError(f"task.parts names {twice!r} twice: name each part once")


def check_named(setting: str, names: Iterable[str], targets: Mapping[str, Any]) -> None:
    """Raises UserError where the setting names something that is no target of the data."""
    for name in names:
        if name not in targets:
            raise UserError(f"task.{setting} names {name!r}, which the data do not give.{nearest(name, targets)} They "
                            f"give: {', '.join(targets)}.")
