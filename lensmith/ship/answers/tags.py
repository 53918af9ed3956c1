"""Tags in words, JSON and a column of a table."""

from collections.abc import Sequence
from typing import Any

from lensmith.values.labels import Tags


def in_words(tags: Tags, names: Sequence[str], k: int) -> str:
    """All tags of the picture, `no tag` without any."""
    return ", ".join(_present(tags, names)) or "no tag"


def as_json(tags: Tags, names: Sequence[str], top: int = 5) -> dict[str, Any]:
    """`tags`, and the `scores` of all classes."""
    return tags.as_json(names)


def as_columns(tags: Tags, names: Sequence[str], top: int, target: str) -> dict[str, Any]:
    """One column, the tags with `;` between them."""
    return {target or "tags": ";".join(_present(tags, names))}


def _present(tags: Tags, names: Sequence[str]) -> list[str]:
    return [name for name, present in zip(names, tags.present.tolist(), strict=True) if present]
