"""Where in its picture a sample is looked at: what augmentations ask for, merged into one operation on the pixels."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.base.pictures import PADDING
from lensmith.data.batches import pixels
from lensmith.data.batches.augment.random_streams import CUT_X, CUT_Y, X, Y
from lensmith.data.batches.augment.tile_layout import TILES, compose, lay_out
from lensmith.data.sources.fitting import shown_areas
from lensmith.data.sources.sample import Batch
from lensmith.kernels.gather import gather_crop_flip, gather_lines, plain_gather_crop_flip
from lensmith.values.semantic_mask import sampling_grid

_MANY = 1 << 18    # values in a batch from which on lines are copied quicker than single pixels
Uniform = Callable[[int], Tensor]    # a stream -> float32 [batch] in [0, 1)


@dataclass
class Placement:
    """What is asked for; None or 0 where nothing is. Tensors are on the CPU."""

    mirrored: Tensor | None = None                    # bool [batch]
    mirrored_others: Tensor | None = None             # bool [batch * 3]: the other tiles of each mosaic, in a row
    margin: int = 0                                   # pixels by which a picture is shifted at most, each way
    fractions: tuple[Tensor, Tensor] | None = None    # of width and height that are shown, float [batch] each
    angle: Tensor | None = None                       # float [batch], radians
    zoom: np.ndarray | None = None                    # float32 [batch]: the size of what the picture shows, as a factor
    mosaic: np.ndarray | None = None                  # bool [batch]: what is put together of four
    padding: int = PADDING                            # the value where no picture is


def place(batch: Batch, placement: Placement, uniform: Uniform, *, others: Batch | None) -> Batch:
    """The batch with its pictures, and the targets that know a place, where `placement` has them.

    What only shifts by whole pixels copies them, what only enlarges takes two interpolations along the axes, and all
    else is one bilinear sampling, whatever is asked for at once.
    """
    if placement.zoom is not None or placement.mosaic is not None:
        return _compose(batch, placement, uniform, others)
    if placement.angle is not None or (placement.fractions is not None and placement.margin):
        return _sample(batch, placement, uniform)
    if placement.fractions is not None:
        return _enlarge(batch, placement, placement.fractions, uniform)
    return _shift(batch, placement, uniform) if placement.margin or placement.mirrored is not None else batch


def _compose(batch: Batch, placement: Placement, uniform: Uniform, others: Batch | None) -> Batch:
    """Each picture at another scale and position, or put together of four with its `others`."""
    count, tiles, size = len(batch), 1 if others is None else TILES, (batch.images.shape[2], batch.images.shape[3])
    mirrored = [_mirrored(placement, batch)[:, None]]
    areas = [shown_areas(batch.places, count, size)[:, None]]
    if others is not None:
        rest = placement.mirrored_others
        mirrored.append((torch.zeros(len(others), dtype=torch.bool) if rest is None else rest).view(count, -1))
        areas.append(shown_areas(others.places, len(others), size).reshape(count, -1, 4))
    zoom = placement.zoom if placement.zoom is not None else np.ones(count, dtype=np.float32)
    layout = lay_out(np.concatenate(areas, 1), size, zoom=zoom[:, None].repeat(tiles, 1),
                     mirrored=torch.cat(mirrored, 1).numpy(), at=torch.stack((uniform(X), uniform(Y)), 1).numpy(),
                     mosaic=placement.mosaic if placement.mosaic is not None else np.zeros(count, dtype=bool))
    return compose(batch, others, layout, padding=placement.padding)


def _shift(batch: Batch, placement: Placement, uniform: Uniform) -> Batch:
    """Crop from the mirrored padding and flip, by whole pixels: no value changes, only its position."""
    height, width = batch.images.shape[-2:]
    most, mirrored = placement.margin, _mirrored(placement, batch)
    if most >= min(height, width):
        raise UserError(f"augment.crop_padding={most} must be smaller than the pictures, {height} x {width}")
    x, y = ((uniform(stream) * (2 * most + 1)).long() - most for stream in (X, Y))
    device = batch.images.device
    gather: Callable[..., Tensor] = gather_crop_flip
    if device.type == "cpu":    # without the way through PyTorch's dispatcher; rows in their order, gathered before
        gather = gather_lines if batch.images.numel() >= _MANY else plain_gather_crop_flip
    moved = gather(batch.images, *(tensor.to(device) for tensor in (torch.arange(len(batch)), x, y, mirrored)))
    # Target pixel t shows source pixel t + x, or width - 1 - t + x where it is mirrored.
    left = torch.where(mirrored, width + x, -x)
    return warp(batch, moved, lambda: scaling(_sign(mirrored), 1, left, -y))


def _enlarge(batch: Batch, placement: Placement, fractions: tuple[Tensor, Tensor], uniform: Uniform) -> Batch:
    """A crop of whole pixels at the size of the whole, and flip."""
    height, width = batch.images.shape[-2:]
    mirrored = _mirrored(placement, batch)
    crops = pixels.rectangle((fractions[0] * width).clamp(min=1), (fractions[1] * height).clamp(min=1), uniform(X),
                             uniform(Y), (height, width))
    left, top, wide, high = crops.float().unbind(1)
    scale = width / wide
    return warp(batch, pixels.enlarged(batch.images, crops, mirrored),
                lambda: scaling(_sign(mirrored) * scale, height / high,
                                torch.where(mirrored, width + left * scale, -left * scale), -top * height / high))


def _sample(batch: Batch, placement: Placement, uniform: Uniform) -> Batch:
    """Resized crop, rotation, crop with padding and flip as one bilinear sampling."""
    height, width = batch.images.shape[-2:]
    nothing = torch.zeros(len(batch))
    across, down = placement.fractions or (nothing + 1, nothing + 1)
    angle = placement.angle if placement.angle is not None else nothing
    wide, high = across * width, down * height     # of the crop that is shown, pixels
    left = (width - wide) * uniform(X) + (uniform(CUT_X) * 2 - 1) * placement.margin
    top = (height - high) * uniform(Y) + (uniform(CUT_Y) * 2 - 1) * placement.margin
    # target = scale * rotation * (source - middle of the crop) + middle of the target
    matrix = torch.zeros(len(batch), 2, 3)
    scale_x, scale_y = _sign(_mirrored(placement, batch)) * width / wide, height / high
    matrix[:, 0, 0], matrix[:, 0, 1] = scale_x * angle.cos(), -scale_x * angle.sin()
    matrix[:, 1, 0], matrix[:, 1, 1] = scale_y * angle.sin(), scale_y * angle.cos()
    middle = torch.stack((left + wide / 2, top + high / 2), 1)[:, :, None]
    matrix[:, :, 2] = torch.tensor([width / 2, height / 2]) - (matrix[:, :, :2] @ middle)[:, :, 0]
    on_device = matrix.to(batch.images.device)

    def sampled(values: Tensor, rows: slice) -> Tensor:
        grid = sampling_grid(on_device[rows], (height, width), (height, width))
        return F.grid_sample(values, grid, padding_mode="reflection", align_corners=False)

    return warp(batch, pixels.in_chunks(batch.images, sampled), lambda: matrix)


def warp(batch: Batch, images: Tensor, matrix: Callable[[], Tensor]) -> Batch:
    """The batch with its pictures moved to `images`, and the targets that know a place moved by the `matrix` that
    moved them, float [batch, 2, 3], which is asked for only where there are such targets."""
    moving = [name for name, value in batch.targets.items() if value.spatial]
    if not moving:
        return replace(batch, images=images)
    on_device, size = matrix().to(images.device), (images.shape[2], images.shape[3])
    warped = {name: batch.targets[name].warp(on_device, size) for name in moving}
    return replace(batch, images=images, targets={**batch.targets, **warped})


def scaling(scale_x: Tensor | float, scale_y: Tensor | float, left: Tensor, top: Tensor) -> Tensor:
    """float [batch, 2, 3]: source pixels times the scales, shifted by `left` and `top` (both [batch])."""
    matrix = torch.zeros(len(left), 2, 3)
    matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, 0, 2], matrix[:, 1, 2] = scale_x, scale_y, left, top
    return matrix


def _mirrored(placement: Placement, batch: Batch) -> Tensor:
    """bool [batch]"""
    return placement.mirrored if placement.mirrored is not None else torch.zeros(len(batch), dtype=torch.bool)


def _sign(mirrored: Tensor) -> Tensor:
    """float [batch]: -1 where the picture is mirrored, else 1."""
    return 1.0 - 2.0 * mirrored.float()
