"""Files are read whole, or refused with the reason in one line."""

import os
from pathlib import Path

import pytest

from lensmith.base.read_file import Unreadable, bounded_text, json_of, toml_of


@pytest.mark.parametrize(("read", "content", "reason"), [
    (json_of, b'{"a": 1\n,}', "line 2 is not JSON: "), (json_of, b"[" * 50_000, "it is nested too deep"),
    (json_of, b"1" * 5_000, "it has a number of too many digits"), (json_of, b'"\xff"', "it is not UTF-8 text: byte 1"),
    (toml_of, b"a = [", "it is not valid TOML: "), (toml_of, b"a = " + b"[" * 5_000, "it is nested too deep"),
    (toml_of, b"a = " + b"1" * 5_000, "it has a number of too many digits"),
    (toml_of, b"a = '\xe9'", "it is not UTF-8 text: byte 5")])
def test_content_that_cannot_be_read(tmp_path: Path, read, content: bytes, reason: str):
    (tmp_path / "one").write_bytes(content)
    with pytest.raises(Unreadable) as raised:
        read(tmp_path / "one")
    assert raised.value.reason.startswith(reason) and str(raised.value).startswith(f"{tmp_path / 'one'} cannot be read")


def test_what_is_no_file(tmp_path: Path):
    with pytest.raises(Unreadable, match="there is no such file") as raised:
        bounded_text(tmp_path / "none")
    assert raised.value.missing
    for path, reason in ((tmp_path, "it is not a file"), (tmp_path / ("x" * 300), "File name too long"),
                         (tmp_path / "a\0b", "null")):
        with pytest.raises(Unreadable) as raised:
            bounded_text(path)
        assert reason in raised.value.reason and not raised.value.missing


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with pipes")
def test_a_pipe_and_a_device_without_end_are_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    for name in ("pipe", "zeros"):
        with pytest.raises(Unreadable, match="it is not a file"):
            json_of(tmp_path / name)


def test_a_file_beyond_the_bound_is_not_read(tmp_path: Path):
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(Unreadable, match=r"it has 1,099,511,627,776 bytes, more than 536,870,912"):
        json_of(tmp_path / "sparse")
    (tmp_path / "ten").write_text("0123456789")
    assert bounded_text(tmp_path / "ten", largest=10) == "0123456789"
