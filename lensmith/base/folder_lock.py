"""A lock on a folder that the system takes back when the process that holds it ends, however it ends."""

import errno
import os
import platform
import sys
import weakref
from contextlib import suppress
from pathlib import Path

from lensmith.base.read_file import Unreadable, bounded_text

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = ".lensmith-lock"    # lies in the folder while it is held; what a killed process leaves there locks nobody out
_TAKEN = (errno.EACCES, errno.EAGAIN)    # what systems answer where another process has the lock
_FAR = 1 << 20     # the byte that is locked: Windows lets nobody read what is, and before it stands who holds it
_TRIES = 100       # openings of a file that its last holder removes at that moment
# A link, a pipe or a device in the place of the file is neither followed nor waited for. Windows knows neither.
_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class HeldElsewhere(Exception):
    """Another process holds the lock; `holder` says which."""

    def __init__(self, holder: str):
        super().__init__(holder)
        self.holder = holder


class FolderLock:
    """A lock that is held until `release`, until nobody has this object any more, or until the process ends.

    It is the process that holds it (POSIX record locks): one that is forked from it, as loading workers are, holds
    nothing and keeps nothing held, and the same process may take it again.
    """

    def __init__(self, descriptor: int, path: Path):
        self.release = weakref.finalize(self, _let_go, descriptor, path, os.getpid())


def lock_folder(folder: Path) -> FolderLock | None:
    """The lock on a folder; None where its file system has no locks, or nothing can be written there.

    Raises HeldElsewhere where another process has it.
    """
    path = Path(os.path.abspath(folder / LOCK))
    for _ in range(_TRIES):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _PLAIN, 0o666)
        except OSError:    # whoever writes into the folder says what is wrong with it
            return None
        try:
            _lock(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno in _TAKEN:
                raise HeldElsewhere(_holder(path)) from error
            with suppress(OSError):
                path.unlink()
            return None
        if _lies_at(descriptor, path):
            with suppress(OSError):    # as where the disk is full: the lock is what counts
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode())
            return FolderLock(descriptor, path)
        os.close(descriptor)
    return None


def _lock(descriptor: int) -> None:
    """Take the lock or raise OSError, without waiting."""
    if sys.platform == "win32":
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _FAR)


def _lies_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one of that name: its last holder may have removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except OSError:
        return False


def _holder(path: Path) -> str:
    """Who holds the lock, as its file says; it may be written at that moment."""
    try:
        words = bounded_text(path, largest=1000).split()
    except Unreadable:
        words = []
    return " ".join(words) if len(words) == 4 and words[0] == "process" else "another process"


def _let_go(descriptor: int, path: Path, holder: int) -> None:
    if os.getpid() != holder:    # a forked process, which holds nothing
        return
    if sys.platform == "win32":    # which removes no file that is open, here or elsewhere
        os.close(descriptor)
        with suppress(OSError):
            path.unlink()
        return
    # Removed while it is held: after that it may be another process's.
    with suppress(OSError):
        if _lies_at(descriptor, path):
            path.unlink()
    os.close(descriptor)
