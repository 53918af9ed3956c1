"""A lock on a folder: one process has it, and nothing that a process leaves behind has."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lensmith.base import folder_lock
from lensmith.base.folder_lock import LOCK, HeldElsewhere, lock_folder

# Takes the lock of a folder, says whether it has it, and ends when its input does.
HOLDS = """
import os, sys, time
from pathlib import Path
from lensmith.base.folder_lock import HeldElsewhere, lock_folder
try:
    lock = lock_folder(Path(sys.argv[1]))
except HeldElsewhere as error:
    sys.exit(f"held by {error.holder}")
if sys.argv[2:] == ["forks"] and os.fork() == 0:
    os.close(1)
    time.sleep(60)
    os._exit(0)
print("held" if lock else "no locks", flush=True)
sys.stdin.read()
"""


def other(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Another process that takes the lock, once it has tried to."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(folder), *words], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def ends(process: subprocess.Popen[str]) -> str:
    """What a process says on stderr, whose input is closed."""
    return process.communicate(timeout=30)[1]


def test_one_process_has_it_at_a_time(tmp_path: Path):
    lock = lock_folder(tmp_path)
    assert lock is not None and os.listdir(tmp_path) == [LOCK]
    assert ends(other(tmp_path)).startswith(f"held by process {os.getpid()} on ")
    lock.release()
    lock.release()
    assert os.listdir(tmp_path) == []
    held = other(tmp_path)
    with pytest.raises(HeldElsewhere, match=f"^process {held.pid} on "):
        lock_folder(tmp_path)
    assert ends(held) == "" and os.listdir(tmp_path) == []    # it has ended without a word to the lock
    assert lock_folder(tmp_path) is not None


@pytest.mark.parametrize("forks", [False, True])
def test_a_process_that_is_killed_locks_nobody_out_though_one_of_its_own_lives_on(tmp_path: Path, forks: bool):
    held = other(tmp_path, *(["forks"] if forks else []))
    children = Path(f"/proc/{held.pid}/task/{held.pid}/children")
    forked = [int(number) for number in children.read_text().split()] if children.exists() else []
    held.send_signal(signal.SIGKILL)
    held.wait(30)
    assert os.listdir(tmp_path) == [LOCK] and len(forked) == forks
    lock = lock_folder(tmp_path)
    assert lock is not None
    lock.release()
    assert os.listdir(tmp_path) == []
    for number in forked:
        os.kill(number, signal.SIGKILL)
    held.communicate()


FORKS = """
import os, sys
from pathlib import Path
from lensmith.base.folder_lock import lock_folder
lock = lock_folder(Path(sys.argv[1]))
if os.fork() == 0:
    lock.release()
    os._exit(0)
os.wait()
print(os.listdir(sys.argv[1]), flush=True)
sys.stdin.read()
"""


def test_a_forked_process_cannot_let_go_of_it(tmp_path: Path):
    process = subprocess.Popen([sys.executable, "-c", FORKS, str(tmp_path)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == f"['{LOCK}']\n"
    with pytest.raises(HeldElsewhere):
        lock_folder(tmp_path)
    assert ends(process) == "" and os.listdir(tmp_path) == []


def test_it_ends_with_the_last_that_has_it(tmp_path: Path):
    lock = lock_folder(tmp_path)
    assert lock is not None
    again = lock_folder(tmp_path)    # the same process may
    del lock
    assert again is not None
    again.release()
    assert os.listdir(tmp_path) == [] and ends(other(tmp_path)) == ""


def test_where_there_are_no_locks_nothing_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuses(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    assert lock_folder(tmp_path / "nowhere") is None
    monkeypatch.setattr(folder_lock, "_lock", refuses)
    assert lock_folder(tmp_path) is None and os.listdir(tmp_path) == []


def test_a_file_that_its_last_holder_removes_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real, seen = folder_lock._lock, []

    def removed(descriptor: int) -> None:
        real(descriptor)
        seen.append(descriptor)
        if len(seen) == 1:
            (tmp_path / LOCK).unlink()

    monkeypatch.setattr(folder_lock, "_lock", removed)
    lock = lock_folder(tmp_path)
    assert lock is not None and len(seen) == 2 and "held by" in ends(other(tmp_path))


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "other file"])
def test_whatever_lies_in_its_place_is_neither_followed_nor_waited_for(tmp_path: Path, kind: str):
    (tmp_path / "mine").write_text("mine")
    folder, began = tmp_path / "run", time.monotonic()
    folder.mkdir()
    make = {"link": lambda path: path.symlink_to(tmp_path / "mine"), "folder": Path.mkdir, "pipe": os.mkfifo,
            "other file": lambda path: path.write_text("x" * 10_000)}
    make[kind](folder / LOCK)
    lock = lock_folder(folder)
    assert (lock is None) == (kind in ("link", "folder")) and time.monotonic() - began < 10
    assert (tmp_path / "mine").read_text() == "mine"
    if kind == "other file":
        # Whoever closes the file lets go of a POSIX lock of its own process: another one writes.
        subprocess.run(["sh", "-c", f"echo process 1 on a b c > {folder / LOCK}"], check=True)
        assert ends(other(folder)).strip() == "held by another process"
