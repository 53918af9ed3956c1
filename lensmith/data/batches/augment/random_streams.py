"""The streams of random numbers: one for each thing that is drawn, so that no two of them follow from each other.

A run that is resumed draws the same numbers: streams are added, and never renumbered.
"""

from hashlib import blake2b

X, Y = 0, 1                # where a picture lies in the room that it has
FLIP = 2
ROTATE = 3
AREA, ASPECT = 4, 5        # of a resized crop
BRIGHTNESS, CONTRAST, SATURATION, HUE = 6, 7, 8, 9
ERASE = 10                 # whether a picture loses a rectangle
ERASE_AREA, ERASE_ASPECT, ERASE_X, ERASE_Y = 11, 12, 13, 14
PARTNER = 15               # which sample one is blended with
BLEND_FRACTION = 16        # what stays of the sample itself
CUT = 17                   # whether it is cut and pasted (cutmix) or mixed (mixup)
CUT_X, CUT_Y = 18, 19      # where a rectangle is pasted; and the shift of a picture that is sampled
MIXED = 20                 # whether a sample is blended at all
ZOOM = 21
MOSAIC = 22                # whether a picture is put together of four
TILE = 23                  # which samples the others of a mosaic are

TOGETHER = (X, Y, FLIP)    # drawn in one go, since most batches need all three


def stream_of(name: str) -> int:
    """A stream for an augmentation that is not listed here: a number of its own, beyond all that are."""
    return (1 << 32) + int.from_bytes(blake2b(name.encode(), digest_size=4).digest())
