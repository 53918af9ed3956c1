"""Boxes of a data set: unknown is a crowd over the whole picture for every class, a region that neither costs nor
counts."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import count
from lensmith.base.picture_headers import Header
from lensmith.data.sources.sample import Collection
from lensmith.values.boxes import Boxes


def spread(boxes: Boxes, rows: np.ndarray, headers: Sequence[Header | None], classes: int) -> Boxes:
    """`headers` give the sizes of the pictures, since the boxes are in the pixels of the files."""
    assert boxes.image is not None
    number, known_rows = len(boxes.classes), torch.from_numpy(rows)
    crowd = boxes.crowd if boxes.crowd is not None else torch.zeros(number, dtype=torch.bool)
    known_boxes = Boxes(boxes.corners, boxes.classes, image=known_rows[boxes.image], crowd=crowd, area=boxes.area)
    without = np.setdiff1d(np.arange(len(headers)), rows)
    readable = [(row, header) for row in without.tolist() if (header := headers[row]) is not None]
    edges = torch.tensor([[0, 0, header.width, header.height] for _, header in readable],
                         dtype=torch.float32).view(-1, 4)
    corners = edges.repeat_interleave(classes, 0)
    crowds = Boxes(corners, torch.arange(classes).repeat(len(readable)),
                   image=torch.tensor([row for row, _ in readable], dtype=torch.int64).repeat_interleave(classes),
                   crowd=torch.ones(len(corners), dtype=torch.bool),
                   area=None if boxes.area is None else corners[:, 2] * corners[:, 3])
    return known_boxes.join(crowds)


def known(source: Collection, target: str) -> np.ndarray:
    """Nothing is known of a picture where every class has one region, all of them crowds at the same place.

    Where boxes are the only target all are known, since pictures of which nothing is known are left out: such a region
    is then a crowd.
    """
    boxes, pictures = source.targets[target], len(source)
    assert isinstance(boxes, Boxes)
    if boxes.image is None or boxes.crowd is None or len(source.targets) == 1:
        return np.ones(pictures, dtype=bool)
    image, classes = boxes.image, len(source.classes[target])
    counts, crowds = torch.bincount(image, minlength=pictures), torch.bincount(image[boxes.crowd], minlength=pictures)
    first = torch.searchsorted(image, image)    # the first box of each box's picture
    elsewhere = torch.bincount(image[(boxes.corners != boxes.corners[first]).any(1)], minlength=pictures)
    different = torch.bincount(torch.unique(torch.stack((image, boxes.classes)), dim=1)[0], minlength=pictures)
    unknown = (counts == classes) & (crowds == classes) & (different == classes) & (elsewhere == 0)
    return np.asarray((~unknown).numpy())


def per_class(boxes: Boxes, classes: int) -> Tensor:
    """How many objects are of each class, without the crowds."""
    counting = boxes.classes if boxes.crowd is None else boxes.classes[~boxes.crowd]
    return torch.bincount(counting, minlength=classes)


def known_in_words(values: Sequence[Boxes], names: Sequence[str]) -> str:
    """`252 boxes of 3 classes`"""
    number = sum(int(per_class(boxes, len(names)).sum()) for boxes in values)
    return f"{count(number, 'box')} of {count(len(names), 'class')}"


def strata(source: Collection, targets: Sequence[str]) -> np.ndarray:
    """Of the classes in a picture the one that the fewest pictures show.

    All pictures without objects are one stratum, and all of which nothing is known another.
    """
    boxes, pictures = source.targets[targets[0]], len(source)
    assert isinstance(boxes, Boxes) and boxes.image is not None
    in_known = known(source, targets[0])
    boxes = boxes.chosen(torch.from_numpy(in_known)[boxes.image])
    assert boxes.image is not None
    image, classes = np.unique(np.stack((boxes.image.numpy(), boxes.classes.numpy())), axis=1)
    pictures_of = np.bincount(classes, minlength=1)    # by class
    order = np.lexsort((classes, pictures_of[classes], image))
    first = order[np.flatnonzero(np.diff(image[order], prepend=-1))]
    rarest = np.full(pictures, -1, dtype=np.int64)
    rarest[image[first]] = classes[first]
    rarest[~in_known] = -2
    return np.unique(rarest, return_inverse=True)[1]
