"""Errors a user can act on: what was given, what is accepted, what to do; each with its exit code."""

import errno
import os
import re
import reprlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeVar

Entry = TypeVar("Entry")
INTERRUPTED = 130    # exit code of what Ctrl-C or SIGTERM ended
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)    # the disk, the quota or the allowed size of a file is used up
_KNOWN = 24   # entries of a table in an error
NAMED = 12    # names of a list in an error, of which the others are counted
_SHORT = reprlib.Repr()    # of a value in an error
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 120
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 8
# Control characters, line separators, what turns the direction of writing, and lone surrogates, as names that are not
# UTF-8 have: a terminal obeys the first, and a name must not look like another line or another name.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class UserError(ValueError):
    """A mistake in a command or a recipe; the command line prints it in one line, without a traceback."""

    code = 2           # that the command exits with
    at_once = False    # whether it exits without ending its threads in order


class DataError(UserError):
    """Pictures, labels or a data set that cannot be used."""

    code = 3


@dataclass(frozen=True)
class Reading:
    """One answer to a question: how something would be understood, and what says so."""

    in_words: str
    settings: tuple[str, ...] = ()    # as data.name=masks
    source: str | None = None         # what is named in the place of the source that was asked about


class Question(DataError):
    """A set that can be understood in several ways; each is a command that the user can give."""

    def __init__(self, source: str, why: str, answers: Sequence[Reading]) -> None:
        """`source` is what the user named, `why` a sentence without its full stop."""
        self.source, self.why, self.answers = source, why, tuple(answers)
        super().__init__(self.text([]))

    def text(self, command: Sequence[str]) -> str:
        """The question with the answers as commands: the words of `command`, in which the source is exchanged where an
        answer names another, and behind them the settings. A command that does not name the source is not repeated."""
        if not any(_same_path(word, self.source) for word in command):
            command = ["lensmith", "train", self.source]
        commands = []
        for answer in self.answers:
            places = {setting.partition("=")[0] for setting in answer.settings}
            words = [answer.source if answer.source is not None and _same_path(word, self.source) else word
                     for word in command if word.partition("=")[0] not in places]
            commands.append(f"`{shlex.join([*words, *answer.settings])}` {answer.in_words}")
        return f"{self.why}: {'; '.join(commands)}"


def _same_path(word: str, source: str) -> bool:
    return os.path.normpath(word) == os.path.normpath(source)


class ModelError(UserError):
    """A network, its weights or a checkpoint that cannot be used."""

    code = 4


class Disagreement(UserError):
    """A file that was written and does not answer as the network that it was made of."""

    code = 5


class Stopped(UserError):
    """Training ended before its time, for the reason named in the message."""

    code = 6


def nearest(name: str, known: Iterable[str], *, least: float = 0.6) -> str:
    """` Did you mean 'lenet'?`, or nothing where no other name that is known is similar: by `least` of 0 .. 1."""
    near = get_close_matches(str(name), [entry for entry in known if entry != name], n=1, cutoff=least)
    return f" Did you mean {near[0]!r}?" if near else ""


def choose(table: Mapping[str, Entry], name: str, what: str, *, error: type[UserError] = UserError) -> Entry:
    """`table[name]`, or an error that says which names exist and which is nearest."""
    if name in table:
        return table[name]
    raise error(f"unknown {what} {name!r}.{nearest(name, table)} Known: {listed(sorted(table), _KNOWN)}.")


def listed(names: Iterable[object], most: int = NAMED) -> str:
    """`a, b, c`; of more than `most` names the first ones and the number of the others."""
    every = [str(name) for name in names]
    return ", ".join(every[:most]) + (f" and {len(every) - most:,} more" if len(every) > most else "")


def count(number: int, noun: str) -> str:
    """`1 picture`, `1,200 pictures`."""
    if noun.endswith("y") and noun[-2] not in "aeou":
        plural = noun[:-1] + "ies"
    else:
        plural = noun + ("es" if noun.endswith(("s", "x", "tch")) else "s")
    return f"{number:,} {noun if number == 1 else plural}"


def escaped(text: str) -> str:
    """The text in one line that a terminal shows as it is: control characters and the like are escaped, as \\x1b."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def in_short(value: object) -> str:
    """The `repr` of what came in one line, with its middle left out where it is long."""
    try:
        return " ".join(_SHORT.repr(value).split("\n"))
    except ValueError:    # an integer of thousands of digits
        return "a value that is too long to be shown"


def as_user_error(error: BaseException) -> UserError | None:
    """What a user can do about an error of the system that nobody has met on its way up; None for a mistake of ours."""
    if isinstance(error, OSError):
        place = error.filename if error.filename is not None else "a file or a connection"
        place = place.decode(errors="replace") if isinstance(place, bytes) else str(place)
        problem = f"{place} cannot be read or written ({error.strerror or described(error)})"
        if error.errno in FULL:
            return Stopped(f"{problem}: free some space, then give the command again")
        if error.errno == errno.ENAMETOOLONG:
            return UserError(f"{problem}: give a shorter name")
        return UserError(f"{problem}: look at the name and its permissions, or name another place")
    if isinstance(error, UnicodeEncodeError):
        return UserError(f"{error.object!r} has a name that is not UTF-8: rename the file or the folder")
    if isinstance(error, ValueError) and "null" in str(error):
        return UserError("a name has a NUL character, which no file can have: look at the recipe and the command")
    if isinstance(error, RecursionError):
        return UserError("what is read is nested too deep: look at the recipe and the files that it names")
    if no_memory(error):
        return Stopped(f"not enough memory: {first_line(error)}. Take smaller settings, pictures or files")
    return None


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
