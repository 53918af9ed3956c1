"""What the pixels of the files are: gray among colours, more bits, unusual modes, and EXIF rotation beside boxes."""

from collections.abc import Iterator

import numpy as np

from lensmith.base.errors import count
from lensmith.study.check.finding import Finding, Pictured
from lensmith.study.check.known_set import KnownSet

_GRAY = 2              # of 255: a picture whose colours differ from gray by no more shows none
_USUAL = ("L", "RGB")    # Pillow's modes that need no word


def colour_modes(known: KnownSet) -> Iterator[Finding]:
    """Pictures that differ from most of the set in what their pixels are."""
    readable = known.pictures.readable
    colours = known.pictures.colours.astype(np.int16)
    gray = (np.abs(colours - 128) <= _GRAY).all((1, 2, 3)) & readable
    minority, words = (gray, "gray among pictures in colour") if 2 * gray.sum() < readable.sum() else \
        (readable & ~gray, "in colour among gray pictures")
    if minority.any():
        yield _finding(known, "gray-mixed", minority, f"{words}: a network may learn that in place of what is shown")
    names = known.pictures.mode_names
    deep = np.isin(known.pictures.modes, [i for i, name in enumerate(names) if name.endswith(" bits")]) & readable
    if deep.any() and not deep[readable].all():
        yield _finding(known, "depth-mixed", deep, "of more than 8 bits a channel among pictures of 8 "
                       "(pictures.bits, pictures.values)", warning=True)
    for number, name in enumerate(names):
        of_mode = (known.pictures.modes == number) & readable
        if of_mode.any() and name not in _USUAL and not name.endswith(" bits"):
            yield _finding(known, "colour-mode", of_mode, f"of the mode {name} ({_MODES.get(name, 'converted')})")


_MODES = {"CMYK": "inks, converted to RGB without a colour profile", "YCCK": "inks, converted to RGB",
          "P": "a palette, converted to RGB", "PA": "a palette with transparency, put on white",
          "RGBA": "transparency, put on white", "LA": "transparency, put on white", "1": "black and white alone"}


def rotated_with_boxes(known: KnownSet) -> Iterator[Finding]:
    """Pictures that EXIF turns and whose objects may have been drawn before that, where the labels cannot tell."""
    spatial = known.targets_of("boxes", "masks", "mask")
    turned = np.flatnonzero((known.pictures.orientations != 1) & known.pictures.readable)
    told = set((known.account.get("turned") or {}).get("pictures", ()))
    rows = [row for row in turned.tolist() if known.paths[row] not in told and known.has_target(row, spatial)]
    if rows:
        groups = tuple(Pictured((known.at(row),), (f"EXIF orientation {known.pictures.orientations[row]}",),
                                boxes=known.boxes_of(row)) for row in rows)
        yield Finding("rotation", "rotation", "warning",
                      f"{count(len(rows), 'picture')} turned by EXIF: look whether the labels are of the picture as it "
                      "is shown, or as its file stores it", groups)


def _finding(known: KnownSet, kind: str, chosen: np.ndarray, words: str, *, warning: bool = False) -> Finding:
    rows = np.flatnonzero(chosen).tolist()
    return Finding("colours", kind, "warning" if warning else "note", f"{count(len(rows), 'picture')} {words}",
                   tuple(Pictured((known.at(row),)) for row in rows))
