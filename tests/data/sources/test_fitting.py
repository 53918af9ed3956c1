"""Targets in the network's pixels, and the ground around the pictures cut away."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lensmith.base.picture_headers import read_header
from lensmith.base.pictures import PADDING, Form
from lensmith.data.batches.loader import Loader
from lensmith.data.sources.fitting import fit_source, in_files, shown_areas, trimmed
from lensmith.data.sources.picture_files import Files
from lensmith.data.store.at_once import decode_all
from lensmith.values.boxes import Boxes

SIZES = [(40, 80), (80, 40), (64, 64), (30, 61), (100, 37)]


def pictures(folder: Path) -> tuple[Files, torch.Tensor]:
    """Files with a white rectangle each, and its corners in the file's pixels."""
    paths, corners = [], []
    for number, (height, width) in enumerate(SIZES):
        pixels = np.zeros((height, width, 3), dtype=np.uint8)
        x0, y0, x1, y1 = width // 4, height // 3, width * 3 // 4, height * 2 // 3
        pixels[y0:y1, x0:x1] = 255
        paths.append(folder / f"{number}.png")
        Image.fromarray(pixels).save(paths[-1])
        corners.append([x0, y0, x1, y1])
    boxes = Boxes(torch.tensor(corners).float(), torch.zeros(5).long(), image=torch.arange(5))
    return Files(paths, {"boxes": boxes}, {"boxes": ("white",)}, root=folder), boxes.corners


def test_boxes_follow_the_letterbox_and_go_back(tmp_path: Path):
    source, own = pictures(tmp_path)
    form = Form(3, 64, 64, "pad")
    ready = fit_source(source, [read_header(path) for path in source.paths], form)
    assert torch.equal(source.targets["boxes"].corners, own)    # the source that was given stays as it was
    kept = decode_all(ready, form, keep=True).source
    for row in range(5):
        y, x = (kept.images[row, 0] > 150).nonzero(as_tuple=True)
        found = torch.tensor([x.min(), y.min(), x.max() + 1, y.max() + 1]).float()
        assert (kept.targets["boxes"][row].corners[0] - found).abs().max() <= 1.0
    batch = kept.gather(torch.arange(5))
    back = in_files(batch.targets, batch.places)["boxes"]
    assert (back.corners - own).abs().max() < 1e-4
    assert [ready.place(row).size for row in range(5)] == SIZES


def test_ground_that_surrounds_all_pictures_is_cut_away(tmp_path: Path):
    source, own = pictures(tmp_path)
    form = Form(3, 64, 64, "pad")
    kept = decode_all(fit_source(source, [read_header(path) for path in source.paths], form), form, keep=True).source
    wide = kept.gather(torch.tensor([0, 3]))
    cut = trimmed(wide)
    assert cut.images.shape == (2, 3, 32, 64)
    assert (in_files(cut.targets, cut.places)["boxes"].corners - own[[0, 3]]).abs().max() < 1e-4
    assert torch.equal(trimmed(kept.gather(torch.arange(5))).images, kept.images)
    top, bottom = shown_areas(cut.places, 2, (32, 64))[:, 1].min(), shown_areas(cut.places, 2, (32, 64))[:, 3].max()
    assert top == 0 and bottom == 32
    lost = wide.images.flatten(1).float().sum() - cut.images.flatten(1).float().sum()
    assert lost == PADDING * (wide.images.numel() - cut.images.numel())


def test_rectangular_batches_hold_pictures_of_like_shape(tmp_path: Path):
    source, own = pictures(tmp_path)
    form = Form(3, 64, 64, "pad")
    ready = fit_source(source, [read_header(path) for path in source.paths], form)
    for data in (decode_all(ready, form, keep=True).source, ready.shaped(form)):
        batches = list(Loader(data, 2, rectangular=True))
        assert torch.cat([batch.indices for batch in batches]).tolist() == [3, 0, 2, 1, 4]
        assert [tuple(batch.images.shape[2:]) for batch in batches] == [(32, 64), (64, 64), (64, 32)]
        for batch in batches:
            found = in_files(batch.targets, batch.places)["boxes"].corners
            assert (found - own[batch.indices]).abs().max() < 1e-4
