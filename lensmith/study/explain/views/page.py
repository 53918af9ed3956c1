"""The page of views: one HTML file with their pictures, and the same as PNG files and JSON."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from lensmith.base.atomic_files import write_atomic, write_text
from lensmith.base.html_page import data_address, encoded, render_page
from lensmith.base.output_folder import output_folder
from lensmith.study.explain.page_words import cited_papers, file_stem
from lensmith.study.explain.views import VIEWS
from lensmith.study.explain.views.view import Panel, Spot

VIEWS_PAGE = "views.html"
_TEMPLATE = Path(__file__).parents[1] / "templates" / "views.html.jinja"
_QUALITY = 90           # of JPEG
_LARGE = 100_000        # bytes from which a picture stands on the page as JPEG, if that is smaller
_LONGEST = 80           # letters of a file name


def write_views(about: str, results: Mapping[str, Any], folder: Path, *, advice: str) -> Path:
    """Write the page, `views.json` and a PNG of each panel into a folder, new or with its own earlier page -> the
    page's path. `results` are by the names of their views. Raises UserError as `output_folder` does."""
    shown, facts = [], {}
    with output_folder(folder, advice=advice) as aside:
        for name, result in results.items():
            rows = []
            for panel in VIEWS[name].draw(result):
                file = f"{file_stem(panel.name, longest=_LONGEST)}.png"
                for place, image in ((file, panel.image), *panel.files.items()):
                    write_atomic(aside / place, partial(image.save, format="PNG"))
                rows.append(_row(panel, file))
            facts[name] = result.as_json()
            view = VIEWS[name]
            shown.append({"name": name, "words": view.words, "source": cited_papers(view.look), "rows": rows})
        write_text(aside / "views.json", json.dumps(facts, indent=1) + "\n", advice=advice)
        write_text(aside / VIEWS_PAGE, render_page(_TEMPLATE, {"about": about, "views": shown}), advice=advice)
    return folder / VIEWS_PAGE


def _row(panel: Panel, file: str) -> dict[str, Any]:
    return {"title": panel.title, "lines": panel.lines, "file": file, "data": as_data(panel.image),
            "width": panel.image.width, "spots": [_spot(spot) for spot in panel.spots], "axes": panel.axes,
            "legend": [(name, _css(colour)) for name, colour in panel.legend], "files": list(panel.files)}


def _spot(spot: Spot) -> dict[str, Any]:
    return {"across": f"{100 * spot.across:.2f}", "down": f"{100 * spot.down:.2f}", "data": as_data(spot.image),
            "colour": _css(spot.colour), "words": spot.words}


def _css(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def as_data(image: Image.Image) -> str:
    """A picture as a data URI, without loss unless it is large and JPEG makes it smaller."""
    written = {"png": encoded(image, "png")}
    if len(written["png"]) > _LARGE:
        written["jpeg"] = encoded(image.convert("RGB"), "jpeg", quality=_QUALITY)
    kind = min(written, key=lambda name: len(written[name]))
    return data_address(written[kind], kind)
