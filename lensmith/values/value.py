"""What every value, the truth or the prediction of a picture, can do.

A stack of values is a value of the same type: every tensor then has one leading axis more, `[batch, ...]`. Boxes have
`image` instead, the number of the picture that each belongs to.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from lensmith.base.errors import UserError
from lensmith.base.pictures import Place


@dataclass(frozen=True)
class Value:
    """The operations that every value shares; the plain ones are right for what does not depend on geometry."""

    kind: ClassVar[str]               # the word by which recipes, run folders and the tables of each floor know it
    spatial: ClassVar[bool] = False   # whether it says where something is, so that it moves with the pixels

    def _tensors(self) -> dict[str, Tensor]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: tensor for name, tensor in values.items() if tensor is not None}

    def to(self, device: torch.device | str) -> Self:
        return replace(self, **{name: to_device(tensor, device) for name, tensor in self._tensors().items()})

    @classmethod
    def stack(cls, values: Sequence[Self]) -> Self:
        """Single values, one a picture -> one stacked value."""
        names = values[0]._tensors()
        return cls(**{name: torch.stack([getattr(value, name) for value in values]) for name in names})

    def take(self, rows: Tensor) -> Self:
        """The pictures `rows` (int64 [k]) of a stacked value, in that order."""
        return replace(self, **{name: tensor[rows] for name, tensor in self._tensors().items()})

    def __getitem__(self, row: int) -> Self:
        """One picture's value out of a stacked one."""
        return replace(self, **{name: tensor[row] for name, tensor in self._tensors().items()})

    def flip(self, width: int) -> Self:
        """The value of the picture mirrored left to right; `width` in pixels."""
        return self

    def warp(self, matrix: Tensor, size: tuple[int, int]) -> Self:
        """A stacked value after each picture's own affine map.

        `matrix` float [batch, 2, 3] takes source pixels (x, y, 1) to target pixels; `size` is the target's
        (height, width).
        """
        return self

    def in_files(self, fits: Tensor, sizes: Tensor) -> Self:
        """A stacked value of the network's pictures as one of the files that they came from.

        `fits` float [batch, 4] as of Place.fit; `sizes` float [batch, 2], each file's height and width.
        """
        return self

    def in_file(self, place: Place, size: tuple[int, int]) -> Self:
        """A single value, brought to its file's pixels by `in_files`, as one of the file's own size.

        `size` (height, width) is that of the network's picture, which what covers the whole picture still has.
        """
        return self

    def compact(self, *, scores: bool) -> Self:
        """The value in as little memory as its answer takes; labels and tags keep the `scores` of all classes if so
        asked."""
        return self

    def renumbered(self, numbers: Tensor, classes: int) -> Self:
        """A stacked value whose class i is `numbers[i]` (int64 [own classes]) among so many `classes`.

        Nothing is known of the classes that are not among its own.
        """
        raise NotImplementedError

    def mix(self, other: Self, fraction: Tensor, classes: int) -> Self:
        """A stacked value blended with another: the fraction `fraction` float [batch] of self, the rest of `other`."""
        raise UserError(f"mixup and cutmix blend labels, tags and numbers; a {self.kind} target "
                        "cannot be blended: set augment.mixup=0 and augment.cutmix=0")

    def as_json(self, names: Sequence[str]) -> dict[str, Any]:
        """A single value as plain data; `names` are the classes."""
        raise NotImplementedError


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on `device`. To CUDA it goes through page-locked memory, so that neither side waits for the copy."""
    if tensor.device.type == "cpu" and torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


