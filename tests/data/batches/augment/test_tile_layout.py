"""Pictures put together anew: every pixel and every box lies where the layout says, by an independent search."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lensmith.base.errors import UserError
from lensmith.base.pictures import PADDING, Form, Place
from lensmith.data.batches.augment import Augment
from lensmith.data.formats.drawn_shapes import shapes
from lensmith.data.sources.sample import Batch
from lensmith.values.boxes import Boxes
from lensmith.values.labels import Label

SHADES = torch.tensor([40, 90, 160, 220])


def squares(count: int, size: int = 64) -> Batch:
    """Pictures of one shade on black, each with a bright square of its own shade and a box around it."""
    draw = torch.Generator().manual_seed(1)
    images = torch.zeros(count, 1, size, size, dtype=torch.uint8)
    corners = torch.zeros(count, 4)
    for row in range(count):
        x, y = (torch.rand(2, generator=draw) * (size - 20)).long().tolist()
        images[row, 0, y : y + 16, x : x + 16] = SHADES[row % 4]
        corners[row] = torch.tensor([x, y, x + 16, y + 16])
    return Batch(images, {"boxes": Boxes(corners, torch.arange(count) % 4, image=torch.arange(count))}, (),
                 torch.arange(count))


def gathered(batch: Batch, augment: Augment, epoch: int) -> Batch:
    return augment(batch, epoch, batch.take(augment.partners(epoch, batch.indices).flatten())
                   if augment.company(epoch) else None)


@pytest.mark.parametrize("settings", [{"zoom": [0.6, 1.6]}, {"zoom": [0.6, 1.6], "flip": True},
                                      {"mosaic": 1.0}, {"mosaic": 0.5, "zoom": [0.5, 1.5], "flip": True}])
def test_every_box_surrounds_its_own_square(settings):
    batch = squares(24)
    out = gathered(batch, Augment(**settings, seed=3, length=24, epochs=2), 0)
    boxes, found = out.targets["boxes"], 0
    for row in range(24):
        for corners, kind in zip(boxes[row].corners, boxes[row].classes.tolist(), strict=True):
            x0, y0, x1, y1 = corners.round().long().tolist()
            inside = out.images[row, 0, y0:y1, x0:x1]
            assert ((inside.float() - SHADES[kind]).abs() < 20).float().mean() > 0.7    # blurred at its edge
            found += 1
    assert found >= 20
    if settings.get("mosaic") == 1.0:
        assert found > 30    # of four pictures each, cut at the edges
    # What is bright and in no box are the slivers of squares that were cut.
    shown = (out.images[:, 0] > 30) & (out.images[:, 0] != PADDING)
    for one, corners in zip(boxes.image.tolist(), boxes.corners, strict=True):
        x0, y0 = (corners[:2] - 2).long().clamp(min=0).tolist()
        x1, y1 = (corners[2:] + 2).long().tolist()
        shown[one, y0:y1, x0:x1] = False
    assert int(shown.sum()) < 24 * 40


def test_a_sample_is_composed_alike_alone_and_in_company():
    batch = squares(10)
    augment = Augment(mosaic=0.7, zoom=[0.5, 1.5], flip=True, mixup=0.5, mixed=0.5, hue=0.1, seed=5, length=10,
                      epochs=4, classes={"boxes": ("a", "b", "c", "d")})
    whole = gathered(batch, augment, 1)
    for row in (0, 7):
        partners = augment.partners(1, torch.tensor([row])).flatten()
        one = augment(batch.take(torch.tensor([row])), 1, batch.take(partners))
        assert torch.equal(one.images[0], whole.images[row])
        assert torch.equal(one.targets["boxes"].corners, whole.targets["boxes"][row].corners)
    assert not torch.equal(gathered(batch, augment, 2).images, whole.images)


def test_the_last_epochs_show_plain_pictures():
    augment = Augment(mosaic=1.0, mixup=0.4, close_mosaic=3, length=8, epochs=10)
    assert [augment.company(epoch) for epoch in (0, 6, 7, 9)] == [4, 4, 0, 0]
    batch = squares(8)
    calm = augment(batch, 8)
    assert torch.equal(calm.images, batch.images)
    assert torch.equal(calm.targets["boxes"].corners, batch.targets["boxes"].corners)


def test_the_ground_of_a_letterbox_does_not_come_into_a_mosaic():
    images = torch.full((8, 1, 64, 64), PADDING, dtype=torch.uint8)
    images[:, :, 16:48] = 250
    places = [Place("a", (32, 64), (1.0, 1.0, 0.0, 16.0))] * 8
    out = gathered(Batch(images, {}, places, torch.arange(8)), Augment(mosaic=1.0, length=8, epochs=2), 0)
    for picture in out.images[:, 0].numpy():
        lines = np.flatnonzero((picture == 250).all(1))
        assert len(lines) >= 32 and (np.diff(lines) == 1).all()    # the four touch in the middle: one band, no gap


@given(st.floats(0.05, 20), st.floats(0.05, 20), st.integers(0, 2**40))
def test_any_zoom_keeps_every_box_inside(first, second, seed):
    batch = squares(4, 40)
    augment = Augment(mosaic=0.5, zoom=sorted((first, second)), flip=True, seed=seed, length=4, epochs=2)
    out = gathered(batch, augment, 0)
    corners = out.targets["boxes"].corners
    assert out.images.shape == batch.images.shape
    assert bool((corners >= 0).all()) and bool((corners <= 40).all())
    assert bool((corners[:, 2:] > corners[:, :2]).all())


def test_a_shape_can_be_found_again_in_colour():
    train = shapes(count=12, size=48).splits["train"]
    batch = train.gather(torch.arange(10))
    batch.targets.pop("label"), batch.targets.pop("mask")
    assert gathered(batch, Augment(mosaic=1.0, length=10, epochs=2), 0).images.shape == (10, 3, 48, 48)


def test_a_label_has_no_place_in_a_mosaic():
    batch = squares(4)
    batch.targets["label"] = Label(torch.arange(4))
    with pytest.raises(UserError) as raised:
        gathered(batch, Augment(mosaic=1.0, length=4, epochs=2), 0)
    assert "augment.mosaic puts four pictures together, which a label target cannot follow" in str(raised.value)


@pytest.mark.parametrize(("settings", "text"), [
    ({"zoom": [2.0, 1.0]}, "augment.zoom must be [least, most], factors from 0.05 to 20"),
    ({"zoom": [1.0]}, "augment.zoom must be [least, most]"),
    ({"mosaic": 1.5}, "augment.mosaic must lie between 0 and 1; got 1.5"),
    ({"mosaic": 1.0, "rotate": 5.0}, "augment.mosaic and augment.rotate both place the picture anew"),
    ({"zoom": [0.5, 1.0], "crop_padding": 4}, "augment.zoom and augment.crop_padding both place the picture anew")])
def test_wrong_settings_are_refused(settings, text):
    with pytest.raises(UserError) as raised:
        Augment(**settings)
    assert text in str(raised.value)


def test_where_no_tile_is_the_padding_is_that_of_the_form():
    """Of 12 bits in 16 it is the same gray as of all 16, and no white."""
    images = torch.zeros(8, 1, 64, 64, dtype=torch.uint16)
    places = [Place("a", (16, 64), (1.0, 1.0, 0.0, 24.0))] * 8    # so little content that padding stays around it
    batch = Batch(images, {}, places, torch.arange(8))
    form = Form(1, 64, 64, "pad", bits=16, values=(0, 4095))
    assert form.level(PADDING) == round(114 * 4095 / 255)
    for padding, shown in ((form.level(PADDING), 1831), (None, 114 * 257)):
        for settings in ({"mosaic": 1.0}, {"zoom": [0.5, 0.6]}):
            out = gathered(batch, Augment(**settings, length=8, epochs=2, padding=padding), 0).images
            assert sorted(out.to(torch.int32).unique().tolist()) == [0, shown]
