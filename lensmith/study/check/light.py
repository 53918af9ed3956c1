"""Pictures that show little: blank, dark, washed out or blurred."""

from collections.abc import Iterator

import numpy as np

from lensmith.base.errors import count
from lensmith.study.check.finding import Finding, Pictured
from lensmith.study.check.known_set import KnownSet

_FLAT = 3.0       # of 255, the standard deviation of the luma: less is one shade
_DARK = 32        # of 255: the lightest hundredth of a dark picture is darker
_WHITE = 223      # of 255: the darkest hundredth of a washed-out picture is lighter
_USUAL = 0.2      # of the pictures: what more of them are is how this set looks, as slides and X-rays do
_BLURRED = 4.5    # standard deviations below the usual logarithm of the sharpness, robustly estimated
_SOFT = 0.02      # sharpness, below which a picture may be blurred at all
_SPREAD = 1.4826  # of normally distributed values: standard deviation over median absolute deviation


def poor_light(known: KnownSet) -> Iterator[Finding]:
    """Blank, dark and washed-out pictures."""
    pictures, readable = known.pictures, known.pictures.readable
    blank = readable & (pictures.contrast < _FLAT)
    dark = readable & ~blank & (pictures.lightest < _DARK)
    white = readable & ~blank & (pictures.darkest > _WHITE)
    for kind, chosen, words in (("blank", blank, "of one shade: they show nothing"),
                                ("dark", dark, "so dark that little is seen"),
                                ("washed-out", white, "so light that little is seen")):
        rows = np.flatnonzero(chosen)
        if len(rows):
            rows = rows[np.argsort(pictures.contrast[rows], kind="stable")]
            groups = tuple(Pictured((known.at(row),), (f"luma {pictures.darkest[row]} to {pictures.lightest[row]}",))
                           for row in rows.tolist())
            usual = len(rows) > _USUAL * readable.sum()
            yield Finding("light", kind, "note" if usual and kind != "blank" else "warning",
                          f"{count(len(rows), 'picture')} {words}", groups,
                          leave_out=tuple(group.pictures[0] for group in groups) if kind == "blank" else ())


def blurred(known: KnownSet) -> Iterator[Finding]:
    """Pictures far less sharp than the others, at the size at which a network sees them."""
    pictures = known.pictures
    rows = np.flatnonzero(pictures.readable & (pictures.contrast >= _FLAT) & (pictures.sharpness > 0))
    if len(rows) < 20:    # too few to know what is usual
        return
    logarithm = np.log(pictures.sharpness[rows].astype(np.float64))
    median = float(np.median(logarithm))
    deviation = _SPREAD * float(np.median(np.abs(logarithm - median)))
    limit = min(median - _BLURRED * deviation, float(np.log(_SOFT)))
    order = np.argsort(logarithm, kind="stable")
    found = rows[order[logarithm[order] < limit]]
    if len(found):
        groups = tuple(Pictured((known.at(row),), (f"sharpness {pictures.sharpness[row]:.2g}",)) for row in
                       found.tolist())
        yield Finding("blurred", "blurred", "warning",
                      f"{count(len(found), 'picture')} far less sharp than is usual in this set", groups,
                      numbers={"below": float(np.exp(limit)), "median": float(np.exp(median))})
