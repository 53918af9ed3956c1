"""Augmentation of a whole batch at once, each sample by numbers drawn from its own hash."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.base.hashed_random import hashed, uniform
from lensmith.data.batches import pixels
from lensmith.data.batches.mosaic import TILES, composed, lay_out
from lensmith.data.sources.fitting import contents_of
from lensmith.data.sources.sample import Batch
from lensmith.kernels.gather import gather_crop_flip, gather_lines, plain_gather_crop_flip
from lensmith.values.semantic_mask import sampling_grid

# One stream of random numbers for each thing that is drawn; appended to, never renumbered, so that old runs resume.
(_X, _Y, _FLIP, _TURN, _AREA, _ASPECT, _BRIGHTNESS, _CONTRAST, _SATURATION, _HUE, _ERASE, _ERASE_AREA, _ERASE_ASPECT,
 _ERASE_X, _ERASE_Y, _PARTNER, _SHARE, _KIND, _CUT_X, _CUT_Y, _MIXED, _ZOOM, _MOSAIC, _TILE) = range(24)
_MANY = 1 << 18    # values in a batch from which on lines are copied quicker than single pixels


class Augment:
    """What is done to training batches. All zeros: nothing.

    Invariant: what happens to a sample depends on (seed, epoch, index in the set) alone, never on its neighbours; and
    where balanced sampling draws it again in one epoch, on how often it was drawn before. The numbers are drawn on the
    CPU; pixels are changed where they are, and on a CPU with the same bits for any number of threads.
    """

    def __init__(self, *, crop_padding: int = 0, resized_crop: list[float] | None = None,
                 flip: bool | Literal["alternate"] = False, rotate: float = 0.0, brightness: float = 0.0,
                 contrast: float = 0.0, saturation: float = 0.0, hue: float = 0.0, erase: float = 0.0,
                 mixup: float = 0.0, cutmix: float = 0.0, mixed: float = 1.0, shrink: list[float] | None = None,
                 zoom: list[float] | None = None, mosaic: float = 0.0, close_mosaic: int = 0, seed: int = 0,
                 classes: dict[str, tuple[str, ...]] | None = None, length: int = 0, epochs: int = 0):
        """Pads by `crop_padding` pixels (mirrored) and crops back; takes a part of `resized_crop` = [least, most] of
        the area and enlarges it; mirrors half of the pictures, with "alternate" the half that it left as it was in the
        epoch before; turns by up to `rotate` degrees; changes brightness, contrast, saturation by a factor in 1 ± the
        number and hue by up to that share of the circle; erases a rectangle in the share `erase` of the pictures
        (Zhong 2017); blends the share `mixed` of the samples with a partner by `mixup` (Zhang 2017) or `cutmix` (Yun
        2019), both given as the alpha of the Beta distribution; shows the pictures smaller in the first epochs, one
        share of the edges in `shrink` an epoch (Tan 2021, progressive learning): a picture of half the edges costs a
        quarter; shows what is in the picture, without the ground around it, at `zoom` = [least, most] times its size
        and at a random place; puts the share `mosaic` of the pictures together of four (Bochkovskiy 2020), which
        rests, with mixup and cutmix, in the last `close_mosaic` epochs.

        `seed`, `classes`, `length` (the number of samples, for partners) and `epochs` come from the program, not the
        recipe.
        """
        _within("crop_padding", crop_padding, 0, 10_000)
        if resized_crop is not None and not (len(resized_crop) == 2 and 0 < resized_crop[0] <= resized_crop[1] <= 1):
            raise UserError(f"augment.resized_crop must be [least, most] share of the area, for example [0.35, 1.0]; "
                            f"got {resized_crop}")
        if any(not 0 < share <= 1 for share in shrink or ()):
            raise UserError("augment.shrink must hold shares of the edges, above 0 and at most 1, one for each of the "
                            f"first epochs, for example [0.5, 0.75]; got {shrink}")
        for name, value, most in (("rotate", rotate, 180), ("brightness", brightness, 1), ("contrast", contrast, 1),
                                  ("saturation", saturation, 1), ("hue", hue, 0.5), ("erase", erase, 1),
                                  ("mixup", mixup, 100), ("cutmix", cutmix, 100), ("mixed", mixed, 1),
                                  ("mosaic", mosaic, 1), ("close_mosaic", close_mosaic, 1_000_000)):
            _within(name, value, 0, most)
        if zoom is not None and not (len(zoom) == 2 and 0.05 <= zoom[0] <= zoom[1] <= 20):
            raise UserError(f"augment.zoom must be [least, most], factors from 0.05 to 20, for example [0.5, 1.5]; got "
                            f"{zoom}")
        if (zoom or mosaic) and (crop_padding or resized_crop or rotate):
            other = "crop_padding" if crop_padding else "resized_crop" if resized_crop else "rotate"
            raise UserError(f"augment.{'zoom' if zoom else 'mosaic'} and augment.{other} both place the picture anew: "
                            f"leave one of them out")
        self.crop_padding, self.resized_crop, self.flip, self.rotate = crop_padding, resized_crop, flip, rotate
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue
        self.erase, self.mixup, self.cutmix, self.mixed = erase, mixup, cutmix, mixed
        self.shrink, self.zoom, self.mosaic = shrink or [], zoom, mosaic
        self.close_mosaic, self.epochs = close_mosaic, epochs
        self.seed, self.classes, self.length = seed, classes or {}, length

    @property
    def changes(self) -> bool:
        """Whether anything is done at all."""
        return bool(self.crop_padding or self.resized_crop or self.flip or self.rotate or self.brightness
                    or self.contrast or self.saturation or self.hue or self.erase or self.mixup or self.cutmix
                    or self.shrink or self.zoom or self.mosaic)

    def blends(self, epoch: int) -> bool:
        """Whether samples are blended with another."""
        return bool(self.mixup or self.cutmix) and self.mixed > 0 and not self._rests(epoch)

    def tiles(self, epoch: int) -> bool:
        """Whether samples are put together of four."""
        return self.mosaic > 0 and not self._rests(epoch)

    def _rests(self, epoch: int) -> bool:
        return bool(self.close_mosaic) and epoch >= self.epochs - self.close_mosaic

    def company(self, epoch: int) -> int:
        """How many partners each sample needs: three for its mosaic, then one to be blended with."""
        return (TILES - 1) * self.tiles(epoch) + self.blends(epoch)

    def partners(self, epoch: int, rows: Tensor, occurrences: Tensor | None = None) -> Tensor:
        """int64 [batch, company]: the samples that each of `rows` meets, in its draw after `occurrences` others."""
        keys = self._keys(epoch, rows, occurrences).view(np.int64)
        drawn = [hashed(keys, _TILE, number) for number in range((TILES - 1) * self.tiles(epoch))]
        if self.blends(epoch):
            partner = hashed(self.seed, epoch, rows.numpy(), _PARTNER)
            if occurrences is not None:
                partner = np.where(occurrences.numpy() == 0, partner, hashed(keys, _PARTNER))
            drawn.append(partner)
        chosen = np.array(drawn, dtype=np.uint64).reshape(-1, len(rows)).T >> np.uint64(1)
        return torch.from_numpy((chosen % np.uint64(self.length)).astype(np.int64))

    def _keys(self, epoch: int, rows: Tensor, occurrences: Tensor | None) -> np.ndarray:
        """uint64 [batch]: what all that is drawn for a sample follows from."""
        first = hashed(self.seed, epoch, rows.numpy())
        if occurrences is None:
            return first
        again = hashed(self.seed, epoch, rows.numpy(), occurrences.numpy())
        return np.where(occurrences.numpy() == 0, first, again)

    def __call__(self, batch: Batch, epoch: int, partner: Batch | None = None) -> Batch:
        """The augmented batch; `partner` holds those of `partners`, sample by sample, where there are any."""
        others, company = None, self.company(epoch)
        if company:
            assert partner is not None
            numbers = torch.arange(len(batch) * company).view(-1, company)
            if self.tiles(epoch):
                others = partner.take(numbers[:, : TILES - 1].flatten())
            if company > TILES - 1:
                partner = partner.take(numbers[:, -1])
        batch = self._alone(batch, epoch, others)
        if self.blends(epoch):
            assert partner is not None
            batch = self._blend(batch, self._alone(partner, epoch), epoch)
        return self._shrunk(batch, self.shrink[epoch]) if epoch < len(self.shrink) else batch

    def _alone(self, batch: Batch, epoch: int, others: Batch | None = None) -> Batch:
        keys = self._keys(epoch, batch.indices, batch.occurrences)
        if self.zoom or self.mosaic:
            batch = self._composed(batch, others, keys, epoch)
        elif self.rotate or self.resized_crop or self.crop_padding or self.flip:
            x, y, flip = uniform(np.tile(keys, 3), np.repeat((_X, _Y, _FLIP), len(keys))).view(3, -1)    # in one go
            turned = self._turned(batch, flip, epoch)
            if self.rotate or (self.resized_crop and self.crop_padding):
                batch = self._affine(batch, keys, x, y, turned)
            elif self.resized_crop:
                batch = self._enlarged(batch, keys, x, y, turned)
            else:
                batch = self._shift(batch, x, y, turned)
        if self.brightness or self.contrast or self.saturation or self.hue or self.erase:
            batch = replace(batch, images=self._colours(batch.images, keys))
        return batch

    def _composed(self, batch: Batch, others: Batch | None, keys: np.ndarray, epoch: int) -> Batch:
        """Each picture at another scale and place, or put together of four with its `others`."""
        tiles = TILES if others is not None else 1
        number = np.tile(np.arange(tiles), len(keys))
        own = np.repeat(keys, tiles)
        every = np.where(number == 0, own, hashed(own.view(np.int64), _TILE, TILES + number)).reshape(-1, tiles)
        least, most = self.zoom or (1.0, 1.0)
        # One scale for all tiles of a picture, as of one camera; evenly drawn on the scale of the factors.
        zoom = least * (most / least) ** uniform(keys, _ZOOM).numpy()[:, None].repeat(tiles, 1)
        turned = self._turned(batch, uniform(keys, _FLIP), epoch).numpy()[:, None]
        if others is not None:
            rest = uniform(every[:, 1:].ravel(), _FLIP)
            turned = np.concatenate((turned, self._turned(others, rest, epoch).numpy().reshape(-1, TILES - 1)), 1)
        size = batch.images.shape[2], batch.images.shape[3]
        contents = [contents_of(batch.places, len(batch), size)[:, None]]
        if others is not None:
            contents.append(contents_of(others.places, len(others), size).reshape(-1, TILES - 1, 4))
        layout = lay_out(np.concatenate(contents, 1), size, zoom=zoom, turned=turned,
                         at=torch.stack((uniform(keys, _X), uniform(keys, _Y)), 1).numpy(),
                         mosaic=uniform(keys, _MOSAIC).numpy() < (self.mosaic if others is not None else 0))
        return composed(batch, others, layout)

    def _turned(self, batch: Batch, drawn: Tensor, epoch: int) -> Tensor:
        """bool [batch]: which pictures are mirrored."""
        if self.flip != "alternate":
            return (drawn < 0.5) & self.flip
        first = uniform(hashed(self.seed, batch.indices.numpy()), _FLIP) < 0.5
        return first if epoch % 2 == 0 else ~first

    def _shift(self, batch: Batch, x: Tensor, y: Tensor, turned: Tensor) -> Batch:
        """Crop from the mirrored padding and flip, by whole pixels: no value changes, only its place."""
        height, width = batch.images.shape[-2:]
        most = self.crop_padding
        if most >= min(height, width):
            raise UserError(f"augment.crop_padding={most} must be smaller than the pictures, {height} x {width}")
        x, y = (x * (2 * most + 1)).long() - most, (y * (2 * most + 1)).long() - most
        device = batch.images.device
        gather: Callable[..., Tensor] = gather_crop_flip
        if device.type == "cpu":    # without the way through PyTorch's dispatcher; rows in their order, gathered before
            gather = gather_lines if batch.images.numel() >= _MANY else plain_gather_crop_flip
        moved = gather(batch.images, *(one.to(device) for one in (torch.arange(len(batch)), x, y, turned)))
        # Target pixel t shows source pixel t + x, or width - 1 - t + x where it is mirrored.
        left = torch.where(turned, width + x, -x)
        return _warped(batch, moved, lambda: _matrix(_sign(turned), 1, left, -y))

    def _enlarged(self, batch: Batch, keys: np.ndarray, x: Tensor, y: Tensor, turned: Tensor) -> Batch:
        """A part of whole pixels at the size of the whole, and flip."""
        height, width = batch.images.shape[-2:]
        share_x, share_y = self._parts(keys)
        parts = pixels.rectangle((share_x * width).clamp(min=1), (share_y * height).clamp(min=1), x, y,
                                 (height, width))
        left, top, wide, high = parts.float().unbind(1)
        scale = width / wide
        return _warped(batch, pixels.enlarged(batch.images, parts, turned),
                       lambda: _matrix(_sign(turned) * scale, height / high,
                                       torch.where(turned, width + left * scale, -left * scale), -top * height / high))

    def _parts(self, keys: np.ndarray) -> tuple[Tensor, Tensor]:
        """The shares of width and height that are shown, float [batch] each."""
        least, most = self.resized_crop or (1.0, 1.0)
        area = least + (most - least) * uniform(keys, _AREA)
        stretch = torch.exp((uniform(keys, _ASPECT) * 2 - 1) * math.log(4 / 3)) if self.resized_crop else torch.ones(1)
        return (area * stretch).sqrt().clamp(max=1), (area / stretch).sqrt().clamp(max=1)

    def _affine(self, batch: Batch, keys: np.ndarray, x: Tensor, y: Tensor, turned: Tensor) -> Batch:
        """Resized crop, rotation, crop with padding and flip as one bilinear sampling."""
        height, width = batch.images.shape[-2:]
        share_x, share_y = self._parts(keys)
        wide, high = share_x * width, share_y * height     # the part that is shown, pixels
        left = (width - wide) * x + (uniform(keys, _CUT_X) * 2 - 1) * self.crop_padding
        top = (height - high) * y + (uniform(keys, _CUT_Y) * 2 - 1) * self.crop_padding
        angle = (uniform(keys, _TURN) * 2 - 1) * math.radians(self.rotate)
        # target = scale * turn * (source - middle of the part) + middle of the target
        matrix = torch.zeros(len(keys), 2, 3)
        scale_x, scale_y = _sign(turned) * width / wide, height / high
        matrix[:, 0, 0], matrix[:, 0, 1] = scale_x * angle.cos(), -scale_x * angle.sin()
        matrix[:, 1, 0], matrix[:, 1, 1] = scale_y * angle.sin(), scale_y * angle.cos()
        middle = torch.stack((left + wide / 2, top + high / 2), 1)[:, :, None]
        matrix[:, :, 2] = torch.tensor([width / 2, height / 2]) - (matrix[:, :, :2] @ middle)[:, :, 0]
        placed = matrix.to(batch.images.device)

        def sampled(values: Tensor, rows: slice) -> Tensor:
            grid = sampling_grid(placed[rows], (height, width), (height, width))
            return F.grid_sample(values, grid, padding_mode="reflection", align_corners=False)

        return _warped(batch, pixels.in_parts(batch.images, sampled), lambda: matrix)

    def _shrunk(self, batch: Batch, share: float) -> Batch:
        """The batch at this share of its height and width, each pixel the weighted mean of those it covers."""
        height, width = batch.images.shape[-2:]
        size = max(1, round(height * share)), max(1, round(width * share))
        if size == (height, width):
            return batch
        small = F.interpolate(batch.images.float(), size, mode="bilinear", antialias=True)
        nowhere = torch.zeros(len(batch))
        return _warped(batch, pixels.rounded(small, batch.images.dtype),
                       lambda: _matrix(size[1] / width, size[0] / height, nowhere, nowhere))

    def _colours(self, images: Tensor, keys: np.ndarray) -> Tensor:
        most, size, device = torch.iinfo(images.dtype).max, (images.shape[2], images.shape[3]), images.device

        def drawn(stream: int, amount: float) -> Tensor:
            return (uniform(keys, stream) * 2 - 1) * amount

        factors = [(1 + drawn(stream, amount)).view(-1, 1, 1, 1).to(device) for stream, amount in
                   ((_BRIGHTNESS, self.brightness), (_CONTRAST, self.contrast), (_SATURATION, self.saturation))]
        angles = drawn(_HUE, 2 * math.pi * self.hue)
        erased = self._erased(keys, size)

        def changed(values: Tensor, rows: slice) -> Tensor:
            colour = values[:, :3]    # an alpha channel keeps its values
            if self.brightness:
                colour.mul_(factors[0][rows]).clamp_(0, most)
            if self.contrast:
                pixels.contrasted(colour, factors[1][rows]).clamp_(0, most)
            if self.saturation and colour.shape[1] == 3:
                pixels.saturated(colour, factors[2][rows]).clamp_(0, most)
            if self.hue and colour.shape[1] == 3:
                colour.copy_(pixels.turn_hue(colour, angles[rows]).clamp_(0, most))
            if not self.erase:
                return values
            return torch.where(pixels.inside(erased[rows], size, device), pixels.mean_of(values), values)

        return pixels.in_parts(images, changed)

    def _erased(self, keys: np.ndarray, size: tuple[int, int]) -> Tensor:
        """int64 [batch, 4]: the rectangle, of 2 to 33 % of the area, that takes the picture's mean colour; of no pixel
        where nothing is erased."""
        height, width = size
        area = 0.02 + 0.31 * uniform(keys, _ERASE_AREA)
        stretch = torch.exp((uniform(keys, _ERASE_ASPECT) * 2 - 1) * math.log(1 / 0.3))
        found = pixels.rectangle((area * stretch).sqrt() * width, (area / stretch).sqrt() * height,
                                 uniform(keys, _ERASE_X), uniform(keys, _ERASE_Y), size)
        return found * (uniform(keys, _ERASE) < self.erase)[:, None]

    def _blend(self, batch: Batch, partner: Batch, epoch: int) -> Batch:
        keys = self._keys(epoch, batch.indices, batch.occurrences)
        height, width = batch.images.shape[-2:]
        cut = uniform(keys, _KIND) < (0.5 if self.mixup and self.cutmix else float(self.cutmix > 0))
        drawn = uniform(keys, _SHARE)
        share = torch.where(cut, _beta(self.cutmix or 1.0, drawn), _beta(self.mixup or 1.0, drawn))
        share = torch.where(uniform(keys, _MIXED) < self.mixed, share, torch.ones(()))
        edge = (1 - share).sqrt()
        size, device = (height, width), batch.images.device
        pasted = pixels.rectangle(edge * width, edge * height, uniform(keys, _CUT_X), uniform(keys, _CUT_Y), size)
        # A rectangle of whole pixels covers a little more or less than was drawn: the targets follow the pixels.
        share = torch.where(cut, 1 - (pasted[:, 2] * pasted[:, 3]).float() / (height * width), share).to(device)
        cutting, blending = bool(cut.any()), not bool(cut.all())
        cut = cut.view(-1, 1, 1, 1).to(device)

        def blended(own: Tensor, rows: slice) -> Tensor:
            its = partner.images[rows].float()
            part = share[rows].view(-1, 1, 1, 1)
            if not cutting:
                return own.sub_(its).mul_(part).add_(its)
            kept = torch.where(pixels.inside(pasted[rows], size, device), its, own)
            return torch.where(cut[rows], kept, own.sub_(its).mul_(part).add_(its)) if blending else kept

        images = pixels.in_parts(batch.images, blended)
        targets = {name: value.mix(partner.targets[name], share, len(self.classes[name]))
                   for name, value in batch.targets.items()}
        return replace(batch, images=images, targets=targets)


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise UserError(f"augment.{name} must lie between {least} and {most}; got {value}")


def _warped(batch: Batch, images: Tensor, matrix: Callable[[], Tensor]) -> Batch:
    """The batch with its pictures moved, and its targets by the same `matrix` where they know a place."""
    moving = [name for name, value in batch.targets.items() if value.spatial]
    if not moving:
        return replace(batch, images=images)
    placed, size = matrix().to(images.device), (images.shape[2], images.shape[3])
    warped = {name: batch.targets[name].warp(placed, size) for name in moving}
    return replace(batch, images=images, targets={**batch.targets, **warped})


def _sign(turned: Tensor) -> Tensor:
    return 1.0 - 2.0 * turned.float()


def _matrix(scale_x: Tensor | float, scale_y: Tensor | float, left: Tensor, top: Tensor) -> Tensor:
    """float [batch, 2, 3]: source pixels times the scales, shifted by `left` and `top` (both [batch])."""
    matrix = torch.zeros(len(left), 2, 3)
    matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, 0, 2], matrix[:, 1, 2] = scale_x, scale_y, left, top
    return matrix


def _beta(alpha: float, drawn: Tensor) -> Tensor:
    """Uniform numbers to Beta(alpha, alpha), by the sorted table of a fixed sample: a function, not a stream."""
    if alpha not in _TABLES:
        _TABLES[alpha] = torch.from_numpy(np.sort(np.random.default_rng(0).beta(alpha, alpha, 1 << 16))).float()
    return _TABLES[alpha][(drawn * (1 << 16)).long()]


_TABLES: dict[float, Tensor] = {}
