"""Blend: samples put together with a partner, by mixup or by cutmix."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lensmith.data.batches import pixels
from lensmith.data.batches.augment.augmentation import check_within
from lensmith.data.batches.augment.changes import Changes
from lensmith.data.batches.augment.random_streams import BLEND_FRACTION, CUT, CUT_X, CUT_Y, MIXED
from lensmith.data.sources.sample import Batch


@dataclass(frozen=True, kw_only=True)
class Blend:
    """Mixup: picture and targets are fraction * sample + (1 - fraction) * partner (Zhang 2017, arXiv 1710.09412).
    Cutmix: a rectangle of the partner is pasted, and its area counts in the targets (Yun 2019, arXiv 1905.04899).
    Where both are asked for half of the samples take the one, half the other."""

    mixup: float = 0.0     # alpha of the Beta distribution that the fraction is drawn from; 0: no mixup
    cutmix: float = 0.0    # alpha of the Beta distribution that the area is drawn from; 0: no cutmix
    mixed: float = 1.0     # fraction of the samples that are blended at all

    def check(self) -> None:
        check_within("mixup", self.mixup, 0, 100)
        check_within("cutmix", self.cutmix, 0, 100)
        check_within("mixed", self.mixed, 0, 1)

    @property
    def is_on(self) -> bool:
        """Whether samples need a partner."""
        return bool(self.mixup or self.cutmix) and self.mixed > 0

    def apply(self, changes: Changes) -> None:
        partner = changes.partner
        if partner is None:
            return
        (height, width), device, classes = changes.size, changes.device, changes.classes
        cut = changes.uniform(CUT) < (0.5 if self.mixup and self.cutmix else float(self.cutmix > 0))
        drawn = changes.uniform(BLEND_FRACTION)
        fraction = torch.where(cut, beta(self.cutmix or 1.0, drawn), beta(self.mixup or 1.0, drawn))
        fraction = torch.where(changes.uniform(MIXED) < self.mixed, fraction, torch.ones(()))
        edge = (1 - fraction).sqrt()
        pasted = pixels.rectangle(edge * width, edge * height, changes.uniform(CUT_X), changes.uniform(CUT_Y),
                                  (height, width))
        # A rectangle of whole pixels covers a little more or less than was drawn: the targets follow the pixels.
        covered = (pasted[:, 2] * pasted[:, 3]).float() / (height * width)
        fraction = torch.where(cut, 1 - covered, fraction).to(device)

        def blend(batch: Batch) -> Batch:
            images = _blend_pictures(batch.images, partner.images, cut=cut, pasted=pasted, fraction=fraction)
            targets = {name: value.mix(partner.targets[name], fraction, len(classes[name]))
                       for name, value in batch.targets.items()}
            return replace(batch, images=images, targets=targets)

        changes.afterwards.append(blend)


def _blend_pictures(images: Tensor, partner: Tensor, *, cut: Tensor, pasted: Tensor, fraction: Tensor) -> Tensor:
    """`images` with the rectangles `pasted` (int64 [batch, 4]) of `partner` where `cut` (bool [batch]), else with
    `fraction` (float [batch], on the device of the pictures) of themselves."""
    size, device = (images.shape[2], images.shape[3]), images.device
    cutting, mixing = bool(cut.any()), not bool(cut.all())
    cut = cut.view(-1, 1, 1, 1).to(device)

    def blended(values: Tensor, rows: slice) -> Tensor:
        others = partner[rows].float()
        kept = fraction[rows].view(-1, 1, 1, 1)
        if not cutting:
            return values.sub_(others).mul_(kept).add_(others)
        patched = torch.where(pixels.inside(pasted[rows], size, device), others, values)
        return torch.where(cut[rows], patched, values.sub_(others).mul_(kept).add_(others)) if mixing else patched

    return pixels.in_chunks(images, blended)


def beta(alpha: float, drawn: Tensor) -> Tensor:
    """Uniform numbers to Beta(alpha, alpha), by the sorted table of a fixed sample: a function, not a stream."""
    if alpha not in _TABLES:
        _TABLES[alpha] = torch.from_numpy(np.sort(np.random.default_rng(0).beta(alpha, alpha, 1 << 16))).float()
    return _TABLES[alpha][(drawn * (1 << 16)).long()]


_TABLES: dict[float, Tensor] = {}
