"""Every hint in a text of the package names an extra, a verb, a flag or a setting that exists."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from lensmith.base.errors import listed
from lensmith.cli.app import ALIASES, VERBS, command_with
from lensmith.cli.options import ARGUMENTS, options_of
from lensmith.data.formats import FORMATS
from lensmith.engine.optimize import OPTIMIZERS
from lensmith.engine.schedule import SCHEDULES
from lensmith.models.backbones import BACKBONES, find_backbone
from lensmith.recipe.play_sections import PlayLearnerSettings
from lensmith.recipe.schema import parameters_of
from lensmith.recipe.sections import PLAIN, SECTIONS
from lensmith.recipe.settings import PlanSettings, RunSettings, SetSettings
from lensmith.tasks import TASKS

ROOT = Path(__file__).parents[1]
COMMAND = command_with(VERBS)
# Flags of other programs that texts name: torchrun's, pip's.
OTHERS = {"--nproc-per-node", "--force-reinstall", "--no-deps"}
# Written in a text as what stands for a setting or is none: files, addresses, Python's own.
NO_KEYS = ("py", "toml", "json", "safetensors", "csv", "png", "txt", "yaml", "html", "jsonl", "onnx", "xml")


@cache
def texts() -> tuple[tuple[str, str], ...]:
    """(place, text) of every string of the package that is no docstring; NUL stands for what is filled in."""
    return tuple(text for path in sorted((ROOT / "lensmith").rglob("*.py")) for text in texts_of(path))


def texts_of(path: Path) -> Iterator[tuple[str, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    documented = {id(node.body[0].value) for node in nodes
                  if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body
                  and isinstance(node.body[0], ast.Expr)}
    inside = {id(value) for node in nodes if isinstance(node, ast.JoinedStr) for value in node.values}
    for node in nodes:
        place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.JoinedStr):
            yield place, "".join(part.value if isinstance(part, ast.Constant) and isinstance(part.value, str)
                                 else "\x00" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented | inside:
            yield place, node.value


@cache
def options() -> set[str]:
    """Every option of every verb."""
    found = {"--help", "--version"}
    for words in VERBS:
        command = COMMAND
        for word in words.split():
            command = command.commands[word]
        found |= set(options_of(command))
    return found


@cache
def keys() -> dict[str, set[str]]:
    """The settings of each section, of whatever entry it may name."""
    formats = {name: record.open for name, record in FORMATS.items()}
    tables = {"data": formats, "task": TASKS, "optimizer": OPTIMIZERS, "schedule": SCHEDULES,
              "backbone": {name: find_backbone(name, trusted=False) for name in BACKBONES}}
    known = {section: set(parameters_of(schema)) for section, schema in PLAIN.items()}
    for section, table in tables.items():
        known[section] = {"name", *(key for entry in table.values() for key in parameters_of(entry))}
    for section, schema in (("learner", PlayLearnerSettings), ("run", RunSettings), ("plan", PlanSettings)):
        known[section] |= set(parameters_of(schema))
    known["data"] |= set(parameters_of(SetSettings)) | {"sets"}
    return known


def test_extras_that_are_named_are_declared():
    declared = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    named = [(place, extra) for place, text in texts() for extra in re.findall(r"lensmith\[([\w-]+)\]", text)]
    assert named and not [(place, extra) for place, extra in named if extra not in declared]


def test_flags_that_are_named_are_options_of_a_verb():
    # Behind a backslash or in a longer word it is a part of something else; `--` alone ends the options.
    wrong = [(place, flag) for place, text in texts() if "<" not in text and "lessons/" not in place
             for flag in re.findall(r"(?<![\w\-/.])--[a-z][a-z0-9-]*\b", text)
             if flag not in options() | OTHERS]
    assert not wrong


def test_commands_that_are_named_have_their_verb():
    verbs = {words.split()[0] for words in VERBS} | set(ALIASES)
    wrong = [(place, verb) for place, text in texts() for verb in re.findall(r"`lensmith ([a-z]+)\b", text)
             if verb not in verbs]
    assert not wrong


def test_settings_that_are_named_are_settings():
    """`section.key` in a sentence is a setting of that section, or an argument that messages name so."""
    pattern = re.compile(rf"(?<![\w./\"'=-])({'|'.join(SECTIONS)})\.([a-z][a-z_]*)\b(?![(/]|\.\w)")
    wrong = []
    for place, text in texts():
        if " " not in text:    # no sentence: a name of a tensor, an attribute, a file
            continue
        for section, key in pattern.findall(text):
            if key not in keys()[section] and key not in NO_KEYS and f"{section}.{key}" not in ARGUMENTS:
                wrong.append((place, f"{section}.{key}"))
    assert not wrong


def test_a_list_in_an_error_is_cut_with_its_number():
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(number) for number in range(12)]) == ", ".join(map(str, range(12)))
    assert listed([f"class {number}" for number in range(1000)]) == \
        ", ".join(f"class {number}" for number in range(12)) + " and 988 more"
    assert listed([]) == ""
