"""A page of HTML from a template that stands in a folder of templates, and pictures that stand in the page itself."""

import base64
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

_QUALITY = 88      # of JPEG


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


def jpeg_data(picture: Image.Image, *, most: int | None = None) -> str:
    """A picture as a data URI of JPEG, its longer edge at most `most` pixels."""
    small = picture.convert("RGB")
    if most is not None:
        small.thumbnail((most, most), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    small.save(written, format="JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode("ascii")
