"""Data sets that a Python user brings: objects with a length that give pictures with labels or boxes, or samples."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lensmith.base.errors import DataError, choose
from lensmith.base.picture_headers import Header
from lensmith.base.pictures import Fit, Form, Place, bring, fit_after, fit_of, refit
from lensmith.data.formats.boxes.annotations import Tally, usable_boxes
from lensmith.data.formats.class_names import check_names
from lensmith.data.sources.in_memory import InMemory
from lensmith.data.sources.kinds.target_kind import fit_matrices
from lensmith.data.sources.picture_form import Survey, given_size, settle_form
from lensmith.data.sources.sample import Sample
from lensmith.values import OBJECTS, of_kind
from lensmith.values.box_arithmetic import area
from lensmith.values.boxes import Boxes
from lensmith.values.labels import UNKNOWN, Label, Numbers, Tags
from lensmith.values.value import Value

_ACCEPTED_PICTURES = "a uint8 or uint16 tensor [channels, height, width], such an array [height, width(, channels)], " \
                     "a Pillow picture, or a float tensor in 0..1 as torchvision's ToTensor gives"
_ACCEPTED_BOXES = '{"boxes": [n, 4] of x0 y0 x1 y1 in pixels, "labels": [n] of class numbers}'


def read_dataset(dataset: Any, *, size: int | Sequence[int] | None = None, fit: Fit | None = None,
                 held_out: bool = False, tally: Tally | None = None) -> InMemory:
    """Every sample of the user's data set, read once, as a set in memory.

    A sample is a pair of a picture and a target, or a Sample. The target is a class number, a vector of floats (several
    quantities), or a dictionary with `boxes` and `labels` as torchvision's detectors take it, of which `iscrowd` and
    `area` are read as well. Class names are those of `dataset.classes`, where it has this attribute. Raises DataError
    that says what came for which sample and what is accepted, UserError for a wrong size or fit.

    - `size`: the form that pictures of several sizes are brought to, one edge or (height, width) in pixels; by default
      the size of the first picture, with boxes the size that files would be brought to.
    - `fit`: how another aspect ratio is met, crop, pad or squash; by default pad with boxes, else crop.
    - `held_out`: whether the set is not learned from; it may then show a single class.
    - `tally`: counts the boxes that were cut at the edge or left out.
    """
    size_given = None if size is None else given_size(size)
    choose({"crop": 0, "pad": 0, "squash": 0}, fit or "crop", "pictures.fit")
    if isinstance(dataset, Mapping):
        raise DataError(f"a data set gives samples by number; got a {type(dataset).__name__} with "
                        f"{', '.join(map(str, list(dataset)[:5])) or 'nothing'}: pass its training split, and others "
                        "as valid= and test=")
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise DataError(f"a data set has a length and gives samples by number; got a {type(dataset).__name__}")
    if len(dataset) == 0:
        raise DataError("the data set is empty")
    samples = [_sample(dataset[i], i) for i in range(len(dataset))]
    form = _form(samples, size_given, fit)
    images = torch.stack([_fitted(sample.image, form, i) for i, sample in enumerate(samples)])
    steps = [fit_of((sample.image.shape[1], sample.image.shape[2]), form) for sample in samples]
    places = [replace(sample.place, fit=fit_after(sample.place.fit, step))
              for sample, step in zip(samples, steps, strict=True)]
    targets = _stacked(samples)
    for name in of_kind(targets, *OBJECTS):
        targets[name] = _in_form(targets[name], samples, steps, form, tally if tally is not None else Tally())
    names = _names(dataset, targets, held_out=held_out)
    return InMemory(images, targets, names, places=places)


def _form(samples: Sequence[Sample], size: tuple[int, int] | None, fit: Fit | None) -> Form:
    """The form of the set: that of the first picture; with boxes the size follows from all pictures."""
    first = samples[0].image
    bits = 16 if first.dtype == torch.uint16 else 8
    if not of_kind(samples[0].targets, *OBJECTS):
        height, width = size or (first.shape[1], first.shape[2])
        return Form(first.shape[0], height, width, fit or "crop", bits)
    headers: list[Header | None] = [Header(sample.image.shape[1], sample.image.shape[2], gray=False, deep=False)
                                    for sample in samples]
    return settle_form([Survey(headers, [])], size=size, channels=first.shape[0], bits=bits, fit=fit or "pad")


def _sample(item: Any, i: int) -> Sample:
    if isinstance(item, Sample):
        return replace(item, image=_picture(item.image, i))
    if not isinstance(item, Sequence) or len(item) != 2:
        raise DataError(f"sample {i} must be a pair (picture, label); got a {type(item).__name__}")
    image, target = item
    picture = _picture(image, i)
    return Sample(picture, _target(target, i), Place(f"#{i}", (picture.shape[1], picture.shape[2])))


def _picture(image: Any, i: int) -> Tensor:
    """A picture as uint8 or uint16 [channels, height, width]; raises DataError."""
    if isinstance(image, Image.Image):
        gray = image.mode in ("1", "L")
        return bring(image, Form(1 if gray else 3, image.height, image.width))[0]
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(image[:, :, None] if image.ndim == 2 else image).permute(2, 0, 1)
    if isinstance(image, Tensor) and image.ndim == 3 and image.shape[0] in (1, 3, 4):
        if image.dtype in (torch.uint8, torch.uint16):
            return image.contiguous()
        if image.is_floating_point() and float(image.min()) >= 0 and float(image.max()) <= 1:
            return (image * 255).round().to(torch.uint8)    # exactly what ToTensor was given
    came = f"{image.dtype} {tuple(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
    raise DataError(f"sample {i}: the picture is {came}; accepted are {_ACCEPTED_PICTURES}. The network "
                    "standardises by itself: leave Normalize out")


def _target(target: Any, i: int) -> dict[str, Value]:
    if isinstance(target, dict) and all(isinstance(value, Value) for value in target.values()):
        return target
    if isinstance(target, dict) and "boxes" in target:
        return {"boxes": _boxes(target, i)}
    number = torch.as_tensor(target) if isinstance(target, int | float | np.ndarray | np.generic | Tensor) else None
    if number is None:
        raise DataError(f"sample {i}: the target is a {type(target).__name__}; accepted are a class number, floats, or "
                        f"{_ACCEPTED_BOXES}")
    if number.is_floating_point():
        return {"numbers": Numbers(number.float().reshape(-1))}
    if number.numel() != 1:
        raise DataError(f"sample {i}: the target has {number.numel()} whole numbers; accepted is one class number, or "
                        "floats for regression")
    return {"label": Label(number.long().reshape(()))}


def _boxes(target: dict[str, Any], i: int) -> Boxes:
    """The boxes of a dictionary, in the pixels of their picture; raises DataError."""
    if "labels" not in target:
        raise DataError(f"sample {i}: the target holds {', '.join(map(repr, target))}; accepted is {_ACCEPTED_BOXES}")
    form = getattr(getattr(target["boxes"], "format", None), "name", "XYXY")    # of torchvision's BoundingBoxes
    if form != "XYXY":
        raise DataError(f"sample {i}: the boxes are {form}; accepted are corners, XYXY, as "
                        "torchvision.ops.box_convert gives them")
    corners = _column(target["boxes"], "boxes", i).double()
    labels = _column(target["labels"], "labels", i)
    corners = corners.reshape(0, 4) if not corners.numel() else corners
    count = len(corners)
    if corners.ndim != 2 or corners.shape[1] != 4:
        raise DataError(f"sample {i}: the boxes are {tuple(corners.shape)} numbers; accepted is {_ACCEPTED_BOXES}")
    if labels.shape != (count,) or (count and (labels.is_floating_point() or int(labels.min()) < 0)):
        raise DataError(f"sample {i}: {count} boxes have the labels {labels.tolist()!s:.60}; accepted is a class "
                        "number for each, from 0")
    if not bool(corners.isfinite().all()):
        raise DataError(f"sample {i}: the boxes hold a number that is not finite")
    crowd, areas = (_column(target[name], name, i) if name in target else None for name in ("iscrowd", "area"))
    for name, value in (("iscrowd", crowd), ("area", areas)):
        if value is not None and value.numel() != count:
            raise DataError(f"sample {i}: {count} boxes have {value.numel()} numbers {name}")
    return Boxes(corners, labels.long(), crowd=None if crowd is None else crowd.bool().reshape(-1),
                 area=None if areas is None else areas.float().reshape(-1))


def _column(values: Any, name: str, i: int) -> Tensor:
    try:
        return torch.as_tensor(values).detach().cpu().as_subclass(Tensor)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"sample {i}: {name} are a {type(values).__name__} that is no list of numbers; accepted is "
                        f"{_ACCEPTED_BOXES}") from error


def _in_form(boxes: Value, samples: Sequence[Sample], steps: Sequence[tuple[float, float, float, float]], form: Form,
             tally: Tally) -> Boxes:
    """Stacked boxes, brought from the pixels of the samples to those of the form; boxes without area are left out."""
    assert isinstance(boxes, Boxes) and boxes.image is not None and boxes.crowd is not None and boxes.area is not None
    sizes = np.array([sample.image.shape[1:] for sample in samples], dtype=np.int64)
    if len(boxes.corners) and float(boxes.corners.max()) <= 1 < sizes.min():
        raise DataError("all boxes lie within the first pixel of their pictures; accepted are corners in pixels, not "
                        "fractions of the width and height")
    image = boxes.image.numpy()
    edges = np.tile(sizes[image][:, ::-1], 2).astype(np.float64)
    inside, rows = usable_boxes(boxes.corners.double().numpy(), edges, image, boxes.classes.numpy(),
                                boxes.crowd.numpy(), tally=tally, name=lambda row: samples[row].place.file)
    corners, kept = torch.from_numpy(inside), torch.from_numpy(rows)
    areas = None if bool(boxes.area.isnan().all()) else \
        torch.where(boxes.area[kept].isnan(), area(corners), boxes.area[kept])
    usable = Boxes(corners, boxes.classes[kept], image=boxes.image[kept], crowd=boxes.crowd[kept], area=areas)
    return usable.warp(fit_matrices(torch.tensor(steps)), form.size)


def _fitted(image: Tensor, form: Form, i: int) -> Tensor:
    if image.shape[0] != form.channels:
        raise DataError(f"sample {i} has {image.shape[0]} channels, sample 0 has {form.channels}: make them alike")
    return image if image.shape[1:] == form.size and image.dtype == form.dtype else refit(image, form)


def _stacked(samples: Sequence[Sample]) -> dict[str, Value]:
    names = set(samples[0].targets)
    for i, sample in enumerate(samples):
        if set(sample.targets) != names:
            raise DataError(f"sample {i} gives {sorted(sample.targets)}, sample 0 gives {sorted(names)}")
    return {name: type(value).stack([_with_all_fields(sample.targets[name]) for sample in samples])
            for name, value in samples[0].targets.items()}


def _with_all_fields(value: Value) -> Value:
    """Boxes with a crowd and an area for each, so that they can be stacked, NaN where the area is not given; any other
    value as it is."""
    if not isinstance(value, Boxes):
        return value
    count = len(value.classes)
    return Boxes(value.corners.double(), value.classes,
                 crowd=torch.zeros(count, dtype=torch.bool) if value.crowd is None else value.crowd,
                 area=torch.full((count,), math.nan) if value.area is None else value.area.float())


def _names(dataset: Any, targets: dict[str, Value], *, held_out: bool) -> dict[str, tuple[str, ...]]:
    """The class names by target, those of the data set where it has them; raises DataError."""
    attribute = _listed_classes(dataset)
    names: dict[str, tuple[str, ...]] = {}
    for name, value in targets.items():
        classes = attribute.get(name) if isinstance(attribute, dict) else attribute
        listed = tuple(str(word) for word in classes) if isinstance(classes, list | tuple) else ()
        if value.kind == "numbers" and not isinstance(attribute, dict):
            listed = ()    # one list of names is that of classes
        names[name] = _NAMES.get(value.kind, _listed_names)(name, value, listed, held_out=held_out,
                                                            alone=len(targets) == 1)
    return names


def _listed_classes(dataset: Any) -> Any:
    """The attribute `classes` of a data set, or of those that it is a part of, as Subset and random_split, or that it
    joins, as ConcatDataset; None where it has none. Raises DataError where joined sets name other classes."""
    inner = dataset
    while getattr(inner, "classes", None) is None and getattr(inner, "dataset", None) is not None:
        inner = inner.dataset
    joined = getattr(inner, "datasets", None)
    if getattr(inner, "classes", None) is not None or not isinstance(joined, list | tuple):
        return getattr(inner, "classes", None)
    several = [_listed_classes(one) for one in joined]
    if any(classes != several[0] for classes in several):
        raise DataError(f"the data sets that are joined name different classes: {'; '.join(map(str, several))[:200]}")
    return several[0] if several else None


def _listed_names(name: str, value: Value, listed: tuple[str, ...], *, held_out: bool,
                  alone: bool) -> tuple[str, ...]:
    if not listed:
        raise DataError(f"the data set names no classes of its target {name!r}: give it an attribute classes, as "
                        f"{{{name!r}: (\"one\", \"two\")}}")
    return listed


def _tag_names(name: str, tags: Value, listed: tuple[str, ...], *, held_out: bool, alone: bool) -> tuple[str, ...]:
    assert isinstance(tags, Tags)
    return _names_of_columns(name, _listed_names(name, tags, listed, held_out=held_out, alone=alone), tags.present)


def _number_names(name: str, numbers: Value, listed: tuple[str, ...], *, held_out: bool,
                  alone: bool) -> tuple[str, ...]:
    assert isinstance(numbers, Numbers)
    columns = numbers.values.shape[1]
    return _names_of_columns(name, listed or tuple(f"number{i}" for i in range(columns)), numbers.values)


def _names_of_columns(name: str, listed: tuple[str, ...], columns: Tensor) -> tuple[str, ...]:
    if columns.shape[1] != len(listed):
        raise DataError(f"the data set names {len(listed)} {name} ({', '.join(listed)}), but its samples have "
                        f"{columns.shape[1]}")
    return listed


def _box_names(name: str, boxes: Value, listed: tuple[str, ...], *, held_out: bool, alone: bool) -> tuple[str, ...]:
    assert isinstance(boxes, Boxes)
    if not len(boxes.classes):
        if not held_out:
            raise DataError("no sample of the data set has a box that lies in its picture: there is nothing to learn")
        return listed
    most = int(boxes.classes.max())
    if listed and most >= len(listed):
        raise DataError(f"the data set names {len(listed)} classes, but its labels run up to {most}; the first is 0")
    names = listed or tuple(str(i) for i in range(most + 1))
    check_names(names, "the data set")
    return names


def _label_names(name: str, label: Value, listed: tuple[str, ...], *, held_out: bool, alone: bool) -> tuple[str, ...]:
    """The names of the classes; no label may be below 0, or, beside other targets, below UNKNOWN."""
    assert isinstance(label, Label)
    least = 0 if alone else UNKNOWN
    first, most = int(label.index.min()), int(label.index.max())
    if (listed and most >= len(listed)) or first < least:
        raise DataError(f"the data set names {len(listed)} classes, but its labels run from {first} to {most}")
    names = listed or tuple(str(i) for i in range(most + 1))
    if len(names) < 2 and not held_out:
        raise DataError(f"the data set has one class only, {names[0]!r}: to tell classes apart takes at least two")
    return names


# By the kind of the target; the names of any other kind are those that the data set lists.
_NAMES = {"label": _label_names, "tags": _tag_names, "numbers": _number_names, "boxes": _box_names,
          "masks": _box_names}
