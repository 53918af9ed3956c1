"""Overlaps of masks against torchmetrics and scikit-learn, edges against distances by SciPy."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.metrics import accuracy_score, f1_score, jaccard_score

from lensmith.base.errors import DataError
from lensmith.tasks.metrics.pixel_metrics import MaskMetrics, edge_hits
from lensmith.values.semantic_mask import Mask

NAMES = ("ground", "cat", "dog", "bird", "never")


def drawn(seed: int, pictures: int = 5, size: tuple[int, int] = (24, 30)) -> tuple[torch.Tensor, torch.Tensor]:
    """Truth in patches, a part of it void, and what was found, shifted and with some noise."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.randint(4, (pictures, size[0] // 6, size[1] // 6), generator=draw)
    truth = coarse.repeat_interleave(6, 1).repeat_interleave(6, 2)
    found = truth.roll((1, seed % 4), (1, 2))
    noise = torch.rand(truth.shape, generator=draw) < 0.05
    found = torch.where(noise, torch.randint(4, truth.shape, generator=draw), found)
    truth = truth.masked_fill(torch.rand(truth.shape, generator=draw) < 0.1, 255)
    return truth, found


def measured(truth: torch.Tensor, found: torch.Tensor, names: tuple[str, ...] = NAMES) -> MaskMetrics:
    metrics = MaskMetrics(names)
    metrics.update({"mask": Mask(found.to(torch.uint8))}, {"mask": Mask(truth)}, count=len(truth))
    return metrics


@pytest.mark.parametrize("seed", range(4))
def test_overlaps_are_those_of_scikit_learn_and_torchmetrics(seed: int) -> None:
    from torchmetrics.functional.classification import multiclass_jaccard_index

    truth, found = drawn(seed)
    known = truth != 255
    real, said = truth[known].numpy(), found[known].numpy()
    result = measured(truth, found).result()
    assert result["mIoU"] == pytest.approx(jaccard_score(real, said, average="macro"))
    assert result["dice"] == pytest.approx(f1_score(real, said, average="macro"))
    assert result["pixel_accuracy"] == pytest.approx(accuracy_score(real, said))
    other = multiclass_jaccard_index(found, truth, num_classes=5, average="none", ignore_index=255)
    for row, wanted in zip(result["details"]["per_class"], other[:4].tolist(), strict=True):
        assert row["IoU"] == pytest.approx(wanted, rel=1e-5)
    assert result["details"]["absent"] == ["never"] and result["details"]["count"] == 5
    assert sum(map(sum, result["details"]["confusion"])) == known.sum()
    for name, (low, high) in result["intervals"].items():
        assert low <= result[name] <= high and low < high


def slow_edges(truth: np.ndarray, found: np.ndarray, reach: float, classes: int) -> np.ndarray:
    """The four counts, by the distance to the nearest edge pixel of the class."""
    counts = np.zeros((4, classes), dtype=int)
    for real, said in zip(truth, found, strict=True):
        def edge(mask: np.ndarray, kind: int) -> np.ndarray:
            on = np.zeros(mask.shape, dtype=bool)
            for y, x in np.argwhere(mask == kind):
                for i, j in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                    if 0 <= i < mask.shape[0] and 0 <= j < mask.shape[1] and mask[i, j] not in (kind, 255):
                        on[y, x] = True
            return on

        for kind in range(classes):
            own, other = edge(real, kind), edge(said, kind)
            for row, (one, two) in ((0, (own, other)), (2, (other, own))):
                if two.any():
                    counts[row, kind] += (one & (ndimage.distance_transform_edt(~two) <= reach)).sum()
                counts[row + 1, kind] += one.sum()
    return counts


@pytest.mark.parametrize(("size", "reach"), [((24, 30), 2.0), ((36, 540), 0.0075 * (36**2 + 540**2) ** 0.5)])
def test_edges_are_found_within_reach(size: tuple[int, int], reach: float) -> None:
    truth, found = drawn(3, 2, size)
    found[1, :, 7:] = 1    # of one picture nearly everything is missed
    found = found.where(truth != 255, 255)
    counts = edge_hits(truth, found, 5)
    assert counts.tolist() == slow_edges(truth.numpy(), found.numpy(), reach, 5).tolist()
    assert 0 < counts[0].sum() < counts[1].sum() and 0 < counts[2].sum() < counts[3].sum()


def test_edges_far_off_are_not_found_and_near_ones_are() -> None:
    truth = torch.zeros(1, 40, 40, dtype=torch.int64)
    truth[:, :, 20:] = 1
    scores = []
    for shift in (0, 1, 2, 3, 4):
        found = torch.zeros_like(truth)
        found[:, :, 20 + shift:] = 1
        scores.append(measured(truth, found, ("a", "b")).result()["boundary_f1"])
    assert scores == [1.0, 1.0, 1.0, 0.0, 0.0]


def test_truth_against_itself_is_one_and_void_does_not_count() -> None:
    truth, _ = drawn(0)
    found = truth.masked_fill(truth == 255, 3)
    result = measured(truth, found).result()
    assert [result[name] for name in ("mIoU", "dice", "pixel_accuracy", "boundary_f1")] == [1.0] * 4
    plain = measured(torch.zeros(1, 4, 4, dtype=torch.int64), torch.zeros(1, 4, 4, dtype=torch.int64)).result()
    assert plain["mIoU"] == 1.0 and len(plain["details"]["per_class"]) == 1


def test_where_all_true_edges_are_void_nothing_is_said_of_edges() -> None:
    truth = torch.zeros(1, 40, 40, dtype=torch.int64)
    truth[:, :, 18:22], truth[:, :, 22:] = 255, 1
    found = torch.zeros_like(truth)
    found[:, :, 20:], found[:, 3:5, 3:5] = 1, 1
    result = measured(truth, found, ("a", "b")).result()
    assert "boundary_f1" not in result and 0.98 < result["mIoU"] < 1
    assert [row["boundary_f1"] for row in result["details"]["per_class"]] == [None, None]


def test_merged_counts_are_those_of_one_process() -> None:
    truth, found = drawn(1, 7)
    first, second = measured(truth[:3], found[:3]), measured(truth[3:], found[3:])
    state = second.state()
    before = {name: tensor.clone() for name, tensor in state.items()}
    whole = MaskMetrics(NAMES)
    whole.merge(first.state())
    whole.merge(state)
    assert whole.result() == measured(truth, found).result()
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.items())
    whole.merge(MaskMetrics(NAMES).state())
    assert whole.result() == measured(truth, found).result()


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(DataError, match=r"^nothing to measure: no picture of this split has a pixel of a known class"):
        measured(torch.full((2, 4, 4), 255), torch.zeros(2, 4, 4)).result()
    truth = torch.zeros(1, 4, 4, dtype=torch.int64)
    truth[0, 1, 2] = 9
    with pytest.raises(DataError, match=r"a mask holds the class 9, and the task has 5 classes, numbered 0 to 4"):
        measured(truth, truth * 0)
