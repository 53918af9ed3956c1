"""Suffixes: what Pillow reads is read, the rest is named by kind with what to do, and false names by their contents."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from lensmith.base.picture_headers import BadPicture, read_header
from lensmith.base.picture_suffixes import OTHER_SUFFIXES, SUFFIXES, others_in_words

FORMATS = {".avifs": "AVIF", ".mpo": "JPEG", ".apng": "PNG", ".ras": None, ".dds": "DDS", ".qoi": "QOI", ".jif": "JPEG"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_is_one_that_pillow_reads(suffix: str):
    Image.init()
    name = FORMATS.get(suffix, Image.registered_extensions().get(suffix))
    if name is None or name not in Image.SAVE:
        assert suffix == ".ras" or name in Image.OPEN
        return
    written = BytesIO()
    Image.new("1" if suffix == ".pbm" else "L" if suffix == ".pgm" else "RGB", (8, 8)).save(written, format=name)
    header = read_header(written.getvalue())
    assert (header.height, header.width) == (8, 8)


def test_no_suffix_is_on_both_lists_and_those_pillow_could_read_are_on_one():
    Image.init()
    assert not set(SUFFIXES) & set(OTHER_SUFFIXES) and len(set(SUFFIXES)) == len(SUFFIXES)
    # What programs save that are no painters: data, and names that say something else to most people.
    unusual = {".blp", ".bufr", ".bw", ".dcx", ".flc", ".fli", ".ftc", ".ftu", ".gbr", ".grib", ".h5", ".hdf", ".icb",
               ".iim", ".im", ".msp", ".palm", ".pxr", ".rgb", ".rgba", ".vda", ".vst"}
    assert set(Image.registered_extensions()) - unusual <= {*SUFFIXES, *OTHER_SUFFIXES}


def test_others_are_counted_by_kind_with_what_to_do():
    assert others_in_words(["a/1.HEIC", "a/2.heif", "b.nii.gz", "film.mp4", "c.jpg", "d.txt"]) == (
        "2 HEIC pictures (.heic, .heif): convert them to JPEG (heif-convert, or the export of your photo program); "
        "1 medical picture (.nii.gz): save their slices as 16-bit PNG or TIFF (pydicom, SimpleITK); "
        "1 film (.mp4): save their frames (ffmpeg -i FILM %05d.png)")
    assert others_in_words(["a.png", "b.csv"]) == ""


@pytest.mark.parametrize(("content", "said"), [
    (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a HEIC picture, which Pillow does not read: convert it to JPEG"),
    (b"<!DOCTYPE html><html>404", r"is a web page \(HTML\), not a picture"), (b"\n <html>", r"is a web page \(HTML\)"),
    (b'<?xml version="1.0"?><svg/>', "is an SVG drawing or other XML, not a picture of pixels: draw it as PNG"),
    (b"%PDF-1.7", "is a PDF, not a picture"), (b"PK\x03\x04abc", "is a ZIP archive"),
    (b"\x1f\x8b\x08", "is a gzip archive"),
    (b"\0" * 128 + b"DICM", "is a DICOM file"), (b"\0\0\0\x20ftypisom", "is a film, not a picture"),
    (b"RIFF\x10\0\0\0AVI LIST", "is a film"), (b"\x93NUMPY\x01\0", "is a NumPy array"),
    (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS in the place of the picture: run "),
    (b"hello", "is not a picture in a format that Pillow reads")])
def test_a_false_name_is_told_by_the_contents(content: bytes, said: str, tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(content)
    for source in (content, tmp_path / "a.jpg"):
        with pytest.raises(BadPicture, match=said):
            read_header(source)
