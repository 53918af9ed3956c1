"""The page of views: one HTML file with their pictures, and the same as PNG files and JSON."""

import base64
import io
import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from lensmith.base.atomic_files import write_atomic, write_text
from lensmith.base.html_page import render_page
from lensmith.base.output_folder import output_folder
from lensmith.study.explain.views import VIEWS
from lensmith.study.explain.views.view import Panel, Spot

VIEWS_PAGE = "views.html"
_TEMPLATE = Path(__file__).parents[1] / "templates" / "views.html.jinja"
_QUALITY = 90           # of JPEG
_LARGE = 100_000        # bytes from which a picture stands on the page as JPEG, if that is smaller
_UNSAFE = re.compile(r"[^\w-]+")
_LONGEST = 80           # letters of a file name


def write_views(about: str, results: Mapping[str, Any], folder: Path, *, advice: str) -> Path:
    """Write the page, `views.json` and a PNG of each panel into a folder, new or with its own earlier page -> the
    page's path. `results` are by the names of their views. Raises UserError as `output_folder` does."""
    shown, facts = [], {}
    with output_folder(folder, advice=advice) as aside:
        for name, result in results.items():
            rows = []
            for panel in VIEWS[name].draw(result):
                file = f"{_safe(panel.name)}.png"
                for place, image in ((file, panel.image), *panel.files.items()):
                    write_atomic(aside / place, partial(image.save, format="PNG"))
                rows.append(_row(panel, file))
            facts[name] = result.as_json()
            shown.append({"name": name, "words": VIEWS[name].words, "source": _source(VIEWS[name].look), "rows": rows})
        write_text(aside / "views.json", json.dumps(facts, indent=1) + "\n", advice=advice)
        write_text(aside / VIEWS_PAGE, render_page(_TEMPLATE, {"about": about, "views": shown}), advice=advice)
    return folder / VIEWS_PAGE


def _source(look: Any) -> str:
    """The papers that a view's docstring cites: every bracket with a year."""
    text = " ".join((look.__doc__ or "").split())
    return "; ".join(re.findall(r"\(([^()]*\b(?:19|20)\d{2}[^()]*)\)", text))


def _row(panel: Panel, file: str) -> dict[str, Any]:
    return {"title": panel.title, "lines": panel.lines, "file": file, "data": as_data(panel.image),
            "width": panel.image.width, "spots": [_spot(spot) for spot in panel.spots], "axes": panel.axes,
            "legend": [(name, _css(colour)) for name, colour in panel.legend], "files": list(panel.files)}


def _spot(spot: Spot) -> dict[str, Any]:
    return {"across": f"{100 * spot.across:.2f}", "down": f"{100 * spot.down:.2f}", "data": as_data(spot.image),
            "colour": _css(spot.colour), "words": spot.words}


def _css(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _safe(name: str) -> str:
    return _UNSAFE.sub("_", name)[:_LONGEST]


def as_data(image: Image.Image) -> str:
    """A picture as a data URI, without loss unless it is large and JPEG makes it smaller."""
    written = {"png": _encoded(image, "PNG")}
    if len(written["png"]) > _LARGE:
        written["jpeg"] = _encoded(image.convert("RGB"), "JPEG", quality=_QUALITY)
    kind = min(written, key=lambda name: len(written[name]))
    return f"data:image/{kind};base64," + base64.b64encode(written[kind]).decode("ascii")


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()
