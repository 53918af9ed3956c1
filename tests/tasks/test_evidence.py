"""What of a detector's output speaks for one object."""

import torch

from lensmith.tasks.detection import Detection
from lensmith.tasks.evidence import best_score, evidence_of_object
from lensmith.tasks.multitask import Multitask
from lensmith.tasks.segmentation import Segmentation
from lensmith.values.boxes import Boxes
from lensmith.values.semantic_mask import Mask


def boxes(*corners: tuple[float, float, float, float]) -> Boxes:
    return Boxes(torch.tensor(corners), torch.zeros(len(corners), dtype=torch.int64))


def test_an_object_is_spoken_for_by_the_point_whose_box_is_its():
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 4.0, 5.0]], requires_grad=True)
    corners = torch.tensor([[[0.0, 0, 4, 4], [10, 10, 14, 14], [10, 10, 15, 15]]] * 2)
    found = evidence_of_object(logits, corners, {"boxes": boxes((10, 10, 14, 14))})
    assert found.tolist() == [1.0, 4.0]    # the sigmoid of 2 times 0.64 is less than that of 1
    assert torch.autograd.grad(found.sum(), logits)[0].tolist() == [[0, 1, 0], [0, 1, 0]]
    assert evidence_of_object(logits, corners, None).tolist() == [3.0, 5.0]


def test_of_boxes_that_a_network_has_decided_the_best_score_counts():
    found = Boxes(torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 2], [8, 8, 9, 9]]), torch.tensor([1, 1, 0]),
                  torch.tensor([0.6, 0.9, 0.8]), torch.tensor([0, 0, 2]))
    assert best_score(found, 1, None).tolist() == [torch.tensor(0.9).item(), 0, 0]
    of = {"boxes": boxes((0, 0, 4, 4))}
    assert torch.allclose(Detection(("a", "b")).evidence(found, 1, of), torch.tensor([0.6, 0, 0]))
    nothing = found.chosen(found.classes == 7)
    assert best_score(nothing, 1, None).tolist() == [0]


def test_of_a_mask_the_pixels_of_the_class_count():
    scores = torch.arange(12.0).view(1, 3, 2, 2)
    task = Segmentation(("a", "b", "c"))
    assert task.evidence(scores, 1, {"mask": Mask(torch.tensor([[1, 0], [0, 1]]))}).tolist() == [(4 + 7) / 2]
    assert task.evidence(scores, 1, {"mask": Mask(torch.zeros(2, 2).long())}).tolist() == [5.5]    # none: of all


def test_of_several_targets_the_named_one_counts():
    assert "of" in Multitask.evidence.__annotations__
