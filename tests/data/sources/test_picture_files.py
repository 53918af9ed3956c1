"""Pictures on the disk as a source."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.base.picture_headers import BadPicture
from lensmith.base.pictures import Form
from lensmith.data.sources.picture_files import Files
from lensmith.values.labels import Label


@pytest.fixture
def source(tmp_path):
    (tmp_path / "set" / "deep").mkdir(parents=True)
    paths = [tmp_path / "set" / name for name in ("a.png", "deep/b.png", "c.png")]
    for value, path in zip((10, 20, 30), paths, strict=True):
        Image.fromarray(np.full((6, 8, 3), value, np.uint8)).save(path)
    return Files(paths, {"label": Label(torch.tensor([0, 1, 0]))}, {"label": ("cat", "dog")}, root=tmp_path / "set",
                 groups=np.array(["p1", "p2", "p1"]))


def test_a_sample_is_its_decoded_picture_its_target_and_its_place(source):
    sample = source.shaped(Form(1, 3, 4))[1]
    assert sample.image.tolist() == [[[20] * 4] * 3] and int(sample.targets["label"].index) == 1
    assert sample.place.file == "deep/b.png" and sample.place.size == (6, 8) and sample.place.fit == (0.5, 0.5, 0, 0)


def test_a_place_is_known_without_reading_the_file(source):
    source.paths[0].unlink()
    assert source.place(0).file == "a.png" and source.place(0).size == (0, 0)


def test_a_subset_keeps_order_targets_groups_and_form(source):
    part = source.shaped(Form(1, 2, 2)).subset([2, 0])
    assert len(part) == 2 and [part.place(i).file for i in range(2)] == ["c.png", "a.png"]
    assert part.targets["label"].index.tolist() == [0, 0] and part.groups.tolist() == ["p1", "p1"]
    assert part[0].image.flatten().tolist() == [30] * 4
    assert len(source) == 3 and source.form is None


def test_a_file_outside_the_sets_folder_is_shown_by_its_whole_path(source):
    outside = Files([Path("/pictures/x.png")], source.targets, source.classes, root=source.root)
    assert outside.name(0) == "/pictures/x.png"


def test_a_name_that_is_not_utf8_can_still_be_written_down(source):
    odd = Files([source.root / b"caf\xe9.png".decode("utf-8", "surrogateescape")], source.targets, source.classes,
                root=source.root)
    assert odd.name(0).encode() == "caf�.png".encode()


def test_a_broken_file_raises_its_reason(source):
    source.paths[2].write_bytes(b"")
    with pytest.raises(BadPicture, match=r"^is empty \(0 bytes\)$"):
        source.shaped(Form(1, 2, 2))[2]


def test_a_picture_before_the_form_is_our_own_mistake(source):
    with pytest.raises(AssertionError, match="shaped"):
        source[0]
