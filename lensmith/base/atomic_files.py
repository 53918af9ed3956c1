"""Files that are whole or absent: written aside, flushed to the disk, then renamed over the old one."""

import os
import re
import tempfile
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from lensmith.base.errors import FULL, Stopped, UserError

_KEPT = 40    # letters of a name that its temporary file has too: 255 bytes are allowed with what is added
_RANDOM = re.compile("[a-z0-9_]{8}")    # what mkstemp adds
_WRITABLE = "choose another folder with train.runs, or make this one writable"


def write_atomic(path: Path, write: Callable[[Path], object], *, advice: str = "") -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place in one step.

    Until that step the previous file stays whole. A failure removes the temporary one. A link is replaced, and never
    written through. `advice` is what a user can do where it fails; without it, what helps for a run folder. Raises
    Stopped where the disk is full, UserError where the folder cannot be written.
    """
    aside = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:_KEPT]}.", dir=path.parent)
        aside = Path(name)
        os.close(handle)
        write(aside)
        with open(aside, "rb+") as file:
            os.fsync(file.fileno())
        # mkstemp gives 0600, and a run folder is to be as readable as any file of the user.
        aside.chmod(0o666 & ~umask())
        os.replace(aside, path)
        _sync_folder(path.parent)
    except Exception as error:
        if is_full(error):
            raise Stopped(f"the disk is full: {path} could not be written ({error}); the last whole file was kept. "
                          f"Free some space, {f'or {advice}' if advice else 'then go on with lensmith train --resume'}"
                          ) from error
        if isinstance(error, OSError) or "(os error " in str(error):    # the latter is safetensors'
            why = "no permission to write" if isinstance(error, PermissionError) else "cannot write"
            what = "" if isinstance(error, PermissionError) else f" ({getattr(error, 'strerror', '') or error})"
            raise UserError(f"{why} {path}{what}: {advice or _WRITABLE}") from error
        raise
    finally:
        if aside is not None:
            with suppress(OSError):    # the disk may have become read-only meanwhile
                aside.unlink(missing_ok=True)


def remove_leftovers(folder: Path, names: Collection[str]) -> None:
    """Remove the temporary files of `names` that a killed process has left in a folder."""
    for path in folder.glob(".*"):
        if is_leftover(path.name, names):
            with suppress(OSError):
                path.unlink()


def is_leftover(name: str, names: Collection[str]) -> bool:
    """Whether a file is called as the temporary one of one of `names` is."""
    whole, _, random = name.removeprefix(".").rpartition(".")
    return name.startswith(".") and whole in names and _RANDOM.fullmatch(random) is not None


def write_text(path: Path, text: str, *, advice: str = "") -> None:
    """Write a text file atomically, as UTF-8; `advice` as of write_atomic."""
    write_atomic(path, lambda aside: aside.write_text(text, encoding="utf-8"), advice=advice)


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk, the quota or the allowed file size is used up (safetensors wraps it)."""
    return getattr(error, "errno", None) in FULL or any(f"os error {number}" in str(error) for number in FULL)


def umask() -> int:
    """The permissions that this process's files do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last a crash. Not every system lets a folder be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
