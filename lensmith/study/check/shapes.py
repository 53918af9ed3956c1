"""Sizes of pictures: tiny or huge beside the others, and shapes unlike theirs."""

from collections.abc import Iterator

import numpy as np

from lensmith.base.errors import count
from lensmith.study.check.finding import Finding, Pictured
from lensmith.study.check.known_set import KnownSet

_TINY = 4.0        # times shorter than the usual edge: such a picture is blown up more than fourfold
_HUGE = 16.0       # times as many pixels as is usual
_HUGE_PIXELS = 4_000_000    # below them no picture is huge, whatever the others are
_ELONGATED = 3.0   # times as long for its width as the usual shape, or as wide for its length
_WITHIN = 0.05     # of the pictures: what more of them are is usual in this set, and a note


def odd_sizes(known: KnownSet) -> Iterator[Finding]:
    """Pictures that are tiny, huge or of an odd shape, all beside the median of the set."""
    sizes = known.pictures.sizes.astype(np.float64)
    rows = np.flatnonzero((sizes > 0).all(1))
    if not len(rows):
        return
    height, width = sizes[rows].T
    shorter, pixels, ratio = np.minimum(height, width), height * width, np.log(width / height)
    edge, usual = float(np.median(shorter)), float(np.median(pixels))
    usual_ratio = float(np.median(ratio))
    tests = (("tiny", shorter < edge / _TINY, f"whose shorter edge is less than a quarter of the usual {edge:.0f} "
              "pixels: little is seen on them", shorter / edge),
             ("huge", (pixels > _HUGE * usual) & (pixels > _HUGE_PIXELS), f"with more than {_HUGE:.0f} times the usual "
              f"{usual / 1e6:.2g} million pixels: objects have another scale there", usual / pixels),
             ("odd-shape", np.abs(ratio - usual_ratio) > np.log(_ELONGATED), f"{_ELONGATED:.0f} times as long or more, "
              "or as wide as is usual: much is cut off or padded (pictures.fit)", -np.abs(ratio - usual_ratio)))
    for kind, odd, words, order in tests:
        found = rows[odd][np.argsort(order[odd], kind="stable")]
        if len(found):
            groups = tuple(Pictured((known.at(row),), (f"{sizes[row, 1]:.0f} x {sizes[row, 0]:.0f}",))
                           for row in found.tolist())
            yield Finding("sizes", kind, "warning" if len(found) <= _WITHIN * len(rows) else "note",
                          f"{count(len(found), 'picture')} {words}", groups,
                          numbers={"median_edge": edge, "median_pixels": usual},
                          leave_out=tuple(group.pictures[0] for group in groups) if kind == "tiny" else ())
