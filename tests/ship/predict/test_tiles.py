from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.base.pictures import Form
from lensmith.engine.plan.plan import exact
from lensmith.ship.predict.tiles import _mask, _partial, starts, tile_weights, tiling
from lensmith.tasks.classification import Classification
from lensmith.tasks.detection import Detection
from lensmith.tasks.segmentation import Segmentation
from lensmith.values.boxes import Boxes

NAMES = ("ground", "bright", "red")


class Local(nn.Module):
    """Scores of each pixel from the five by five around it, the border repeated or, as in networks, with zeros."""

    def __init__(self, mode: str = "constant"):
        super().__init__()
        torch.manual_seed(0)
        self.mode, self.layer = mode, nn.Conv2d(3, 3, 5)

    def forward(self, images):
        return self.layer(F.pad(images.float() / 255, (2, 2, 2, 2), mode=self.mode))


def segmenting(network, tile):
    task = Segmentation(NAMES)
    task.keeps_scores = True
    return tiling(network.eval(), task, form=Form(3, *tile, "pad"), plan=exact(device="cpu", threads=1))


def smooth(height, width, seed=1):
    torch.manual_seed(seed)
    coarse = torch.rand(1, 3, height // 8 + 2, width // 8 + 2)
    return (255 * F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1))[0].to(torch.uint8)


@pytest.mark.parametrize("length", [1, 20, 31, 32, 33, 40, 56, 57, 64, 100, 1000])
def test_tiles_cover_all_and_share_a_quarter(length):
    begins = starts(length, 32)
    assert begins[0] == 0 and begins == sorted(set(begins))
    assert begins[-1] + 32 == max(length, 32)
    assert all(after - before <= 24 for before, after in pairwise(begins))
    assert len(begins) == 1 + max(0, -(-(length - 32) // 24))


def test_a_tile_weighs_most_in_its_middle_and_something_everywhere():
    weight = tile_weights(8)
    assert weight.tolist() == [0.125, 0.375, 0.625, 0.875, 0.875, 0.625, 0.375, 0.125]


@pytest.mark.parametrize("size", [(70, 91), (32, 48), (20, 100), (9, 13), (64, 24)])
def test_a_network_that_sees_little_says_the_same_of_tiles_as_of_the_whole(size):
    network, image = Local("replicate"), smooth(*size)
    found = segmenting(network, (32, 48))(image, size).classes
    with torch.no_grad():
        scores = network(image[None])[0].softmax(0)
    assert found.shape == size and found.dtype == torch.uint8
    # Near the border of a tile it does not see what is beyond; where two classes are as likely that may decide.
    sure = scores.topk(2, 0).values.diff(dim=0)[0].abs() > 0.1
    assert sure.float().mean() > 0.2 and torch.equal(found[sure], scores.argmax(0).to(torch.uint8)[sure])


def test_the_blend_of_scores_is_the_whole_picture_away_from_borders_and_has_no_seam(monkeypatch):
    """The scores themselves, as they come to the rows of the file."""
    lines = []
    monkeypatch.setattr("lensmith.ship.predict.tiles._Rows.add", lambda self, found: lines.append(found))
    network, image, size = Local("constant"), smooth(80, 104), (80, 104)
    with torch.no_grad():
        expected = network(image[None])[0].softmax(0)

        def say(tiles):
            from lensmith.values.semantic_mask import Mask

            return Mask(torch.zeros(len(tiles), 32, 40), network(tiles).softmax(1))

        _mask(say, image, (32, 40), within=size, size=size)
        alone = torch.zeros_like(expected)
        for top in starts(80, 32):
            for left in starts(104, 40):    # laid side by side, the later over the earlier
                alone[:, top : top + 32, left : left + 40] = \
                    network(image[None, :, top : top + 32, left : left + 40])[0].softmax(0)
    blended = torch.cat(lines, 1)
    torch.testing.assert_close(blended.sum(0), torch.ones(size))
    inner = torch.ones(size, dtype=torch.bool)    # where no tile that has a part in it ends within two pixels
    for top in starts(80, 32):
        for edge in (top, top + 32):
            inner[max(0, edge - 2) : edge + 2] = False
    for left in starts(104, 40):
        for edge in (left, left + 40):
            inner[:, max(0, edge - 2) : edge + 2] = False
    assert inner.float().mean() > 0.5
    torch.testing.assert_close(blended[:, inner], expected[:, inner], rtol=1e-5, atol=1e-6)

    def seams(scores):
        """The greatest step across a tile's border, and everywhere else."""
        steps = (scores[:, 1:] - scores[:, :-1]).abs().amax((0, 2))
        at = torch.zeros(79, dtype=torch.bool)
        at[[edge - 1 for top in starts(80, 32) for edge in (top, top + 32) if 0 < edge < 80]] = True
        return float(steps[at].max()), float(steps[1:-1][~at[1:-1]].max())

    across, elsewhere = seams(blended)
    assert across <= elsewhere
    assert seams(alone)[0] > 1.5 * across    # it shows where they are only laid side by side


def test_a_mask_comes_at_the_files_size_where_tiles_are_of_a_smaller_picture():
    image = torch.zeros(3, 60, 90, dtype=torch.uint8)
    image[:, 20:40, 30:60] = 255

    class Bright(nn.Module):
        def forward(self, images):
            bright = images.float().mean(1) / 255
            return torch.stack((8 - 16 * bright, 16 * bright - 8, torch.full_like(bright, -9)), 1)

    found = segmenting(Bright(), (32, 32))(image, (120, 180)).classes
    expected = torch.zeros(120, 180, dtype=torch.uint8)
    expected[40:80, 60:120] = 1
    assert torch.equal(found, expected)


class Discs(nn.Module):
    """Finds the bright rectangles of a picture, cut where the picture cuts them, as boxes."""

    def forward(self, images):
        return images


def detecting(tile, overlap=0.6):
    task = Detection(("a", "b"), overlap=overlap)

    def decode(images):
        found = []
        for image in images:
            corners, classes = [], []
            for value in image[0].unique().tolist():
                if value in (0, 114):
                    continue
                rows, columns = (image[0] == value).nonzero().unbind(1)
                corners.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
                classes.append(value % 2)
            corners = torch.tensor(corners, dtype=torch.float32).view(-1, 4)
            sides = (corners[:, 2:] - corners[:, :2]).prod(1) if len(corners) else torch.zeros(0)
            found.append(Boxes(corners, torch.tensor(classes, dtype=torch.int64), 0.5 + sides / 10_000))
        return {"boxes": Boxes.stack(found)}

    task.decode = decode
    return tiling(Discs(), task, form=Form(3, *tile, "pad"), plan=exact(device="cpu", threads=1))


def test_objects_that_several_tiles_show_are_found_once_and_whole():
    rectangles = {11: (5, 5, 15, 15), 12: (26, 8, 36, 20), 13: (40, 40, 52, 50), 14: (28, 44, 39, 56),
                  16: (70, 2, 77, 9)}    # x0 y0 x1 y1; the second lies on a border of tiles
    image = torch.zeros(3, 60, 90, dtype=torch.uint8)
    for value, (x0, y0, x1, y1) in rectangles.items():
        image[:, y0:y1, x0:x1] = value
    found = detecting((40, 40))(image, (60, 90))
    got = sorted([*map(int, box), int(one)] for box, one in zip(found.corners.tolist(), found.classes, strict=True))
    assert got == sorted([*box, value % 2] for value, box in rectangles.items())
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    twice = detecting((40, 40))(image, (120, 180))
    assert torch.equal(twice.corners, 2 * found.corners)


def test_a_picture_smaller_than_a_tile_is_found_without_its_ground():
    image = torch.zeros(3, 20, 30, dtype=torch.uint8)
    image[:, 4:9, 6:16] = 11
    found = detecting((40, 40))(image, (20, 30))
    assert found.corners.tolist() == [[6, 4, 16, 9]]
    assert segmenting(Local(), (40, 40))(image, (20, 30)).classes.shape == (20, 30)


def test_only_a_part_within_a_larger_one_of_its_class_is_a_part():
    boxes = Boxes(torch.tensor([[0.0, 0, 10, 10], [6, 0, 10, 10], [6, 0, 10, 10], [8, 0, 30, 10]]),
                  torch.tensor([0, 0, 1, 0]), torch.ones(4))
    assert _partial(boxes, torch.tensor([False, True, True, False])).tolist() == [False, True, False, False]
    assert not _partial(boxes, torch.zeros(4, dtype=torch.bool)).any()


def test_a_network_that_gives_no_places_says_so():
    with pytest.raises(UserError) as caught:
        tiling(nn.Identity(), Classification(("a", "b")), form=Form(3, 32, 32), plan=exact(device="cpu"))
    assert str(caught.value) == "predict.tiles is for a network of one task, objects or a class for each pixel; this " \
        "one gives label"
