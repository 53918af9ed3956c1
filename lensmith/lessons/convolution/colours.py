"""Colours of numbers: white at 0, orange above, blue below, so that signs are seen."""

from PIL import Image

from lensmith.lessons.convolution.arithmetic import Plane

Colour = tuple[int, int, int]
_ABOVE, _BELOW = (213, 94, 0), (0, 114, 178)    # told apart by the colour-blind too (Okabe and Ito 2008)


def signed_colour(value: float, most: float) -> Colour:
    """The colour of a number of which the largest, of either sign, is `most`."""
    share = max(-1.0, min(1.0, value / most)) if most > 0 else 0.0
    end = _BELOW if share < 0 else _ABOVE
    red, green, blue = (round(255 + (part - 255) * abs(share)) for part in end)
    return red, green, blue


def ink_on(colour: Colour) -> Colour:
    """Black or white, whichever is read better on a colour."""
    return (17, 17, 17) if 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2] > 140 else (255, 255, 255)


def strongest(plane: Plane) -> float:
    """The largest of the numbers without their signs."""
    return max(abs(value) for line in plane for value in line)


def plane_picture(plane: Plane) -> Image.Image:
    """A picture of a plane, a pixel a number: gray where no number is negative."""
    most, signed = strongest(plane), any(value < 0 for line in plane for value in line)
    image = Image.new("RGB", (len(plane[0]), len(plane)))
    for row, line in enumerate(plane):
        for column, value in enumerate(line):
            gray = round(255 * value / most) if most else 0
            image.putpixel((column, row), signed_colour(value, most) if signed else (gray, gray, gray))
    return image
