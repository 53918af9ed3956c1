"""A file that fits pictures itself in the place of a network: one picture at a time, answers in its own pixels."""

from typing import Any

import torch
from torch import Tensor

from lensmith.base.pictures import Form
from lensmith.ship.runtimes.file_facts import FileFacts, TargetFacts
from lensmith.ship.runtimes.file_network import FileNetwork, FileTask
from lensmith.tasks.instances import Instances
from lensmith.tasks.segmentation import Segmentation
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks
from lensmith.values.semantic_mask import Mask

NAMES = ("a", "b")
FORM = Form(3, 32, 32, fit="pad")


def facts_of(kind: str, **about: Any) -> FileFacts:
    return FileFacts({kind: TargetFacts(kind, NAMES, **about)}, FORM, False, {"name": "any"}, None, "0",
                     fits_inside=True)


def objects(picture: Tensor) -> dict[str, Tensor]:
    """As many objects as the first pixel says, each the upper left quarter of its picture."""
    count, (height, width) = int(picture[0, 0, 0, 0]), picture.shape[2:]
    masks = torch.zeros(1, count, height, width, dtype=torch.uint8)
    masks[:, :, : height // 2, : width // 2] = 1
    corners, classes, scores = torch.zeros(1, 3, 4), torch.full((1, 3), -1), torch.zeros(1, 3)
    corners[0, :count] = torch.tensor([0.0, 0.0, width / 2, height / 2])
    classes[0, :count], scores[0, :count] = 1, 0.9
    return {"masks": masks, "masks_boxes": corners, "masks_classes": classes, "masks_scores": scores,
            "masks_count": torch.tensor([count])}


def test_each_picture_has_as_many_masks_as_it_has_objects():
    facts = facts_of("masks", threshold=0.05, shown=0.25, overlap=0.5, most=3)
    pictures = torch.zeros(2, 3, 16, 64, dtype=torch.uint8)    # fitted to 8 x 32, in the middle of 32 x 32
    pictures[0], pictures[1] = 2, 1
    output = FileNetwork(objects, facts)(pictures)
    assert output["masks"].shape == (2, 2, 16, 64) and not output["masks"][1, 1].any()

    task = FileTask(Instances(NAMES), facts)
    shown = task.with_thresholds(None, None).decode(output)["masks"]    # for the files
    assert isinstance(shown, Masks) and shown.image is not None and shown.image.tolist() == [0, 0, 1]
    assert shown.bits.shape == (3, 16, 8) and shown.corners.tolist() == [[0, 0, 32, 8]] * 3
    measured = task.decode(output)["masks"]    # in the form's pixels
    assert isinstance(measured, Masks) and measured.corners.tolist() == [[0, 12, 16, 16]] * 3
    assert measured.bits.shape == (3, 32, 4) and measured.pixels()[0].nonzero().amin(0).tolist() == [12, 0]
    assert measured.pixels()[0].nonzero().amax(0).tolist() == [15, 15]

    pictures[:] = 0    # no objects
    nothing = task.decode(FileNetwork(objects, facts)(pictures))["masks"]
    assert isinstance(nothing, Boxes) and not len(nothing.classes)


def test_a_mask_is_measured_in_the_pixels_of_the_form():
    def halves(picture: Tensor) -> dict[str, Tensor]:
        mask = torch.zeros(1, *picture.shape[2:], dtype=torch.uint8)
        mask[:, :, picture.shape[3] // 2 :] = 1
        return {"mask": mask}

    facts = facts_of("mask")
    output = FileNetwork(halves, facts)(torch.zeros(1, 3, 16, 64, dtype=torch.uint8))
    task = FileTask(Segmentation(NAMES), facts)
    shown, measured = task.with_thresholds(None, None).decode(output)["mask"], task.decode(output)["mask"]
    assert isinstance(shown, Mask) and shown.classes.shape == (1, 16, 64)
    assert isinstance(measured, Mask) and measured.classes.shape == (1, 32, 32)
    assert measured.classes[0, 16].tolist() == [0] * 16 + [1] * 16 and (measured.classes[0, :12] == 255).all()
