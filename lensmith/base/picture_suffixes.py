"""The suffixes of pictures: those that Pillow reads, and the others, each kind with what to do about it."""

import os
from collections import Counter
from collections.abc import Iterable

from PIL import features

from lensmith.base.errors import count

# Pillow reads AVIF since 11.3, where it was built with it.
_AVIF = (".avif", ".avifs") if "avif" in features.modules and features.check_module("avif") else ()
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2",
            ".jpe", ".jfif", ".jif", ".mpo", ".apng", ".dib", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc", ".tga", ".pcx",
            ".qoi", ".sgi", ".ras", ".dds", *_AVIF)
SUFFIXES_IN_WORDS = ".jpg, .png, .webp, .tif, .bmp" + (", .avif" if _AVIF else "") + " or another that Pillow reads"

_CONVERT = "convert them to PNG or JPEG"
# One kind a line: what a picture of it is called, its suffixes, and what to do.
_OTHERS = (
    ("HEIC picture", ".heic .heif .hif .heics", "convert them to JPEG (heif-convert, or the export of your photo "
                                               "program)"),
    ("AVIF picture", "" if _AVIF else ".avif .avifs", "pip install 'pillow>=11.3'"),
    ("camera RAW picture", ".dng .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .orf .rw2 .raf .pef .srw .x3f .3fr .iiq .kdc "
                           ".dcr .mrw .erf .mef .mos .raw", "develop them to JPEG or TIFF (darktable, RawTherapee)"),
    ("vector drawing", ".svg .svgz .eps .ai .pdf .ps .wmf .emf .cdr", "draw them as PNG (Inkscape, pdftoppm)"),
    ("medical picture", ".dcm .dicom .ima .nii .nii.gz .nrrd .mha .mhd .mnc", "save their slices as 16-bit PNG or TIFF "
                                                                             "(pydicom, SimpleITK)"),
    ("layered picture", ".psd .psb .xcf .kra .ora .clip .procreate .afphoto", "export them as PNG"),
    ("film", ".mp4 .avi .mov .mkv .webm .wmv .m4v .mpg .mpeg .flv .3gp .mts .m2ts .ogv", "save their frames (ffmpeg -i "
                                                                                         "FILM %05d.png)"),
    ("microscope slide", ".svs .ndpi .mrxs .scn .vsi .czi .lif .nd2 .oib .oif .lsm .ims .bif", "export them as TIFF or "
                                                                                              "PNG (Bio-Formats)"),
    ("array", ".npy .npz", "save them as PNG or TIFF, or pass them to lensmith.train from Python"),
    ("other picture", ".jxl .exr .hdr .pfm .flif .bpg .jxr .wdp .hdp .jls .cin .dpx .fits .fit .fts .ktx .ktx2 "
                                ".pvr .ico .cur .icns .pcd .xpm .xbm", _CONVERT),
)
_KIND_OF = {suffix: kind for kind, suffixes, _ in _OTHERS for suffix in suffixes.split()}
OTHER_SUFFIXES = tuple(_KIND_OF)

# What files that are called like pictures often are: the bytes at a place of their beginning.
_SIGNS = (
    (4, b"ftyphe", "a HEIC picture, which Pillow does not read: convert it to JPEG"),
    (4, b"ftypmif1", "a HEIF picture, which Pillow does not read: convert it to JPEG"),
    (4, b"ftypavif", "an AVIF picture, which Pillow reads from version 11.3 on"),
    (4, b"ftyp", "a film, not a picture"),
    (0, b"\x1aE\xdf\xa3", "a film, not a picture"),
    (8, b"AVI ", "a film, not a picture"),
    (0, b"\xff\n", "a JPEG XL picture, which Pillow does not read: convert it to PNG"),
    (4, b"JXL ", "a JPEG XL picture, which Pillow does not read: convert it to PNG"),
    (0, b"PK\x03\x04", "a ZIP archive, not a picture"),
    (0, b"\x1f\x8b", "a gzip archive, not a picture"),
    (0, b"%PDF", "a PDF, not a picture"),
    (0, b"\x93NUMPY", "a NumPy array, not a picture"),
    (128, b"DICM", "a DICOM file, which Pillow does not read: save it as 16-bit PNG or TIFF"),
    (0, b"version https://git-lfs", "a pointer of Git LFS in the place of the picture: run git lfs pull"),
)
LOOKED_AT = 132    # bytes of the beginning of a file that tell what it is


def contents_in_words(beginning: bytes) -> str:
    """What a file is that Pillow does not read, by its first LOOKED_AT bytes: `a web page (HTML), not a picture`."""
    for place, sign, words in _SIGNS:
        if beginning[place : place + len(sign)] == sign:
            return words
    text = beginning.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        return "a web page (HTML), not a picture"
    if text.startswith((b"<svg", b"<?xml")):
        return "an SVG drawing or other XML, not a picture of pixels: draw it as PNG"
    return "not a picture in a format that Pillow reads"


def others_in_words(files: Iterable[str]) -> str:
    """The pictures among `files` that cannot be read, counted by their kind, with what to do, in one sentence; "" where
    there are none."""
    suffixes: dict[str, Counter[str]] = {}
    for file in files:
        suffix = _other_suffix(file)
        if suffix is not None:
            suffixes.setdefault(_KIND_OF[suffix], Counter())[suffix] += 1
    return "; ".join(f"{count(suffixes[kind].total(), kind)} ({', '.join(sorted(suffixes[kind]))}): {advice}"
                     for kind, _, advice in _OTHERS if kind in suffixes)


def _other_suffix(file: str) -> str | None:
    name = os.path.basename(file).lower()
    suffix = os.path.splitext(name)[1]
    return ".nii.gz" if name.endswith(".nii.gz") else suffix if suffix in _KIND_OF else None
