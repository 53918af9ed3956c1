"""Data sets that a Python user brings: anything with a length that gives (picture, label) pairs, or samples of ours."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lensmith.base.errors import DataError, choose
from lensmith.base.pictures import Fit, Form, Place, bring, refit
from lensmith.base.values import Label, Numbers, Tags, Value
from lensmith.data.memory import InMemory
from lensmith.data.sample import Sample
from lensmith.data.survey import given_size

_FORMS = "a uint8 or uint16 tensor [channels, height, width], such an array [height, width(, channels)], a Pillow " \
         "picture, or a float tensor in 0..1 as torchvision's ToTensor gives"


def given(dataset: Any, *, size: int | Sequence[int] | None = None, fit: Fit = "crop",
          held_out: bool = False) -> InMemory:
    """Every sample of the user's data set, read once, as a set in memory.

    A pair's second part may be a class number, or a vector of floats (several quantities). Class names come from
    `dataset.classes` where it has them. Pictures of several sizes are brought to `size`, one edge or (height, width),
    or to that of the first; `fit` is how another aspect ratio is met. What is `held_out` from training may show one
    class only. Raises DataError that says what came for which sample, and what is accepted; UserError for a size or
    fit that cannot be.
    """
    wanted = None if size is None else given_size(size)
    choose({"crop": 0, "pad": 0, "squash": 0}, fit, "pictures.fit")
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise DataError(f"a data set has a length and gives samples by number; got a {type(dataset).__name__}")
    if len(dataset) == 0:
        raise DataError("the data set is empty")
    samples = [_sample(dataset[i], i) for i in range(len(dataset))]
    first = samples[0].image
    height, width = wanted or (first.shape[1], first.shape[2])
    form = Form(first.shape[0], height, width, fit, bits=16 if first.dtype == torch.uint16 else 8)
    images = torch.stack([_fitted(sample.image, form, i) for i, sample in enumerate(samples)])
    targets = _stacked(samples)
    names = _names(dataset, targets, held_out=held_out)
    return InMemory(images, targets, names, places=[sample.place for sample in samples])


def _sample(item: Any, i: int) -> Sample:
    if isinstance(item, Sample):
        return replace(item, image=_picture(item.image, i))
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
        if image.dtype in (torch.uint8, torch.uint16):
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
    return image if image.shape[1:] == form.size and image.dtype == form.dtype else refit(image, form)


def _stacked(samples: Sequence[Sample]) -> dict[str, Value]:
    names = set(samples[0].targets)
    for i, sample in enumerate(samples):
        if set(sample.targets) != names:
            raise DataError(f"sample {i} gives {sorted(sample.targets)}, sample 0 gives {sorted(names)}")
    return {name: type(value).stack([sample.targets[name] for sample in samples])
            for name, value in samples[0].targets.items()}


def _names(dataset: Any, targets: dict[str, Value], *, held_out: bool) -> dict[str, tuple[str, ...]]:
    """The class names by target, those of the data set where it has them."""
    own = getattr(dataset, "classes", None)
    found: dict[str, tuple[str, ...]] = {}
    for name, value in targets.items():
        one = own.get(name) if isinstance(own, dict) else own
        listed = tuple(str(word) for word in one) if isinstance(one, list | tuple) else ()
        if isinstance(value, Numbers) and not (isinstance(own, dict) and listed):
            listed = tuple(f"number{i}" for i in range(value.values.shape[1]))
        columns = value.values if isinstance(value, Numbers) else value.present if isinstance(value, Tags) else None
        if isinstance(value, Label):
            found[name] = _label_names(value, listed, held_out=held_out)
        elif listed and (columns is None or columns.shape[1] == len(listed)):
            found[name] = listed
        elif columns is not None and listed:
            raise DataError(f"the data set names {len(listed)} {name} ({', '.join(listed)}), but its samples have "
                            f"{columns.shape[1]}")
        else:
            raise DataError(f"the data set names no classes of its target {name!r}: give it an attribute classes, as "
                            f"{{{name!r}: (\"one\", \"two\")}}")
    return found


def _label_names(label: Label, listed: tuple[str, ...], *, held_out: bool) -> tuple[str, ...]:
    least, most = int(label.index.min()), int(label.index.max())
    if (listed and most >= len(listed)) or least < 0:
        raise DataError(f"the data set names {len(listed)} classes, but its labels run from {least} to {most}")
    names = listed or tuple(str(i) for i in range(most + 1))
    if len(names) < 2 and not held_out:
        raise DataError(f"the data set has one class only, {names[0]!r}: to tell classes apart takes at least two")
    return names
