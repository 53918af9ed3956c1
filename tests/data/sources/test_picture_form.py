"""Headers, the form that follows from them, and what becomes of bad pictures."""

import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lensmith.base.errors import DataError, UserError
from lensmith.base.picture_headers import Header
from lensmith.base.pictures import Form
from lensmith.data.sources import picture_form as survey_module
from lensmith.data.sources.in_memory import InMemory, Numbered
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.picture_form import Bad, Survey, drop, refuse, settle_form, survey
from lensmith.values.labels import Label


def headers(*rows):
    return [Survey([Header(*row) for row in rows], [])]


@pytest.fixture
def source(tmp_path):
    """Good pictures at 0, 2 and 5, bad ones between; classes 0 0 0 1 1 1."""
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(tmp_path / "gray.png")
    (tmp_path / "empty.jpg").touch()
    Image.new("RGB", (5, 4)).save(tmp_path / "colour.jpg")
    (tmp_path / "text.png").write_text("no picture at all")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (9, 3)).save(tmp_path / "turned.jpg", exif=exif)
    names = ["gray.png", "empty.jpg", "colour.jpg", "text.png", "absent.png", "turned.jpg"]
    return Files([tmp_path / name for name in names], {"label": Label(torch.tensor([0, 0, 0, 1, 1, 1]))},
                 {"label": ("cat", "dog")}, root=tmp_path)


BAD = [Bad("empty.jpg", "is empty (0 bytes)"), Bad("text.png", "is not a picture in a format that Pillow reads"),
       Bad("absent.png", "does not exist")]


def test_every_header_is_read_and_every_bad_file_is_named(source):
    found = survey(source)
    assert found.bad == BAD
    assert found.headers == [Header(6, 8, True, False), None, Header(4, 5, False, False), None, None,
                             Header(9, 3, False, False, orientation=6)]


def test_headers_that_are_waited_for_are_read_by_threads_in_the_same_order(source, monkeypatch):
    alone, by = survey(source), list[str]()
    read = survey_module._header

    def slowly(path):
        by.append(threading.current_thread().name)
        time.sleep(0.01)
        return read(path)

    monkeypatch.setattr(survey_module, "_header", slowly)
    monkeypatch.setattr(survey_module, "_TRIED", 2)
    assert survey(source) == alone and len(by) == 6
    assert set(by[:2]) == {threading.current_thread().name} and not set(by[:2]) & set(by[2:])


def test_nothing_is_decoded_so_a_truncated_body_passes(source):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(source.paths[2])
    for path in (source.paths[0], source.paths[2]):
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    assert survey(source).bad == BAD


def test_pictures_in_memory_tell_their_form_by_the_tensor():
    for images, form in ((torch.zeros(3, 1, 28, 28, dtype=torch.uint8), Form(1, 28, 28)),
                         (torch.zeros(3, 3, 30, 40, dtype=torch.uint8), Form(3, 30, 40)),
                         (torch.zeros(3, 1, 8, 8, dtype=torch.uint16), Form(1, 8, 8, bits=16))):
        held = InMemory(images, {}, {}, places=Numbered("x", tuple(images.shape[-2:]), np.arange(3)))
        found = survey(held)
        assert settle_form([found]) == form and found.bad == [] and len(found.headers) == 3


def test_a_source_of_another_kind_is_refused():
    with pytest.raises(UserError, match=r"a data set of type list has no headers to read: give pictures\.size"):
        survey([1, 2])


@pytest.mark.parametrize(("rows", "form"), [
    ([(28, 28, True, False)] * 3, Form(1, 28, 28)),
    ([(256, 200, False, False)] * 2, Form(3, 256, 200)),
    ([(28, 28, True, False), (28, 28, False, False)], Form(3, 28, 28)),
    ([(28, 28, True, True)] * 2, Form(1, 28, 28, bits=16)),
    ([(28, 28, True, True), (28, 28, True, False)], Form(1, 28, 28)),
    ([(257, 257, False, False)] * 2, Form(3, 224, 224)),                           # one size, but too large to keep
    ([(480, 640, False, False), (640, 480, False, False)], Form(3, 224, 224)),
    ([(100, 90, False, False), (120, 99, False, False), (500, 97, False, False)], Form(3, 96, 96)),    # median 97
    ([(20, 20, True, False), (18, 22, True, False)], Form(1, 32, 32)),             # never below 32
])
def test_the_form_follows_from_the_headers(rows, form):
    assert settle_form(headers(*rows)) == form


def test_what_is_given_is_taken():
    wanted = settle_form(headers((28, 28, True, False)), size=[12, 20], channels=3, bits=16, fit="pad")
    assert wanted == Form(3, 12, 20, "pad", 16)
    assert settle_form(headers((28, 28, True, False)), size=64).size == (64, 64)


def test_all_parts_of_a_set_are_looked_at():
    assert settle_form([*headers((28, 28, True, False)), *headers((32, 32, False, False))]) == Form(3, 32, 32)


@given(st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), min_size=1, max_size=9))
def test_a_chosen_size_is_that_of_all_pictures_or_a_multiple_of_32_up_to_224(sizes):
    form = settle_form(headers(*((height, width, False, False) for height, width in sizes)))
    if len(set(sizes)) == 1 and max(sizes[0]) <= 256:
        assert form.size == sizes[0]
    else:
        assert form.height == form.width and form.height % 32 == 0 and 32 <= form.height <= 224
        assert form.height == 224 or abs(form.height - max(32, np.median([min(size) for size in sizes]))) <= 16


@pytest.mark.parametrize(("options", "said"), [
    ({"size": 0}, r"pictures\.size=0 is not a size: accepted are one edge in pixels, as 224, or \[height, width\]"),
    ({"size": [1, 2, 3]}, r"pictures\.size=\[1, 2, 3\] is not a size"), ({"size": [5, -1]}, "is not a size"),
    ({"channels": 2}, r"pictures\.channels=2 is not possible: accepted are 1 \(gray\), 3 \(RGB\) and 4 \(RGBA\)"),
    ({"bits": 12}, r"pictures\.bits=12 is not possible: accepted are 8 and 16"),
    ({"fit": "corp"}, r"unknown pictures\.fit 'corp'\. Did you mean 'crop'\? Known: crop, pad, squash\.")])
def test_a_form_that_cannot_be_is_a_user_error(options, said):
    with pytest.raises(UserError, match=said):
        settle_form(headers((28, 28, True, False)), **options)


def test_without_one_readable_picture_there_is_no_form():
    with pytest.raises(DataError, match="no picture can be read"):
        settle_form([Survey([None, None], [])])


def test_skip_leaves_the_bad_ones_out(source):
    kept = drop(source, survey(source).bad, on_bad="skip")
    assert [kept.place(i).file for i in range(len(kept))] == ["gray.png", "colour.jpg", "turned.jpg"]
    assert kept.targets["label"].index.tolist() == [0, 0, 1]
    assert drop(source, [], on_bad="skip") is source and drop(source, [], on_bad="refuse") is source


def test_refuse_names_the_first_three_and_how_many_there_are(source):
    with pytest.raises(DataError) as caught:
        drop(source, [*BAD, Bad("x.png", "is odd")], on_bad="refuse")
    assert str(caught.value) == (
        "4 pictures cannot be used: empty.jpg is empty (0 bytes); text.png is not a picture in a format that Pillow "
        "reads; absent.png does not exist .... Mend or remove them, or leave them out with pictures.on_bad=skip")
    with pytest.raises(DataError, match=r"^1 picture cannot be used: x\.png is odd\. Mend"):
        refuse([Bad("x.png", "is odd")])
    refuse([])


def test_a_set_of_which_nothing_is_left_is_refused(source):
    part = source.subset([1, 3])
    with pytest.raises(DataError, match=r"^none of the 2 pictures can be used; the first: empty\.jpg is empty "):
        drop(part, survey(part).bad, on_bad="skip")


def test_a_class_of_which_nothing_is_left_is_refused_by_its_name(source):
    part = source.subset([0, 3, 4])
    with pytest.raises(DataError, match=r"^no picture of class 'dog' can be used; the first: text\.png is not "):
        drop(part, survey(part).bad, on_bad="skip")


def test_an_unknown_way_is_refused(source):
    with pytest.raises(UserError, match=r"unknown pictures\.on_bad 'ignore'\. Known: refuse, skip\."):
        drop(source, [], on_bad="ignore")


def test_a_class_of_a_part_of_which_no_picture_is_left_is_named(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    targets = {"species": Label(torch.tensor([0, 0, 1])), "breed": Label(torch.tensor([-1, 1, 0]))}
    source = Files(paths, targets, {"species": ("cat", "dog"), "breed": ("a", "b")}, root=tmp_path)
    assert len(drop(source, [Bad("0.png", "is empty")], on_bad="skip")) == 2
    with pytest.raises(DataError, match=r"no picture of class 'b' can be used; the first: 1\.png is empty\. Mend"):
        drop(source, [Bad("1.png", "is empty")], on_bad="skip")
