"""A page of HTML from a template that stands in a folder of templates."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def render_page(template: Path, contents: Mapping[str, Any], *,
                filters: Mapping[str, Callable[..., object]] | None = None) -> str:
    """The text of a page; what the template puts into it is escaped, and a name that `contents` lack is an error.

    A file name that is no UTF-8 came in as lone surrogates, which no file can hold: they become question marks.
    """
    # Not at the top: only a page needs it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    pages = Environment(loader=FileSystemLoader(template.parent), autoescape=True, undefined=StrictUndefined,
                        trim_blocks=True)
    pages.filters.update(filters or {})
    return pages.get_template(template.name).render(contents).encode("utf-8", "replace").decode("utf-8")
