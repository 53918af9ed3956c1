"""What a lesson gives, whatever it teaches: lines for the terminal, facts for programs, a page, files beside it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from lensmith.base.atomic_files import write_atomic, write_text
from lensmith.base.html_page import render_page
from lensmith.base.output_folder import check_output, output_folder

PAGE = "lesson.html"
FACTS = "lesson.json"
_TEMPLATES = Path(__file__).parent / "templates"
_ADVICE = "name another folder with --out"


@dataclass(frozen=True)
class Lesson:
    """A lesson that was computed; nothing of it is written yet."""

    name: str                     # as it is typed: its page is made of the template NAME.html.jinja
    lines: Sequence[str]          # what the terminal shows
    facts: Mapping[str, Any]      # the same as JSON
    contents: Mapping[str, Any]   # what its template puts into the page; for its script `NAME | tojson`
    files: Mapping[str, bytes] = field(default_factory=dict)    # beside the page: file name -> contents


def lesson_folder(name: str, out: Path | None) -> Path:
    """The folder of a lesson, `lessons/NAME` by itself. Raises UserError, before anything is computed, where results
    may not go into it."""
    folder = out if out is not None else Path("lessons") / name
    check_output(folder, advice=_ADVICE)
    return folder


def write_lesson(lesson: Lesson, folder: Path) -> Path:
    """Write the page, the facts and the files into a folder, new or with an earlier lesson -> the page's path.

    Raises UserError as `output_folder` does.
    """
    page = render_page(_TEMPLATES / f"{lesson.name}.html.jinja", lesson.contents)
    with output_folder(folder, advice=_ADVICE) as aside:
        write_text(aside / PAGE, page, advice=_ADVICE)
        write_text(aside / FACTS, json.dumps(lesson.facts, indent=1) + "\n", advice=_ADVICE)
        for name, contents in lesson.files.items():
            write_atomic(aside / name, partial(Path.write_bytes, data=contents), advice=_ADVICE)
    return folder / PAGE

