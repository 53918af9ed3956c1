"""Files are whole or absent, whatever happens while they are written."""

import errno
import os
import stat

import pytest

from lensmith.base.atomic_files import is_full, remove_leftovers, write_atomic, write_text
from lensmith.base.errors import Stopped, UserError


def fails_with(error):
    def write(aside):
        aside.write_bytes(b"half")
        raise error

    return write


def test_a_file_is_written_and_written_over(tmp_path):
    write_text(tmp_path / "a.txt", "one\n")
    write_text(tmp_path / "a.txt", "zwölf\n")
    assert (tmp_path / "a.txt").read_bytes() == "zwölf\n".encode()
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_file_is_as_readable_as_any_other(tmp_path):
    write_text(tmp_path / "a.txt", "")
    (tmp_path / "b.txt").write_text("")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == stat.S_IMODE((tmp_path / "b.txt").stat().st_mode)


@pytest.mark.parametrize("error", [RuntimeError("power"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(type(error)):
        write_atomic(tmp_path / "a.txt", fails_with(error))
    assert (tmp_path / "a.txt").read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EDQUOT, "Quota"),
                                   RuntimeError("I/O error: No space left on device (os error 28)")])
def test_a_full_disk_stops_with_code_6_and_says_how_to_go_on(tmp_path, error):
    write_text(tmp_path / "last", "old")
    with pytest.raises(Stopped) as caught:
        write_atomic(tmp_path / "last", fails_with(error))
    assert str(caught.value).startswith(f"the disk is full: {tmp_path / 'last'} could not be written")
    assert "lensmith train --resume" in str(caught.value) and caught.value.code == 6
    assert (tmp_path / "last").read_text() == "old" and os.listdir(tmp_path) == ["last"]


def test_a_really_full_disk_is_seen_as_one():
    if not os.path.exists("/dev/full"):
        pytest.skip("/dev/full is absent")
    with pytest.raises(OSError, match="space") as caught, open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")
    assert is_full(caught.value) and not is_full(OSError(errno.EIO, "broken"))


def test_no_permission_is_a_user_error_that_names_the_file(tmp_path):
    with pytest.raises(UserError, match=f"^no permission to write {tmp_path / 'a.txt'}: choose another folder"):
        write_atomic(tmp_path / "a.txt", fails_with(PermissionError(errno.EACCES, "denied")))


def test_the_advice_is_that_of_the_caller(tmp_path):
    for error, kind, text in (
            (PermissionError(errno.EACCES, "denied"), UserError,
             f"no permission to write {tmp_path / 'a.txt'}: choose another folder with predict.out"),
            (OSError(errno.ENOSPC, "No space left on device"), Stopped,
             "the last whole file was kept. Free some space, or choose another folder with predict.out")):
        with pytest.raises(kind) as caught:
            write_atomic(tmp_path / "a.txt", fails_with(error), advice="choose another folder with predict.out")
        assert str(caught.value).endswith(text)
        assert not {"train.runs", "--resume"} & set(str(caught.value).split())


def test_a_folder_without_write_permission_is_a_user_error(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="no permission"):
        write_text(tmp_path / "a.txt", "x")
    tmp_path.chmod(0o700)


@pytest.mark.parametrize(("error", "why"), [
    (OSError(errno.EROFS, "Read-only file system"), "Read-only file system"),
    (RuntimeError("I/O error: Input/output error (os error 5)"), "I/O error: Input/output error (os error 5)")])
def test_every_error_of_the_system_is_a_user_error(tmp_path, error, why):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(UserError) as caught:
        write_atomic(tmp_path / "a.txt", fails_with(error))
    assert str(caught.value).startswith(f"cannot write {tmp_path / 'a.txt'} ({why}): choose another folder")
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_that_has_gone_and_a_name_that_is_too_long(tmp_path):
    with pytest.raises(UserError, match=r"cannot write .*none.a\.txt \(No such file or directory\)"):
        write_text(tmp_path / "none" / "a.txt", "x")
    with pytest.raises(UserError, match=r"\(File name too long\)"):
        write_text(tmp_path / ("x" * 300), "x")
    write_text(tmp_path / ("x" * 255), "a name as long as it may be has a temporary file too")


def test_a_link_is_replaced_and_not_written_through(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link").symlink_to("mine")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "mine").read_text() == "mine" and not (tmp_path / "link").is_symlink()


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    for name in (".a.txt.x_1y2z3w", ".a.txt.keep", ".other.x_1y2z3w", ".git", "a.txt"):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path, ["a.txt"])
    assert sorted(os.listdir(tmp_path)) == [".a.txt.keep", ".git", ".other.x_1y2z3w", "a.txt"]
