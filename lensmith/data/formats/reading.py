"""Reading a format's files: whether they exist, their text, their JSON, and what a refusal says."""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lensmith.base.errors import DataError, nearest
from lensmith.data.sources.picture_files import readable


def existing(path: str) -> Path:
    """The file or folder that a user named; raises DataError where there is none."""
    root = Path(path).expanduser()
    if root.exists():
        return root
    above = root.parent
    near = nearest(root.name, [entry.name for entry in above.iterdir()] if above.is_dir() else [])
    raise DataError(f"{readable(root)} does not exist.{near or ' Check data.path.'}")


def read_text(file: Path) -> str:
    """A text file in UTF-8, with or without a mark at its beginning; raises DataError."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{readable(file)} is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise DataError(f"{readable(file)} cannot be read ({error.strerror})") from error


def read_json(file: Path) -> Any:
    """What a JSON file holds; raises DataError with the line where it is damaged."""
    try:
        return json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise DataError(f"{readable(file)}, line {error.lineno}: is not JSON ({error.msg}); was it cut off?") from error
    except (RecursionError, ValueError) as error:    # brackets without end, or a number of thousands of digits
        raise DataError(f"{readable(file)} is not JSON that can be read ({type(error).__name__})") from error


def begins_with_key(file: Path, keys: str) -> bool:
    """Whether a list called by one of `keys` (`a|b`) begins in the first 64 KB of a JSON file."""
    try:
        with open(file, encoding="utf-8-sig", errors="replace") as opened:
            return re.search(rf'"({keys})"\s*:\s*\[', opened.read(65_536)) is not None
    except OSError:
        return False


def refused(file: Path, error: ValidationError) -> DataError:
    """The first thing that pydantic found wrong in a file, in one line."""
    first = error.errors(include_url=False)[0]
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"]).lstrip(".")
    came = repr(first["input"])
    came = came if len(came) <= 60 else came[:57] + "..."
    return DataError(f"{readable(file)}: {place or 'the file'}: {first['msg']}, not {ascii(came)[1:-1]}")
