"""Words of the pages of explanations and views: which papers a method cites, and what its files are called."""

import re
from collections.abc import Callable
from typing import Any

_UNSAFE = re.compile(r"[^\w-]+")


def cited_papers(explained: Callable[..., Any]) -> str:
    """The papers that a docstring cites: every bracket with a year."""
    text = " ".join((explained.__doc__ or "").split())
    return "; ".join(re.findall(r"\(([^()]*\b(?:19|20)\d{2}[^()]*)\)", text))


def file_stem(name: str, *, longest: int) -> str:
    """A name as a part of a file's, at most so many letters; it may be empty."""
    return _UNSAFE.sub("_", name)[:longest]
