"""Data sets that a Python user brings."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.base.errors import DataError, UserError
from lensmith.base.picture_headers import Header
from lensmith.base.pictures import Form, Place, bring
from lensmith.data.formats.boxes.annotations import Tally
from lensmith.data.formats.python_objects import read_dataset
from lensmith.data.sources.fitting import boxes_of_files, fit_source, in_files
from lensmith.data.sources.in_memory import InMemory
from lensmith.data.sources.sample import Sample
from lensmith.values.boxes import Boxes
from lensmith.values.labels import Label, Tags


def test_pictures_of_every_kind_give_the_same_set():
    arrays = [np.random.default_rng(i).integers(0, 256, (6, 8, 3), dtype=np.uint8) for i in range(3)]
    kinds = [
        [(array, i) for i, array in enumerate(arrays)],
        [(Image.fromarray(array), torch.tensor(i)) for i, array in enumerate(arrays)],
        [(torch.from_numpy(array).permute(2, 0, 1), i) for i, array in enumerate(arrays)],
        [(torch.from_numpy(array).permute(2, 0, 1) / 255, np.int64(i)) for i, array in enumerate(arrays)],
    ]
    found = [read_dataset(kind) for kind in kinds]
    assert all(torch.equal(found[0].images, other.images) for other in found[1:])
    assert found[3].targets["label"].index.tolist() == [0, 1, 2]
    assert found[0].classes == {"label": ("0", "1", "2")}


def test_floats_are_numbers_and_names_are_taken_from_the_set():
    class Named(list):
        classes = ("cat", "dog")

    picture = np.zeros((4, 4), dtype=np.uint8)
    assert read_dataset([(picture, 1.5), (picture, 2.5)]).targets["numbers"].values.tolist() == [[1.5], [2.5]]
    assert read_dataset(Named([(picture, 0), (picture, 1)])).classes == {"label": ("cat", "dog")}


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
        read_dataset(samples)
    assert text in str(raised.value)


@pytest.mark.parametrize("names", [("cat", "dog"), {"label": ("cat", "dog")}])
def test_labels_beyond_the_names_are_refused(names):
    class Named(list):
        classes = names

    with pytest.raises(DataError, match="names 2 classes, but its labels run from 0 to 2"):
        read_dataset(Named([(PICTURE, 0), (PICTURE, 2)]))
    with pytest.raises(DataError, match="names 2 classes, but its labels run from -1 to 1"):
        read_dataset(Named([(PICTURE, -1), (PICTURE, 1)]))


def test_one_class_alone_is_refused_but_where_it_is_held_out():
    class Named(list):
        classes = ("cat",)

    for one, name in (([(PICTURE, 0)] * 3, "0"), (Named([(PICTURE, 0)] * 3), "cat")):
        with pytest.raises(DataError, match=f"the data set has one class only, '{name}': to tell classes apart"):
            read_dataset(one)
        assert read_dataset(one, held_out=True).classes == {"label": (name,)}


def test_names_are_taken_by_target_and_missed_where_they_are_needed():
    class Named(list):
        classes = None

    tags = Sample(torch.zeros(1, 4, 4, dtype=torch.uint8), {"tags": Tags(torch.tensor([0.0, 1]))}, Place("x", (4, 4)))
    many = Named([tags, tags])
    with pytest.raises(DataError, match="names no classes of its target 'tags': give it an attribute classes, as "):
        read_dataset(many)
    many.classes = {"tags": ("wet", "dry")}
    assert read_dataset(many).classes == {"tags": ("wet", "dry")}
    many.classes = ("wet",)
    with pytest.raises(DataError, match=r"names 1 tags \(wet\), but its samples have 2"):
        read_dataset(many)
    assert read_dataset(Named([(PICTURE, np.array([1.5, 2]))])).classes == {"numbers": ("number0", "number1")}
    numbers = Named([(PICTURE, np.array([1.5, 2]))])
    numbers.classes = {"numbers": ("wide", "high")}
    assert read_dataset(numbers).classes == {"numbers": ("wide", "high")}


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_pictures_are_brought_to_a_size_as_files_are(fit):
    array = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    found = read_dataset([(array, 0), (array[:, :11], 1)], size=[8, 16], fit=fit).images
    for row, own in enumerate((array, array[:, :11])):
        assert torch.equal(found[row], bring(Image.fromarray(own), Form(3, 8, 16, fit))[0])
    assert read_dataset([(array, 0), (array, 1)], size=8).images.shape[2:] == (8, 8)


@pytest.mark.parametrize("size", [0, -3, [8], [8, 8, 8], [8, 0]])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(UserError, match=r"pictures\.size=.* is not a size: accepted are one edge in pixels, as 224"):
        read_dataset([(PICTURE, 0), (PICTURE, 1)], size=size)


def test_a_fit_that_is_none_is_refused():
    with pytest.raises(UserError, match=r"unknown pictures\.fit 'cropp'\. Did you mean 'crop'"):
        read_dataset([(PICTURE, 0), (PICTURE, 1)], fit="cropp")


def test_samples_of_sixteen_bits_keep_them():
    deep = torch.arange(600, 632).view(1, 4, 8).to(torch.uint16)
    samples = [Sample(image, {"label": Label(torch.tensor(i))}, Place(f"{i}", (4, 8)))
               for i, image in enumerate((deep, deep.repeat(1, 2, 1)))]
    found = read_dataset(samples).images
    assert found.dtype == torch.uint16 and torch.equal(found[0].int(), deep.int())
    assert torch.equal(read_dataset([(deep.numpy()[0], 0), (deep, 1)]).images[0].int(), deep.int())


def test_a_sample_with_another_kind_of_picture_is_refused():
    wrong = Sample(torch.randn(1, 4, 4), {"label": Label(torch.tensor(0))}, Place("x", (4, 4)))
    with pytest.raises(DataError, match=r"sample 0: the picture is torch\.float32 \(1, 4, 4\); accepted are a uint8"):
        read_dataset([wrong, wrong])


def test_something_that_is_no_data_set_is_refused():
    with pytest.raises(DataError, match="a data set has a length and gives samples by number; got a generator"):
        read_dataset(x for x in ())


SIZES = [(40, 80), (80, 40), (64, 64), (30, 61), (100, 37)]    # height, width
BOX = {"boxes": [[1, 1, 3, 3]], "labels": [0]}


def scenes() -> tuple[list, torch.Tensor]:
    """Dark pictures of several sizes with a white rectangle each, as torchvision's detection sets give them; and its
    corners in the picture's own pixels."""
    samples, corners = [], []
    for number, (height, width) in enumerate(SIZES):
        pixels = torch.zeros(3, height, width, dtype=torch.uint8)
        x0, y0, x1, y1 = width // 4, height // 3, width * 3 // 4, height * 2 // 3
        pixels[:, y0:y1, x0:x1] = 255
        corners.append([x0, y0, x1, y1])
        samples.append((pixels, {"boxes": torch.tensor([corners[-1]]).float(), "labels": torch.tensor([number % 2]),
                                 "image_id": number}))
    return samples, torch.tensor(corners).float()


def boxes_of(found: InMemory) -> Boxes:
    value = found.targets["boxes"]
    assert isinstance(value, Boxes)
    return value


def white(found: InMemory, row: int) -> torch.Tensor:
    y, x = (found.images[row, 0] > 127).nonzero(as_tuple=True)
    return torch.tensor([x.min(), y.min(), x.max() + 1, y.max() + 1]).float()


@pytest.mark.parametrize("fit", ["pad", "squash", "crop"])
@pytest.mark.parametrize("size", [None, 96, (48, 96)])
def test_boxes_lie_on_their_objects_in_the_network_s_pixels_and_go_back(fit, size):
    samples, own = scenes()
    found = read_dataset(samples, size=size, fit=fit)
    value = boxes_of(found)
    assert found.classes == {"boxes": ("0", "1")} and value.classes.tolist() == [0, 1, 0, 1, 0]
    for row in range(5):
        assert (value[row].corners[0] - white(found, row)).abs().max() <= 1.0
    assert [found.place(row).size for row in range(5)] == SIZES
    if fit != "crop":    # which cuts objects
        batch = found.gather(torch.arange(5))
        back = in_files(batch.targets, batch.places)["boxes"]
        assert isinstance(back, Boxes) and (back.corners - own).abs().max() < 1e-4


def test_pictures_with_boxes_take_the_size_that_files_would():
    samples, _ = scenes()
    assert read_dataset(samples).images.shape[2:] == (64, 64)    # the median of the longer edges, in steps of 32
    assert read_dataset(samples[:1]).images.shape[2:] == (40, 80)
    large = torch.zeros(3, 480, 640, dtype=torch.uint8)
    assert read_dataset([(large, BOX)] * 2).images.shape[2:] == (320, 320)


def test_pictures_that_are_fitted_twice_keep_the_way_back():
    samples, own = scenes()
    found, form = read_dataset(samples, size=(48, 96)), Form(3, 64, 64, "pad")
    ready = fit_source(found, [Header(48, 96, gray=False, deep=False)] * 5, form)
    told, sizes = boxes_of_files(ready, form)
    assert (told.corners - own).abs().max() < 1e-4 and sizes.tolist() == [list(size) for size in SIZES]
    small = ready.shaped(form)
    for row in range(5):
        assert (boxes_of(small)[row].corners[0] - white(small, row)).abs().max() <= 1.5
    batch = small.gather(torch.arange(5))
    back = in_files(batch.targets, batch.places)["boxes"]
    assert isinstance(back, Boxes) and (back.corners - own).abs().max() < 1e-4


def test_targets_with_boxes_are_read_in_every_form():
    class Named(list):
        classes = ("cat", "dog")

    picture = np.zeros((20, 30, 3), dtype=np.uint8)
    none = {"boxes": torch.zeros(0), "labels": torch.zeros(0)}
    one = {"boxes": np.array([[1, 2, 11, 12]]), "labels": np.array([1], dtype=np.int32), "iscrowd": [1], "area": [50]}
    two = {"boxes": [[1, 2, 3, 4], [5, 5, 20, 20]], "labels": [0, 1], "masks": torch.zeros(2, 20, 30)}
    value = boxes_of(found := read_dataset(Named([(picture, none), (picture, one), (picture, two)])))
    assert found.classes == {"boxes": ("cat", "dog")}
    assert value.image is not None and value.crowd is not None and value.area is not None
    assert value.image.tolist() == [1, 2, 2] and value.classes.tolist() == [1, 0, 1]
    assert value.corners.tolist() == [[1, 2, 11, 12], [1, 2, 3, 4], [5, 5, 20, 20]]
    assert value.corners.dtype == torch.float32 and value.classes.dtype == torch.int64
    assert value.crowd.tolist() == [True, False, False] and value.area.tolist() == [50, 4, 225]
    assert boxes_of(read_dataset([(picture, two)])).area is None
    own = Sample(torch.zeros(3, 20, 30, dtype=torch.uint8), {"boxes": Boxes(torch.tensor([[1.0, 2, 3, 4]]),
                                                                           torch.tensor([0]))}, Place("x", (40, 60)))
    assert boxes_of(read_dataset([own, own])).corners.tolist() == [[1, 2, 3, 4]] * 2
    assert read_dataset([(picture, none)], held_out=True).classes == {"boxes": ()}


def test_torchvisions_own_boxes_are_read():
    from torchvision import tv_tensors

    boxes = tv_tensors.BoundingBoxes([[1, 2, 3, 4]], format="XYXY", canvas_size=(20, 30))
    picture = tv_tensors.Image(torch.zeros(3, 20, 30, dtype=torch.uint8))
    found = read_dataset([(picture, {"boxes": boxes, "labels": torch.tensor([0])})])
    assert type(boxes_of(found).corners) is torch.Tensor and boxes_of(found).corners.tolist() == [[1, 2, 3, 4]]
    assert type(found.images) is torch.Tensor
    wide = tv_tensors.BoundingBoxes([[1, 2, 3, 4]], format="XYWH", canvas_size=(20, 30))
    with pytest.raises(DataError, match=r"sample 0: the boxes are XYWH; accepted are corners, XYXY, as torchvision"):
        read_dataset([(picture, {"boxes": wide, "labels": torch.tensor([0])})])


def test_boxes_are_cut_and_left_out_as_those_of_files_are_and_counted():
    picture, tally = np.zeros((20, 30, 3), dtype=np.uint8), Tally()
    target = {"boxes": [[-1, 2, 11, 12], [20, 5, 45, 9], [5, 5, 5, 9], [9, 9, 4, 12], [31, 2, 40, 9], [2, 2, 9, 9],
                        [2, 2, 9, 9]], "labels": [0] * 7}
    value = boxes_of(read_dataset([(picture, BOX), (picture, target)], tally=tally))
    assert value.corners.tolist() == [[1, 1, 3, 3], [0, 2, 11, 12], [20, 5, 30, 9], [4, 9, 9, 12], [2, 2, 9, 9]]
    named = {"pictures": ["#1"]}
    assert tally.repairs() == {
        "swapped": {"count": 1, **named},
        "clipped": {"small": {"count": 1, **named}, "large": {"count": 1, **named}},
        "dropped": {"outside": {"count": 1, **named}, "without_area": {"count": 1, **named},
                    "duplicates": {"count": 1, **named}}}


@pytest.mark.parametrize(("target", "text"), [
    ({"boxes": [[1, 1, 3, 3]]}, """sample 1: the target holds 'boxes'; accepted is {"boxes": [n, 4] of x0 y0 x1 y1"""),
    ({"box": [[1, 1, 3, 3]], "labels": [0]}, "sample 1: the target is a dict; accepted are a class number, floats, or"),
    ({"boxes": [1, 1, 3, 3], "labels": [0]}, "sample 1: the boxes are (4,) numbers; accepted is"),
    ({"boxes": [[1, 1, 3]], "labels": [0]}, "sample 1: the boxes are (1, 3) numbers; accepted is"),
    ({"boxes": [[1, 1, 3, 3], [1, 2]], "labels": [0, 0]}, "sample 1: boxes are a list that is no list of numbers"),
    ({"boxes": "here", "labels": [0]}, "sample 1: boxes are a str that is no list of numbers"),
    ({"boxes": [[1, 1, 3, 3]], "labels": ["cat"]}, "sample 1: labels are a list that is no list of numbers"),
    ({"boxes": [[1, 1, 3, 3]], "labels": [0, 1]}, "sample 1: 1 boxes have the labels [0, 1]; accepted is a class num"),
    ({"boxes": [[1, 1, 3, 3]], "labels": [-1]}, "sample 1: 1 boxes have the labels [-1]"),
    ({"boxes": [[1, 1, 3, 3]], "labels": [0.5]}, "sample 1: 1 boxes have the labels [0.5]"),
    ({"boxes": [[1, 1, 3, float("nan")]], "labels": [0]}, "sample 1: the boxes hold a number that is not finite"),
    ({"boxes": [[1, 1, 3, float("inf")]], "labels": [0]}, "sample 1: the boxes hold a number that is not finite"),
    ({**BOX, "iscrowd": [0, 1]}, "sample 1: 1 boxes have 2 numbers iscrowd"),
    ({**BOX, "area": []}, "sample 1: 1 boxes have 0 numbers area"),
    (0, "sample 1 gives ['label'], sample 0 gives ['boxes']")])
def test_what_no_boxes_are_is_said(target, text):
    with pytest.raises(DataError) as raised:
        read_dataset([(PICTURE, BOX), (PICTURE, target)])
    assert text in str(raised.value) and "\n" not in str(raised.value)


def test_a_set_of_boxes_as_a_whole_may_be_wrong():
    class Named(list):
        classes = ("cat", "dog")

    with pytest.raises(DataError, match="no sample of the data set has a box that lies in its picture"):
        read_dataset([(PICTURE, {"boxes": [], "labels": []})])
    with pytest.raises(DataError, match="names 2 classes, but its labels run up to 2; the first is 0"):
        read_dataset(Named([(PICTURE, {"boxes": [[1, 1, 3, 3]], "labels": [2]})]))
    Named.classes = ("cat", "cat")
    with pytest.raises(DataError, match="the data set names two classes 'cat': rename one"):
        read_dataset(Named([(PICTURE, BOX)]))
    with pytest.raises(DataError, match="all boxes lie within the first pixel of their pictures; accepted are corners"):
        read_dataset([(PICTURE, {"boxes": [[0.1, 0.1, 0.5, 0.9]], "labels": [0]})])


def test_several_targets_under_names_of_their_own_may_be_unknown():
    class Several(list):
        classes: ClassVar = {"species": ("cat", "dog"), "head": ("head",)}

    def sample(index: int, corners: list[list[float]]) -> tuple:
        boxes = Boxes(torch.tensor(corners).view(-1, 4), torch.zeros(len(corners), dtype=torch.int64))
        return np.zeros((40, 60, 3), dtype=np.uint8), {"species": Label(torch.tensor(index)), "head": boxes}

    found = read_dataset(Several([sample(0, [[0, 0, 30, 20]]), sample(1, []), sample(-1, [[30, 20, 90, 40]])]), size=30)
    assert found.classes == Several.classes and found.targets["species"].index.tolist() == [0, 1, -1]
    head = found.targets["head"]
    assert head.image.tolist() == [0, 2] and head.corners.tolist() == [[0, 5, 15, 15], [15, 15, 30, 25]]
    with pytest.raises(DataError, match="its labels run from -1 to 1"):
        read_dataset([(image, targets["species"].index) for image, targets in Several([sample(-1, []), sample(1, [])])])


class Named:
    """Four gray pictures of two classes."""

    def __init__(self, *classes: str):
        self.classes = list(classes)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int):
        return np.full((8, 8, 3), 30 * i, dtype=np.uint8), i % 2


def test_parts_and_joins_of_data_sets_keep_their_class_names():
    from torch.utils.data import ConcatDataset, Subset, random_split

    named = Named("cat", "dog")
    parts = random_split(named, [3, 1])
    for dataset in (Subset(named, [0, 1]), parts[0], Subset(Subset(named, [0, 1, 2]), [0, 1]),
                    ConcatDataset([named, Subset(named, [1])])):
        assert read_dataset(dataset, held_out=True).classes == {"label": ("cat", "dog")}
    with pytest.raises(DataError, match=r"the data sets that are joined name different classes: \['cat', 'dog'\]; \["):
        read_dataset(ConcatDataset([named, Named("owl", "emu")]))
