"""Errors a user can act on: what was given, what is accepted, what to do; each with its exit code."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

Entry = TypeVar("Entry")


class UserError(ValueError):
    """A mistake in a command or a recipe; the command line prints it in one line, without a traceback."""

    code = 2           # that the command exits with
    at_once = False    # whether it exits without ending its threads in order


class DataError(UserError):
    """Pictures, labels or a data set that cannot be used."""

    code = 3


class ModelError(UserError):
    """A network, its weights or a checkpoint that cannot be used."""

    code = 4


class Stopped(UserError):
    """Training ended before its time, for the reason named in the message."""

    code = 6


def nearest(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'lenet'?`, or nothing where no known name is similar."""
    near = get_close_matches(str(name), list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def choose(table: Mapping[str, Entry], name: str, what: str, *, error: type[UserError] = UserError) -> Entry:
    """`table[name]`, or an error that says which names exist and which is nearest."""
    if name in table:
        return table[name]
    raise error(f"unknown {what} {name!r}.{nearest(name, table)} Known: {', '.join(sorted(table))}.")


def count(number: int, noun: str) -> str:
    """`1 picture`, `1,200 pictures`."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + ("es" if noun.endswith(("s", "x", "tch")) else "s")
    return f"{number:,} {noun if number == 1 else plural}"


def no_memory(error: BaseException) -> bool:
    """Whether an error means that there was too little memory, of the machine or of a device."""
    line = first_line(error)
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" \
        or any(word in line for word in ("allocate memory", "out of memory", "ALLOC_FAILED",
                                         "Storage size calculation overflowed"))


def described(error: BaseException) -> str:
    """An error of code that is not ours in one line: `ValueError: the first line of its message`."""
    line = str(error).splitlines()[0] if str(error) else "no message"
    return f"{type(error).__name__}: {line}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its class where it has none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
