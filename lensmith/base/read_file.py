"""Files that anybody may have written or damaged: read whole within bounds, or refused with the reason."""

import json
import stat
import tomllib
from pathlib import Path
from typing import Any

from lensmith.base.errors import UserError, count

LARGEST = 512 << 20    # bytes of a JSON or CSV file: data.json of ten million pictures has about as many


class Unreadable(UserError):
    """A file that cannot be read, with the `reason` alone; `missing` where there is none."""

    def __init__(self, path: Path, reason: str, *, missing: bool = False):
        super().__init__(f"{path} cannot be read ({reason})")
        self.reason, self.missing = reason, missing


def bounded_text(path: Path, *, largest: int = LARGEST) -> str:
    """The text of a file in UTF-8. Raises Unreadable where it is no file of at most `largest` bytes of such text.

    A device or a pipe is no file: /dev/zero has no end, and a pipe waits for ever.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise Unreadable(path, "it is not a file")
        if facts.st_size > largest:
            raise Unreadable(path, f"it has {count(facts.st_size, 'byte')}, more than {largest:,}")
        with open(path, "rb") as file:
            return file.read(largest + 1).decode("utf-8")
    except FileNotFoundError as error:
        raise Unreadable(path, "there is no such file", missing=True) from error
    except OSError as error:
        raise Unreadable(path, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise Unreadable(path, f"it is not UTF-8 text: byte {error.start}") from error
    except MemoryError as error:
        raise Unreadable(path, "there is not enough memory for it") from error
    except ValueError as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(path, str(error)) from error    # a name with a NUL


def json_of(path: Path) -> Any:
    """The content of a JSON file. Raises Unreadable where it is none, or nested or long beyond what can be read."""
    text = bounded_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise Unreadable(path, f"line {error.lineno} is not JSON: {error.msg}") from error
    except (RecursionError, ValueError, MemoryError) as error:
        raise Unreadable(path, _beyond(error)) from error


def toml_of(path: Path, *, largest: int = 16 << 20) -> dict[str, Any]:
    """The content of a TOML file. Raises Unreadable where it is none, or nested or long beyond what can be read."""
    text = bounded_text(path, largest=largest)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Unreadable(path, f"it is not valid TOML: {error}") from error
    except (RecursionError, ValueError, MemoryError) as error:
        raise Unreadable(path, _beyond(error)) from error


def _beyond(error: BaseException) -> str:
    """Why a parser gave up on text that may be well-formed."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    return "it has a number of too many digits" if "digits" in str(error) else str(error)
