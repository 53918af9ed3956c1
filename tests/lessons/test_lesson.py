"""A lesson of any kind: its folder, its page, and what it refuses to write over."""

import json
from pathlib import Path

import pytest

from lensmith.base.errors import UserError
from lensmith.lessons import lesson as module
from lensmith.lessons.lesson import Lesson, lesson_folder, write_lesson


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lesson:
    """A lesson from outside: a template in the frame of all, and a value with what HTML would understand."""
    templates = tmp_path / "templates"
    templates.mkdir()
    frame = module._TEMPLATES / "lesson.html.jinja"
    (templates / frame.name).write_text(frame.read_text())
    blocks = {"title": "Sums of {{ name }}", "lead": "One.", "body": "<p>{{ total }}</p>",
              "script": "const facts = {{ facts | tojson }};"}
    (templates / "sums.html.jinja").write_text('{% extends "lesson.html.jinja" %}' + "".join(
        f"{{% block {name} %}}{text}{{% endblock %}}" for name, text in blocks.items()))
    monkeypatch.setattr(module, "_TEMPLATES", templates)
    facts = {"total": 3, "name": "</script>"}
    return Lesson("sums", ["1 + 2 = 3"], facts, {"total": 3, "name": "<b>", "facts": facts}, {"sums.gif": b"GIF"})


def test_a_lesson_is_a_page_facts_and_files(one: Lesson, tmp_path: Path):
    page = write_lesson(one, tmp_path / "out")
    text = page.read_text()
    assert page == tmp_path / "out" / "lesson.html" and text.startswith("<!doctype html>")
    assert "<title>Sums of &lt;b&gt;</title>" in text and "<p>3</p>" in text
    assert text.count("</script>") == 1    # what the facts hold does not end the script
    assert json.loads((tmp_path / "out" / "lesson.json").read_text()) == {"total": 3, "name": "</script>"}
    assert (tmp_path / "out" / "sums.gif").read_bytes() == b"GIF"
    write_lesson(one, tmp_path / "out")    # its own files are replaced


def test_a_folder_with_other_files_is_refused_before_anything_is_computed(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert lesson_folder("sums", None) == Path("lessons/sums")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match=r"did not write \(mine.txt\).*another folder with --out"):
        lesson_folder("sums", tmp_path)
