"""Masks of objects: their bits, how they move, and their run lengths, against slow forms and COCO's own library."""

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_masks
from torch.nn import functional as F

from lensmith.base.pictures import Form, Place, fit_of
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import (
    Masks,
    in_boxes,
    pack_bits,
    pixel_counts,
    rle_counts,
    rle_text,
    unpack_bits,
)

SIZE = 30, 43


def blobs(number: int, *, seed: int = 0, size: tuple[int, int] = SIZE, pictures: int = 3) -> Masks:
    """Objects in boxes of whole pixels, half of the pixels of each in its mask."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, (size[1] - 9, size[0] - 9), (number, 2))
    high = np.minimum(low + rng.integers(3, 25, (number, 2)), (size[1], size[0]))
    pixels = rng.random((number, *size)) < 0.5
    y, x = np.mgrid[: size[0], : size[1]]
    for row, ((x0, y0), (x1, y1)) in enumerate(zip(low, high, strict=True)):
        pixels[row] &= (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
        pixels[row, y0, x0] = True
    corners = torch.from_numpy(np.concatenate((low, high), 1)).float()
    image = torch.from_numpy(np.sort(rng.integers(0, pictures, number)))
    return Masks(corners, torch.from_numpy(rng.integers(0, 4, number)), image=image,
                 bits=pack_bits(torch.from_numpy(pixels)))


def shown(masks: Masks, width: int = SIZE[1]) -> torch.Tensor:
    return masks.pixels()[:, :, :width]


def test_eight_pixels_are_a_byte():
    pixels = torch.rand(5, 7, 43) < 0.5
    bits = pack_bits(pixels)
    assert bits.dtype == torch.uint8 and bits.shape == (5, 7, 6)
    assert torch.equal(bits, torch.from_numpy(np.packbits(pixels.numpy(), axis=2)))
    assert torch.equal(unpack_bits(bits)[..., :43], pixels) and not unpack_bits(bits)[..., 43:].any()
    assert torch.equal(pixel_counts(bits), pixels.flatten(1).sum(1).float())
    assert pixel_counts(bits[:0]).shape == (0,)


def test_rows_keep_their_masks():
    masks = blobs(12)
    rows = torch.tensor([2, 0, 2])
    taken = masks.take(rows)
    wanted = torch.cat([(masks.image == row).nonzero()[:, 0] for row in rows.tolist()])
    assert torch.equal(taken.bits, masks.bits[wanted]) and torch.equal(taken.corners, masks.corners[wanted])
    assert torch.equal(masks[1].bits, masks.bits[masks.image == 1])
    back = Masks.stack([masks[row] for row in range(3)])
    assert torch.equal(back.bits, masks.bits) and torch.equal(back.image, masks.image)
    both = masks.join(taken)
    assert len(both.bits) == len(masks.bits) + len(taken.bits) and (both.image.diff() >= 0).all()
    assert type(masks.boxes()) is Boxes and torch.equal(masks.boxes().corners, masks.corners)


def test_a_mirrored_object_is_the_mirrored_picture():
    masks = blobs(6)
    turned = masks.flip(SIZE[1])
    assert torch.equal(shown(turned), shown(masks).flip(2))
    assert torch.equal(turned.flip(SIZE[1]).bits, masks.bits)


def slowly(pixels: np.ndarray, matrix: np.ndarray, window: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Each pixel whose centre lies in the window: what was at the place that it came from."""
    found = np.zeros(size, dtype=bool)
    back = np.linalg.inv(np.vstack((matrix, [0, 0, 1])))
    for row in range(size[0]):
        for column in range(size[1]):
            x, y, _ = back @ (column + 0.5, row + 0.5, 1)
            in_window = window[0] <= column + 0.5 < window[2] and window[1] <= row + 0.5 < window[3]
            if in_window and 0 <= x < pixels.shape[1] and 0 <= y < pixels.shape[0]:
                found[row, column] = pixels[int(y), int(x)]
    return found


@pytest.mark.parametrize("turn", [False, True])
def test_masks_move_as_their_pictures_do(turn: bool):
    masks, size = blobs(8, seed=1), (25, 37)
    matrix = torch.tensor([[[0.63, 0, 2.1], [0, 0.71, 1.3]], [[-1.37, 0, 40.2], [0, 1.21, -7.7]],
                           [[1.0, 0, 5], [0, 1, -3]]])
    if turn:
        matrix[:, 0, 1], matrix[:, 1, 0] = 0.21, -0.17
    windows = torch.tensor([[3.0, 2, 30, 20], [0, 0, 37, 25], [11, 1, 37, 17]])
    placed = masks.warp_and_cut(matrix, windows, size=size)
    boxes = masks.boxes().warp_and_cut(matrix, windows)
    wanted = [slowly(pixels, matrix[image].double().numpy(), windows[image].numpy(), size)
              for pixels, image in zip(shown(masks).numpy(), masks.image.tolist(), strict=True)]
    alive = [one for one in wanted if one.any()]
    assert 4 < len(alive) == len(placed.bits)
    for found, one in zip(shown(placed, 37).numpy(), alive, strict=True):
        assert (found == one).mean() == 1 if not turn else (found == one).mean() > 0.999
    kept = [row for row, one in enumerate(boxes.corners.tolist()) if one in placed.corners.tolist()]
    assert len(kept) == len(placed.corners)


def test_warping_by_nothing_changes_nothing_and_what_leaves_the_picture_is_gone():
    masks = blobs(9, seed=2)
    same = torch.eye(3)[:2].expand(3, 2, 3)
    assert torch.equal(masks.warp(same, SIZE).bits, masks.bits)
    away = same.clone()
    away[:, 0, 2] = 1000
    gone = masks.warp(away, SIZE)
    assert len(gone.classes) == len(gone.bits) == 0 and gone.bits.shape[1:] == masks.bits.shape[1:]


def test_an_object_of_which_no_pixel_is_left_is_left_out():
    pixels = torch.zeros(1, 16, 16, dtype=torch.bool)
    pixels[0, 4:8, 2:4] = True
    masks = Masks(torch.tensor([[2.0, 4, 14, 8]]), torch.zeros(1, dtype=torch.int64), image=torch.zeros(1).long(),
                  bits=pack_bits(pixels))
    right_half = torch.tensor([[8.0, 0, 16, 16]])
    same = torch.eye(3)[None, :2]
    assert len(masks.boxes().warp_and_cut(same, right_half).classes) == 1
    assert len(masks.warp_and_cut(same, right_half).classes) == 0


def test_in_files_the_ground_around_a_picture_is_no_object_and_areas_are_those_of_the_file():
    form = Form(3, 32, 32, "pad")
    fit = fit_of((60, 120), form)    # 16 rows in the middle
    bits = pack_bits(torch.ones(1, 32, 32, dtype=torch.bool))
    masks = Masks(torch.tensor([[0.0, 0, 32, 32]]), torch.zeros(1).long(), torch.ones(1), torch.zeros(1).long(),
                  bits=bits)
    found = masks.in_files(torch.tensor([fit]), torch.tensor([[60.0, 120.0]]))
    assert found.corners.tolist()[0] == pytest.approx([0, 0, 120, 60])
    inside = found.mask(0)
    assert inside[8:24].all() and not inside[:8].any() and not inside[24:].any()
    assert found.area.tolist() == pytest.approx([60 * 120])
    own = Masks(masks.corners, masks.classes, image=masks.image, area=torch.tensor([17.0]), bits=bits)
    assert own.in_files(torch.tensor([fit]), torch.tensor([[60.0, 120.0]])).area.tolist() == [17]


def test_margins_are_read_between_their_cells_within_the_box():
    torch.manual_seed(0)
    margins = torch.randn(4, 8, 12)
    corners = torch.tensor([[0.0, 0, 48, 32], [5.2, 3.7, 40.1, 30.6], [9.0, 9, 9.2, 20], [-5, -5, 60, 10]])
    found = in_boxes(margins, corners, (32, 48))
    whole = F.interpolate(margins[:, None], (32, 48), mode="bilinear", align_corners=False)[:, 0] > 0
    y, x = torch.arange(32)[:, None] + 0.5, torch.arange(48)[None] + 0.5
    for row, (x0, y0, x1, y1) in enumerate(corners.tolist()):
        inside = (x > x0) & (x < x1) & (y > y0) & (y < y1)
        assert torch.equal(unpack_bits(found[row])[:, :48], whole[row] & inside), row


def test_a_file_has_masks_of_its_own_size():
    """A disc of 60 pixels across in a file of 160 x 90, seen by the network at a third of that in a letterbox."""
    form = Form(3, 56, 56, "pad")
    place = Place("disc.png", (90, 160), fit_of((90, 160), form))
    rows, columns = torch.arange(28) * 2 + 1.0, torch.arange(28) * 2 + 1.0    # cells of two pixels
    x = (columns - place.fit[2]) / place.fit[0]
    y = (rows - place.fit[3]) / place.fit[1]
    margins = 30 - ((x[None] - 80) ** 2 + (y[:, None] - 45) ** 2).sqrt()
    masks = Masks(torch.tensor([[50.0, 15, 110, 75]]), torch.zeros(1).long(), torch.ones(1),
                  bits=torch.zeros(1, 56, 7, dtype=torch.uint8), margins=margins[None])
    found = masks.in_file(place, (56, 56))
    assert found.bits.shape == (1, 90, 20) and found.margins is None
    y, x = torch.arange(90)[:, None] + 0.5, torch.arange(160)[None] + 0.5
    disc = (x - 80) ** 2 + (y - 45) ** 2 < 900
    shared = (found.mask(0) & disc).sum() / (found.mask(0) | disc).sum()
    assert shared > 0.97 and found.area.tolist() == [float(found.mask(0).sum())]


def test_run_lengths_are_those_of_coco():
    rng = np.random.default_rng(0)
    masks = [rng.random((31, 17)) < share for share in (0.0, 0.02, 0.5, 0.98, 1.0)]
    masks += [np.pad(np.ones((40, 300), dtype=bool), ((9, 8), (700, 11))), np.eye(50, dtype=bool)]
    for mask in masks:
        wanted = coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert rle_text(rle_counts(mask)) == wanted["counts"].decode()
