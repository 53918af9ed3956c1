"""One canonical way from a picture file to a tensor, for training, testing, prediction and serving alike."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lensmith.base.deep_pixels import deep_values
from lensmith.base.orientation import TURNED, orientation_of, upright
from lensmith.base.packed_pixels import planes_of, resized
from lensmith.base.picture_errors import BadPicture
from lensmith.base.picture_headers import MOST_PIXELS, accept_pixels, readable_picture
from lensmith.base.pillow_memory import borrowed
from lensmith.base.pixel_kinds import DEEP, pixel_kind

Fit = Literal["crop", "pad", "squash"]
OWN: Final = "own"    # the fit of pictures that keep their size, which a file fits to the form itself
Interpolation = Literal["bilinear", "bicubic"]
PADDING = 114               # the gray around a letterboxed picture, Darknet's value
_FROM_RIGHT = (2, 3, 6, 7)    # orientations whose upright picture has its first column at a far edge of the file's
_FROM_BELOW = (3, 4, 7, 8)    # orientations whose upright picture has its first row there
_LUMA = (0.299, 0.587, 0.114)    # the weights of red, green and blue in gray, ITU-R BT.601, as Pillow has them


@dataclass(frozen=True)
class Form:
    """The form to which every picture of a run is brought."""

    channels: int        # 1 gray, 3 RGB, 4 RGBA
    height: int          # pixels
    width: int           # pixels
    # What is done with another aspect ratio: cut out the middle, letterbox, or stretch; OWN keeps each picture's size.
    fit: Fit | Literal["own"] = "crop"
    bits: int = 8        # 8 gives uint8, 16 gives uint16
    interpolation: Interpolation = "bilinear"    # how another size is reached, antialiased
    # The values of files of more than 8 bits that are black and white; None: 0 and 65535, negative ones are cut off and
    # colours cut to 8 bits, as it was before there were others.
    values: tuple[int, int] | None = None
    most_pixels: int = MOST_PIXELS    # that a file may declare

    @property
    def size(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def dtype(self) -> torch.dtype:
        return torch.uint8 if self.bits == 8 else torch.uint16

    def as_json(self) -> dict[str, Any]:
        """The form as data.json keeps it; what is as usual in the last two fields is left out."""
        kept: dict[str, Any] = {name: getattr(self, name) for name in
                                ("channels", "height", "width", "fit", "bits", "interpolation")}
        return kept | ({} if self.values is None else {"values": list(self.values)}) | \
            ({} if self.most_pixels == MOST_PIXELS else {"most_pixels": self.most_pixels})

    @property
    def offset(self) -> int:
        """What is added to the values of a file of more than 8 bits, so that none is negative."""
        return 0 if self.values is None else max(0, -self.values[0])

    @property
    def shades(self) -> tuple[int, int]:
        """Black and white as the pictures have them."""
        if self.bits == 8 or self.values is None:
            return 0, 255 if self.bits == 8 else 65535
        return self.values[0] + self.offset, self.values[1] + self.offset

    def level(self, shade: int) -> int:
        """The value that the pictures have where one of 8 bits has `shade`."""
        black, white = self.shades
        return black + round(shade * (white - black) / 255)


def form_of(kept: Mapping[str, Any]) -> Form:
    """The form that `Form.as_json` gave; raises TypeError for other content."""
    values = kept.get("values")
    return Form(**{**kept, "values": None if values is None else (int(values[0]), int(values[1]))})


@dataclass(frozen=True)
class Place:
    """Where a picture came from and how it was fitted, so that a prediction can go back to the file's pixels."""

    file: str
    size: tuple[int, int]                                       # height, width in the file, after the EXIF rotation
    fit: tuple[float, float, float, float] = (1.0, 1.0, 0.0, 0.0)    # scale x, y, shift x, y: file * scale + shift


def read_stored(source: Path | bytes) -> Image.Image:
    """The upright picture with its pixels as the file stores them, palette and depth untouched; raises BadPicture."""
    with readable_picture(source) as image:
        return upright(image)


def decode(source: Path | bytes, form: Form, *, name: str | None = None) -> tuple[Tensor, Place]:
    """A file, or its bytes, -> its picture [channels, height, width] in `form`, and its place.

    Transparent pixels become white, as a viewer would show them. Palette, CMYK and 16-bit pictures are converted, and
    the EXIF rotation is applied. A JPEG file is decoded at 1/2, 1/4 or 1/8 of its size where that is still at least the
    size that the form asks for. Raises BadPicture.
    """
    if form.most_pixels > MOST_PIXELS:    # asked for by the recipe; this may be a worker process
        accept_pixels(form.most_pixels)
    with readable_picture(source, form.most_pixels) as image:
        return decode_opened(image, source, form, name=_name_of(source, name))


def decode_opened(image: Image.Image, source: Path | bytes, form: Form, *, name: str = "") -> tuple[Tensor, Place]:
    """As `decode`, of a picture that `readable_picture` has opened from `source`, within it."""
    if form.values is not None and pixel_kind(image).bits > 8:
        return bring_values(deep_values(source, image), form, name=name)
    reduction = _reduce(image, form)
    return bring(upright(image), form, name=name, reduction=reduction)


def _name_of(source: Path | bytes, name: str | None) -> str:
    return name if name is not None else "" if isinstance(source, bytes) else str(source)


@dataclass(frozen=True)
class _Reduction:
    """How a JPEG file was decoded at less than its size."""

    size: tuple[int, int]           # width, height of the upright picture at the file's size
    scale: int                      # 2, 4 or 8: so many pixels of the file, each way, became one
    shift: tuple[float, float]      # where the upright picture's left and top edges lie, in decoded pixels

    def box(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) in the file's pixels -> in decoded pixels: edge / scale + shift."""
        left, top, right, bottom = (edge / self.scale + self.shift[i % 2] for i, edge in enumerate(box))
        return left, top, right, bottom


def _reduce(image: Image.Image, form: Form) -> _Reduction | None:
    """Have a JPEG file that is not decoded yet decoded at the least scale that `form` allows; None where that is 1."""
    if image.format not in ("JPEG", "MPO"):
        return None
    orientation = orientation_of(image)
    size = image.size[::-1] if orientation in TURNED else image.size
    box, (height, width), _ = _fitting(size, form)
    most = min((box[2] - box[0]) / width, (box[3] - box[1]) / height)
    scale = next((scale for scale in (8, 4, 2) if scale <= most), 1)
    if scale == 1:
        return None
    image.draft(image.mode, (image.width // scale, image.height // scale))
    # The decoded size is rounded up, so that the last pixel is not a whole one. A rotation may have put it first.
    spare = [-(-edge // scale) - edge / scale for edge in size]
    return _Reduction(size, scale, (spare[0] * (orientation in _FROM_RIGHT), spare[1] * (orientation in _FROM_BELOW)))


def bring(image: Image.Image, form: Form, *, name: str = "",
          reduction: _Reduction | None = None) -> tuple[Tensor, Place]:
    """An upright Pillow picture, decoded as a whole or with a `reduction`, -> its tensor in `form`, and its place."""
    if image.mode in DEEP and form.values is not None:
        return bring_values(np.asarray(image).astype(np.int32), form, name=name)
    size = image.size if reduction is None else reduction.size
    box, edges, corner = _fitting(size, form)
    array = _resized(_planes(image, form), box if reduction is None else reduction.box(box), edges, form.interpolation)
    if array.dtype == np.float32:
        array = np.rint(np.clip(array, 0, 65535)).astype(np.uint16)
    elif form.bits == 16:
        array = _deepened(array, form)
    return _finished(array if array.ndim == 3 else array[:, :, None], form, corner), \
        Place(name, size[::-1], fit_of(size[::-1], form))


def _deepened(array: np.ndarray, form: Form) -> np.ndarray:
    """uint8 [height, width(, channels)] as uint16 of the form."""
    black, white = form.shades
    if (black, white) == (0, 65535):
        return array.astype(np.uint16) * 257
    deep = np.rint(black + array * ((white - black) / 255)).astype(np.uint16)
    if array.ndim == 3 and array.shape[2] == 4:
        deep[:, :, 3] = array[:, :, 3].astype(np.uint16) * 257
    return deep


def bring_values(values: np.ndarray, form: Form, *, name: str = "") -> tuple[Tensor, Place]:
    """The values of a file of more than 8 bits, int32 upright [height, width] or [height, width, channels], alpha last,
    -> its tensor in `form`, and its place. Raises BadPicture for values that the form does not hold."""
    assert form.values is not None
    values = values if values.ndim == 3 else values[:, :, None]
    colours = values.shape[2] - (values.shape[2] in (2, 4))    # the others are alpha
    low, high = form.values
    if form.bits == 8:
        shades = np.clip((values - low) * (255 / (high - low)), 0, 255)
        shades[:, :, colours:] = values[:, :, colours:] / 257
        pixels = np.rint(shades).astype(np.uint8)
        return bring(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels), form, name=name)
    stored = values.astype(np.int64)
    stored[:, :, :colours] += form.offset
    if stored.min() < 0 or stored.max() > 65535:
        raise BadPicture(f"has values from {values.min():,} to {values.max():,}, and those of this set are read from "
                         f"{-form.offset if form.offset else 0:,} to {65535 - form.offset:,}: say pictures.values="
                         "[black, white], negative where some are, or scale the file")
    size = values.shape[:2]
    planes = _deep_planes(stored.transpose(2, 0, 1).astype(np.uint16), form)
    return _brought_planes(planes, form), Place(name, size, fit_of(size, form))


def _brought_planes(planes: np.ndarray, form: Form) -> Tensor:
    """uint16 [channels, height, width] brought to the form, each plane by itself: Pillow has no colours of 16 bits."""
    box, edges, corner = _fitting(planes.shape[:0:-1], form)
    arrays = [_resized(Image.fromarray(plane.astype(np.float32)), box, edges, form.interpolation) for plane in planes]
    return _finished(np.rint(np.clip(np.stack(arrays, axis=2), 0, 65535)).astype(np.uint16), form, corner)


def _finished(array: np.ndarray, form: Form, corner: tuple[int, int]) -> Tensor:
    """[height, width, channels] of the file's part -> the tensor of the form, with the letterbox around it."""
    height, width = array.shape[:2]
    if array.shape[2] == 1 and form.channels > 1:    # 16-bit gray in a run of colour pictures
        array = np.repeat(array, form.channels, axis=2)
        array[:, :, 3:] = np.iinfo(array.dtype).max    # alpha: opaque
    if (height, width) != form.size and form.fit != OWN:
        padded = np.full((*form.size, form.channels), form.level(PADDING), dtype=array.dtype)
        padded[corner[0] : corner[0] + height, corner[1] : corner[1] + width] = array
        array = padded
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))


def _resized(planes: Image.Image, box: tuple[float, float, float, float], size: tuple[int, int],
             interpolation: Interpolation) -> np.ndarray:
    """The part (left, top, right, bottom) of a picture brought to `size` (height, width), antialiased.

    -> float32 for mode F, else uint8, [height, width] or [height, width, channels], in memory of its own.
    """
    # PyTorch takes a third of Pillow's time. It cannot cut through a pixel, and it mixes the colours of transparent
    # pixels in. Its vectorised kernel (AVX2) runs on the calling thread alone, as the store's threads need.
    transparent = planes.mode == "RGBA" and planes.getchannel("A").getextrema() != (255, 255)
    if planes.mode == "F" or transparent or any(edge % 1 for edge in box):
        return np.array(planes.resize(size[::-1], Image.Resampling[interpolation.upper()], box=box))
    left, top, right, bottom = map(int, box)
    lent = borrowed(planes)    # with a fourth byte a pixel, which PyTorch's kernel would add itself
    pixels = np.asarray(planes) if lent is None else lent
    array = np.array(pixels[top:bottom, left:right])    # A copy, since Pillow's memory must not be written.
    if array.shape[:2] != size:
        array = resized(array.reshape(*array.shape[:2], -1), size, mode=interpolation, antialias=True)
    return array if lent is None else planes_of(array).transpose(1, 2, 0)


def _planes(image: Image.Image, form: Form) -> Image.Image:
    """The picture with the channels of `form`: mode L, RGB or RGBA, or F for 16 bits of gray."""
    if image.mode == "F":
        raise BadPicture("has floating-point pixels; save it with 8 or 16 bits a channel")
    if image.mode in DEEP:
        values = np.asarray(image).astype(np.float32)
        if form.bits == 16:
            return Image.fromarray(values)
        image = Image.fromarray(np.rint(np.clip(values, 0, 65535) / 257).astype(np.uint8))
    if (image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info) and form.channels != 4:
        alpha = image.convert("RGBA")
        white = Image.new("RGBA", alpha.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, alpha).convert("RGB")
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[form.channels]
    return image if image.mode == mode else image.convert(mode)    # convert() copies in any case.


def _fitting(size: tuple[int, int], form: Form) -> tuple[tuple[int, int, int, int], tuple[int, int], tuple[int, int]]:
    """(the box of the file that is used: left, top, right, bottom; the height, width it is brought to; the top, left
    corner at which it is put).

    The box has whole pixels, as near to the form's aspect ratio and to the middle as they can be.
    """
    width, height = size
    if form.fit == OWN:
        return (0, 0, width, height), (height, width), (0, 0)
    if form.fit == "crop":
        scale = max(form.height / height, form.width / width)
        cut_width, cut_height = max(1, round(form.width / scale)), max(1, round(form.height / scale))
        left, top = (width - cut_width) // 2, (height - cut_height) // 2
        return (left, top, left + cut_width, top + cut_height), form.size, (0, 0)
    if form.fit == "pad":
        scale = min(form.height / height, form.width / width)
        new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
        corner = (form.height - new_height) // 2, (form.width - new_width) // 2
        return (0, 0, width, height), (new_height, new_width), corner
    return (0, 0, width, height), form.size, (0, 0)


def fit_of(size: tuple[int, int], form: Form) -> tuple[float, float, float, float]:
    """Place.fit of a file of this (height, width) that is brought to `form`."""
    box, (height, width), (top, left) = _fitting(size[::-1], form)
    scale_x, scale_y = width / (box[2] - box[0]), height / (box[3] - box[1])
    return scale_x, scale_y, left - box[0] * scale_x, top - box[1] * scale_y


def fit_after(first: tuple[float, float, float, float],
              then: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Place.fit of a picture that was fitted twice: (p a + b) c + d = p (a c) + (b c + d), each axis by itself."""
    return first[0] * then[0], first[1] * then[1], first[2] * then[0] + then[2], first[3] * then[1] + then[3]


def bring_classes(classes: np.ndarray, form: Form, *, padding: int) -> np.ndarray:
    """A mask [height, width] of an upright picture, brought to `form` as `bring` does the picture.

    Each pixel has the class of the file's pixel in which its centre lies. The letterbox around them has the class
    `padding`.
    """
    (left, top, right, bottom), (height, width), (row, column) = _fitting(classes.shape[::-1], form)
    # The centre of pixel i of n lies at (i + 1/2) / n of the box: in whole numbers, (2 i + 1) length // (2 n).
    rows = top + (2 * np.arange(height) + 1) * (bottom - top) // (2 * height)
    columns = left + (2 * np.arange(width) + 1) * (right - left) // (2 * width)
    mask = np.full(form.size, padding, dtype=classes.dtype)
    mask[row : row + height, column : column + width] = classes[rows][:, columns]
    return mask


def refit(picture: Tensor, form: Form) -> Tensor:
    """A picture [channels, height, width], uint8 or uint16, brought to `form` as a file with its pixels would be."""
    if picture.dtype != torch.uint16:
        return bring(to_pil(picture), form)[0]
    if form.bits == 16:
        return _brought_planes(_deep_planes(picture.numpy(), form), form)
    planes, plane_form = _deep_planes(picture.numpy(), replace(form, bits=16, values=None)), replace(form, channels=1)
    return torch.cat([bring(Image.fromarray(plane), plane_form)[0] for plane in planes])


def _deep_planes(values: np.ndarray, form: Form) -> np.ndarray:
    """uint16 [form.channels, height, width] of a picture with 1 to 4 channels, by the rules that hold for 8 bits."""
    channels = form.channels
    if len(values) == channels:
        return values
    colours = 1 if len(values) < 3 else 3
    colour, alpha = values[:colours].astype(np.float64), values[colours:] / 65535
    if len(alpha):
        colour = colour * alpha + form.shades[1] * (1 - alpha)    # on a white background
    if channels == 1 and len(colour) == 3:
        colour = np.tensordot(_LUMA, colour, axes=1)[None]
    if channels > 1 and len(colour) == 1:
        colour = np.repeat(colour, 3, axis=0)
    if channels == 4:
        colour = np.concatenate((colour, np.full_like(colour[:1], 65535)))
    return np.rint(colour).astype(np.uint16)


def to_pil(picture: Tensor) -> Image.Image:
    """A picture [channels, height, width], uint8 or uint16, -> a Pillow picture of 8 bits, to be looked at."""
    if picture.dtype == torch.uint16:
        picture = (picture.to(torch.int32) // 257).to(torch.uint8)
    array = picture.permute(1, 2, 0).numpy()
    return Image.fromarray(np.ascontiguousarray(array[:, :, 0] if array.shape[2] == 1 else array))
