"""Objects painted into masks, against COCO's own library and a slow form."""

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from lensmith.base.errors import DataError
from lensmith.data.sources.rasterise import Outlines, polygon_pixels, rle_from

# Of pycocotools' own code.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def painted(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return Outlines([(1, corners)], background=0, relative=False).read(size)


def stars(number: int, size: tuple[int, int], corners: int) -> list[np.ndarray]:
    """Polygons of a random distance from a middle in each direction; parts of some lie outside the picture."""
    random = np.random.default_rng(number)
    found = []
    for _ in range(number):
        angle = np.sort(random.uniform(0, 2 * np.pi, corners))
        reach = random.uniform(0.2, 0.5, (corners, 1)) * min(size)
        middle = random.uniform(0.3, 0.7, 2) * size[::-1]
        found.append(middle + reach * np.stack((np.cos(angle), np.sin(angle)), 1))
    return found


def test_pixels_whose_centres_lie_inside_are_the_objects():
    """Against the crossings to the left of each centre, counted one by one."""
    size = (23, 31)
    for corners in [*stars(6, size, 7), *(star * 1.7 - 9 for star in stars(4, size, 11))]:
        slow = np.zeros(size, dtype=np.uint8)
        for row in range(size[0]):
            for column in range(size[1]):
                x, y = column + 0.5, row + 0.5
                crossings = 0
                for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, 0), strict=True):
                    if (y0 <= y) != (y1 <= y):
                        crossings += x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x
                slow[row, column] = crossings % 2
        assert slow.any() and np.array_equal(painted(corners, size), slow)


def test_rectangles_of_whole_pixels_are_those_of_coco():
    corners = np.array([[3, 2], [11, 2], [11, 9], [3, 9]], dtype=np.float64)
    found = painted(corners, (12, 15))
    (oracle,) = coco_masks.frPyObjects([corners.ravel().tolist()], 12, 15)
    assert found[2:9, 3:11].all() and found.sum() == 7 * 8
    assert np.array_equal(found, coco_masks.decode(oracle))


def test_large_polygons_are_nearly_those_of_coco():
    """COCO's library draws the outline at five times the size; it differs by pixels that an edge cuts."""
    size = (240, 320)
    for corners in stars(12, size, 9):
        (oracle,) = coco_masks.frPyObjects([corners.ravel().tolist()], *size)
        theirs, ours = coco_masks.decode(oracle).astype(bool), painted(corners, size).astype(bool)
        assert (theirs & ours).sum() / (theirs | ours).sum() > 0.99


def test_a_polygon_outside_or_of_no_area_covers_nothing():
    for corners in ([[5, 5], [9, 5], [7, 5]], [[-9, -9], [-2, -9], [-2, -1]], [[50, 50], [60, 50], [60, 60]],
                    [[-8, 2], [-2, 2], [-2, 7], [-8, 7]]):
        assert not painted(np.array(corners, dtype=np.float64), (20, 20)).any()
    assert painted(np.array([[-1e9, -1e9], [1e9, -1e9], [1e9, 1e9], [-1e9, 1e9]]), (20, 20)).all()
    assert polygon_pixels(np.zeros((3, 2)), (4, 4))[1].size == 0


def test_a_later_object_lies_over_an_earlier_and_shares_are_of_the_picture():
    left = np.array([[0, 0], [0.75, 0], [0.75, 1], [0, 1]])
    right = np.array([[0.5, 0], [1, 0], [1, 0.5], [0.5, 0.5]])
    found = Outlines([(1, left), (2, right)], background=7, relative=True).read((4, 8))
    assert found.dtype == np.uint8
    assert found.tolist() == [[1, 1, 1, 1, 2, 2, 2, 2]] * 2 + [[1, 1, 1, 1, 1, 1, 7, 7]] * 2


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (40, 61), (300, 200)])
def test_run_lengths_are_those_of_coco(size: tuple[int, int]):
    random = np.random.default_rng(size[0])
    for share in (0.0, 0.02, 0.5, 1.0):
        mask = (random.random(size) < share).astype(np.uint8)
        mask[:, : size[1] // 2] = share > 0.3    # a long run
        packed = coco_masks.encode(np.asfortranarray(mask))
        assert np.array_equal(rle_from(packed["counts"].decode(), packed["size"], "here").inside(), mask)
        values = mask.T.ravel()    # column by column, the first run of nothing
        edges = np.flatnonzero(np.diff(values, prepend=0))
        plain = np.diff([0, *edges, values.size]).tolist()
        assert np.array_equal(rle_from(plain, size, "here").inside(), mask)


def test_rle_that_cannot_be_is_named():
    for counts, problem in (([3, 4], "covers 7 pixels, and 4 x 3 are 12"),
                            ([14, -2], "covers 12 pixels, and 4 x 3 are 12"),
                            ("0\x01", r"cannot be unpacked at '\\x01'"), ("0P", "ends in the middle of a number"),
                            ("0" + "o" * 12, "cannot be unpacked at 'o'"),
                            ([10 ** 30], "covers 1,000,000,000,000,000,000,000,000,000,000 pixels, and")):
        with pytest.raises(DataError, match=f"^one.json, annotations.0.: the RLE {problem}"):
            rle_from(counts, (3, 4), "one.json, annotations[0]")
    runs = rle_from([5, 7], (3, 4), "one.json, annotations[0]")
    with pytest.raises(DataError, match=r"of 4 x 3 pixels \(width x height\), and the picture has 8 x 6"):
        Outlines([(1, runs)], background=0, relative=False).read((6, 8))
