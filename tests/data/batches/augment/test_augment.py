"""Augmentation: each sample by its own hash, each operation against an independent form."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as oracle

from lensmith.base.errors import UserError
from lensmith.base.hashed_random import hashed
from lensmith.data.batches import pixels
from lensmith.data.batches.augment import Augment
from lensmith.data.batches.augment.blend import beta
from lensmith.data.batches.pixels import enlarged, mean_of, rectangle, turn_hue
from lensmith.data.sources.sample import Batch
from lensmith.values.boxes import Boxes
from lensmith.values.labels import Label
from lensmith.values.semantic_mask import Mask

EVERYTHING = {"crop_padding": 3, "flip": True, "rotate": 15.0, "resized_crop": [0.5, 1.0], "brightness": 0.3,
              "contrast": 0.3, "saturation": 0.3, "hue": 0.1, "erase": 0.5}


def gradient(count: int, channels: int = 3, height: int = 12, width: int = 16) -> Batch:
    """Pictures in which every pixel is told apart from its neighbours."""
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (count, channels, height, width), generator=generator, dtype=torch.uint8)
    return Batch(images, {"label": Label(torch.arange(count) % 3)}, (), torch.arange(count))


@pytest.mark.parametrize("settings", [{"crop_padding": 2, "flip": True}, EVERYTHING])
def test_a_sample_changes_alike_alone_and_in_company(settings):
    augment = Augment(**settings, seed=5)
    whole = gradient(10)
    together = augment(whole, 4).images
    for i in (0, 7):
        alone = Batch(whole.images[i : i + 1], {}, (), torch.tensor([i]))
        assert torch.equal(augment(alone, 4).images[0], together[i])


def test_seed_epoch_and_index_all_matter():
    batch = gradient(6)
    first = Augment(**EVERYTHING, seed=1)(batch, 0).images
    assert torch.equal(first, Augment(**EVERYTHING, seed=1)(batch, 0).images)
    assert not torch.equal(first, Augment(**EVERYTHING, seed=2)(batch, 0).images)
    assert not torch.equal(first, Augment(**EVERYTHING, seed=1)(batch, 1).images)


def test_flip_and_crop_are_whole_pixel_moves_of_the_mirrored_picture():
    batch = gradient(64)
    moved = Augment(crop_padding=2, flip=True, seed=9)(batch, 0).images
    height, width = batch.images.shape[-2:]
    seen = set()
    for before, after in zip(batch.images.numpy(), moved.numpy(), strict=True):
        padded = np.pad(before, ((0, 0), (2, 2), (2, 2)), mode="reflect")
        fits = [(x, y, turned) for x in range(5) for y in range(5) for turned in (False, True)
                if np.array_equal(after, padded[:, y : y + height, x : x + width][:, :, :: -1 if turned else 1])]
        assert len(fits) == 1
        seen.add(fits[0])
    assert len({x for x, _, _ in seen}) == 5 and len({y for _, y, _ in seen}) == 5 and {t for *_, t in seen} == {0, 1}


def test_boxes_and_masks_move_with_the_picture():
    """A bright rectangle, its box and its mask stay on one another under every geometric operation."""
    images = torch.zeros(40, 1, 32, 32, dtype=torch.uint8)
    images[:, :, 10:22, 8:20] = 255
    corners = torch.tensor([[8.0, 10.0, 20.0, 22.0]]).repeat(40, 1)
    targets = {"boxes": Boxes(corners, torch.zeros(40, dtype=torch.int64), image=torch.arange(40)),
               "mask": Mask((images[:, 0] > 0).long())}
    for settings in ({"crop_padding": 4, "flip": True}, {"rotate": 8.0, "flip": True, "resized_crop": [0.8, 1.0]}):
        out = Augment(**settings, seed=2)(Batch(images, targets, (), torch.arange(40)), 0)
        boxes = out.targets["boxes"]
        for row in range(40):
            bright = out.images[row, 0] > 127
            mask = out.targets["mask"][row].classes
            known = mask != 255
            assert (bright == (mask == 1))[known].float().mean() > 0.97
            y, x = bright.nonzero(as_tuple=True)
            found = torch.tensor([x.min(), y.min(), x.max() + 1, y.max() + 1]).float()
            assert (boxes[row].corners[0] - found).abs().max() <= 2.5


def test_rotation_equals_torchvision():
    batch = gradient(5, channels=1, height=33, width=33)
    augment = Augment(rotate=30.0, seed=4)
    moved = augment(batch, 0).images
    from lensmith.base.hashed_random import uniform

    angle = (uniform(hashed(4, 0, np.arange(5)), 3) * 2 - 1) * 30
    for row in range(5):
        turned = oracle.rotate(batch.images[row].float(), -float(angle[row]),
                               interpolation=oracle.InterpolationMode.BILINEAR)
        inside = oracle.rotate(torch.ones(1, 33, 33), -float(angle[row]))[0] > 0
        inner = torch.zeros_like(inside)
        inner[8:25, 8:25] = True
        difference = (moved[row, 0].float() - turned[0])[inside & inner].abs()
        assert difference.max() <= 1.01


@pytest.mark.parametrize(("name", "stream", "function"), [
    ("brightness", 6, oracle.adjust_brightness), ("contrast", 7, oracle.adjust_contrast),
    ("saturation", 8, oracle.adjust_saturation)])
def test_colours_equal_torchvision(name, stream, function):
    from lensmith.base.hashed_random import uniform

    batch = gradient(6)
    changed = Augment(**{name: 0.5}, seed=8)(batch, 2).images
    factor = 1 + (uniform(hashed(8, 2, np.arange(6)), stream) * 2 - 1) * 0.5
    for row in range(6):
        wanted = function(batch.images[row].float() / 255, float(factor[row])) * 255
        assert (changed[row].float() - wanted).abs().max() <= 1.0


def test_turning_the_hue_keeps_gray_gray_and_a_full_turn_changes_nothing():
    gray = torch.full((1, 3, 2, 2), 90.0)
    assert (turn_hue(gray, torch.tensor([1.2])) - gray).abs().max() < 1e-3
    colour = torch.rand(1, 3, 4, 4) * 255
    assert (turn_hue(colour, torch.tensor([2 * torch.pi])) - colour).abs().max() < 1e-2
    assert (turn_hue(colour, torch.tensor([2.0])) - colour).abs().max() > 1


def test_erasing_takes_a_rectangle_in_the_stated_share_of_pictures():
    batch = gradient(400, height=20, width=20)
    changed = (Augment(erase=0.25, seed=1)(batch, 0).images != batch.images).any(1)
    touched = changed.flatten(1).any(1)
    assert 0.18 < touched.float().mean() < 0.32
    area = changed[touched].float().mean((1, 2))
    assert area.max() < 0.40 and area.min() > 0.005


def blended(**settings):
    augment = Augment(**settings, seed=6, classes={"label": ("a", "b", "c")}, length=30)
    batch = gradient(30)
    partners = augment.partners(0, batch.indices)[:, 0]
    partner = Batch(batch.images[partners], {"label": batch.targets["label"].take(partners)}, (), partners)
    return batch, partner, augment(batch, 0, partner)


def test_mixup_blends_pictures_and_labels_by_one_share():
    batch, partner, out = blended(mixup=0.8)
    scores = out.targets["label"].scores
    assert torch.allclose(scores.sum(1), torch.ones(30))
    for row in range(30):
        own, its = int(batch.targets["label"].index[row]), int(partner.targets["label"].index[row])
        if own == its:
            continue
        share = scores[row, own]
        wanted = share * batch.images[row] + (1 - share) * partner.images[row]
        assert (out.images[row] - wanted).abs().max() <= 0.51


def test_cutmix_pastes_a_rectangle_and_shares_the_label_by_its_area():
    batch, partner, out = blended(cutmix=1.0)
    for row in range(30):
        own, its = int(batch.targets["label"].index[row]), int(partner.targets["label"].index[row])
        kept = (out.images[row] == batch.images[row]).all(0)
        pasted = (out.images[row] == partner.images[row]).all(0)
        assert (kept | pasted).all()
        if own != its:
            assert abs(float(out.targets["label"].scores[row, own]) - kept.float().mean()) < 0.02


def test_the_share_of_blended_samples_is_a_setting():
    batch, never = gradient(30), Augment(mixup=1.0, mixed=0.0, length=30)
    assert never.company(0) == 0 and torch.equal(never(batch, 0).images, batch.images)
    batch, _, out = blended(mixup=1.0, mixed=0.5)
    assert 8 <= int((out.images == batch.images).flatten(1).all(1).sum()) <= 22


def test_beta_has_the_moments_of_its_distribution():
    drawn = torch.linspace(0, 1 - 1e-6, 10_001)
    for alpha in (0.2, 1.0, 4.0):
        values = beta(alpha, drawn)
        assert abs(values.mean() - 0.5) < 0.01
        assert abs(values.var() - 1 / (4 * (2 * alpha + 1))) < 0.005


def test_sixteen_bits_stay_sixteen_bits():
    values = torch.arange(2 * 8 * 8, dtype=torch.int32).view(2, 1, 8, 8) * 400
    batch = Batch(values.to(torch.uint16), {}, (), torch.arange(2))
    for settings in ({"flip": True, "crop_padding": 1}, {"rotate": 5.0}, {"brightness": 0.2}):
        out = Augment(**settings)(batch, 0).images
        assert out.dtype == torch.uint16 and int(out.to(torch.int32).max()) > 20_000


@pytest.mark.parametrize(("settings", "text"), [
    ({"flip": True, "crop_padding": -1}, "augment.crop_padding must lie between 0 and 10000; got -1"),
    ({"resized_crop": [0.9, 0.2]}, "augment.resized_crop must be the [least, most] fraction of the area, for example "
     "[0.35, 1.0]; got [0.9, 0.2]"),
    ({"hue": 0.7}, "augment.hue must lie between 0 and 0.5; got 0.7"),
    ({"erase": 2.0}, "augment.erase must lie between 0 and 1; got 2.0")])
def test_wrong_settings_are_refused(settings, text):
    with pytest.raises(UserError) as raised:
        Augment(**settings)
    assert text in str(raised.value)


def test_padding_wider_than_the_picture_is_refused():
    with pytest.raises(UserError, match=r"crop_padding=12 must be smaller than the pictures, 12 x 16"):
        Augment(crop_padding=12)(gradient(2), 0)


def test_masks_cannot_be_blended():
    mask = Mask(torch.zeros(2, 4, 4, dtype=torch.int64))
    with pytest.raises(UserError, match=r"a mask target cannot be blended: set augment.mixup=0"):
        mask.mix(mask, torch.ones(2), 2)


def test_alternate_mirrors_each_picture_every_other_epoch():
    batch = gradient(80)
    augment = Augment(flip="alternate", seed=4)
    shown = [augment(batch, epoch).images for epoch in range(4)]
    turned = [(now != batch.images).flatten(1).any(1) for now in shown]
    assert torch.equal(shown[0], shown[2]) and torch.equal(shown[1], shown[3])
    assert torch.equal(turned[0], ~turned[1]) and 20 < turned[0].sum() < 60
    assert torch.equal(shown[0][turned[0]], batch.images.flip(-1)[turned[0]])
    turning = Augment(flip="alternate", rotate=1e-5, seed=4)    # the other way of moving pictures draws the same ones
    assert all(torch.equal(turning(batch, epoch).images, shown[epoch]) for epoch in range(2))


def test_the_first_epochs_show_the_pictures_smaller():
    batch = gradient(6, height=16, width=24)
    augment = Augment(shrink=[0.25, 0.5], seed=1)
    assert augment.is_on
    sizes = [tuple(augment(batch, epoch).images.shape[2:]) for epoch in range(4)]
    assert sizes == [(4, 6), (8, 12), (16, 24), (16, 24)]
    assert torch.equal(augment(batch, 2).images, batch.images)
    small = augment(batch, 1).images
    assert small.dtype == torch.uint8
    wanted = oracle.resize(batch.images.float(), [8, 12], antialias=True).round()
    assert (small.float() - wanted).abs().max() <= 1


def test_boxes_and_masks_shrink_with_the_picture():
    images = torch.zeros(3, 1, 32, 32, dtype=torch.uint8)
    images[:, :, 8:24, 4:20] = 255
    corners = torch.tensor([[4.0, 8.0, 20.0, 24.0]]).repeat(3, 1)
    targets = {"boxes": Boxes(corners, torch.zeros(3, dtype=torch.int64), image=torch.arange(3)),
               "mask": Mask((images[:, 0] > 0).long())}
    out = Augment(shrink=[0.5])(Batch(images, targets, (), torch.arange(3)), 0)
    assert torch.equal(out.targets["boxes"].corners, corners / 2)
    bright = out.images[:, 0] > 127
    assert bright.shape == (3, 16, 16) and torch.equal(out.targets["mask"].classes > 0, bright)


@pytest.mark.parametrize("shares", [[0.0], [0.5, 1.5], [-1.0]])
def test_wrong_shares_of_the_edges_are_refused(shares):
    with pytest.raises(UserError) as raised:
        Augment(shrink=shares)
    assert "augment.shrink must hold fractions of the edges, above 0 and at most 1" in str(raised.value)
    assert str(shares) in str(raised.value)


BLENDS = {"mixup": 0.4, "cutmix": 1.0}


@pytest.mark.parametrize("settings", [
    {"crop_padding": 2, "flip": True}, {"resized_crop": [0.5, 1.0], "flip": True}, EVERYTHING, {"shrink": [0.5]},
    {**EVERYTHING, **BLENDS}, {"mixup": 0.4}, {"cutmix": 1.0}])
def test_pixels_are_changed_where_they_are(settings):
    """On PyTorch's "meta" device an operation with a tensor of the CPU is an error, as it is on a GPU."""
    mask = {} if {"mixup", "cutmix"} & set(settings) else {
        "mask": Mask(torch.zeros(6, 12, 16, dtype=torch.int64)),
        "boxes": Boxes(torch.ones(6, 4), torch.zeros(6, dtype=torch.int64), image=torch.arange(6))}
    here = replace(gradient(6), targets={"label": Label(torch.arange(6) % 3), **mask})
    away = here.to("meta")
    assert away.indices.device.type == "cpu"
    augment = Augment(**settings, seed=5, classes={"label": ("a", "b", "c")}, length=6)
    if mask:    # how many boxes stay is not known without numbers
        away = replace(away, targets={name: value for name, value in away.targets.items() if name != "boxes"})
    out, wanted = augment(away, 0, away), augment(here, 0, here)
    assert out.images.device.type == "meta" and out.images.shape == wanted.images.shape
    assert out.images.dtype == torch.uint8
    for value in out.targets.values():
        assert all(tensor.device.type == "meta" for tensor in value._tensors().values())


def test_enlarging_equals_interpolation_on_the_whole_part():
    batch = gradient(40, height=60, width=50)
    rectangles = rectangle(torch.rand(40) * 40 + 10, torch.rand(40) * 30 + 30, torch.rand(40), torch.rand(40), (60, 50))
    assert int((rectangles[:, 0] + rectangles[:, 2]).max()) <= 50 and int(rectangles[:, :2].min()) >= 0
    turned = torch.arange(40) % 2 == 0
    quick = enlarged(batch.images, rectangles, turned)
    gridded = enlarged(batch.images.to(torch.uint16), rectangles, turned).to(torch.uint8)    # the way of a GPU
    for row, (x, y, wide, high) in enumerate(rectangles.tolist()):
        part = oracle.resize(batch.images[row, :, y : y + high, x : x + wide].double(), [60, 50], antialias=False)
        wanted = part.flip(-1) if turned[row] else part
        assert (gridded[row] - wanted).abs().max() <= 0.501
        assert (quick[row] - wanted).abs().max() <= 1.5


def test_boxes_and_masks_are_enlarged_with_the_picture():
    images = torch.zeros(40, 1, 64, 64, dtype=torch.uint8)
    images[:, :, 20:44, 16:40] = 255
    corners = torch.tensor([[16.0, 20.0, 40.0, 44.0]]).repeat(40, 1)
    targets = {"boxes": Boxes(corners, torch.zeros(40, dtype=torch.int64), image=torch.arange(40)),
               "mask": Mask((images[:, 0] > 0).long())}
    out = Augment(resized_crop=[0.7, 0.9], flip=True, seed=2)(Batch(images, targets, (), torch.arange(40)), 0)
    for row in range(40):
        bright = out.images[row, 0] > 127
        assert (bright == (out.targets["mask"][row].classes == 1)).float().mean() > 0.98    # all but halves at an edge
        y, x = bright.nonzero(as_tuple=True)
        found = torch.tensor([x.min(), y.min(), x.max() + 1, y.max() + 1]).float()
        assert (out.targets["boxes"][row].corners[0] - found).abs().max() <= 1.0


@pytest.mark.parametrize("settings", [EVERYTHING, {"resized_crop": [0.3, 1.0], "flip": True}, {**EVERYTHING, **BLENDS}])
def test_neither_the_number_of_threads_nor_the_size_of_a_part_changes_a_bit(settings, monkeypatch: pytest.MonkeyPatch):
    batch = gradient(5, height=200, width=180)    # large enough for PyTorch to share a picture out to threads
    augment = Augment(**settings, seed=5, classes={"label": ("a", "b", "c")}, length=5)
    wanted, before = augment(batch, 1, batch).images, torch.get_num_threads()
    try:
        for threads, cached in ((2, 1 << 18), (3, 1), (1, 1 << 17), (2, 1 << 30)):
            torch.set_num_threads(threads)
            monkeypatch.setattr(pixels, "_CACHED", cached)
            assert torch.equal(augment(batch, 1, batch).images, wanted)
    finally:
        torch.set_num_threads(before)


def test_a_mean_has_the_same_bits_for_any_number_of_threads():
    generator = torch.Generator().manual_seed(0)
    planes = [torch.rand(1, 1, 700, 600, generator=generator) * 255 for _ in range(4)]
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            found.append(torch.cat([mean_of(plane) for plane in planes]))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, found[0]) for one in found) and found[0].shape == (4, 1, 1, 1)
    assert torch.allclose(found[0].flatten(), torch.stack([plane.double().mean() for plane in planes]).float())


def test_the_random_numbers_of_pytorch_are_left_alone():
    state = torch.get_rng_state()
    batch = gradient(6)
    Augment(**EVERYTHING, **BLENDS, seed=5, classes={"label": ("a", "b", "c")}, length=6)(batch, 0, batch)
    assert torch.equal(torch.get_rng_state(), state)
