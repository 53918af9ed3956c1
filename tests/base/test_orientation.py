"""The EXIF orientation against Pillow's own transposition, and EXIF data that are damaged."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from lensmith.base.orientation import orientation_of, upright, upright_pixels, upright_points
from lensmith.base.picture_headers import read_header
from lensmith.base.pictures import Form, decode, read_stored


def stored(orientation: int, suffix: str = "png") -> tuple[bytes, np.ndarray]:
    pixels = np.random.default_rng(0).integers(0, 256, (10, 16, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, suffix, exif=exif)
    return file.getvalue(), pixels


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_and_points_are_those_of_pillow(orientation: int) -> None:
    content, pixels = stored(orientation)
    wanted = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    assert np.array_equal(np.array(upright(Image.open(io.BytesIO(content)))), wanted)
    assert np.array_equal(np.array(read_stored(content)), wanted)
    assert np.array_equal(upright_pixels(pixels, orientation), wanted)
    header = read_header(content)
    assert (header.height, header.width, header.orientation) == (*wanted.shape[:2], orientation)
    rows, columns = np.mgrid[:10, :16].reshape(2, -1)
    middles = np.stack((columns, rows), 1) + 0.5
    edges = np.array([wanted.shape[1::-1]]).repeat(160, 0)
    x, y = (upright_points(middles, np.full(160, orientation), edges) - 0.5).astype(int).T
    assert np.array_equal(wanted[y, x], pixels[rows, columns])


def exif(*entries: tuple[int, int, int, bytes]) -> bytes:
    """EXIF data of (tag, type, count, value) rows, as they are written."""
    rows = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + rows + bytes(4)


@pytest.mark.filterwarnings("ignore::UserWarning")    # the package does not show them either
@pytest.mark.parametrize(("data", "size"), [
    # A tag of a type that Pillow reads and cannot write again.
    (exif((0x0112, 3, 1, struct.pack("<HH", 6, 0)), (0x010F, 12, 1, struct.pack("<I", 0))), (16, 10)),
    (exif((0x0112, 3, 1, struct.pack("<HH", 1, 0)), (0x010F, 2, 400, struct.pack("<I", 5000))), (10, 16)),
    (exif((0x0112, 3, 1, struct.pack("<HH", 77, 0))), (10, 16)),
    (exif((0x0112, 2, 4, b"abc\0")), (10, 16)),
    (b"Exif\0\0II*\0\xff\xff\xff\xff", (10, 16)), (b"Exif\0\0XX", (10, 16)), (b"Exif\0\0", (10, 16)),
])
@pytest.mark.parametrize("suffix", ["jpeg", "png", "webp"])
def test_no_photo_is_lost_for_its_exif_data(data: bytes, size: tuple[int, int], suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.full((10, 16, 3), 90, np.uint8)).save(path, exif=data)
    header = read_header(path)
    assert (header.height, header.width) == size
    image, place = decode(path, Form(3, *size))
    assert place.size == size and abs(image.float().mean().item() - 90) < 3
    assert read_stored(path).size == size[::-1] and orientation_of(upright(Image.open(path))) in (1, 6)
