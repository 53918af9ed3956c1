"""Results go into folders of their own, and no file of the user's is ever replaced."""

import json
import os
import time
from pathlib import Path

import pytest

from lensmith.base.errors import UserError
from lensmith.base.output_folder import MARKER, check_output, output_folder

ADVICE = "choose another folder"


def put(folder: Path, **files: str) -> None:
    """Write `files`, `__` in their names standing for a folder's end."""
    with output_folder(folder, advice=ADVICE) as aside:
        for name, text in files.items():
            path = aside / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != MARKER}


def refusal(folder: Path, **files: str) -> str:
    before = contents(folder)
    with pytest.raises(UserError) as caught:
        put(folder, **(files or {"a": "new"}))
    assert contents(folder) == before and "\n" not in str(caught.value)    # not even the others were written
    assert not list(folder.glob(".lensmith-aside*"))
    return str(caught.value)


def test_new_empty_and_own_folders_are_written_and_written_again(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / ".DS_Store").write_text("by a file manager")
    for name in ("new/deep", "empty", "seen"):
        folder = tmp_path / name
        put(folder, a="1", labels__b="2")
        put(folder, a="3", labels__c="4")
        kept = {} if name != "seen" else {".DS_Store": "by a file manager"}
        assert contents(folder) == kept | {"a": "3", "labels/b": "2", "labels/c": "4"}


def test_a_folder_with_anything_of_the_users_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "p0.txt").write_text("truth")
    for check in (lambda: check_output(tmp_path, advice=ADVICE), lambda: put(tmp_path, labels__p0="new")):
        with pytest.raises(UserError, match=r"holds what lensmith did not write \(labels\), and nothing "
                                            "of yours is written over: choose another folder, a new or an"):
            check()
    assert contents(tmp_path) == {"labels/p0.txt": "truth"} and not (tmp_path / MARKER).exists()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="file is a file, and results go into a folder: choose another folder"):
        check_output(tmp_path / "file", advice=ADVICE)


def test_of_an_own_folder_the_users_files_stay_too(tmp_path: Path) -> None:
    put(tmp_path / "out", a="1", b="1")
    (tmp_path / "out" / "notes").write_text("mine")
    put(tmp_path / "out", a="2")
    assert contents(tmp_path / "out") == {"a": "2", "b": "1", "notes": "mine"}
    assert "notes was not written by lensmith" in refusal(tmp_path / "out", a="3", notes="3")
    (tmp_path / "out" / "b").write_text("corrected by hand")
    with pytest.raises(UserError, match="b was changed after lensmith wrote it"):
        check_output(tmp_path / "out", advice=ADVICE)
    assert "b was changed after lensmith wrote it, and nothing of yours" in refusal(tmp_path / "out", a="3", b="3")


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "a").write_text("1")
    put(tmp_path / "out", labels__a="1")
    (tmp_path / "out" / "labels" / "a").unlink()
    (tmp_path / "out" / "labels").rmdir()
    (tmp_path / "out" / "labels").symlink_to(tmp_path / "truth")
    assert "labels is a link to another folder" in refusal(tmp_path / "out", labels__a="2")
    (tmp_path / "other").mkdir()
    put(tmp_path / "other", a="1")
    (tmp_path / "other" / "a").unlink()
    (tmp_path / "other" / "a").symlink_to(tmp_path / "truth" / "a")
    assert "a was not written by lensmith" in refusal(tmp_path / "other")
    assert (tmp_path / "truth" / "a").read_text() == "1"


def test_a_damaged_marker_lets_nothing_be_replaced(tmp_path: Path) -> None:
    put(tmp_path / "out", a="1")
    for text in ("", "[]", '{"files": 3}', '{"files": {"a": 3}}', "[" * 100_000):
        (tmp_path / "out" / MARKER).write_text(text)
        assert "cannot be read" in refusal(tmp_path / "out")
    (tmp_path / "outside").write_text("1")
    (tmp_path / "out" / MARKER).write_text(json.dumps({"files": {"../outside": ["x"]}}))
    check_output(tmp_path / "out", advice=ADVICE)    # what lies outside is not looked at


def test_what_is_ready_is_put_in_place_however_the_work_ends(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), output_folder(tmp_path / "out", advice=ADVICE) as aside:
        (aside / "a").write_text("1")
        raise KeyboardInterrupt
    assert contents(tmp_path / "out") == {"a": "1"}


def test_a_kill_while_files_are_put_in_place_locks_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "out", a="1", b="1")
    real = os.replace

    def killed(source: Path, target: Path) -> None:
        if Path(source).name == "b":
            raise SystemExit
        real(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(SystemExit):
        put(tmp_path / "out", a="2", b="2")
    monkeypatch.setattr(os, "replace", real)
    assert contents(tmp_path / "out") == {"a": "2", "b": "1"}
    put(tmp_path / "out", a="3", b="3")
    assert contents(tmp_path / "out") == {"a": "3", "b": "3"}


def test_what_a_killed_process_left_is_removed_after_a_day(tmp_path: Path) -> None:
    put(tmp_path / "out", a="1")
    for name in ("old", "new"):
        (tmp_path / "out" / f".lensmith-aside-{name}").mkdir()
    os.utime(tmp_path / "out" / ".lensmith-aside-old", (time.time() - 100_000,) * 2)
    put(tmp_path / "out", a="2")
    assert [path.name for path in (tmp_path / "out").glob(".lensmith-aside*")] == [".lensmith-aside-new"]
