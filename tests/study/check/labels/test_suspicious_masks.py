"""Masks of which a part is wrong, and the soft minimum against cleanlab's."""

import numpy as np
import pytest
import torch

from lensmith.study.check.labels.suspicious_masks import ClassConfidence, soft_minimum, suspicious_part
from lensmith.values.semantic_mask import IGNORED


def seen(mask: torch.Tensor, classes: int = 3, sure: float = 0.9) -> torch.Tensor:
    """The probabilities of a network that sees this mask."""
    rest = (1 - sure) / (classes - 1)
    return torch.nn.functional.one_hot(mask.long(), classes).permute(2, 0, 1).float() * (sure - rest) + rest


def square(value: int, *, at: int = 8, edge: int = 16) -> torch.Tensor:
    mask = torch.zeros(48, 48, dtype=torch.uint8)
    mask[at : at + edge, at : at + edge] = value
    return mask


THRESHOLDS = torch.tensor([0.8, 0.8, 0.8])


def test_a_right_mask_is_not_suspicious_and_neither_is_an_outline():
    assert suspicious_part(square(1), seen(square(1)), THRESHOLDS) is None
    assert suspicious_part(square(1), seen(square(1, edge=15)), THRESHOLDS).score < 0.2


def test_an_object_of_another_class():
    part = suspicious_part(square(1), seen(square(2)), THRESHOLDS)
    assert (part.given, part.suggested, part.pixels, part.box) == (1, 2, 256, (8, 8, 24, 24))
    assert part.score == pytest.approx(1)


def test_an_object_that_the_mask_lacks():
    part = suspicious_part(square(0), seen(square(2)), THRESHOLDS)
    assert (part.given, part.suggested) == (0, 2) and part.score == pytest.approx(1)


def test_a_shifted_mask_is_between():
    part = suspicious_part(square(1), seen(square(1, at=14)), THRESHOLDS)
    assert 0.3 < part.score < 0.9 and 1 in (part.given, part.suggested)


def test_what_the_network_is_not_sure_of_and_what_is_void_does_not_count():
    assert suspicious_part(square(1), seen(square(2), sure=0.7), THRESHOLDS) is None
    mask = square(1)
    mask[8:24, 8:24] = IGNORED
    assert suspicious_part(mask, seen(square(2)), THRESHOLDS) is None
    assert soft_minimum(torch.full_like(mask, IGNORED), seen(square(2))) == 1


def test_thresholds_are_the_mean_probabilities_of_the_classes():
    confidence = ClassConfidence(3)
    confidence.update(square(1), seen(square(1), sure=0.9))
    confidence.update(square(1), seen(square(1), sure=0.7))
    torch.testing.assert_close(confidence.thresholds(), torch.tensor([0.8, 0.8, torch.inf]))


def test_the_soft_minimum_is_that_of_cleanlab():
    from cleanlab.segmentation.rank import get_label_quality_scores

    draw = torch.Generator().manual_seed(0)
    masks = torch.randint(0, 3, (4, 12, 10), generator=draw, dtype=torch.uint8)
    probabilities = torch.randn(4, 3, 12, 10, generator=draw).softmax(1)
    theirs, _ = get_label_quality_scores(masks.numpy().astype(int), probabilities.numpy(), verbose=False)
    ours = [soft_minimum(mask, scores) for mask, scores in zip(masks, probabilities, strict=True)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
