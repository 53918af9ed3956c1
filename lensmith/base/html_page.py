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
    return image_address(small, "jpeg", quality=_QUALITY)


def image_address(image: Image.Image, kind: str, **options: Any) -> str:
    """A picture as a data URI of png or jpeg, written with these options of Pillow."""
    return data_address(encoded(image, kind, **options), kind)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as the contents of a file of png or jpeg, written with these options of Pillow."""
    written = io.BytesIO()
    image.save(written, format=kind, **options)
    return written.getvalue()


def data_address(contents: bytes, kind: str) -> str:
    """The data URI of the contents of a picture's file."""
    return f"data:image/{kind};base64,{base64.b64encode(contents).decode('ascii')}"
