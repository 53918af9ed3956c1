"""Getting a public set from a server on this machine: whole, checked, and every way in which it fails."""

import gzip
import hashlib
import io
import os
import socket
import tarfile
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lensmith.base.errors import DataError
from lensmith.data.formats import FORMATS, download
from lensmith.data.formats.cifar import cifar10
from lensmith.data.formats.download import get
from lensmith.data.formats.format import Public


def sha(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def server(monkeypatch):
    """A server of the files in `server.files`; `server.asked` holds the paths that were asked for."""
    monkeypatch.setenv("no_proxy", "*")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            content = self.server.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content) + self.server.missing))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *rest):
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.files, served.asked, served.missing = {}, [], 0
    served.url = f"http://127.0.0.1:{served.server_port}/"
    thread = threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


def publish(monkeypatch, name, public):
    monkeypatch.setitem(FORMATS, name, replace(FORMATS[name], public=public))


ONE, TWO = b"first file" * 200, b"second file" * 100


@pytest.fixture
def two_files(server, monkeypatch):
    server.files = {"/one.gz": ONE, "/two.gz": TWO}
    public = Public((server.url,), {"one.gz": sha(ONE), "two.gz": sha(TWO)}, otherwise=", or ask a friend")
    publish(monkeypatch, "mnist", public)
    return server


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_files_are_put_in_place_and_their_progress_is_told(two_files, tmp_path):
    told = []
    place = get("mnist", tmp_path, progress=lambda *step: told.append(step))
    assert place == tmp_path / "mnist" and everything(tmp_path) == ["mnist", "mnist/one.gz", "mnist/two.gz"]
    assert (place / "one.gz").read_bytes() == ONE and (place / "two.gz").read_bytes() == TWO
    assert told == [("one.gz", len(ONE), len(ONE)), ("two.gz", len(TWO), len(TWO))]


def test_without_a_folder_they_go_to_the_cache(two_files, tmp_path, monkeypatch):
    monkeypatch.setenv("LENSMITH_CACHE", str(tmp_path / "cache"))
    assert get("mnist") == tmp_path / "cache" / "mnist"


def test_what_is_there_and_whole_is_not_got_again(two_files, tmp_path):
    get("mnist", tmp_path)
    assert get("mnist", tmp_path) == tmp_path / "mnist" and len(two_files.asked) == 2
    (tmp_path / "mnist" / "one.gz").write_bytes(b"damaged")
    assert (get("mnist", tmp_path) / "one.gz").read_bytes() == ONE


def test_the_next_mirror_is_asked_where_one_fails(two_files, tmp_path, monkeypatch):
    two_files.files = {f"/good{name}": content for name, content in two_files.files.items()}
    two_files.files["/bad/two.gz"] = b"another file"
    public = FORMATS["mnist"].public
    publish(monkeypatch, "mnist", Public((two_files.url + "bad/", two_files.url + "good/"), public.files))
    assert (get("mnist", tmp_path) / "two.gz").read_bytes() == TWO
    assert two_files.asked == ["/bad/one.gz", "/good/one.gz", "/bad/two.gz", "/good/two.gz"]


def test_a_wrong_hash_is_refused_and_nothing_is_left(two_files, tmp_path):
    two_files.files["/two.gz"] = b"tampered"
    with pytest.raises(DataError) as caught:
        get("mnist", tmp_path)
    assert str(caught.value) == (
        f"cannot get {two_files.url}two.gz (its SHA-256 is not {sha(TWO)[:16]}..., so it is damaged or was changed): "
        f"try again later, put two.gz into {tmp_path / 'mnist'} yourself, or ask a friend")
    assert everything(tmp_path) == ["mnist"]


def test_a_file_that_is_not_there_names_its_address(two_files, tmp_path):
    del two_files.files["/one.gz"]
    with pytest.raises(DataError, match=r"^cannot get http://127\.0\.0\.1:\d+/one\.gz \(HTTP 404 Not Found\): try"):
        get("mnist", tmp_path)


def test_a_refused_connection_names_its_address(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    publish(monkeypatch, "mnist", Public((f"http://127.0.0.1:{port}/",), {"one.gz": sha(ONE)}))
    with pytest.raises(DataError, match=rf"^cannot get http://127\.0\.0\.1:{port}/one\.gz \(.*Connection refused"):
        get("mnist", tmp_path)


def test_a_connection_that_breaks_off_is_no_whole_file(two_files, tmp_path):
    two_files.missing = 50
    with pytest.raises(DataError, match=r"one\.gz \(IncompleteRead"):
        get("mnist", tmp_path)
    assert everything(tmp_path) == ["mnist"]


def test_a_server_that_says_nothing_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "_TIMEOUT", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        publish(monkeypatch, "mnist", Public((url,), {"one.gz": sha(ONE)}))
        with pytest.raises(DataError, match=r"one\.gz \(timed out\)"):
            get("mnist", tmp_path)


def archive(members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as packed:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def serve_archive(server, monkeypatch, members):
    packed = archive(members)
    server.files = {"/cifar-10-binary.tar.gz": packed}
    public = Public((server.url,), {"cifar-10-binary.tar.gz": sha(packed)}, FORMATS["cifar10"].public.unpacked)
    publish(monkeypatch, "cifar10", public)


def test_an_archive_is_unpacked_and_can_be_opened(server, monkeypatch, tmp_path):
    record = bytes([1]) + bytes(3072)
    members = dict.fromkeys(FORMATS["cifar10"].public.unpacked, record * 2)
    members["cifar-10-batches-bin/batches.meta.txt"] = b"cat\ndog\n"
    serve_archive(server, monkeypatch, {**members, "cifar-10-batches-bin/readme.html": b"not needed"})
    place = get("cifar10", tmp_path)
    assert sorted(os.listdir(place)) == ["cifar-10-batches-bin"] and len(list(place.rglob("*.bin"))) == 6
    assert len(cifar10(str(tmp_path)).splits["train"]) == 10
    get("cifar10", tmp_path)
    assert len(server.asked) == 1


def test_an_archive_that_lacks_a_file_is_refused(server, monkeypatch, tmp_path):
    serve_archive(server, monkeypatch, {"cifar-10-batches-bin/data_batch_1.bin": b"x"})
    with pytest.raises(DataError, match=r"the archive of cifar10 lacks data_batch_2\.bin"):
        get("cifar10", tmp_path)


def test_a_hostile_archive_writes_nothing_outside(server, monkeypatch, tmp_path):
    serve_archive(server, monkeypatch, {"../../escaped.txt": b"x"})
    with pytest.raises(DataError, match=r"the archive of cifar10 cannot be unpacked"):
        get("cifar10", tmp_path / "cache")
    assert not list(tmp_path.rglob("escaped.txt"))


def test_what_is_no_archive_is_refused(server, monkeypatch, tmp_path):
    server.files = {"/cifar-10-binary.tar.gz": gzip.compress(b"text")}
    publish(monkeypatch, "cifar10", Public((server.url,), {
        "cifar-10-binary.tar.gz": sha(server.files["/cifar-10-binary.tar.gz"])}, FORMATS["cifar10"].public.unpacked))
    with pytest.raises(DataError, match="the archive of cifar10 cannot be unpacked"):
        get("cifar10", tmp_path)


def test_an_unknown_set_names_the_nearest(tmp_path):
    with pytest.raises(DataError, match=r"unknown public data set 'fashion_mnist'\. Did you mean 'fashion-mnist'\?"):
        get("fashion_mnist", tmp_path)


def test_a_folder_that_cannot_be_written_is_named(two_files, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"/file/mnist cannot be written \(Not a directory\): name another folder"):
        get("mnist", tmp_path / "file")


def test_every_public_set_can_be_opened_and_has_whole_hashes():
    own = {"folder", "table", "yolo", "coco", "voc", "labelme", "via", "cvat", "label-studio", "masks",
           "object-masks",
           "several", "shapes"}
    public_sets = {name: one.public for name, one in FORMATS.items() if one.public is not None}
    assert set(public_sets) == set(FORMATS) - own
    for public in public_sets.values():
        assert all(len(digest) == 64 and int(digest, 16) >= 0 for digest in public.files.values())
        assert all(mirror.endswith("/") for mirror in public.mirrors)
