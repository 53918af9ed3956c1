"""What fingers already know: `epochs=3` for `--epochs 3`, other programs' names, GPUs by their numbers. The words of a
command become ours before they are read."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lensmith.base.errors import UserError
from lensmith.cli.options import FLAGS
from lensmith.recipe.aliases import ALIASES, FALSE_FRIENDS, RUN, SOURCE, VALUES, Alias

_GPUS = re.compile(r"\d{1,3}(,\d{1,3})*")
_BARE = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_-]*)=(?P<value>.*)", re.DOTALL)
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no")


@dataclass
class _Words:
    """The words of a command as they become ours."""

    first: list[str] = field(default_factory=list)    # arguments that others give by name, as the run
    words: list[str] = field(default_factory=list)
    last: list[str] = field(default_factory=list)     # as the sources of predict
    said: dict[str, None] = field(default_factory=dict)


def our_words(words: Sequence[str], verb: str, options: Mapping[str, bool]) -> tuple[list[str], list[str]]:
    """(the words behind a verb as we call them, what has to be said of them, each once).

    options: those of the verb, as "--epochs", and whether each takes a value.

    A word `name=value` is an option only where the verb has one of that name, or another program does: a file of such
    a name is a file. Raises UserError for a switch that is neither on nor off.
    """
    result, known = _Words(), ALIASES.get(verb, {})
    remaining = list(words)
    while remaining:
        word = remaining.pop(0)
        if word == "--":
            result.words += [word, *remaining]
            break
        option, sign, value = word.partition("=")
        name = _plain(option)
        if option in options or (option.startswith("-") and name not in known):
            if options.get(option):
                if not sign and remaining:
                    value, sign = remaining.pop(0), "="
                result.words += [option, _value(verb, name, value, result)] if sign else [option]
            else:
                result.words.append(word)
        elif option.startswith("-"):
            if not sign:
                value = remaining.pop(0) if remaining and not remaining[0].startswith("--") else "true"
            _translate(option, known[name], value, result)
        elif verb in ALIASES and (match := _BARE.fullmatch(word)) and not os.path.exists(word):
            _bare(word, match, verb, options, result)
        else:
            result.words.append(word)
    return [*result.first, *result.words, *result.last], list(result.said)


def _bare(word: str, match: re.Match[str], verb: str, options: Mapping[str, bool], result: _Words) -> None:
    """A word `name=value`, which stands for the option of that name."""
    name, value = _plain(match["name"]), match["value"]
    option = f"--{name.replace('_', '-')}"
    if name in ALIASES[verb]:
        _translate(match["name"], ALIASES[verb][name], value, result)
    elif options.get(option):
        result.words += [option, _value(verb, name, value, result)]
    elif option in options:
        if value.lower() not in (*_TRUE, *_FALSE):
            raise UserError(f"{match['name']} is a switch; got {word!r}: say {match['name']}=true, "
                            f"{match['name']}=false or {option}")
        result.words += [option] if value.lower() in _TRUE else []
    else:
        result.words.append(word)


def _translate(theirs: str, alias: Alias, value: str, result: _Words) -> None:
    """Put what one of their names stands for where it belongs, and say it."""
    ours, here = alias.meant_by(value)
    called = theirs if theirs.startswith("-") else f"{theirs}="
    remark = alias.remark_on(value)
    remark = f"; {remark}" if remark else ""
    if ours is None or here is None:
        result.said[f"{called} sets nothing here{remark}"] = None
        return
    option = _OPTION.get(ours, ours if ours.startswith("--") else "")
    place = option or (f"{ours}=" if "." in ours else f"the argument {ours}")
    result.said[f"{called} is {place} here{remark}"] = None
    if ours in (RUN, SOURCE):
        result.first.append(here)
    elif option:
        result.words += [option, here]
    elif "." in ours:
        result.last.append(f"{ours}={here}")
    else:
        result.last.append(here)


# Places of a recipe that have an option -> the option.
_OPTION = {place: f"--{name.replace('_', '-')}" for name, place in FLAGS.items()}


def _value(verb: str, name: str, value: str, result: _Words) -> str:
    """A value of our own option as we call it: GPUs by their numbers, tasks by other names."""
    friend = FALSE_FRIENDS.get(verb, {}).get(name)
    if friend and value.isdecimal():
        result.said[friend] = None
    if name == "device" and _GPUS.fullmatch(value):
        return f"cuda:{value}"
    other = VALUES.get(verb, {}).get(name, {}).get(value)
    if other is not None:
        result.said[f"--{name} {value} is --{name} {other} here"] = None
    return value if other is None else other


def _plain(option: str) -> str:
    return option.lstrip("-").replace("-", "_")


def is_first_process() -> bool:
    """Whether this process says things: of several that torchrun starts one does."""
    return os.environ.get("RANK", "0") in ("", "0")
