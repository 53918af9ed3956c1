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
    neighbours = [path.name for path in root.parent.iterdir()] if root.parent.is_dir() else []
    near = nearest(root.name, neighbours)
    raise DataError(f"{readable(root)} does not exist.{near or ' Check data.path.'}")


def read_text(file: Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark; raises DataError."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{readable(file)} is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise DataError(f"{readable(file)} cannot be read ({error.strerror})") from error


def read_json(file: Path) -> Any:
    """The content of a JSON file; raises DataError with the line where it is damaged."""
    try:
        return json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise DataError(f"{readable(file)}, line {error.lineno}: is not JSON ({error.msg}); was it cut off?") from error
    except (RecursionError, ValueError) as error:    # brackets a thousand deep, or a number of thousands of digits
        raise DataError(f"{readable(file)} is not JSON that can be read ({type(error).__name__})") from error


def begins_with_key(file: Path, keys: str) -> bool:
    """Whether a list under one of `keys`, as `a|b`, begins in the first 64 KB of a JSON file."""
    return re.search(rf'"({keys})"\s*:\s*\[', beginning_of(file)) is not None


def beginning_of(file: Path) -> str:
    """The first 65,536 characters of a text file, which tell what program wrote it; "" where it cannot be read."""
    try:
        with open(file, encoding="utf-8-sig", errors="replace") as opened:
            return opened.read(65_536)
    except OSError:
        return ""


def invalid_content(file: Path, error: ValidationError) -> DataError:
    """An error of one line that names the first thing that pydantic found wrong in a file."""
    first = error.errors(include_url=False)[0]
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"]).lstrip(".")
    value = repr(first["input"])
    value = value if len(value) <= 60 else value[:57] + "..."
    return DataError(f"{readable(file)}: {where or 'the file'}: {first['msg']}, not {ascii(value)[1:-1]}")
