"""Augmentation: each sample by its own hash, each operation against an independent form."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as oracle

from lensmith.base.draw import hashed
from lensmith.base.errors import UserError
from lensmith.base.values import Boxes, Label, Mask
from lensmith.data.augment import Augment, _beta, _turn_hue
from lensmith.data.sample import Batch

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
    from lensmith.base.draw import uniform

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
    from lensmith.base.draw import uniform

    batch = gradient(6)
    changed = Augment(**{name: 0.5}, seed=8)(batch, 2).images
    factor = 1 + (uniform(hashed(8, 2, np.arange(6)), stream) * 2 - 1) * 0.5
    for row in range(6):
        wanted = function(batch.images[row].float() / 255, float(factor[row])) * 255
        assert (changed[row].float() - wanted).abs().max() <= 1.0


def test_turning_the_hue_keeps_gray_gray_and_a_full_turn_changes_nothing():
    gray = torch.full((1, 3, 2, 2), 90.0)
    assert (_turn_hue(gray, torch.tensor([1.2])) - gray).abs().max() < 1e-3
    colour = torch.rand(1, 3, 4, 4) * 255
    assert (_turn_hue(colour, torch.tensor([2 * torch.pi])) - colour).abs().max() < 1e-2
    assert (_turn_hue(colour, torch.tensor([2.0])) - colour).abs().max() > 1


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
    partners = augment.partners(0, batch.indices)
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
    batch, _, out = blended(mixup=1.0, mixed=0.0)
    assert out.targets["label"].scores is None and torch.equal(out.images, batch.images)


def test_beta_has_the_moments_of_its_distribution():
    drawn = torch.linspace(0, 1 - 1e-6, 10_001)
    for alpha in (0.2, 1.0, 4.0):
        values = _beta(alpha, drawn)
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
    ({"resized_crop": [0.9, 0.2]}, "augment.resized_crop must be [least, most] share"),
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
