"""Data sets that a Python user brings."""

import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.base.errors import DataError, UserError
from lensmith.base.pictures import Form, Place, bring
from lensmith.base.values import Label, Tags
from lensmith.data.given import given
from lensmith.data.sample import Sample


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


@pytest.mark.parametrize("names", [("cat", "dog"), {"label": ("cat", "dog")}])
def test_labels_beyond_the_names_are_refused(names):
    class Named(list):
        classes = names

    with pytest.raises(DataError, match="names 2 classes, but its labels run from 0 to 2"):
        given(Named([(PICTURE, 0), (PICTURE, 2)]))
    with pytest.raises(DataError, match="names 2 classes, but its labels run from -1 to 1"):
        given(Named([(PICTURE, -1), (PICTURE, 1)]))


def test_one_class_alone_is_refused_but_where_it_is_held_out():
    class Named(list):
        classes = ("cat",)

    for one, name in (([(PICTURE, 0)] * 3, "0"), (Named([(PICTURE, 0)] * 3), "cat")):
        with pytest.raises(DataError, match=f"the data set has one class only, '{name}': to tell classes apart"):
            given(one)
        assert given(one, held_out=True).classes == {"label": (name,)}


def test_names_are_taken_by_target_and_missed_where_they_are_needed():
    class Named(list):
        classes = None

    tags = Sample(torch.zeros(1, 4, 4, dtype=torch.uint8), {"tags": Tags(torch.tensor([0.0, 1]))}, Place("x", (4, 4)))
    many = Named([tags, tags])
    with pytest.raises(DataError, match="names no classes of its target 'tags': give it an attribute classes, as "):
        given(many)
    many.classes = {"tags": ("wet", "dry")}
    assert given(many).classes == {"tags": ("wet", "dry")}
    many.classes = ("wet",)
    with pytest.raises(DataError, match=r"names 1 tags \(wet\), but its samples have 2"):
        given(many)
    assert given(Named([(PICTURE, np.array([1.5, 2]))])).classes == {"numbers": ("number0", "number1")}
    numbers = Named([(PICTURE, np.array([1.5, 2]))])
    numbers.classes = {"numbers": ("wide", "high")}
    assert given(numbers).classes == {"numbers": ("wide", "high")}


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_pictures_are_brought_to_a_size_as_files_are(fit):
    array = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    found = given([(array, 0), (array[:, :11], 1)], size=[8, 16], fit=fit).images
    for row, own in enumerate((array, array[:, :11])):
        assert torch.equal(found[row], bring(Image.fromarray(own), Form(3, 8, 16, fit))[0])
    assert given([(array, 0), (array, 1)], size=8).images.shape[2:] == (8, 8)


@pytest.mark.parametrize("size", [0, -3, [8], [8, 8, 8], [8, 0]])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(UserError, match=r"pictures\.size=.* is not a size: accepted are one edge in pixels, as 224"):
        given([(PICTURE, 0), (PICTURE, 1)], size=size)


def test_a_fit_that_is_none_is_refused():
    with pytest.raises(UserError, match=r"unknown pictures\.fit 'cropp'\. Did you mean 'crop'"):
        given([(PICTURE, 0), (PICTURE, 1)], fit="cropp")


def test_samples_of_sixteen_bits_keep_them():
    deep = torch.arange(600, 632).view(1, 4, 8).to(torch.uint16)
    samples = [Sample(image, {"label": Label(torch.tensor(i))}, Place(f"{i}", (4, 8)))
               for i, image in enumerate((deep, deep.repeat(1, 2, 1)))]
    found = given(samples).images
    assert found.dtype == torch.uint16 and torch.equal(found[0].int(), deep.int())
    assert torch.equal(given([(deep.numpy()[0], 0), (deep, 1)]).images[0].int(), deep.int())


def test_a_sample_with_another_kind_of_picture_is_refused():
    wrong = Sample(torch.randn(1, 4, 4), {"label": Label(torch.tensor(0))}, Place("x", (4, 4)))
    with pytest.raises(DataError, match=r"sample 0: the picture is torch\.float32 \(1, 4, 4\); accepted are a uint8"):
        given([wrong, wrong])


def test_something_that_is_no_data_set_is_refused():
    with pytest.raises(DataError, match="a data set has a length and gives samples by number; got a generator"):
        given(x for x in ())
