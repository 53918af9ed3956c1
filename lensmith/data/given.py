"""Data sets that a Python user brings: anything with a length that gives (picture, label) pairs, or samples of ours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lensmith.base.errors import DataError
from lensmith.base.pictures import Form, Place, bring
from lensmith.base.values import Label, Numbers, Value
from lensmith.data.memory import InMemory
from lensmith.data.sample import Sample

_FORMS = "a uint8 tensor [channels, height, width], a uint8 array [height, width(, channels)], a Pillow picture, or " \
         "a float tensor in 0..1 as torchvision's ToTensor gives"


def given(dataset: Any, *, size: tuple[int, int] | None = None) -> InMemory:
    """Every sample of the user's data set, read once, as a set in memory.

    A pair's second part may be a class number, or a vector of floats (several quantities). Class names come from
    `dataset.classes` where it has them. Pictures of several sizes are brought to `size`, or to that of the first.
    Raises DataError that says what came for which sample, and what is accepted.
    """
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise DataError(f"a data set has a length and gives samples by number; got a {type(dataset).__name__}")
    if len(dataset) == 0:
        raise DataError("the data set is empty")
    samples = [_sample(dataset[i], i) for i in range(len(dataset))]
    channels = samples[0].image.shape[0]
    size = size or (samples[0].image.shape[1], samples[0].image.shape[2])
    form = Form(channels, *size)
    images = torch.stack([_fitted(sample.image, form, i) for i, sample in enumerate(samples)])
    targets = _stacked(samples)
    return InMemory(images, targets, _names(dataset, targets), places=[sample.place for sample in samples])


def _sample(item: Any, i: int) -> Sample:
    if isinstance(item, Sample):
        return item
    if not isinstance(item, Sequence) or len(item) != 2:
        raise DataError(f"sample {i} must be a pair (picture, label); got a {type(item).__name__}")
    image, target = item
    return Sample(_picture(image, i), _target(target, i), Place(f"#{i}", (0, 0)))


def _picture(image: Any, i: int) -> Tensor:
    if isinstance(image, Image.Image):
        gray = image.mode in ("1", "L")
        return bring(image, Form(1 if gray else 3, image.height, image.width))[0]
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(image[:, :, None] if image.ndim == 2 else image).permute(2, 0, 1)
    if isinstance(image, Tensor) and image.ndim == 3 and image.shape[0] in (1, 3, 4):
        if image.dtype == torch.uint8:
            return image.contiguous()
        if image.is_floating_point() and float(image.min()) >= 0 and float(image.max()) <= 1:
            return (image * 255).round().to(torch.uint8)    # undoes ToTensor exactly
    came = f"{image.dtype} {tuple(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
    raise DataError(f"sample {i}: the picture is {came}; accepted are {_FORMS}. The network standardises by itself: "
                    "leave Normalize out")


def _target(target: Any, i: int) -> dict[str, Value]:
    if isinstance(target, dict) and all(isinstance(value, Value) for value in target.values()):
        return target
    number = torch.as_tensor(target) if isinstance(target, int | float | np.ndarray | np.generic | Tensor) else None
    if number is None:
        raise DataError(f"sample {i}: the target is a {type(target).__name__}; accepted are a class number or floats")
    if number.is_floating_point():
        return {"numbers": Numbers(number.float().reshape(-1))}
    if number.numel() != 1:
        raise DataError(f"sample {i}: the target has {number.numel()} whole numbers; accepted is one class number, or "
                        "floats for regression")
    return {"label": Label(number.long().reshape(()))}


def _fitted(image: Tensor, form: Form, i: int) -> Tensor:
    if image.shape[0] != form.channels:
        raise DataError(f"sample {i} has {image.shape[0]} channels, sample 0 has {form.channels}: make them alike")
    if image.shape[1:] == form.size:
        return image
    array = image.permute(1, 2, 0).numpy()
    return bring(Image.fromarray(array[:, :, 0] if form.channels == 1 else np.ascontiguousarray(array)), form)[0]


def _stacked(samples: Sequence[Sample]) -> dict[str, Value]:
    names = set(samples[0].targets)
    for i, sample in enumerate(samples):
        if set(sample.targets) != names:
            raise DataError(f"sample {i} gives {sorted(sample.targets)}, sample 0 gives {sorted(names)}")
    return {name: type(value).stack([sample.targets[name] for sample in samples])
            for name, value in samples[0].targets.items()}


def _names(dataset: Any, targets: dict[str, Value]) -> dict[str, tuple[str, ...]]:
    own = getattr(dataset, "classes", None)
    if isinstance(own, dict):
        return {name: tuple(names) for name, names in own.items()}
    found: dict[str, tuple[str, ...]] = {}
    for name, value in targets.items():
        if isinstance(value, Label):
            count = int(value.index.max()) + 1
            listed = tuple(str(one) for one in own) if isinstance(own, list | tuple) else ()
            if (listed and len(listed) < count) or int(value.index.min()) < 0:
                raise DataError(f"the data set names {len(listed)} classes, but its labels run from "
                                f"{int(value.index.min())} to {count - 1}")
            found[name] = listed or tuple(str(i) for i in range(count))
        elif isinstance(value, Numbers):
            found[name] = tuple(f"number{i}" for i in range(value.values.shape[1]))
    return found
