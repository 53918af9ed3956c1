"""Augmentation of a whole batch at once, each sample by numbers drawn from its own hash."""

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.base.draw import hashed, uniform
from lensmith.base.errors import UserError
from lensmith.base.values import sampling_grid
from lensmith.data.sample import Batch

# One stream of random numbers for each thing that is drawn; appended to, never renumbered, so that old runs resume.
(_X, _Y, _FLIP, _TURN, _AREA, _ASPECT, _BRIGHTNESS, _CONTRAST, _SATURATION, _HUE, _ERASE, _ERASE_AREA, _ERASE_ASPECT,
 _ERASE_X, _ERASE_Y, _PARTNER, _SHARE, _KIND, _CUT_X, _CUT_Y, _MIXED) = range(21)
_LUMA = torch.tensor([0.299, 0.587, 0.114])    # ITU-R BT.601, as torchvision and Pillow weigh colours into gray
_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


class Augment:
    """What is done to training batches. All zeros: nothing.

    Invariant: what happens to a sample depends on (seed, epoch, index in the set) alone, never on its neighbours; and
    where balanced sampling draws it again in one epoch, on how often it was drawn before.
    """

    def __init__(self, *, crop_padding: int = 0, resized_crop: list[float] | None = None, flip: bool = False,
                 rotate: float = 0.0, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0,
                 hue: float = 0.0, erase: float = 0.0, mixup: float = 0.0, cutmix: float = 0.0,
                 mixed: float = 1.0, seed: int = 0, classes: dict[str, tuple[str, ...]] | None = None,
                 length: int = 0):
        """Pads by `crop_padding` pixels (mirrored) and crops back; takes a part of `resized_crop` = [least, most] of
        the area and enlarges it; mirrors half of the pictures; turns by up to `rotate` degrees; changes brightness,
        contrast, saturation by a factor in 1 ± the number and hue by up to that share of the circle; erases a
        rectangle in the share `erase` of the pictures (Zhong 2017); blends the share `mixed` of the samples with a
        partner by `mixup` (Zhang 2017) or `cutmix` (Yun 2019), both given as the alpha of the Beta distribution.

        `seed`, `classes` and `length` (the number of samples, for partners) come from the program, not the recipe.
        """
        _within("crop_padding", crop_padding, 0, 10_000)
        if resized_crop is not None and not (len(resized_crop) == 2 and 0 < resized_crop[0] <= resized_crop[1] <= 1):
            raise UserError(f"augment.resized_crop must be [least, most] share of the area, for example [0.35, 1.0]; "
                            f"got {resized_crop}")
        for name, value, most in (("rotate", rotate, 180), ("brightness", brightness, 1), ("contrast", contrast, 1),
                                  ("saturation", saturation, 1), ("hue", hue, 0.5), ("erase", erase, 1),
                                  ("mixup", mixup, 100), ("cutmix", cutmix, 100), ("mixed", mixed, 1)):
            _within(name, value, 0, most)
        self.crop_padding, self.resized_crop, self.flip, self.rotate = crop_padding, resized_crop, flip, rotate
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue
        self.erase, self.mixup, self.cutmix, self.mixed = erase, mixup, cutmix, mixed
        self.seed, self.classes, self.length = seed, classes or {}, length

    @property
    def changes(self) -> bool:
        """Whether anything is done at all."""
        return bool(self.crop_padding or self.resized_crop or self.flip or self.rotate or self.brightness
                    or self.contrast or self.saturation or self.hue or self.erase or self.blends)

    @property
    def blends(self) -> bool:
        """Whether samples need partners."""
        return bool(self.mixup or self.cutmix) and self.mixed > 0

    def partners(self, epoch: int, rows: Tensor, occurrences: Tensor | None = None) -> Tensor:
        """int64 [batch]: the sample that each of `rows` is blended with, in its draw after `occurrences` others."""
        drawn = hashed(self.seed, epoch, rows.numpy(), _PARTNER)
        if occurrences is not None:
            again = hashed(self._keys(epoch, rows, occurrences).view(np.int64), _PARTNER)
            drawn = np.where(occurrences.numpy() == 0, drawn, again)
        drawn = drawn >> np.uint64(1)
        return torch.from_numpy((drawn % np.uint64(self.length)).astype(np.int64))

    def _keys(self, epoch: int, rows: Tensor, occurrences: Tensor | None) -> np.ndarray:
        """uint64 [batch]: what all that is drawn for a sample follows from."""
        first = hashed(self.seed, epoch, rows.numpy())
        if occurrences is None:
            return first
        again = hashed(self.seed, epoch, rows.numpy(), occurrences.numpy())
        return np.where(occurrences.numpy() == 0, first, again)

    def __call__(self, batch: Batch, epoch: int, partner: Batch | None = None) -> Batch:
        """The augmented batch; `partner`, from `partners`, is needed where samples are blended."""
        batch = self._alone(batch, epoch)
        if self.blends:
            assert partner is not None
            return self._blend(batch, self._alone(partner, epoch), epoch)
        return batch

    def _alone(self, batch: Batch, epoch: int) -> Batch:
        keys = self._keys(epoch, batch.indices, batch.occurrences)
        if self.resized_crop or self.rotate:
            batch = self._affine(batch, keys)
        elif self.crop_padding or self.flip:
            batch = self._shift(batch, keys)
        if self.brightness or self.contrast or self.saturation or self.hue or self.erase:
            batch = replace(batch, images=self._colours(batch.images, keys))
        return batch

    def _shift(self, batch: Batch, keys: np.ndarray) -> Batch:
        """Crop from the mirrored padding and flip, by whole pixels: no value changes, only its place."""
        height, width = batch.images.shape[-2:]
        most = self.crop_padding
        if most >= min(height, width):
            raise UserError(f"augment.crop_padding={most} must be smaller than the pictures, {height} x {width}")
        x = (uniform(keys, _X) * (2 * most + 1)).long() - most
        y = (uniform(keys, _Y) * (2 * most + 1)).long() - most
        turned = (uniform(keys, _FLIP) < 0.5) & self.flip
        columns = torch.arange(width)
        columns = torch.where(turned[:, None], columns.flip(0), columns) + x[:, None]
        rows = torch.arange(height) + y[:, None]
        columns, rows = _mirrored(columns, width), _mirrored(rows, height)
        places = (rows[:, :, None] * width + columns[:, None, :]).view(len(keys), 1, -1)
        raw = batch.images.view(torch.int16) if batch.images.dtype == torch.uint16 else batch.images
        moved = raw.flatten(2).gather(2, places.expand(-1, raw.shape[1], -1)).view_as(raw)
        # Target pixel t shows source pixel t + x, or width - 1 - t + x where it is mirrored.
        sign = 1.0 - 2.0 * turned.float()
        matrix = torch.zeros(len(keys), 2, 3)
        matrix[:, 0, 0], matrix[:, 1, 1] = sign, 1
        matrix[:, 0, 2], matrix[:, 1, 2] = torch.where(turned, width + x, -x).float(), -y.float()
        targets = {name: value.warp(matrix, (height, width)) for name, value in batch.targets.items()}
        return replace(batch, images=moved.view(batch.images.dtype), targets=targets)

    def _affine(self, batch: Batch, keys: np.ndarray) -> Batch:
        """Resized crop, rotation, crop with padding and flip as one bilinear sampling."""
        height, width = batch.images.shape[-2:]
        least, most = self.resized_crop or (1.0, 1.0)
        area = least + (most - least) * uniform(keys, _AREA)
        stretch = torch.exp((uniform(keys, _ASPECT) * 2 - 1) * math.log(4 / 3)) if self.resized_crop else torch.ones(1)
        wide = (area * stretch).sqrt().clamp(max=1) * width     # the part that is shown, pixels
        high = (area / stretch).sqrt().clamp(max=1) * height
        left = (width - wide) * uniform(keys, _X) + (uniform(keys, _CUT_X) * 2 - 1) * self.crop_padding
        top = (height - high) * uniform(keys, _Y) + (uniform(keys, _CUT_Y) * 2 - 1) * self.crop_padding
        angle = (uniform(keys, _TURN) * 2 - 1) * math.radians(self.rotate)
        sign = torch.where((uniform(keys, _FLIP) < 0.5) & self.flip, -1.0, 1.0)
        # target = scale * turn * (source - middle of the part) + middle of the target
        matrix = torch.zeros(len(keys), 2, 3)
        scale_x, scale_y = sign * width / wide, height / high
        matrix[:, 0, 0], matrix[:, 0, 1] = scale_x * angle.cos(), -scale_x * angle.sin()
        matrix[:, 1, 0], matrix[:, 1, 1] = scale_y * angle.sin(), scale_y * angle.cos()
        middle = torch.stack((left + wide / 2, top + high / 2), 1)[:, :, None]
        matrix[:, :, 2] = torch.tensor([width / 2, height / 2]) - (matrix[:, :, :2] @ middle)[:, :, 0]
        grid = sampling_grid(matrix, (height, width), (height, width))
        moved = F.grid_sample(batch.images.float(), grid, padding_mode="reflection", align_corners=False)
        targets = {name: value.warp(matrix, (height, width)) for name, value in batch.targets.items()}
        return replace(batch, images=_as(moved, batch.images.dtype), targets=targets)

    def _colours(self, images: Tensor, keys: np.ndarray) -> Tensor:
        def factor(stream: int, amount: float) -> Tensor:
            return (1 + (uniform(keys, stream) * 2 - 1) * amount).view(-1, 1, 1, 1)

        values, most = images.float(), torch.iinfo(images.dtype).max
        colour = values[:, :3]    # an alpha channel keeps its values
        if self.brightness:
            colour = (colour * factor(_BRIGHTNESS, self.brightness)).clamp(0, most)
        if self.contrast:
            mean = _gray(colour).mean((1, 2, 3), keepdim=True)
            colour = (mean + (colour - mean) * factor(_CONTRAST, self.contrast)).clamp(0, most)
        if self.saturation and colour.shape[1] == 3:
            gray = _gray(colour)
            colour = (gray + (colour - gray) * factor(_SATURATION, self.saturation)).clamp(0, most)
        if self.hue and colour.shape[1] == 3:
            colour = _turn_hue(colour, (uniform(keys, _HUE) * 2 - 1) * 2 * math.pi * self.hue).clamp(0, most)
        values = torch.cat((colour, values[:, 3:]), 1)
        if self.erase:
            values = self._erase(values, keys)
        return _as(values, images.dtype)

    def _erase(self, values: Tensor, keys: np.ndarray) -> Tensor:
        """A rectangle of 2 to 33 % of the area takes the picture's mean colour."""
        height, width = values.shape[-2:]
        area = 0.02 + 0.31 * uniform(keys, _ERASE_AREA)
        stretch = torch.exp((uniform(keys, _ERASE_ASPECT) * 2 - 1) * math.log(1 / 0.3))
        inside = _rectangle((area * stretch).sqrt() * width, (area / stretch).sqrt() * height,
                            uniform(keys, _ERASE_X), uniform(keys, _ERASE_Y), (height, width))
        inside &= (uniform(keys, _ERASE) < self.erase).view(-1, 1, 1)
        return torch.where(inside[:, None], values.mean((2, 3), keepdim=True), values)

    def _blend(self, batch: Batch, partner: Batch, epoch: int) -> Batch:
        keys = self._keys(epoch, batch.indices, batch.occurrences)
        height, width = batch.images.shape[-2:]
        cut = uniform(keys, _KIND) < (0.5 if self.mixup and self.cutmix else float(self.cutmix > 0))
        drawn = uniform(keys, _SHARE)
        share = torch.where(cut, _beta(self.cutmix or 1.0, drawn), _beta(self.mixup or 1.0, drawn))
        share = torch.where(uniform(keys, _MIXED) < self.mixed, share, torch.ones(()))
        edge = (1 - share).sqrt()
        inside = _rectangle(edge * width, edge * height, uniform(keys, _CUT_X), uniform(keys, _CUT_Y), (height, width))
        # A rectangle of whole pixels covers a little more or less than was drawn: the targets follow the pixels.
        share = torch.where(cut, 1 - inside.float().mean((1, 2)), share)
        own, its = batch.images.float(), partner.images.float()
        weight = torch.where(cut.view(-1, 1, 1, 1), (~inside[:, None]).float(), share.view(-1, 1, 1, 1))
        images = _as(its + (own - its) * weight, batch.images.dtype)
        targets = {name: value.mix(partner.targets[name], share, len(self.classes[name]))
                   for name, value in batch.targets.items()}
        return replace(batch, images=images, targets=targets)


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise UserError(f"augment.{name} must lie between {least} and {most}; got {value}")


def _mirrored(place: Tensor, length: int) -> Tensor:
    """Places beyond an edge, mirrored at the edge pixel, back inside."""
    return (length - 1) - ((length - 1) - place.abs()).abs()


def _as(values: Tensor, dtype: torch.dtype) -> Tensor:
    rounded = values.round_().clamp_(0, torch.iinfo(dtype).max)
    return rounded.to(torch.int32).to(dtype) if dtype == torch.uint16 else rounded.to(dtype)


def _gray(colour: Tensor) -> Tensor:
    """[batch, 1, height, width]"""
    return (colour * _LUMA.view(1, 3, 1, 1)).sum(1, keepdim=True) if colour.shape[1] == 3 else colour


def _turn_hue(colour: Tensor, angle: Tensor) -> Tensor:
    """Turn the colour plane of YIQ, which keeps the brightness: one 3 x 3 matrix per picture."""
    turn = torch.zeros(len(angle), 3, 3)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
    turn[:, 1, 2], turn[:, 2, 1] = -angle.sin(), angle.sin()
    matrix = torch.linalg.inv(_YIQ) @ turn @ _YIQ
    return torch.einsum("bij,bjhw->bihw", matrix, colour)


def _rectangle(wide: Tensor, high: Tensor, x: Tensor, y: Tensor, size: tuple[int, int]) -> Tensor:
    """bool [batch, height, width]: inside a rectangle of `wide` x `high` pixels placed at the share x, y of the room
    that is left."""
    height, width = size
    wide, high = wide.round().clamp(0, width), high.round().clamp(0, height)
    left, top = ((width - wide + 1) * x).floor()[:, None], ((height - high + 1) * y).floor()[:, None]
    column, row = torch.arange(width), torch.arange(height)
    across = (column >= left) & (column < left + wide[:, None])
    down = (row >= top) & (row < top + high[:, None])
    return down[:, :, None] & across[:, None, :]


def _beta(alpha: float, drawn: Tensor) -> Tensor:
    """Uniform numbers to Beta(alpha, alpha), by the sorted table of a fixed sample: a function, not a stream."""
    if alpha not in _TABLES:
        _TABLES[alpha] = torch.from_numpy(np.sort(np.random.default_rng(0).beta(alpha, alpha, 1 << 16))).float()
    return _TABLES[alpha][(drawn * (1 << 16)).long()]


_TABLES: dict[float, Tensor] = {}
