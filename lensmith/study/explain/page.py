"""The page of explanations: one HTML file with the pictures and the maps over them, and the same as PNG files."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from lensmith.base.atomic_files import write_atomic, write_text
from lensmith.base.errors import escaped
from lensmith.base.html_page import jpeg_data, render_page
from lensmith.base.orientation import upright
from lensmith.base.output_folder import output_folder
from lensmith.base.viewing import open_whole
from lensmith.study.explain.explained_picture import ExplainedPicture, Explanation
from lensmith.study.explain.methods import METHODS
from lensmith.study.explain.overlay import with_map
from lensmith.study.explain.page_words import cited_papers, file_stem

PAGE = "explain.html"
_TEMPLATE = Path(__file__).parent / "templates" / "explain.html.jinja"
ADVICE = "name another folder with --out"
_EDGE = 384        # pixels: the longer edge of a picture on the page
_LONGEST = 60      # letters of a part of a file name


def write_explanations(about: str, pictures: Sequence[ExplainedPicture], folder: Path, *,
                       best_epoch: int | None = None) -> Path:
    """Write the page, `explanations.json` and a PNG of each explanation at the picture's own size into a folder, new or
    with its own earlier page -> the page's path. `best_epoch` is that of the weights, where it is known. Raises
    UserError as `output_folder` does."""
    shown, facts = [], []
    with output_folder(folder, advice=ADVICE) as aside:
        for number, explained in enumerate(pictures):
            picture = _opened(explained)
            rows = []
            for place, explanation in enumerate(explained.explanations):
                drawn = with_map(picture, explanation.map, corners=explanation.corners)
                answer = file_stem(explanation.answer.name, longest=_LONGEST) or "class"
                name = f"{number:03d}-{place:02d}-{explanation.method}-{answer}.png"
                write_atomic(aside / name, partial(drawn.save, format="PNG"))
                rows.append(_row(explanation, drawn))
                facts.append({"file": explained.file, "picture": name, **explanation.as_json()})
            shown.append({"file": escaped(explained.file), "data": jpeg_data(picture, most=_EDGE), "rows": rows})
        content = json.dumps({"best_epoch": best_epoch, "explanations": facts}, indent=1) + "\n"
        write_text(aside / "explanations.json", content, advice=ADVICE)
        write_text(aside / PAGE, _rendered(about, shown), advice=ADVICE)
    return folder / PAGE


def _rendered(about: str, pictures: Sequence[Mapping[str, Any]]) -> str:
    used = {row["method"] for picture in pictures for row in picture["rows"]}
    methods = {name: f"{method.words} ({cited_papers(method.explain)})" for name, method in METHODS.items()
               if name in used}
    return render_page(_TEMPLATE, {"about": about, "pictures": pictures, "methods": methods})


def _row(explanation: Explanation, drawn: Image.Image) -> dict[str, Any]:
    return {"method": explanation.method, "answer": escaped(explanation.answer.in_words()),
            "data": jpeg_data(drawn, most=_EDGE), "notes": explanation.notes, "problem": explanation.problem or "",
            "layers": ", ".join(explanation.layers)}


def _opened(explained: ExplainedPicture) -> Image.Image:
    if isinstance(explained.picture, Image.Image):
        return upright(explained.picture)
    return open_whole(explained.picture)
