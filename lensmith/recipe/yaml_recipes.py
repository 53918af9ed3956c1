"""Recipes in YAML: with our sections, or with the arguments of Ultralytics' trainings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError, in_short
from lensmith.base.read_file import Unreadable, bounded_text
from lensmith.recipe import schema as recipes
from lensmith.recipe.aliases import ALIASES, FALSE_FRIENDS, SAME, SOURCE, TELLING, VALUES
from lensmith.recipe.play_sections import SECTIONS as PLAY_SECTIONS
from lensmith.recipe.play_sections import WORLD
from lensmith.recipe.sections import SECTIONS

_SUFFIXES = (".yaml", ".yml")
_LARGEST = 4 << 20    # bytes
_SAID = 5             # names that are passed over and told


@dataclass(frozen=True)
class YamlRecipe:
    """What a YAML file asks for."""

    recipe: recipes.Recipe
    source: str | None = None    # the data, as other programs name them
    notes: tuple[str, ...] = ()    # what has to be said of it, a line each


def read_yaml_recipe(path: Path) -> YamlRecipe | None:
    """The recipe in a YAML file; None for another file, and for one that describes a data set.

    A recipe has our sections. A file of Ultralytics' arguments is told by their names. Raises DataError for one that
    mixes sections with other keys.
    """
    if path.suffix.lower() not in _SUFFIXES:
        return None
    content = _content(path)
    if not isinstance(content, dict) or "names" in content:
        return None
    known = PLAY_SECTIONS if WORLD in content else SECTIONS
    sections = [key for key, value in content.items() if key in known and isinstance(value, dict)]
    if sections:
        other = [key for key in content if key not in sections]
        if other:
            raise DataError(f"{path} has the section {sections[0]!r} of a recipe, and beside it {in_short(other[0])}, "
                            f"which is none: known sections are {', '.join(known)}")
        return YamlRecipe(content)
    return _of_arguments(content) if any(key in content for key in TELLING) else None


def _content(path: Path) -> Any:
    """What the file holds; None where it is no YAML, which the reader of data sets says."""
    import yaml  # type: ignore[import-untyped]

    try:
        return yaml.safe_load(bounded_text(path, largest=_LARGEST))
    except (Unreadable, yaml.YAMLError, RecursionError, ValueError):
        return None


def _of_arguments(content: dict[Any, Any]) -> YamlRecipe:
    """The recipe that Ultralytics' arguments ask for, as far as there is something of the kind here."""
    settings: dict[str, Any] = {}
    source, notes, unknown = None, [], []
    for key, value in content.items():
        alias, place = ALIASES["train"].get(str(key)), SAME.get(str(key))
        if value is None or (key not in SAME and alias is None):
            unknown += [str(key)] if value is not None else []
            continue
        if key in SAME:
            value = VALUES["train"].get(key, {}).get(value, value) if isinstance(value, str) else value
            here = _value(str(key), value)
            notes += [FALSE_FRIENDS["train"][key]] if key in FALSE_FRIENDS["train"] else []
        else:
            assert alias is not None
            place, text = alias.meant_by(str(value))
            here = value if text == str(value) else text
            notes += [f"{key} sets nothing here; {alias.remark}"] if place is None and alias.remark else []
        if place == SOURCE:
            source = str(here)
        elif place is not None and "." in place and not place.startswith("-") and here is not None:
            settings[place] = here
        elif place is not None and place.startswith("-"):
            notes.append(f"{key} is {place} here, an option of the command")
    if unknown:
        more = f" and {len(unknown) - _SAID} more" if len(unknown) > _SAID else ""
        notes.append(f"passed over, with no setting of the kind here: {', '.join(unknown[:_SAID])}{more}")
    return YamlRecipe(recipes.put({}, settings), source, tuple(notes))


def _value(key: str, value: Any) -> Any:
    """One of their values of a setting that both have."""
    if key == "device" and str(value).replace(",", "").isdecimal():
        return f"cuda:{value}"
    if key == "optimizer" and isinstance(value, str):
        return None if value.lower() == "auto" else value.lower()
    return value
