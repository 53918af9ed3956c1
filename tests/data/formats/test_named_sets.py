"""Where sets are looked for, and in which order."""

from pathlib import Path

import pytest

from lensmith.base.cache_folder import cache_folder
from lensmith.base.errors import DataError
from lensmith.data.formats import named_sets as find
from lensmith.data.formats.named_sets import find_folder


def test_the_cache_is_where_the_user_or_the_system_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("LENSMITH_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "lensmith"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert cache_folder() == tmp_path / ".cache" / "lensmith"
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/caches")
    assert cache_folder() == Path("/var/caches/lensmith")
    monkeypatch.setenv("LENSMITH_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"


@pytest.fixture
def roots(monkeypatch, tmp_path):
    found = {name: tmp_path / name for name in ("data", "cache", "debian")}
    monkeypatch.setenv("LENSMITH_DATA", str(found["data"]))
    monkeypatch.setenv("LENSMITH_CACHE", str(found["cache"]))
    monkeypatch.setattr(find, "DEBIAN", found["debian"])
    return found


def search(path=None):
    return find_folder("mnist", path, inner=("mnist", "MNIST/raw"), holds=lambda place: (place / "x").exists(),
                       hint="get it")


def put(folder):
    folder.mkdir(parents=True)
    (folder / "x").touch()
    return folder


def test_the_first_root_wins_and_its_inner_folders_come_before_itself(roots):
    for place in (roots["debian"] / "mnist", roots["cache"] / "mnist", roots["data"] / "MNIST" / "raw",
                  roots["data"] / "mnist"):
        put(place)
        assert search() == place
    (roots["data"] / "x").touch()
    assert search() == roots["data"] / "mnist"


def test_the_root_itself_may_hold_the_set(roots):
    assert search(str(put(roots["data"]))) == search() == roots["data"]


def test_a_given_path_is_the_only_place(roots, tmp_path):
    put(roots["data"] / "mnist")
    with pytest.raises(DataError, match=r"^data set 'mnist' was not found in [^,]*/other \(nor there in mnist, MNIST"):
        search(str(tmp_path / "other"))


def test_what_is_nowhere_is_said_with_every_place_in_one_line(roots, monkeypatch):
    with pytest.raises(DataError) as caught:
        search()
    assert str(caught.value) == (f"data set 'mnist' was not found in {roots['data']}, {roots['cache']}, "
                                 f"{roots['debian']} (nor there in mnist, MNIST/raw): get it")
    monkeypatch.delenv("LENSMITH_DATA")
    with pytest.raises(DataError, match=r"MNIST/raw\); LENSMITH_DATA is not set: get it$"):
        search()
