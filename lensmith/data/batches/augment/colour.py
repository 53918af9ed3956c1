"""Brightness, contrast, saturation and hue; an alpha channel keeps its values."""

import math
from dataclasses import dataclass

from torch import Tensor

from lensmith.data.batches import pixels
from lensmith.data.batches.augment.augmentation import check_within
from lensmith.data.batches.augment.changes import Changes
from lensmith.data.batches.augment.random_streams import BRIGHTNESS, CONTRAST, HUE, SATURATION


@dataclass(frozen=True, kw_only=True)
class Brightness:
    """Every value times a factor."""

    brightness: float = 0.0    # the factor lies in 1 - brightness .. 1 + brightness

    def check(self) -> None:
        check_within("brightness", self.brightness, 0, 1)

    def apply(self, changes: Changes) -> None:
        factor, largest = _factor(changes, BRIGHTNESS, self.brightness), changes.largest

        def change(values: Tensor, rows: slice) -> Tensor:
            values[:, :3].mul_(factor[rows]).clamp_(0, largest)
            return values

        changes.pixels.append(change)


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """The distance of every value to the picture's mean gray times a factor."""

    contrast: float = 0.0    # the factor lies in 1 - contrast .. 1 + contrast

    def check(self) -> None:
        check_within("contrast", self.contrast, 0, 1)

    def apply(self, changes: Changes) -> None:
        factor, largest = _factor(changes, CONTRAST, self.contrast), changes.largest

        def change(values: Tensor, rows: slice) -> Tensor:
            pixels.contrasted(values[:, :3], factor[rows]).clamp_(0, largest)
            return values

        changes.pixels.append(change)


@dataclass(frozen=True, kw_only=True)
class Saturation:
    """The distance of every pixel to its gray times a factor; gray pictures stay as they are."""

    saturation: float = 0.0    # the factor lies in 1 - saturation .. 1 + saturation

    def check(self) -> None:
        check_within("saturation", self.saturation, 0, 1)

    def apply(self, changes: Changes) -> None:
        factor, largest = _factor(changes, SATURATION, self.saturation), changes.largest

        def change(values: Tensor, rows: slice) -> Tensor:
            if values.shape[1] >= 3:
                pixels.saturated(values[:, :3], factor[rows]).clamp_(0, largest)
            return values

        changes.pixels.append(change)


@dataclass(frozen=True, kw_only=True)
class Hue:
    """The colours turned on their circle; gray pictures stay as they are."""

    hue: float = 0.0    # fraction of the circle, at most, either way

    def check(self) -> None:
        check_within("hue", self.hue, 0, 0.5)

    def apply(self, changes: Changes) -> None:
        angle, largest = (changes.uniform(HUE) * 2 - 1) * (2 * math.pi * self.hue), changes.largest

        def change(values: Tensor, rows: slice) -> Tensor:
            colour = values[:, :3]
            if colour.shape[1] == 3:
                colour.copy_(pixels.turn_hue(colour, angle[rows]).clamp_(0, largest))
            return values

        changes.pixels.append(change)


def _factor(changes: Changes, stream: int, amount: float) -> Tensor:
    """float [batch, 1, 1, 1] in 1 - amount .. 1 + amount, on the device of the pictures."""
    return (1 + (changes.uniform(stream) * 2 - 1) * amount).view(-1, 1, 1, 1).to(changes.device)
