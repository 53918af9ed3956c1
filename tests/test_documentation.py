"""What the documentation says is there: every setting, every command, every file it names."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lensmith.data.formats import FORMATS
from lensmith.engine.optimize import OPTIMIZERS
from lensmith.engine.schedule import SCHEDULES
from lensmith.recipe.play_sections import is_play, resolve_play
from lensmith.recipe.schema import parameters_of
from lensmith.recipe.sections import PLAIN, SECTIONS, resolve
from lensmith.rl.worlds import WORLDS
from lensmith.tasks import TASKS

ROOT = Path(__file__).parents[1]
GIVEN = {"splits", "alike", "classes", "length", "targets", "chosen", "open_set"}


def sections() -> dict[str, str]:
    parts = re.split(r"^## \[(\w+)\]$", (ROOT / "docs" / "recipe.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_section_and_setting_is_described():
    described = sections()
    assert set(described) == set(SECTIONS)
    formats = {name: one.open for name, one in FORMATS.items()}
    tables = {"data": formats, "task": TASKS, "optimizer": OPTIMIZERS, "schedule": SCHEDULES}
    entries = [*PLAIN.items(), *((section, one) for section, table in tables.items() for one in table.values())]
    for section, entry in entries:
        for name in parameters_of(entry):
            if name not in GIVEN:
                assert re.search(rf"\b{name}\b", described[section]), f"[{section}] {name} is not in docs/recipe.md"


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_resolves_and_says_how_it_is_run(path: Path):
    text = path.read_text()
    assert text.startswith(f"# lensmith train recipes/{path.name}")
    recipe = tomllib.loads(text)
    if is_play(recipe):
        assert resolve_play(recipe, trusted=False)["world"]["name"] in WORLDS
    else:
        assert resolve(recipe, trusted=False)["data"]["name"] in FORMATS


def test_links_and_files_named_in_the_documentation_exist():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
        for target in re.findall(r"\b(?:recipes|benchmarks|docs|scripts)/[\w.-]+\.\w+", page.read_text()):
            assert (ROOT / target).exists(), f"{page.name} names {target}"


ROOMS = "base|kernels|values|data|models|tasks|engine|recipe|study|ship|training|lessons|cli"


def test_places_named_in_the_plan_and_in_decisions_exist():
    """A move that forgets the plan fails here. `NAME` stands for the file that one would add."""
    decisions = (ROOT / "docs" / "decisions").glob("*.md")
    for page in [ROOT / "docs" / "architecture.md", ROOT / "CONTRIBUTING.md", *decisions]:
        for place in re.findall(rf"`((?:{ROOMS}|tests)/[\w/]*(?:\.py)?)", page.read_text()):
            if "NAME" not in place:
                assert (ROOT / place).exists() or (ROOT / "lensmith" / place).exists(), f"{page.name} names {place}"


def commands_of_results() -> list[str]:
    """The commands in the last column of README's table of results."""
    table = (ROOT / "README.md").read_text().partition("| what | result | command |")[2].partition("\n\n")[0]
    return list(dict.fromkeys(re.findall(r"`((?:python|lensmith) [^`]+)`", "\n".join(
        row.rsplit(" | ", 1)[-1] for row in table.splitlines()))))


@pytest.mark.slow
@pytest.mark.parametrize("command", commands_of_results())
def test_each_command_behind_a_result_is_one(command: str, tmp_path: Path):
    """A benchmark has the options that are named; a training resolves its recipe where the data are here."""
    words = shlex.split(command)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if words[0] == "python" and "argparse" not in (ROOT / words[1]).read_text():
        assert not any(word.startswith("--") for word in words[2:]), f"{words[1]} has no options"
        return
    if words[0] == "python":
        done = subprocess.run([sys.executable, ROOT / words[1], "--help"], capture_output=True, text=True, check=False,
                              env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        for option in (word for word in words[2:] if word.startswith("--")):
            assert option in done.stdout, f"{words[1]} has no {option}"
        return
    words = [sys.executable, "-m", *words] + ([] if words[-1] == "--help" else ["--dry-run"])
    words = [str(ROOT / word) if word.startswith("recipes/") else word for word in words]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    if done.returncode == 3:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
