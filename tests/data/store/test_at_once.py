"""Decoding a set once: what is kept, what is found bad, and the digest of what the samples hold."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.base import progress
from lensmith.base.errors import DataError
from lensmith.base.pictures import Form, bring
from lensmith.data.batches.loader import Loader
from lensmith.data.formats.class_folders import class_folders
from lensmith.data.sources import in_memory as memory
from lensmith.data.sources.in_memory import InMemory, Numbered, Reshaped
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.split import fingerprint, listing
from lensmith.data.store.at_once import decode_all
from lensmith.values.labels import Label

FORM = Form(3, 20, 20)


def on_disk(folder: Path) -> Files:
    files: Files = class_folders(str(folder)).splits["all"]
    return files


def noise(count: int, *, size: tuple[int, int] = (6, 9), dtype: type = np.uint8) -> InMemory:
    draw = np.random.default_rng(4)
    images = torch.from_numpy(draw.integers(0, np.iinfo(dtype).max, (count, 1, *size), dtype=dtype, endpoint=True))
    return InMemory(images, {"label": Label(torch.arange(count) % 3)}, {"label": ("a", "b", "c")},
                    places=Numbered("noise", size, np.arange(count)))


def test_the_digest_sees_a_file_overwritten_with_as_many_bytes(photos: Path):
    files = on_disk(photos)
    first = decode_all(files, FORM, keep=True)
    content = bytearray(files.paths[7].read_bytes())
    assert len(first.digest) == 32 and first.digest == decode_all(files, Form(1, 5, 5), keep=False).digest
    content[-1] ^= 1    # in the check sum of the last chunk, IEND
    files.paths[7].write_bytes(bytes(content))
    assert decode_all(files, FORM, keep=True).digest != first.digest


def test_the_digest_counts_the_order_the_bad_and_the_missing(photos: Path):
    files = on_disk(photos).subset([0, 1, 2, 3])
    found = {decode_all(files.subset(rows), FORM, keep=False).digest for rows in (range(4), [0, 1, 3, 2], range(3))}
    for content in (b"one", b"two"):
        files.paths[2].write_bytes(content)
        decoded = decode_all(files, FORM, keep=False)
        assert [one.file for one in decoded.bad] == [files.name(2)]
        found.add(decoded.digest)
    files.paths[2].unlink()
    decoded = decode_all(files, FORM, keep=True)
    assert decoded.bad[0].reason == "does not exist" and len(decoded.source) == 4
    assert len({*found, decoded.digest}) == 6


def test_the_digest_of_pictures_in_memory_is_of_every_byte_as_they_were_opened():
    one, other = noise(3_000), noise(3_000)
    digest = decode_all(one, Form(1, 6, 9), keep=True).digest
    assert {decode_all(other, form, keep=keep).digest for form in (Form(1, 6, 9), Form(3, 12, 12))
            for keep in (True, False)} == {digest}
    laid_out_otherwise = InMemory(one.images.permute(2, 3, 0, 1).contiguous().permute(2, 3, 0, 1), one.targets,
                                  one.classes, places=one.places)
    assert decode_all(laid_out_otherwise, Form(1, 6, 9), keep=True).digest == digest
    other.images[1_777, 0, 3, 3] ^= 1
    assert decode_all(other, Form(1, 6, 9), keep=True).digest != digest
    turned = InMemory(one.images.view(3_000, 1, 9, 6), one.targets, one.classes, places=one.places)
    assert decode_all(turned, Form(1, 9, 6), keep=True).digest != digest


def test_the_fingerprint_is_the_same_kept_or_streamed(photos: Path):
    files, pictures = on_disk(photos), noise(30)
    for source, form in ((files, FORM), (pictures, Form(3, 12, 12))):
        kept, streamed = (decode_all(source, form, keep=keep) for keep in (True, False))
        assert type(kept.source) is InMemory and type(streamed.source) is (Files if source is files else Reshaped)
        marks = {fingerprint({"train": one}, {"train": digest}) for digest in (kept.digest, streamed.digest)
                 for one in (source, kept.source, streamed.source)}
        assert len(marks) == 1 and listing({"train": streamed.source}) == listing({"train": source})


def test_a_kept_set_holds_what_each_file_decodes_to(photos: Path):
    files = on_disk(photos)
    kept = decode_all(files, Form(1, 12, 9), keep=True).source
    streamed = files.shaped(Form(1, 12, 9))
    for row in range(len(files)):
        assert torch.equal(kept[row].image, streamed[row].image) and kept[row].place == streamed[row].place


def test_progress_is_told_a_line_every_few_seconds(photos: Path, monkeypatch):
    lines: list[str] = []
    decode_all(on_disk(photos), FORM, keep=False, progress=lines.append)
    assert lines == []    # sixty small pictures take no five seconds
    monkeypatch.setattr(progress, "_PAUSE", 0.0)
    decode_all(on_disk(photos), FORM, keep=False, progress=lines.append)
    assert lines[0] == "decoded 1 of 60" and lines[-1] == "decoded 60 of 60" and len(lines) == 60


@pytest.mark.parametrize("form", [Form(3, 224, 112), Form(1, 4, 4, "pad"), Form(4, 7, 9, "squash"),
                                  Form(1, 12, 12, bits=16), Form(1, 6, 9)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pictures_in_memory_are_reshaped_as_a_file_would_be(form: Form, dtype: type):
    source = noise(5, dtype=dtype)
    kept, viewed = source.shaped(form), Reshaped(source, form)
    assert kept.images.dtype == form.dtype and kept.images.is_contiguous()
    for row in range(5):
        wanted = bring(Image.fromarray(source.images[row, 0].numpy()), form)[0]
        assert torch.equal(kept[row].image, wanted) and torch.equal(viewed[row].image, wanted)


def test_sixteen_bits_in_memory_stay_sixteen_bits():
    source = noise(4, size=(8, 8), dtype=np.uint16)
    assert torch.equal(source.shaped(Form(3, 8, 8, bits=16)).images[:, 1].int(), source.images[:, 0].int())
    deep = source.shaped(Form(4, 8, 8, bits=16))
    assert torch.equal(deep.images[:, 2].int(), source.images[:, 0].int())
    assert (deep.images[:, 3].int() == 65535).all()
    assert torch.equal(deep.shaped(Form(1, 8, 8, bits=16)).images.int(), source.images.int())
    half = deep.images.clone()
    half[:, 3] = torch.tensor(13107, dtype=torch.uint16)    # a fifth of 65535
    seen = InMemory(half, source.targets, source.classes, places=source.places).shaped(Form(3, 8, 8, bits=16)).images
    wanted = np.rint(source.images.numpy() / 5 + 65535 * 4 / 5).astype(np.int64)
    assert np.array_equal(seen[:, :1].numpy(), wanted)
    colour = torch.from_numpy(np.random.default_rng(1).integers(0, 65536, (1, 3, 8, 8)).astype(np.uint16))
    gray = InMemory(colour, {}, {}, places=source.places).shaped(Form(1, 8, 8, bits=16)).images.numpy()[0, 0]
    assert np.abs(gray - np.einsum("c,chw->hw", [0.299, 0.587, 0.114], colour.numpy()[0].astype(float))).max() <= 0.51


def test_what_need_not_be_reshaped_stays_in_memory_even_when_streaming():
    source = noise(4)
    assert decode_all(source, Form(1, 6, 9), keep=False).source is source


def test_reshaped_and_kept_pictures_give_the_same_batches():
    source, form = noise(50), Form(3, 16, 16, "pad")
    kept, viewed = (decode_all(source, form, keep=keep).source for keep in (True, False))
    part = range(3, 40)
    loaders = [Loader(one.subset(part), 8, seed=2, shuffle=True, workers=workers)
               for one, workers in ((kept, 0), (viewed, 0), (viewed, 2))]
    for a, b, c in zip(*(loader.at(1, 0) for loader in loaders), strict=True):
        for other in (b, c):
            assert torch.equal(a.images, other.images) and torch.equal(a.indices, other.indices)
            assert torch.equal(a.targets["label"].index, other.targets["label"].index)
            assert list(a.places) == list(other.places)


def test_a_view_of_reshaped_pictures_is_a_source():
    viewed = Reshaped(noise(9), Form(3, 4, 4))
    narrow = Reshaped(noise(9), Form(3, 4, 4))
    narrow.targets = {}
    part = viewed.subset([4, 2])
    assert len(part) == 2 and part.place(0).file == "noise#4" and torch.equal(part[1].image, viewed[2].image)
    assert narrow.subset([1]).targets == {} == narrow[3].targets and set(part.targets) == {"label"}
    assert tuple(viewed.shaped(Form(1, 5, 6))[0].image.shape) == (1, 5, 6)


@pytest.mark.parametrize("error", [RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError()])
def test_pictures_that_do_not_fit_after_all_are_said_to_be_too_large(photos: Path, monkeypatch, error):
    def full(*size, **kind):
        raise error

    monkeypatch.setattr(memory.torch, "empty", full)
    for source in (on_disk(photos), noise(60)):
        with pytest.raises(DataError, match=r"^60 pictures of 224 x 200 do not fit into memory: stream them with "
                                            r"loading\.memory=0, or take smaller ones with pictures.size$"):
            decode_all(source, Form(3, 224, 200), keep=True)
