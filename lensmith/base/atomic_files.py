"""Files that are whole or absent: written aside, flushed to the disk, then renamed over the old one."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from lensmith.base.errors import Stopped, UserError


def write_atomic(path: Path, write: Callable[[Path], object], *, advice: str = "") -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place in one step.

    Until that step the previous file stays whole. A failure removes the temporary one. `advice` is what a user can do
    where it fails; without it, what helps for a run folder. Raises Stopped where the disk is full, UserError where the
    folder may not be written.
    """
    aside = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        aside = Path(name)
        os.close(handle)
        write(aside)
        with open(aside, "rb+") as file:
            os.fsync(file.fileno())
        # mkstemp gives 0600, and a run folder is to be as readable as any file of the user.
        aside.chmod(0o666 & ~_umask())
        os.replace(aside, path)
        _sync_folder(path.parent)
    except PermissionError as error:
        raise UserError(f"no permission to write {path}: "
                        f"{advice or 'choose another folder with train.runs'}") from error
    except Exception as error:
        if is_full(error):
            raise Stopped(f"the disk is full: {path} could not be written ({error}); the last whole file was kept. "
                          f"Free some space, {f'or {advice}' if advice else 'then go on with lensmith train --resume'}"
                          ) from error
        raise
    finally:
        if aside is not None:
            aside.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, advice: str = "") -> None:
    """Write a text file atomically, as UTF-8; `advice` as of write_atomic."""
    write_atomic(path, lambda aside: aside.write_text(text, encoding="utf-8"), advice=advice)


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk, the quota or the allowed file size is used up (safetensors wraps it)."""
    numbers = (28, 122, 27)    # ENOSPC, EDQUOT, EFBIG
    return getattr(error, "errno", None) in numbers or any(f"os error {n}" in str(error) for n in numbers)


def _umask() -> int:
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
