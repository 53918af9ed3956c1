"""The pages of the documentation: their commands are the same in both languages, and do what the pages say."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import docs_blocks as blocks  # noqa: E402
import run_docs  # noqa: E402
import write_reference  # noqa: E402

PAGES = run_docs.pages()
TRANSLATED = sorted((ROOT / "docs" / "course" / "zh").glob("[0-9]*.md"))


def test_each_chapter_is_there_in_both_languages():
    chapters = [path.name for path in PAGES if path.parent.name == "course"]
    assert len(chapters) == 12 and [path.name for path in TRANSLATED] == chapters


@pytest.mark.parametrize("path", [*TRANSLATED, ROOT / "docs" / "start.zh.md"], ids=lambda path: path.stem)
def test_a_translated_page_has_the_blocks_and_numbers_of_its_page(path: Path):
    original = run_docs.original_of(path).read_text(encoding="utf-8")
    translated = path.read_text(encoding="utf-8")
    assert [(one.kind, one.text) for one in blocks.blocks_of(translated)] == \
        [(one.kind, one.text) for one in blocks.blocks_of(original)]
    assert run_docs.in_both(original, translated) == translated
    assert sorted(blocks.NUMBER.findall(translated)) == sorted(blocks.NUMBER.findall(original))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_no_output_is_left_to_be_written(path: Path):
    for block in blocks.blocks_of(path.read_text(encoding="utf-8")):
        assert blocks.ALL not in block.text.splitlines(), f"{path.name}: python scripts/run_docs.py --write {path.name}"


def test_what_was_printed_is_compared_without_numbers():
    printed = ["epoch 1  loss 0.52", "epoch 2  loss 0.31", "report runs/a/report.html"]
    assert blocks.renewed(["epoch 1  loss 9.99", "...", "report runs/a/report.html"], printed) == \
        ["epoch 1  loss 0.52", "...", "report runs/a/report.html"]
    assert blocks.renewed(["?"], printed) == ["...", "report runs/a/report.html"]    # epochs pass
    assert blocks.renewed(["epoch 1 loss 1", "report runs/a/report.html"], printed) == "report runs/a/report.html"
    assert blocks.renewed(["epoch 1 loss 1"], printed) == "..."    # more was printed than the page shows
    assert blocks.renewed(["...", "report runs/... report.html"], ["report runs/x y report.html"]) == \
        ["...", "report runs/... report.html"]
    assert blocks.without_numbers("a1  -2.5e-3 and 1,234") == "a1 # and #"


def test_a_page_is_run_and_its_numbers_are_written(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("---\nneeds: {}\n---\n```python\n# keep.py\nimport json, pathlib\n"
                    "pathlib.Path('a.json').write_text(json.dumps({'b': [0.25]}))\n```\n"
                    "```console\n$ python keep.py && echo kept\n?\n$ false   # exit 1\n```\n"
                    "```python\nprint('one', 2)\n```\n```text\n?\n```\n<!--=a.json b.0 .0%-->?<!--/-->\n")
    run_docs.run_page(page, write=True)
    text = page.read_text()
    assert "&& echo kept\nkept\n" in text and "one 2\n```" in text and "-->25%<!--/-->" in text
    run_docs.run_page(page, write=False)
    page.write_text(text.replace("one 2", "two 2"))
    with pytest.raises(run_docs.Different, match="did not print"):
        run_docs.run_page(page, write=False)
    page.write_text(text.replace("$ false   # exit 1", "$ false"))
    with pytest.raises(run_docs.Different, match="ended with 1, not 0"):
        run_docs.run_page(page, write=False)


def test_the_reference_has_every_command_option_and_setting():
    from lensmith.cli.app import VERBS
    from lensmith.recipe.play_sections import PlayingSettings, PlayLearnerSettings
    from lensmith.recipe.schema import parameters_of
    from lensmith.recipe.sections import PASSED, PLAIN
    from lensmith.rl.algorithms.dqn import DqnSettings

    commands, whole = write_reference.commands_page(), write_reference.settings_page()
    settings, _, of_play = whole.partition("# Every setting of a recipe that plays")
    for schema, section in ((PlayingSettings, "play"), (PlayLearnerSettings, "learner"), (DqnSettings, "algorithm")):
        for name in parameters_of(schema):
            assert any(line.startswith(f"| `{section}.{name}`") and line.split("|")[-2].strip()
                       for line in of_play.splitlines()), name
    assert all(f"## lensmith {words}\n" in commands for words in VERBS)
    assert "| `--minutes <float>` |" in commands and "&lt;" not in commands.split("```text")[1]
    for section, schema in PLAIN.items():
        for name in parameters_of(schema):
            if name not in PASSED.get(section, ()):
                (row,) = (line for line in settings.splitlines() if line.startswith(f"| `{section}.{name}`"))
                assert not row.endswith("|  |"), f"{section}.{name} has no comment beside it"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_command_of_a_page_does_what_the_page_says(path: Path):
    try:
        run_docs.run_page(path, write=False)
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(importlib.util.find_spec("sphinx") is None, reason="needs Sphinx: make docs")
def test_the_site_is_made_without_a_warning_and_fetches_nothing(tmp_path: Path):
    done = subprocess.run([sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", ROOT / "docs",
                           tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for page in tmp_path.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for mark in ('src="http', "src='http", 'src="//', '@import url(http'):
            assert mark not in text, f"{page.name} fetches something while it is looked at"
    chromium = shutil.which("chromium")
    if chromium is not None:
        found = subprocess.run([chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                                f"--user-data-dir={tmp_path / 'browser'}", "--virtual-time-budget=20000", "--dump-dom",
                                (tmp_path / "search.html").as_uri() + "?q=convolution"], capture_output=True, text=True,
                               check=False, timeout=300).stdout
        assert 'href="course/02-convolution.html"' in found, "the search finds nothing without a server"
