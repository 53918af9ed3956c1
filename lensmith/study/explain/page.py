"""The page of explanations: one HTML file with the pictures and the maps over them, and the same as PNG files."""

import base64
import io
import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from lensmith.base.atomic_files import write_atomic, write_text
from lensmith.base.errors import escaped
from lensmith.base.html_page import render_page
from lensmith.base.orientation import upright
from lensmith.base.output_folder import output_folder
from lensmith.base.viewing import open_whole
from lensmith.study.explain.explained_picture import ExplainedPicture, Explanation
from lensmith.study.explain.methods import METHODS
from lensmith.study.explain.overlay import with_map

PAGE = "explain.html"
_TEMPLATE = Path(__file__).parent / "templates" / "explain.html.jinja"
ADVICE = "name another folder with --out"
_EDGE = 384        # pixels: the longer edge of a picture on the page
_QUALITY = 88      # of JPEG
_UNSAFE = re.compile(r"[^\w-]+")
_LONGEST = 60      # letters of a part of a file name


def write_explanations(about: str, pictures: Sequence[ExplainedPicture], folder: Path) -> Path:
    """Write the page, `explanations.json` and a PNG of each explanation at the picture's own size into a folder, new or
    with its own earlier page -> the page's path. Raises UserError as `output_folder` does."""
    shown, facts = [], []
    with output_folder(folder, advice=ADVICE) as aside:
        for number, explained in enumerate(pictures):
            picture = _opened(explained)
            rows = []
            for place, explanation in enumerate(explained.explanations):
                drawn = with_map(picture, explanation.map, corners=_in_file(explanation, explained))
                name = f"{number:03d}-{place:02d}-{explanation.method}-{_safe(explanation.answer.name)}.png"
                write_atomic(aside / name, partial(drawn.save, format="PNG"))
                rows.append(_row(explanation, drawn, name))
                facts.append({"file": explained.file, "picture": name, **explanation.as_json()})
            shown.append({"file": escaped(explained.file), "data": _as_data(picture), "rows": rows})
        write_text(aside / "explanations.json", json.dumps(facts, indent=1) + "\n", advice=ADVICE)
        write_text(aside / PAGE, _rendered(about, shown), advice=ADVICE)
    return folder / PAGE


def _rendered(about: str, pictures: Sequence[Mapping[str, Any]]) -> str:
    used = {row["method"] for picture in pictures for row in picture["rows"]}
    methods = {name: f"{method.words} ({_source(method.explain.__doc__ or '')})" for name, method in METHODS.items()
               if name in used}
    return render_page(_TEMPLATE, {"about": about, "pictures": pictures, "methods": methods})


def _source(documentation: str) -> str:
    """The paper that a method's docstring cites: the first bracket with a year."""
    found = re.search(r"\(([^()]*\d{4}[^()]*)\)", " ".join(documentation.split()))
    return found[1] if found else ""


def _row(explanation: Explanation, drawn: Image.Image, name: str) -> dict[str, Any]:
    said = [f"random weights: rank correlation {explanation.likeness:.2f}"]
    if explanation.covered is not None:
        covered = explanation.covered
        said.append(f"deletion {covered.deletion:.2f} (at random {covered.deletion_at_random:.2f}), insertion "
                    f"{covered.insertion:.2f} ({covered.insertion_at_random:.2f})")
    if explanation.in_box is not None:
        said.append(f"the strongest pixel lies {'in' if explanation.in_box else 'outside of'} its box")
    return {"method": explanation.method, "answer": escaped(explanation.answer.in_words()), "name": name,
            "data": _as_data(drawn), "said": "; ".join(said), "problem": explanation.problem or "",
            "layers": ", ".join(explanation.layers)}


def _opened(explained: ExplainedPicture) -> Image.Image:
    if isinstance(explained.picture, Image.Image):
        return upright(explained.picture)
    return open_whole(explained.picture)


def _in_file(explanation: Explanation, explained: ExplainedPicture) -> tuple[float, ...] | None:
    """The corners of an object in the pixels of the file."""
    corners = explanation.answer.corners
    if corners is None:
        return None
    fit, (height, width) = explained.fit, explained.size
    return tuple(min(max((corner - fit[2 + axis % 2]) / fit[axis % 2], 0.0), (width, height)[axis % 2] - 1.0)
                 for axis, corner in enumerate(corners))


def _safe(name: str) -> str:
    return _UNSAFE.sub("_", name)[:_LONGEST] or "class"


def _as_data(image: Image.Image) -> str:
    """A picture as a data URI, at most `_EDGE` pixels."""
    small = image.convert("RGB")
    small.thumbnail((_EDGE, _EDGE), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    small.save(written, format="JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode("ascii")
