"""The tensors of a file as values, and what is no answer."""

import pytest
import torch
from torch import Tensor

from lensmith.base.errors import ModelError
from lensmith.ship.runtimes.file_facts import TargetFacts
from lensmith.ship.runtimes.named_tensors import value_in
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks

OBJECTS = TargetFacts("boxes", ("cat", "dog"), 0.001, 0.25, 0.6, 3)


def found() -> dict[str, Tensor]:
    """Two pictures: the first with two objects, the second with one."""
    return {"boxes": torch.arange(24.0).view(2, 3, 4), "boxes_classes": torch.tensor([[1, 0, -1], [0, -1, -1]]),
            "boxes_scores": torch.tensor([[0.9, 0.1, 0.0], [0.5, 0.0, 0.0]]), "boxes_count": torch.tensor([2, 1])}


def test_rows_behind_the_last_object_are_left_out():
    value = value_in(found(), "boxes", OBJECTS)
    assert isinstance(value, Boxes) and value.image is not None and value.scores is not None
    assert value.image.tolist() == [0, 0, 1] and value.classes.tolist() == [1, 0, 0]
    assert value.corners[2].tolist() == [12, 13, 14, 15]
    shown = value_in(found(), "boxes", OBJECTS, threshold=0.25)
    assert isinstance(shown, Boxes) and shown.scores is not None and shown.scores.tolist() == pytest.approx([0.9, 0.5])


def test_masks_have_their_pixels_and_for_files_their_margins():
    named = {name.replace("boxes_", "masks_"): tensor for name, tensor in found().items() if name != "boxes"}
    pixels = torch.zeros(2, 3, 4, 8, dtype=torch.uint8)
    pixels[1, 0, 2, 5] = 1
    named |= {"masks": pixels, "masks_boxes": found()["boxes"], "masks_margins": torch.ones(2, 3, 2, 2)}
    target = TargetFacts("masks", ("cat", "dog"), 0.001, 0.25, 0.6, 3)
    value = value_in(named, "masks", target)
    assert isinstance(value, Masks) and value.margins is None and value.mask(2).nonzero().tolist() == [[2, 5]]
    kept = value_in(named, "masks", target, for_files=True)
    assert isinstance(kept, Masks) and kept.margins is not None and kept.margins.shape == (3, 2, 2)


def test_tags_are_present_from_their_threshold_on():
    value = value_in({"t": torch.tensor([[0.4, 0.6]])}, "t", TargetFacts("tags", ("a", "b"), 0.5))
    assert value.present.tolist() == [[0, 1]]    # type: ignore[attr-defined]


@pytest.mark.parametrize(("change", "text"), [
    ({"boxes_count": None}, "gives no output 'boxes_count', which its target 'boxes' has: export the run again"),
    ({"boxes": torch.zeros(2, 3, 5)}, "output 'boxes' has shape 2 x 3 x 5, and its target says batch x 3 x 4"),
    ({"boxes_scores": torch.zeros(2, 9)}, "output 'boxes_scores' has shape 2 x 9, and its target says batch x 3:"),
])
def test_other_tensors_are_refused(change: dict[str, Tensor | None], text: str):
    tensors = {name: tensor for name, tensor in (found() | change).items() if tensor is not None}
    with pytest.raises(ModelError, match=text):
        value_in(tensors, "boxes", OBJECTS)
