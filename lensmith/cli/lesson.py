"""What the verbs `lesson NAME` have in common: where a lesson goes, and how it is shown."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lensmith.cli.terminal import show

if TYPE_CHECKING:
    from lensmith.lessons.lesson import Lesson

LessonOut = Annotated[Path | None, typer.Option("--out", help="The folder for the page; by itself lessons/ and the "
                                                              "lesson's name.")]


def give_lesson(lesson: "Lesson", folder: Path, *, as_json: bool) -> None:
    """Write a lesson into its folder, and print its lines and where the page is."""
    from lensmith.lessons.lesson import write_lesson

    page = write_lesson(lesson, folder)
    if as_json:
        show(json.dumps({"page": str(page), **lesson.facts}))
        return
    for line in lesson.lines:
        show(line)
    show("")
    show(f"the page: {page}")
