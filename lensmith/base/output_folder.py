"""Folders for results: new, empty, or ours by a marker, so that no file of the user's is replaced."""

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from lensmith.base.atomic_files import write_atomic, write_text
from lensmith.base.errors import UserError

MARKER = ".lensmith-output.json"    # in the folder: {"files": {path: [digest of its contents, ...]}}
_ASIDE = ".lensmith-aside-"         # before the name of the temporary folder
_LEFT_OVER = 86_400                 # seconds after which such a folder was left by a process that was killed
_OF_SYSTEMS = (".DS_Store", "Thumbs.db", "desktop.ini")    # what file managers leave in folders that they show

_UNSAFE = re.compile(r"[^\w.+-]+")

_Written = dict[str, list[str]]     # path within the folder, with "/" -> digests that the file may have


def folder_name(source: str, otherwise: str) -> str:
    """The part of a name that any file system takes as a folder, or `otherwise` where nothing is left."""
    return _UNSAFE.sub("-", source).strip("-.") or otherwise


def check_output(folder: Path, *, advice: str) -> None:
    """Raise UserError unless results may go into `folder`: it is new or empty, or it holds the marker and the files
    that the marker lists are as they were written. `advice` says where else they can go."""
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise UserError(f"{folder} is a file, and results go into a folder: {advice}")
    try:
        names = sorted(name for name in os.listdir(folder) if name not in _OF_SYSTEMS)
    except OSError as error:
        raise UserError(f"cannot write into {folder} ({error.strerror or error}): {advice}") from error
    if names and MARKER not in names:
        shown = f"{', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
        raise UserError(f"{folder} holds what lensmith did not write ({shown}), and nothing of yours is written over: "
                        f"{advice}, a new or an empty one")
    for path, digests in _written(folder, advice).items():
        _refuse_changed(folder, path, digests, advice)


@contextmanager
def output_folder(folder: Path, *, advice: str) -> Iterator[Path]:
    """A temporary folder within `folder`, whose files are put in place at the end, whatever ended the work.

    Of what lies there only files that were put in place before, and are as they were then, are replaced. Before any
    file is moved it is certain that all may be. Raises UserError as check_output does, and where the folder cannot be
    written.
    """
    check_output(folder, advice=advice)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / MARKER).exists():
            _write_marker(folder, {}, advice)
        _remove_left_over(folder)
        aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=folder))
        try:
            yield aside
        finally:
            try:
                _put_in_place(aside, folder, advice)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise UserError(f"cannot write into {folder} ({error.strerror or error}): {advice}") from error


def _put_in_place(aside: Path, folder: Path, advice: str) -> None:
    files = {path.relative_to(aside).as_posix(): path for path in sorted(aside.rglob("*")) if path.is_file()}
    written = _written(folder, advice)
    for name in files:
        _refuse_changed(folder, name, written.get(name, []), advice)
    digests = {name: _digest(path) for name, path in files.items()}
    # Both the old and the new contents are ours until all files are in place: a kill in between locks nobody out.
    _write_marker(folder, written | {name: [*written.get(name, []), digest] for name, digest in digests.items()},
                  advice)
    for name, path in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / name, partial(os.replace, path), advice=advice)
    _write_marker(folder, written | {name: [digest] for name, digest in digests.items()}, advice)


def _refuse_changed(folder: Path, name: str, digests: list[str], advice: str) -> None:
    """Raise UserError where a file of that name lies in the folder with other contents than those of `digests`."""
    path = folder / name
    linked = next((parent for parent in path.parents if parent != folder and folder in parent.parents
                   and parent.is_symlink()), None)
    if linked is not None:
        raise UserError(f"{linked} is a link to another folder, into which nothing is written: {advice}")
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_file() or not digests:
        raise UserError(f"{path} was not written by lensmith, and nothing of yours is written over: move it away, or "
                        f"{advice}")
    if _digest(path) not in digests:
        raise UserError(f"{path} was changed after lensmith wrote it, and nothing of yours is written over: move it "
                        f"away, or {advice}")


def _written(folder: Path, advice: str) -> _Written:
    """What the marker lists; nothing where there is none. Raises UserError for a damaged one."""
    path = folder / MARKER
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {str(name): [str(digest) for digest in digests] for name, digests in files.items()
                if not Path(name).is_absolute() and ".." not in Path(name).parts}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({type(error).__name__}), so that it is not known what lensmith wrote "
                        f"there: {advice}") from error


def _write_marker(folder: Path, written: _Written, advice: str) -> None:
    about = "lensmith wrote the files listed here, and replaces only these, while they are unchanged"
    write_text(folder / MARKER, json.dumps({"about": about, "files": written}, indent=1) + "\n", advice=advice)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove_left_over(folder: Path) -> None:
    for path in folder.glob(f"{_ASIDE}*"):
        if path.is_dir() and not path.is_symlink() and time.time() - path.stat().st_mtime > _LEFT_OVER:
            shutil.rmtree(path, ignore_errors=True)
