"""Data sets that a Python user brings."""

import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.base.errors import DataError
from lensmith.data.given import given


def test_pictures_of_every_kind_give_the_same_set():
    arrays = [np.random.default_rng(i).integers(0, 256, (6, 8, 3), dtype=np.uint8) for i in range(3)]
    kinds = [
        [(array, i) for i, array in enumerate(arrays)],
        [(Image.fromarray(array), torch.tensor(i)) for i, array in enumerate(arrays)],
        [(torch.from_numpy(array).permute(2, 0, 1), i) for i, array in enumerate(arrays)],
        [(torch.from_numpy(array).permute(2, 0, 1) / 255, np.int64(i)) for i, array in enumerate(arrays)],
    ]
    found = [given(kind) for kind in kinds]
    assert all(torch.equal(found[0].images, other.images) for other in found[1:])
    assert found[3].targets["label"].index.tolist() == [0, 1, 2]
    assert found[0].classes == {"label": ("0", "1", "2")}


def test_floats_are_numbers_and_names_are_taken_from_the_set():
    class Named(list):
        classes = ("cat", "dog")

    picture = np.zeros((4, 4), dtype=np.uint8)
    assert given([(picture, 1.5), (picture, 2.5)]).targets["numbers"].values.tolist() == [[1.5], [2.5]]
    assert given(Named([(picture, 0), (picture, 1)])).classes == {"label": ("cat", "dog")}


PICTURE = np.zeros((4, 4), dtype=np.uint8)


@pytest.mark.parametrize(("samples", "text"), [
    ([], "the data set is empty"),
    ([PICTURE], "sample 0 must be a pair (picture, label); got a ndarray"),
    ([(PICTURE, 0), (torch.randn(1, 4, 4), 1)], "sample 1: the picture is torch.float32 (1, 4, 4); accepted are a"),
    ([(PICTURE, "cat")], "sample 0: the target is a str"),
    ([(PICTURE, [1, 2])], "sample 0: the target is a list"),
    ([(PICTURE, torch.tensor([1, 2]))], "sample 0: the target has 2 whole numbers"),
    ([(PICTURE, 0), (np.zeros((4, 4, 3), np.uint8), 1)], "sample 1 has 3 channels, sample 0 has 1"),
    ([(PICTURE, 0), (PICTURE, 1.0)], "sample 1 gives ['numbers'], sample 0 gives ['label']")])
def test_what_is_accepted_is_said(samples, text):
    with pytest.raises(DataError) as raised:
        given(samples)
    assert text in str(raised.value)


def test_labels_beyond_the_names_are_refused():
    class Named(list):
        classes = ("cat",)

    with pytest.raises(DataError, match="names 1 classes, but its labels run from 0 to 1"):
        given(Named([(PICTURE, 0), (PICTURE, 1)]))


def test_something_that_is_no_data_set_is_refused():
    with pytest.raises(DataError, match="a data set has a length and gives samples by number; got a generator"):
        given(x for x in ())
