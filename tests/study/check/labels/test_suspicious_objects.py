"""Findings on boxes, masks and labels by a network that sees drawn pictures rightly, whatever is annotated."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lensmith.base.errors import DataError
from lensmith.data.batches.loader import Loader
from lensmith.data.sources.in_memory import InMemory, Numbered
from lensmith.engine.plan.plan import exact
from lensmith.study.check.known_set import KnownSet
from lensmith.study.check.labels.held_out import HeldOut
from lensmith.study.check.labels.suspicious_labels import suspicious_labels
from lensmith.study.check.labels.suspicious_objects import suspicious_boxes_of_run, suspicious_masks_of_run
from lensmith.tasks.classification import Classification
from lensmith.tasks.detection import Detection
from lensmith.tasks.segmentation import Segmentation
from lensmith.values.boxes import Boxes
from lensmith.values.labels import Label
from lensmith.values.semantic_mask import Mask

NAMES = ("ground", "square", "disc")
PICTURES, SIZE = 40, 32


def pictures() -> Tensor:
    """[n, 1, 32, 32]: a square of 12 pixels, whose value 100 or 200 says its class, on a ground of 0."""
    images = torch.zeros(PICTURES, 1, SIZE, SIZE, dtype=torch.uint8)
    for row in range(PICTURES):
        at = 4 + row % 12
        images[row, 0, at : at + 12, 8:20] = 100 * (1 + row % 2)
    return images


class Seeing(nn.Module):
    """Names each pixel by its value; or the whole picture, or its one object, by its lightest pixel."""

    def __init__(self, what: str):
        super().__init__()
        self.what = what

    def forward(self, images: Tensor) -> Tensor | Boxes:
        values = images.float()
        if self.what == "mask":
            return -(values - torch.tensor([0, 100, 200]).view(1, 3, 1, 1)).abs() / 20
        lightest = values.amax((1, 2, 3))
        if self.what == "label":
            return -(lightest[:, None] - torch.tensor([0, 100, 200])).abs() / 20
        corners = [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                   for rows, columns in (image[0].nonzero(as_tuple=True) for image in images)]
        return Boxes(torch.tensor(corners).float(), (lightest / 100).long(), torch.full((len(images),), 0.9),
                     torch.arange(len(images)))


def known(task: type, target: str, value: object) -> KnownSet:
    """A set with this annotation, and a run that sees its pictures rightly."""
    names = {target: NAMES}
    source = InMemory(pictures(), {target: value}, names,    # type: ignore[dict-item]
                      places=Numbered("drawn", (SIZE, SIZE), np.arange(PICTURES)))
    held_out = HeldOut("the run 7", Seeing(target), task(NAMES), {"valid": Loader(source, 16)},    # type: ignore[arg-type]
                       plan=exact(device="cpu"), classes=names)
    return KnownSet("drawn", {}, {"all": source}, {}, range(PICTURES), {"valid": np.arange(PICTURES)},    # type: ignore[arg-type]
                    held_out=held_out)


def truth() -> tuple[Tensor, Tensor]:
    """The corners and the classes of the objects."""
    at = 4 + torch.arange(PICTURES) % 12
    return torch.stack((torch.full_like(at, 8), at, torch.full_like(at, 20), at + 12), 1).float(), \
        1 + torch.arange(PICTURES) % 2


def test_boxes():
    corners, classes = truth()
    classes[3] = 1
    corners[6] += torch.tensor([8, 0, 8, 0])
    kept = torch.arange(PICTURES) != 9
    boxes = Boxes(corners, classes, image=torch.arange(PICTURES)).chosen(kept)
    (finding,) = suspicious_boxes_of_run(known(Detection, "boxes", boxes))
    assert (finding.check, finding.kind, finding.severity) == ("suspicious-boxes", "suspicious-box", "warning")
    assert finding.sentence == ("3 boxes are likely wrong or lacking: told by the run 7 from 40 pictures that it never "
                                "learned from")
    words = {one.pictures[0].row: (one.captions[0], len(one.boxes)) for one in finding.groups}
    assert words == {3: ("labelled square, rather disc", 2), 6: ("the box of a square lies beside what is seen", 2),
                     9: ("no box where a disc is seen", 1)}
    assert {picture.path for picture in finding.leave_out} == {"drawn#3", "drawn#6", "drawn#9"}


def test_masks():
    masks = (pictures()[:, 0].float() / 100).to(torch.uint8)
    masks[4] = torch.where(masks[4] > 0, 2, 0).to(torch.uint8)
    masks[11] = 0
    (finding,) = suspicious_masks_of_run(known(Segmentation, "mask", Mask(masks)))
    assert (finding.kind, finding.number) == ("suspicious-mask", 2)
    words = {one.pictures[0].row: (one.captions[0].partition(";")[0], one.boxes[0]) for one in finding.groups}
    assert words == {4: ("144 pixels of disc as the network has them, rather square", (8, 8, 20, 20)),
                     11: ("144 pixels of ground as the network has them, rather disc", (8, 15, 20, 27))}


def test_labels():
    classes = truth()[1]
    classes[5] = 1
    (finding,) = suspicious_labels(known(Classification, "label", Label(classes)))
    assert [one.pictures[0].row for one in finding.groups] == [5]
    assert finding.groups[0].captions[0].startswith("labelled square, rather disc")
    assert finding.sentence.endswith("told by the run 7 from 40 pictures that it never learned from")


def test_right_annotations_give_nothing():
    corners, classes = truth()
    boxes = Boxes(corners, classes, image=torch.arange(PICTURES))
    assert list(suspicious_boxes_of_run(known(Detection, "boxes", boxes))) == []
    assert list(suspicious_masks_of_run(known(Detection, "boxes", boxes))) == []


def test_a_picture_that_the_set_lacks():
    some = known(Classification, "label", Label(truth()[1]))
    with pytest.raises(DataError, match="the set has no picture 'else#1', which the run was asked about"):
        some.row_of("else#1")
