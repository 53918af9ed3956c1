"""Writes docs/reference/commands.md and settings.md from the code: every command and every setting, its default and its
meaning.

    python scripts/write_reference.py [FOLDER]
"""

import ast
import inspect
import io
import sys
import tokenize
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from lensmith.base.atomic_files import write_text
from lensmith.cli.app import ALIASES, VERBS, application
from lensmith.cli.options import FLAGS
from lensmith.data.formats import FORMATS
from lensmith.engine.optimize import OPTIMIZERS
from lensmith.engine.schedule import SCHEDULES
from lensmith.models.backbones import BACKBONES
from lensmith.recipe.play_sections import PlayingSettings, PlayLearnerSettings
from lensmith.recipe.schema import parameters_of
from lensmith.recipe.sections import PASSED, PLAIN, SECTIONS
from lensmith.recipe.settings import SetSettings
from lensmith.rl.algorithms import ALGORITHMS
from lensmith.rl.worlds import WORLDS
from lensmith.tasks import TASKS

# The tables whose entries a section names by `name`, each with its settings.
TABLES: dict[str, Mapping[str, Any]] = {
    "data": {name: one.open for name, one in FORMATS.items()}, "backbone": BACKBONES, "task": TASKS,
    "optimizer": OPTIMIZERS, "schedule": SCHEDULES}


def commands_page() -> str:
    """Markdown: each verb with its usage, what it does, and each of its arguments and options."""
    group = typing.cast(Any, typer.main.get_command(application(VERBS)))
    lines = ["# Every command", "", "Made from the code; `lensmith COMMAND --help` says the same.", ""]
    for words in VERBS:
        command: Any = group
        for word in words.split():
            command = command.commands[word]
        context = command.make_context(f"lensmith {words}", [], resilient_parsing=True)
        lines += [f"## lensmith {words}", "", _text(command.help), "", "```text",
                  command.get_usage(context).removeprefix("Usage: "), "```", ""]
        rows = [row for row in (one.get_help_record(context) for one in command.params) if row is not None]
        lines += ["| argument or option | meaning |", "| --- | --- |",
                  *(f"| `{_cell(name)}` | {_text(meaning)} |" for name, meaning in rows), ""]
    also = ", ".join(f"`lensmith {alias}` is `lensmith {words}`" for alias, words in ALIASES.items() if words in VERBS)
    return "\n".join([*lines, f"Other words: {also}.", ""])


def settings_page() -> str:
    """Markdown: each section of a recipe with its settings, their types, defaults and meanings."""
    flag_of = {place: f"--{name.replace('_', '-')}" for name, place in FLAGS.items()}
    lines = ["# Every setting", "", "Made from the code. A setting stands in a recipe below its section, or is given "
             "on the command line as `section.key=value`; some have a flag. [The recipe](../recipe.md) tells more of "
             "each.", ""]
    for section in SECTIONS:
        lines += [f"## [{section}]", ""]
        if section in PLAIN:
            schema = PLAIN[section]
            entries = schema.values() if isinstance(schema, Mapping) else (schema,)
            rows = [row for entry in entries for row in _rows(section, entry, flag_of)]
            lines += ["| setting | type | default | meaning |", "| --- | --- | --- | --- |", *rows, ""]
        else:
            if section == "data":
                lines += ["| setting | type | default | meaning |", "| --- | --- | --- | --- |",
                          *_rows(section, SetSettings, flag_of), ""]
            lines += [f"`{section}.name` is one of these, each with its own settings.", "",
                      "| name | settings with their defaults |", "| --- | --- |"]
            lines += [f"| `{name}` | {_settings_of(section, entry)} |" for name, entry in TABLES[section].items()]
            lines += [""]
    return "\n".join([*lines, *_of_play(flag_of)])


def _of_play(flag_of: Mapping[str, str]) -> Iterator[str]:
    """The sections of a recipe that plays, apart from those that all recipes have."""
    yield from ("# Every setting of a recipe that plays", "", "[Play](../play.md) tells more. The sections `[run]`, "
                "`[backbone]`, `[optimizer]`, `[schedule]` and `[plan]` are those above.", "")
    head = ("| setting | type | default | meaning |", "| --- | --- | --- | --- |")
    yield from ("## [world]", "", "| name | settings with their defaults |", "| --- | --- |")
    yield from (f"| `{name}` | {_settings_of('world', entry)} |" for name, entry in WORLDS.items())
    for section, schema in (("play", PlayingSettings), ("learner", PlayLearnerSettings)):
        yield from ("", f"## [{section}] of play", "", *head, *_rows(section, schema, flag_of))
    for name, entry in ALGORITHMS.items():
        yield from ("", f"## [algorithm] {name}", "")
        if inspect.isclass(entry):
            yield from (*head, *_rows("algorithm", entry, flag_of))
        else:
            yield _settings_of("algorithm", entry)
    yield ""


def _settings_of(section: str, entry: Any) -> str:
    passed = PASSED.get(section, ())
    found = [f"`{_cell(name)}`" if one.default is one.empty else f"`{_cell(f'{name}={one.default!r}')}`"
             for name, one in parameters_of(entry).items() if name not in passed]
    return " ".join(found) or "–"


def _rows(section: str, entry: Any, flag_of: Mapping[str, str]) -> Iterator[str]:
    meanings = meanings_of(entry)
    for name, one in parameters_of(entry).items():
        if name in PASSED.get(section, ()):
            continue
        flag = flag_of.get(f"{section}.{name}")
        setting = f"`{section}.{name}`" + (f" (`{flag}`)" if flag else "")
        default = "" if one.default in (None, one.empty) else f"`{_cell(repr(one.default))}`"
        yield f"| {setting} | {_text(_type_of(one.annotation))} | {default} | {_text(meanings.get(name, ''))} |"


def _type_of(annotation: Any) -> str:
    """A type in words: what is optional is not called so, since its default is empty."""
    kind, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if kind is typing.Annotated:
        return _type_of(inner[0])
    if kind is typing.Literal:
        return ", ".join(repr(value) for value in inner)
    if kind in (typing.Union, types.UnionType):
        return " or ".join(_type_of(one) for one in inner if one is not types.NoneType)
    if inner:
        return f"{kind.__name__} of {', '.join(_type_of(one) for one in inner)}"
    return str(getattr(annotation, "__name__", annotation))


def meanings_of(entry: Any) -> dict[str, str]:
    """What is said of each setting: of a dataclass's fields the comments beside them, of a function's parameters their
    lines in its docstring."""
    if inspect.isclass(entry):
        return _comments(inspect.getsource(entry))
    meanings: dict[str, str] = {}
    names: list[str] = []
    for line in inspect.cleandoc(entry.__doc__ or "").splitlines():
        before, colon, after = line.partition(": ")
        if colon and not line.startswith(" ") and all(name.isidentifier() for name in before.split(", ")):
            names = before.split(", ")
            meanings.update(dict.fromkeys(names, after))
        elif line.startswith(" ") and names:
            meanings.update({name: f"{meanings[name]} {line.strip()}" for name in names})
        else:
            names = []
    return meanings


def _comments(source: str) -> dict[str, str]:
    """The comments at the end of each field's lines and on the lines of their own below them, by the field."""
    source = inspect.cleandoc(source)
    lines = {token.start[0]: token.string.lstrip("# ") for token in
             tokenize.generate_tokens(io.StringIO(source).readline) if token.type == tokenize.COMMENT}
    (kind,) = ast.parse(source).body
    assert isinstance(kind, ast.ClassDef)
    begins = [node.lineno for node in kind.body] + [len(source.splitlines()) + 1]
    return {node.target.id: " ".join(lines[line] for line in range(node.lineno, end) if line in lines)
            for node, end in zip(kind.body, begins[1:], strict=True)
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}


def _text(text: str) -> str:
    """A sentence for a table's cell, in which nothing is taken for markup."""
    return _cell(" ".join(text.split())).replace("<", "&lt;").replace("*", "\\*")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write the pages."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "reference"
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "commands.md", commands_page())
    write_text(folder / "settings.md", settings_page())


if __name__ == "__main__":
    main()
