"""IDX files: read against torchvision, and every way in which they can be wrong."""

import gzip
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.datasets.mnist import read_image_file, read_label_file

from lensmith.base.errors import DataError
from lensmith.data.formats import named_sets as find
from lensmith.data.formats.idx import FASHION, fashion_mnist, mnist, read_idx

GIVEN = os.environ.get("LENSMITH_DATA", "")
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(array, kind=8):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()


def write_set(folder, seed=0, end=".gz", labels=None):
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    arrays = [draw.integers(0, 256, (30, 28, 28), dtype=np.uint8), draw.integers(0, 10, 30, dtype=np.uint8),
              draw.integers(0, 256, (12, 28, 28), dtype=np.uint8), draw.integers(0, 10, 12, dtype=np.uint8)]
    if labels is not None:
        arrays[1][: len(labels)] = labels
    for name, array in zip(FILES, arrays, strict=True):
        data = idx(array)
        (folder / (name + end)).write_bytes(gzip.compress(data) if end == ".gz" else data)
    return arrays


@pytest.fixture(autouse=True)
def no_other_place(monkeypatch, tmp_path):
    monkeypatch.delenv("LENSMITH_DATA", raising=False)
    monkeypatch.setenv("LENSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(find, "DEBIAN", tmp_path / "debian")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.booleans())
def test_what_was_written_is_read(tmp_path_factory, shape, zipped):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    file = tmp_path_factory.mktemp("idx") / "file"
    file.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    found = read_idx(file)
    assert found.shape == array.shape and np.array_equal(found, array)


@pytest.mark.parametrize("end", [".gz", ""])
def test_a_set_holds_the_pictures_and_labels_of_its_files(tmp_path, end):
    arrays = write_set(tmp_path / "set", end=end)
    parts = fashion_mnist(str(tmp_path / "set"))
    for split, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
        source = parts.splits[split]
        assert source.images.dtype == torch.uint8 and np.array_equal(source.images[:, 0].numpy(), images)
        assert source.targets["label"].index.dtype == torch.int64
        assert source.targets["label"].index.tolist() == labels.tolist()
    assert parts.splits["train"].classes == {"label": FASHION} and FASHION[9] == "Ankle boot"
    assert parts.splits["test"].place(3).file == "t10k-images-idx3-ubyte#3"
    assert parts.account == {"folder": str(tmp_path / "set"), "pictures": {"train": 30, "test": 12}}


def test_names_with_a_dot_are_taken_too(tmp_path):
    write_set(tmp_path, end="")
    for name in FILES:
        (tmp_path / name).rename(tmp_path / name.replace("-idx", ".idx"))
    assert len(mnist(str(tmp_path)).splits["train"]) == 30


@pytest.mark.parametrize(("opens", "below"), [
    (fashion_mnist, "fashion-mnist"), (fashion_mnist, "FashionMNIST/raw"), (fashion_mnist, ""), (mnist, "mnist"),
    (mnist, "MNIST/raw"), (mnist, "mnist/MNIST/raw"), (mnist, "")])
def test_a_set_is_found_below_lensmith_data(opens, below, tmp_path, monkeypatch):
    write_set(tmp_path / "data" / below)
    monkeypatch.setenv("LENSMITH_DATA", str(tmp_path / "data"))
    assert opens().account["folder"] == str(tmp_path / "data" / below)


def test_a_set_is_found_in_the_cache_and_in_debians_folder(tmp_path):
    write_set(tmp_path / "debian" / "fashion-mnist")
    assert fashion_mnist().account["folder"] == str(tmp_path / "debian" / "fashion-mnist")
    write_set(tmp_path / "cache" / "fashion-mnist")
    assert fashion_mnist().account["folder"] == str(tmp_path / "cache" / "fashion-mnist")


def test_a_set_that_is_nowhere_says_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match=r"data get fashion-mnist .*apt install dataset-fashion-mnist") as caught:
        fashion_mnist()
    assert str(tmp_path / "cache") in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"get it with: lensmith data get mnist$"):
        mnist(str(tmp_path / "absent"))


def test_one_set_in_the_place_of_the_other_is_noticed(tmp_path):
    write_set(tmp_path, labels=[5, 0, 4, 1, 9, 2, 1, 3])    # how MNIST begins
    assert len(mnist(str(tmp_path)).splits["train"]) == 30
    with pytest.raises(DataError, match="holds mnist, not fashion-mnist: use data.name=mnist"):
        fashion_mnist(str(tmp_path))


GOOD = idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
WRONG = {
    "empty": (b"", "begins with nothing"),
    "no IDX": (b"PK\3\4" + GOOD, "is not an IDX file: it begins with 50 4b 03 04, not with 00 00"),
    "floats": (idx(np.zeros(2, np.uint8), kind=0x0D), r"type 0x0d with 1 dimensions; accepted are unsigned bytes"),
    "no dimensions": (b"\0\0\x08\0", "type 0x08 with 0 dimensions"),
    "cut in the head": (GOOD[:10], "is truncated: no values declared"),
    "cut in the body": (GOOD[:-5], "is truncated: 2 x 3 x 4 values declared, 19 bytes follow: get it again"),
    "too long": (GOOD + b"x", r"holds more than the 24 bytes that its header declares \(2 x 3 x 4\)"),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_wrong_file_is_named_with_what_is_wrong(what, zipped, tmp_path):
    data, said = WRONG[what]
    (tmp_path / "file").write_bytes(gzip.compress(data) if zipped else data)
    with pytest.raises(DataError, match=said) as caught:
        read_idx(tmp_path / "file")
    assert str(caught.value).startswith(str(tmp_path / "file"))


@pytest.mark.parametrize("kept", [1, 2, 6, 12, 20, -1, -4, -8])
def test_a_truncated_gzip_file_is_refused(kept, tmp_path):
    (tmp_path / "file.gz").write_bytes(gzip.compress(GOOD)[:kept])
    with pytest.raises(DataError, match=r"file\.gz (is|begins|cannot)"):
        read_idx(tmp_path / "file.gz")


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 10**6), value=st.integers(0, 255), zipped=st.booleans())
def test_a_changed_byte_is_refused_or_reads_as_bytes(tmp_path_factory, at, value, zipped):
    data = bytearray(gzip.compress(GOOD, mtime=0) if zipped else GOOD)
    data[at % len(data)] = value
    file = tmp_path_factory.mktemp("idx") / "file"
    file.write_bytes(data)
    try:
        found = read_idx(file)
    except DataError as error:
        found = str(error)
    if isinstance(found, str):
        assert found.startswith(str(file))
    else:
        assert found.dtype == np.uint8 and (not zipped or found.size == 24)


def test_a_small_gzip_file_that_unpacks_to_far_more_is_not_unpacked(tmp_path):
    (tmp_path / "file.gz").write_bytes(gzip.compress(GOOD + bytes(200_000_000), 9))
    tracemalloc.start()
    with pytest.raises(DataError, match="holds more than the 24 bytes"):
        read_idx(tmp_path / "file.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_a_missing_file_and_one_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(DataError, match=r"absent cannot be read \(No such file or directory\)"):
        read_idx(tmp_path / "absent")
    write_set(tmp_path)
    (tmp_path / (FILES[3] + ".gz")).unlink()
    with pytest.raises(DataError, match=r"lacks t10k-labels-idx1-ubyte.gz"):
        mnist(str(tmp_path))


def test_pictures_and_labels_that_do_not_belong_together_are_refused(tmp_path):
    write_set(tmp_path)
    (tmp_path / (FILES[1] + ".gz")).write_bytes(gzip.compress(idx(np.zeros(29, np.uint8))))
    with pytest.raises(DataError, match=r"declares 30 x 28 x 28 and train-labels-idx1-ubyte.gz 29;"):
        mnist(str(tmp_path))
    (tmp_path / (FILES[1] + ".gz")).write_bytes(gzip.compress(idx(np.full(30, 12, np.uint8))))
    with pytest.raises(DataError, match="gives label 12 to picture 0; labels are 0 to 9"):
        mnist(str(tmp_path))


def test_the_real_mnist_is_what_torchvision_reads(tmp_path):
    root = Path(GIVEN) / "mnist"
    if not GIVEN or not (root / "MNIST" / "raw").is_dir():
        pytest.skip("mnist of LENSMITH_DATA is absent")
    parts = mnist(str(root))
    for split, stem in (("train", "train"), ("test", "t10k")):
        for part, theirs in (("images-idx3-ubyte", read_image_file), ("labels-idx1-ubyte", read_label_file)):
            packed = root / "MNIST" / "raw" / f"{stem}-{part}.gz"
            (tmp_path / "plain").write_bytes(gzip.decompress(packed.read_bytes()))
            source = parts.splits[split]
            ours = source.images[:, 0] if "images" in part else source.targets["label"].index
            assert torch.equal(ours, theirs(str(tmp_path / "plain")))
