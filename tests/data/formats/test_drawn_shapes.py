"""The drawn set: its targets agree with its pictures and with each other."""

import time

import numpy as np
import pytest
import torch

from lensmith.base.errors import UserError
from lensmith.data.formats.drawn_shapes import shapes
from lensmith.values.boxes import Boxes
from lensmith.values.labels import Label
from lensmith.values.semantic_mask import Mask


def whole(**options):
    parts = shapes(**options).splits
    return [parts[name][i] for name in ("train", "test") for i in range(len(parts[name]))]


def test_it_gives_a_label_boxes_and_a_mask_at_once():
    parts = shapes(120, 24)
    train = parts.splits["train"]
    assert {name: len(part) for name, part in parts.splits.items()} == {"train": 100, "test": 20}
    assert train.images.shape == (100, 3, 24, 24) and train.images.dtype == torch.uint8
    assert [type(value) for value in train.targets.values()] == [Label, Boxes, Mask]
    names = train.classes["label"]
    assert train.classes == {"label": names, "boxes": names, "mask": ("ground", *names)}


def test_the_box_is_the_smallest_around_the_mask_and_the_classes_agree():
    for sample in whole(count=60, size=20, seed=3):
        mask, label = sample.targets["mask"].classes.numpy(), int(sample.targets["label"].index)
        rows, columns = np.nonzero(mask)
        smallest = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert sample.targets["boxes"].corners.tolist() == [smallest]
        assert set(np.unique(mask)) == {0, label + 1} and sample.targets["boxes"].classes.tolist() == [label]


def test_each_shape_fills_its_box_as_geometry_says():
    filled = {0: [], 1: [], 2: []}
    for sample in whole(count=90, size=96):
        x0, y0, x1, y1 = sample.targets["boxes"].corners[0].tolist()
        area = int((sample.targets["mask"].classes > 0).sum())
        filled[int(sample.targets["label"].index)].append(area / ((x1 - x0) * (y1 - y0)))
    assert np.mean(filled[0]) == 1
    assert np.mean(filled[1]) == pytest.approx(np.pi / 4, abs=0.02)
    assert np.mean(filled[2]) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_shape_stands_out_from_the_ground(channels):
    for sample in whole(count=30, channels=channels):
        inside = sample.targets["mask"].classes > 0
        picture = sample.image.float()
        for plane in picture:
            assert abs(plane[inside].mean() - plane[~inside].mean()) > 60
            assert 5 < plane[~inside].std() < 25    # noise
        assert len(picture) == channels


def test_places_sizes_and_colours_vary():
    samples = whole(count=60)
    corners = torch.cat([sample.targets["boxes"].corners for sample in samples])
    colours = {tuple(sample.image.float().mean((1, 2)).round().tolist()) for sample in samples}
    assert len(corners.unique(dim=0)) > 50 and len(colours) > 50


def test_the_same_arguments_draw_the_same_pictures_and_another_seed_others():
    one, same, other = (shapes(24, 16, seed=seed).splits["train"] for seed in (5, 5, 6))
    assert torch.equal(one.images, same.images) and not torch.equal(one.images, other.images)
    assert torch.equal(one.targets["boxes"].corners, same.targets["boxes"].corners)


def test_the_classes_are_balanced_in_both_parts():
    for part in shapes(1200, 16).splits.values():
        counts = np.bincount(part.targets["label"].index)
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize(("options", "said"), [
    ({"count": 3}, r"data\.count=3 cannot be drawn: accepted are count >= 12, size >= 12 pixels, channels 1 or 3"),
    ({"size": 4}, r"data\.size=4 cannot"), ({"channels": 4}, r"data\.channels=4 cannot")])
def test_what_cannot_be_drawn_is_a_user_error(options, said):
    with pytest.raises(UserError, match=said):
        shapes(**options)


def test_twelve_hundred_are_drawn_in_less_than_a_second():
    start = time.process_time()
    shapes()
    assert time.process_time() - start < 1


def test_a_small_network_learns_to_tell_them_apart():
    torch.manual_seed(0)
    parts = shapes(2400, 32).splits
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 5), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Conv2d(6, 16, 5), torch.nn.ReLU(),
        torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(400, 120), torch.nn.ReLU(), torch.nn.Linear(120, 3))
    optimizer = torch.optim.Adam(network.parameters(), 0.002)
    images = {name: part.images.float() / 128 - 1 for name, part in parts.items()}
    truth = {name: part.targets["label"].index for name, part in parts.items()}
    for _ in range(12):
        for rows in torch.randperm(2000).split(50):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(images["train"][rows]), truth["train"][rows]).backward()
            optimizer.step()
    with torch.no_grad():
        correct = (network(images["test"]).argmax(1) == truth["test"]).float().mean()
    assert correct > 0.95
