"""The one pass over all pictures: what it measures, by Pillow, NumPy and hashlib, and that memory and files agree."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.data.sources.in_memory import InMemory, Numbered
from lensmith.study.check.measures import EDGE
from lensmith.study.check.pictures import picture_to_show, read_pictures
from tests.study.check.conftest import drawn


def read(sources):
    return read_pictures(sources, most_pixels=1_000_000, tell=lambda line: None)


def test_what_is_measured_of_a_file(class_set: Path, known):
    the_set = known(class_set)
    pictures = the_set.pictures
    assert pictures.sizes.tolist() == [[40, 48]] * 36 and pictures.mode_names == ("RGB",) and not pictures.reasons
    row = the_set.row_of("test/dog/03.png")
    content = (class_set / "test" / "dog" / "03.png").read_bytes()
    assert pictures.contents[row].tobytes() == hashlib.blake2b(content, digest_size=16).digest()
    luma = np.asarray(Image.open(class_set / "test" / "dog" / "03.png").convert("YCbCr"))[:, :, 0].astype(np.float64)
    assert pictures.contrast[row] == pytest.approx(luma.std(), rel=1e-5)
    assert pictures.darkest[row] == np.quantile(luma, 0.01, method="inverted_cdf")
    assert pictures.lightest[row] == np.quantile(luma, 0.99, method="inverted_cdf")
    seconds = [np.diff(luma, 2, axis=axis) for axis in (0, 1)]
    assert pictures.sharpness[row] == pytest.approx(sum(np.mean(d**2) for d in seconds) / 2 / luma.var(), rel=1e-4)
    small = Image.fromarray(luma.astype(np.uint8)).resize((EDGE, EDGE), Image.Resampling.BILINEAR)
    assert np.array_equal(pictures.light[row], np.asarray(small))


def test_pictures_in_memory_are_seen_as_in_files(class_set: Path, known):
    the_set = known(class_set)
    source = the_set.sources["train"]
    images = torch.stack([torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1) for path in source.paths])
    memory = InMemory(images, source.targets, source.classes, places=Numbered("file", (40, 48), np.arange(len(images))))
    of_memory = read({"train": memory})
    for name in ("light", "colours", "sizes", "darkest", "lightest", "contrast", "sharpness"):
        assert np.array_equal(getattr(of_memory, name), getattr(the_set.pictures, name)[: len(images)]), name
    shown = picture_to_show(memory, 0, 24)
    assert shown is not None and shown.size == (24, 20)


def test_large_pictures_are_decoded_small_and_turned_upright(tmp_path: Path, known):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        exif = Image.Exif()
        exif[0x0112] = 6
        drawn(1, 1200, 800).save(tmp_path / name / f"{name}.jpg", exif=exif, quality=95)
    pictures = known(tmp_path, "split.valid=0", "split.test=0").pictures
    assert pictures.sizes.tolist() == [[1200, 800]] * 2 and pictures.orientations.tolist() == [6, 6]
    upright = drawn(1, 1200, 800).transpose(Image.Transpose.ROTATE_270).convert("L").resize((EDGE, EDGE))
    assert np.abs(np.asarray(upright, np.int16) - pictures.light[0]).mean() < 2


def test_deep_pictures_are_stretched_to_what_they_use(tmp_path: Path, known):
    plain = np.asarray(drawn(3).convert("L"))
    for name, factor in (("a", 1), ("b", 16)):
        (tmp_path / name).mkdir()
        Image.fromarray(plain.astype(np.uint16) * factor).save(tmp_path / name / "0.png")
    pictures = known(tmp_path, "split.valid=0", "split.test=0").pictures
    assert pictures.mode_names == ("I 16 bits",) and pictures.readable.all()
    assert np.abs(pictures.light[0].astype(np.int16) - pictures.light[1]).max() <= 1 and pictures.lightest.min() > 200
