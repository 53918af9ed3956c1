"""What counts as the same answer."""

import torch

from lensmith.ship.export.parity import Parity
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks, pack_bits
from lensmith.values.labels import Label, Numbers, Tags
from lensmith.values.semantic_mask import Mask


def boxes(corners: list[list[float]], classes: list[int], image: list[int]) -> Boxes:
    return Boxes(torch.tensor(corners).view(-1, 4), torch.tensor(classes, dtype=torch.int64), torch.ones(len(classes)),
                 torch.tensor(image, dtype=torch.int64))


def test_probabilities_and_the_first_answer():
    ours = Label(torch.tensor([0, 1]), torch.tensor([[0.6, 0.4], [0.3, 0.7]]))
    parity = Parity("label")
    parity.add(ours, Label(torch.tensor([0, 1]), torch.tensor([[0.6, 0.4], [0.3005, 0.6995]])))
    assert parity.agrees and abs(parity.largest - 0.0005) < 1e-6 and parity.agreement == 1
    parity.add(ours, Label(torch.tensor([1, 1]), torch.tensor([[0.49, 0.51], [0.3, 0.7]])))
    assert not parity.agrees and parity.agreement == 0.75
    assert parity.as_json()["answers"] == 4


def test_no_number_is_no_agreement():
    parity = Parity("tags")
    parity.add(Tags(torch.ones(1, 2), torch.ones(1, 2)), Tags(torch.ones(1, 2), torch.tensor([[1.0, torch.nan]])))
    assert parity.largest == float("inf") and not parity.agrees


def test_numbers_are_compared_as_fractions_of_the_largest():
    parity = Parity("numbers")
    parity.add(Numbers(torch.tensor([[1000.0, 0.0]])), Numbers(torch.tensor([[1000.5, 0.2]])))
    assert parity.agrees and abs(parity.largest - 5e-4) < 1e-6
    parity.add(Numbers(torch.tensor([[1000.0, 0.0]])), Numbers(torch.tensor([[1002.0, 0.0]])))
    assert not parity.agrees and parity.agreement == 0.75


def test_pixels():
    scores = torch.rand(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    ours = Mask(scores.argmax(1), scores)
    other = ours.classes.clone()
    other[0, 0, 0] = 1 - other[0, 0, 0]
    parity = Parity("mask")
    parity.add(ours, Mask(other, scores))
    assert parity.agreement == 15 / 16 and not parity.agrees


def test_boxes_are_sets():
    ours = boxes([[0, 0, 10, 10], [20, 20, 30, 30], [5, 5, 6, 6]], [0, 1, 1], [0, 0, 1])
    parity = Parity("boxes")
    parity.add(ours, boxes([[20, 20, 30, 30.02], [0, 0, 10, 10], [5, 5, 6, 6]], [1, 0, 1], [0, 0, 1]))
    assert parity.agreement == 1 and abs(parity.largest - 0.02) < 1e-5 and parity.agrees
    one = Parity("boxes")
    one.add(ours, boxes([[0, 0, 10, 10], [0, 0, 10, 10], [20, 20, 30, 33]], [0, 0, 1], [0, 0, 0]))
    assert one.same == 2 and one.answers == 6    # neither twice the same, nor where it lies elsewhere, nor elsewhere
    nothing = Parity("boxes")
    nothing.add(boxes([], [], []), boxes([], [], []))
    assert nothing.agreement == 1 and nothing.agrees
    nothing.add(boxes([], [], []), ours)
    assert nothing.agreement == 0


def test_masks_are_the_same_by_their_pixels_too():
    pixels = torch.zeros(1, 16, 16, dtype=torch.bool)
    pixels[:, :10, :10] = True

    def masks(inside: torch.Tensor) -> Masks:
        return Masks(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]), torch.ones(1), torch.tensor([0]),
                     bits=pack_bits(inside))

    near, far = pixels.clone(), pixels.clone()
    near[0, 0, 0], far[0, :5] = False, False
    for other, agreement in ((near, 1), (far, 0)):
        parity = Parity("masks")
        parity.add(masks(pixels), masks(other))
        assert parity.agreement == agreement
