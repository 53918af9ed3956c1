"""A recipe names, in each section, an entry of a table and its arguments; the signature of that entry is the schema."""

import inspect
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import tomli_w
from pydantic import TypeAdapter, ValidationError

from lensmith.base.errors import UserError, choose, nearest

# What pydantic found wrong -> what a setting must be, in words.
_WORDS = {"int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
          "bool_type": "true or false", "string_type": "text", "list_type": "a list", "dict_type": "a table"}
Section = dict[str, Any]
Recipe = dict[str, Section]
# What says which settings there are, with their types and defaults: the signature of a function or class, the fields of
# a dataclass, or those of all the dataclasses of a table, in its order.
Schema = Callable[..., Any] | Mapping[str, Callable[..., Any]]


def read_recipe(path: Path) -> Recipe:
    """A recipe file -> its sections. Raises UserError for a file that is absent or not TOML."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        near = nearest(path.name, [one.name for one in path.parent.glob("*.toml")] if path.parent.is_dir() else [])
        raise UserError(f"there is no recipe {path}.{near}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the recipe {path} cannot be read: {error}") from error
    try:
        recipe = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"the recipe {path} is not valid TOML: {error}") from error
    for name, section in recipe.items():
        if not isinstance(section, dict):
            raise UserError(f"the recipe {path} sets {name!r} outside of a section: write it under [learner] or the "
                            "section it belongs to")
    return recipe


def override(recipe: Recipe, items: Sequence[str], sections: Sequence[str]) -> Recipe:
    """The recipe with `section.key=value` put in; the value is TOML, and a bare word is a string."""
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
        changed.setdefault(section, {})[key] = value
    return changed


def put(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with {"section.key": value} put in; None leaves things as they are."""
    changed = {name: dict(section) for name, section in recipe.items()}
    for path, value in settings.items():
        section, dot, key = path.partition(".")
        if not (dot and section and key):
            raise UserError(f"a setting is named section.key, for example learner.epochs; got {path!r}")
        if value is not None:
            changed.setdefault(section, {})[key] = value
    return changed


def parameters_of(schema: Schema) -> dict[str, inspect.Parameter]:
    """The settings that a schema knows, by name, in order, each with its annotation and its default."""
    entries = list(schema.values()) if isinstance(schema, Mapping) else [schema]
    found: dict[str, inspect.Parameter] = {}
    for entry in entries:
        hints = _hints(entry)
        for name, parameter in inspect.signature(entry).parameters.items():
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                found[name] = parameter.replace(annotation=hints.get(name, Any))
    return found


def settle(section: Section, schema: Schema, what: str, *, given: Sequence[str] = ()) -> Section:
    """The section checked against its schema, with every default filled in.

    `given` are the arguments that the program passes itself; a recipe may not set them. Raises UserError that names
    the setting, what came, what is accepted, and the nearest name.
    """
    parameters = {name: parameter for name, parameter in parameters_of(schema).items() if name not in given}
    settled: Section = {}
    for key, value in section.items():
        if key not in parameters:
            known = ", ".join(sorted(parameters)) or "none"
            raise UserError(f"{what} has no setting {key!r}.{nearest(key, parameters)} It has: {known}.")
        settled[key] = _checked(value, parameters[key].annotation, f"{what}: {key}")
    for name, parameter in parameters.items():
        if name in settled:
            continue
        if parameter.default is parameter.empty:
            section_name = what.removeprefix("section ").split()[0].strip("[]")
            raise UserError(f"{what} needs the setting {name!r}: give it as {section_name}.{name}=...")
        if parameter.default is not None:
            settled[name] = parameter.default
    return {name: settled[name] for name in parameters if name in settled}


def _hints(entry: Callable[..., Any]) -> Mapping[str, Any]:
    function = entry
    while hasattr(function, "func"):    # functools.partial
        function = function.func
    if inspect.isclass(function):
        function = function.__init__
    return get_type_hints(function, include_extras=True)


def _checked(value: Any, wanted: Any, what: str) -> Any:
    """The value as the annotation wants it; JSON's strict rules: no text for numbers, whole numbers for floats."""
    try:
        return TypeAdapter(wanted).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        wanted_words = dict.fromkeys(_WORDS.get(one["type"]) or one["msg"].removeprefix("Input should be ")
                                     for one in error.errors())
        raise UserError(f"{what} must be {' or '.join(wanted_words)}; got {value!r}") from error


def call(section: Section, entry: Callable[..., Any], **given: Any) -> Any:
    """Call `entry` with a settled section and those of `given` that it takes."""
    accepted = inspect.signature(entry).parameters
    return entry(**section, **{name: value for name, value in given.items() if name in accepted})


def as_toml(recipe: Recipe) -> str:
    """The TOML text of a recipe: what a run folder keeps, and what can be trained again."""
    return tomli_w.dumps({name: section for name, section in recipe.items() if section})


BROUGHT = "python:"            # marks, in a recipe, what a Python caller brought as an object
NO_DATA = f"{BROUGHT}nothing"  # of a run that was converted from files of another program
