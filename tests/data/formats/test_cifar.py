"""CIFAR's binary files: planes, labels, names, and what is refused."""

import numpy as np
import pytest
import torch

from lensmith.base.errors import DataError
from lensmith.data.formats import named_sets as find
from lensmith.data.formats.cifar import cifar10, cifar100

TEN = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture(autouse=True)
def no_other_place(monkeypatch, tmp_path):
    monkeypatch.delenv("LENSMITH_DATA", raising=False)
    monkeypatch.setenv("LENSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(find, "DEBIAN", tmp_path / "debian")


def write_ten(folder, each=4):
    """Files as the author describes them: a label, 1024 red, 1024 green, 1024 blue; -> pictures and labels."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    pictures, labels = draw.integers(0, 256, (6, each, 32, 32, 3), dtype=np.uint8), draw.integers(0, 10, (6, each))
    for file, name in enumerate([*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]):
        records = b"".join(bytes([label]) + b"".join(picture[:, :, plane].tobytes() for plane in range(3))
                           for picture, label in zip(pictures[file], labels[file].tolist(), strict=True))
        (folder / name).write_bytes(records)
    (folder / "batches.meta.txt").write_text("\n".join(TEN) + "\n\n")
    return pictures, labels


def write_hundred(folder):
    folder.mkdir(parents=True)
    for name, count in (("train", 6), ("test", 3)):
        records = np.zeros((count, 3074), np.uint8)
        records[:, 0], records[:, 1] = 19, np.arange(count) + 90
        records[:, 2:] = np.arange(count)[:, None]
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    (folder / "fine_label_names.txt").write_text("\n".join(f"thing {i}" for i in range(100)))


@pytest.mark.parametrize("below", ["", "cifar10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin"])
def test_cifar10_is_found_and_its_five_files_follow_each_other(tmp_path, below):
    pictures, labels = write_ten(tmp_path / "set" / below)
    parts = cifar10(str(tmp_path / "set"))
    train, test = parts.splits["train"], parts.splits["test"]
    assert train.images.dtype == torch.uint8 and train.images.is_contiguous()
    assert np.array_equal(train.images.permute(0, 2, 3, 1).numpy(), pictures[:5].reshape(20, 32, 32, 3))
    assert np.array_equal(test.images.permute(0, 2, 3, 1).numpy(), pictures[5])
    assert train.targets["label"].index.tolist() == labels[:5].flatten().tolist()
    assert train.classes == {"label": tuple(TEN)} and train.place(7).file == "cifar10-train#7"
    assert parts.account["pictures"] == {"train": 20, "test": 4}


def test_cifar100_gives_the_fine_label(tmp_path, monkeypatch):
    write_hundred(tmp_path / "data" / "cifar-100-binary")
    monkeypatch.setenv("LENSMITH_DATA", str(tmp_path / "data"))
    train = cifar100().splits["train"]
    assert train.targets["label"].index.tolist() == [90, 91, 92, 93, 94, 95]
    assert train.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert train.classes["label"][91] == "thing 91" and len(train.classes["label"]) == 100


@pytest.mark.parametrize("opens", [cifar10, cifar100])
def test_a_set_that_is_nowhere_says_how_to_get_it(opens):
    with pytest.raises(DataError, match=f"get it, in the binary form, with: lensmith data get {opens.__name__}$"):
        opens()


@pytest.mark.parametrize(("opens", "below", "file"), [
    (cifar10, "cifar-10-batches-py", "data_batch_1"), (cifar100, "cifar-100-python", "meta"),
    (cifar10, "", "batches.meta")])
def test_the_pickles_of_the_python_form_are_refused(opens, below, file, tmp_path, monkeypatch):
    (tmp_path / below).mkdir(exist_ok=True)
    (tmp_path / below / file).write_bytes(b"\x80\x02}.")
    with pytest.raises(DataError) as caught:
        opens(str(tmp_path))
    assert str(caught.value).endswith(
        f"{tmp_path / below} holds its python form, pickles, which can run code when they are read and are refused; "
        f"get it, in the binary form, with: lensmith data get {opens.__name__}")
    monkeypatch.setenv("LENSMITH_DATA", str(tmp_path))
    with pytest.raises(DataError, match="holds its python form, pickles"):
        opens()


def test_the_binary_form_is_taken_where_both_lie_side_by_side(tmp_path):
    write_ten(tmp_path / "cifar-10-batches-bin")
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").touch()
    assert len(cifar10(str(tmp_path)).splits["train"]) == 20


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b""])
def test_a_file_of_another_length_is_refused(change, tmp_path):
    write_ten(tmp_path / "set")
    file = tmp_path / "set" / "data_batch_3.bin"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(DataError, match=r"data_batch_3\.bin has [\d,]+ bytes, which is no multiple of 3,073 "):
        cifar10(str(tmp_path / "set"))


def test_a_missing_file_is_named(tmp_path):
    write_ten(tmp_path / "set")
    (tmp_path / "set" / "test_batch.bin").unlink()
    with pytest.raises(DataError, match=r"test_batch\.bin cannot be read \(No such file or directory\): get"):
        cifar10(str(tmp_path / "set"))


def test_a_label_outside_the_names_is_refused(tmp_path):
    write_ten(tmp_path / "set")
    (tmp_path / "set" / "test_batch.bin").write_bytes(bytes(3073) + bytes([10]) + bytes(3072))
    with pytest.raises(DataError, match=r"\(test_batch\.bin\) gives label 10 to picture 1; labels are 0 to 9"):
        cifar10(str(tmp_path / "set"))


@pytest.mark.parametrize(("text", "said"), [
    (None, r"batches\.meta\.txt, which names the classes, cannot be read: get the whole set again"),
    ("cat\ncat\ndog\n", r"batches\.meta\.txt names 2 classes in 3 lines"), ("", "names 0 classes in 0 lines")])
def test_the_names_must_be_there_and_differ(text, said, tmp_path):
    write_ten(tmp_path / "set")
    names = tmp_path / "set" / "batches.meta.txt"
    names.unlink() if text is None else names.write_text(text)
    with pytest.raises(DataError, match=said):
        cifar10(str(tmp_path / "set"))
