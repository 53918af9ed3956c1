"""Reads recipes and checks each section against its schema, the signature of the entry that the section names."""

import inspect
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import tomli_w
from pydantic import TypeAdapter, ValidationError

from lensmith.base.errors import UserError, choose, in_short, nearest
from lensmith.base.read_file import Unreadable, toml_of

# What a setting must be, in words, by the type of error that pydantic reports.
_WORDS = {"int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
          "bool_type": "true or false", "string_type": "text", "list_type": "a list", "dict_type": "a table"}
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")    # as JSON has it
Section = dict[str, Any]
Recipe = dict[str, Section]
# The source of the settings with their types and defaults: the signature of a function or class, the fields of a
# dataclass, or the fields of all dataclasses of a table, in its order.
Schema = Callable[..., Any] | Mapping[str, Callable[..., Any]]


def read_recipe(path: Path) -> Recipe:
    """The sections of a recipe file. Raises UserError for a file that is absent or not TOML."""
    try:
        recipe = toml_of(path)
    except Unreadable as error:
        if not error.missing:
            raise UserError(f"the recipe {path} cannot be read: {error.reason}") from error
        near = nearest(path.name, [file.name for file in path.parent.glob("*.toml")] if path.parent.is_dir() else [])
        raise UserError(f"there is no recipe {path}.{near}") from error
    for name, section in recipe.items():
        if not isinstance(section, dict):
            raise UserError(f"the recipe {path} sets {name!r} outside of a section: write it under [learner] or the "
                            "section it belongs to")
    return recipe


def override(recipe: Recipe, items: Sequence[str], sections: Sequence[str]) -> Recipe:
    """The recipe with each `section.key=value` put in. The value is TOML, and a bare word is a string."""
    changed = {name: dict(section) for name, section in recipe.items()}
    for item in items:
        path, sign, text = item.partition("=")
        section, dot, key = path.strip().partition(".")
        if not (sign and dot and section and key):
            raise UserError(f"a setting reads section.key=value, for example learner.epochs=10; got {item!r}")
        choose(dict.fromkeys(sections), section, "section")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path.strip()} has a value that cannot be read, with too many digits or brackets: "
                            f"{text[:20]}...") from error
        changed.setdefault(section, {})[key] = value
    return changed


def data_name_in(items: Sequence[str]) -> Any:
    """What the settings `section.key=value` give for data.name; None where they give none."""
    named = [item for item in items if item.partition("=")[0].strip() == "data.name"]
    return override({}, named, ("data",)).get("data", {}).get("name")


def put(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with each {"section.key": value} put in. A value of None changes nothing."""
    changed = {name: dict(section) for name, section in recipe.items()}
    for path, value in settings.items():
        section, dot, key = path.partition(".")
        if not (dot and section and key):
            raise UserError(f"a setting is named section.key, for example learner.epochs; got {path!r}")
        if value is not None:
            changed.setdefault(section, {})[key] = value
    return changed


def parameters_of(schema: Schema) -> dict[str, inspect.Parameter]:
    """The settings of a schema by name, in order, each with its annotation and its default."""
    entries = list(schema.values()) if isinstance(schema, Mapping) else [schema]
    parameters: dict[str, inspect.Parameter] = {}
    for entry in entries:
        hints = _hints(entry)
        for name, parameter in inspect.signature(entry).parameters.items():
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                parameters[name] = parameter.replace(annotation=hints.get(name, Any))
    return parameters


def settle(section: Section, schema: Schema, what: str, *, passed: Sequence[str] = ()) -> Section:
    """The section checked against its schema, with every default filled in.

    `passed` names the arguments that the program passes itself, which a recipe may not set. Raises UserError that
    names the setting, what came, what is accepted, and the nearest name.
    """
    parameters = {name: parameter for name, parameter in parameters_of(schema).items() if name not in passed}
    settled: Section = {}
    for key, value in section.items():
        if key not in parameters:
            names = ", ".join(sorted(parameters)) or "none"
            raise UserError(f"{what} has no setting {key!r}.{nearest(key, parameters)} It has: {names}.")
        settled[key] = _checked(value, parameters[key].annotation, f"{what}: {key}")
    missing = [name for name, parameter in parameters.items()
               if name not in settled and parameter.default is parameter.empty]
    if missing:
        section_name = what.removeprefix("section ").split()[0].strip("[]")
        raise UserError(f"{what} needs the setting{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}: give "
                        f"{'them' if len(missing) > 1 else 'it'} as "
                        f"{' '.join(f'{section_name}.{name}=...' for name in missing)}")
    for name, parameter in parameters.items():
        if name not in settled and parameter.default is not None:
            settled[name] = parameter.default
    return {name: settled[name] for name in parameters if name in settled}


def _hints(entry: Callable[..., Any]) -> Mapping[str, Any]:
    function = entry
    while hasattr(function, "func"):    # functools.partial
        function = function.func
    if inspect.isclass(function):
        function = function.__init__
    return get_type_hints(function, include_extras=True)


def _checked(value: Any, annotation: Any, what: str) -> Any:
    """The value in the type of the annotation, by JSON's strict rules: a float may be a whole number, but not text."""
    try:
        text = json.dumps(value, default=str, allow_nan=False, ensure_ascii=False)
        text.encode("utf-8")
        if _is_beyond(value):
            raise UserError(f"{what} must be of whole numbers that 64 bits hold; got {in_short(value)}")
        if _NUL.search(text):
            raise UserError(f"{what} has a NUL character, which no name can have; got {in_short(value)}")
        return _adapter(annotation).validate_json(text, strict=True)
    except ValidationError as error:
        accepted = dict.fromkeys(_WORDS.get(problem["type"]) or problem["msg"].removeprefix("Input should be ")
                                 for problem in error.errors())
        raise UserError(f"{what} must be {' or '.join(accepted)}; got {in_short(value)}") from error
    except UnicodeEncodeError as error:
        raise UserError(f"{what} must be text in UTF-8, as a recipe is; got {in_short(value)}: rename the file or the "
                        "folder") from error
    except (ValueError, RecursionError) as error:    # more digits or brackets than JSON can be written or read with
        if isinstance(error, UserError):
            raise
        accepted_value = "a finite number" if "Out of range" in str(error) else "a plain value"
        raise UserError(f"{what} must be {accepted_value}; got {in_short(value)}") from error


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    """Made once: to make those of a recipe takes as long as to build a small network."""
    try:
        return _kept_adapter(annotation)
    except TypeError:    # of a user's own code, with something in it that has no hash
        return TypeAdapter(annotation)


@cache
def _kept_adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


def _is_beyond(value: Any) -> bool:
    """Whether a value has a whole number that does not fit into 64 bits, with which no library computes."""
    if isinstance(value, Mapping):
        return any(_is_beyond(inner) for inner in value.values())
    if isinstance(value, list | tuple):
        return any(_is_beyond(inner) for inner in value)
    return isinstance(value, int) and not -2**63 <= value < 2**63


def call(section: Section, entry: Callable[..., Any], **arguments: Any) -> Any:
    """Call `entry` with a settled section and those of the `arguments` that it takes."""
    accepted = inspect.signature(entry).parameters
    return entry(**section, **{name: value for name, value in arguments.items() if name in accepted})


def as_toml(recipe: Recipe) -> str:
    """The TOML text of a recipe, as a run folder keeps it. `read_recipe` reads it back."""
    return tomli_w.dumps({name: section for name, section in recipe.items() if section})


BROUGHT = "python:"            # begins the name of a section whose object a Python caller passed
NO_DATA = f"{BROUGHT}nothing"  # the data of a run that was converted from files of another program
