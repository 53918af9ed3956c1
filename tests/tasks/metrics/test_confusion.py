"""The counting core against scikit-learn."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from lensmith.base.errors import DataError
from lensmith.tasks.metrics import confusion, rates
from lensmith.tasks.metrics.from_counts import intervals_of

pytestmark = pytest.mark.filterwarnings("ignore:y_pred contains classes", "ignore:A single label was found")
CLASSES = 5
LABELS = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=40)


def counted(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    truth, predicted = torch.tensor(pairs).unbind(1)
    return truth.numpy(), predicted.numpy(), confusion.count_confusion(truth, predicted, CLASSES).numpy()


def intervals(counts: np.ndarray) -> dict[str, list[float]]:
    return intervals_of("label", confusion.resampled_confusion(counts))


@given(LABELS)
@settings(deadline=None)
def test_counts_and_rates_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, predicted, counts = counted(pairs)
    assert np.array_equal(counts, metrics.confusion_matrix(truth, predicted, labels=range(CLASSES)))
    by_class = confusion.class_counts(counts)
    assert rates.mean_f1(by_class) == pytest.approx(
        metrics.f1_score(truth, predicted, average="macro", zero_division=0))
    assert rates.mean_recall(by_class) == pytest.approx(
        metrics.balanced_accuracy_score(truth, predicted))
    assert rates.pooled_f1(by_class) == pytest.approx((truth == predicted).mean())
    rows = confusion.rows_per_class("abcde", by_class)
    wanted = metrics.precision_recall_fscore_support(truth, predicted, labels=range(CLASSES), zero_division=0)
    assert [row["class"] for row in rows] == list("abcde")
    for name, column in zip(("precision", "recall", "f1", "support"), wanted, strict=True):
        assert [row[name] for row in rows] == pytest.approx(list(column))


@given(LABELS)
@settings(deadline=None)
def test_the_most_confused_pairs_are_the_largest_cells_beside_the_diagonal(pairs: list[tuple[int, int]]) -> None:
    truth, predicted, counts = counted(pairs)
    rows = confusion.most_confused("abcde", counts, best=3)
    cells = [(int(((truth == t) & (predicted == p)).sum()), t, p) for t in range(5) for p in range(5) if t != p]
    wanted = sorted(cells, key=lambda cell: (-cell[0], cell[1:]))
    assert [(row["count"], "abcde".index(row["truth"]), "abcde".index(row["predicted"])) for row in rows] == \
        [cell for cell in wanted[:3] if cell[0]]
    assert all(row["share"] == pytest.approx(row["count"] / (truth == "abcde".index(row["truth"])).sum())
               for row in rows)


def test_where_nothing_was_met_nothing_was_missed() -> None:
    nothing = rates.ClassCounts(np.zeros(3), np.zeros(3), np.zeros(3))
    assert rates.mean_f1(nothing) == 1 and rates.pooled_f1(nothing) == 1


def test_intervals_are_those_of_resampled_pictures() -> None:
    draw = np.random.default_rng(1)
    truth = draw.integers(4, size=300)
    predicted = np.where(draw.random(300) < 0.7, truth, draw.integers(4, size=300))
    counts = metrics.confusion_matrix(truth, predicted)
    found = intervals(counts)
    f1, balanced = [], []
    for _ in range(600):
        rows = draw.integers(300, size=300)
        f1.append(metrics.f1_score(truth[rows], predicted[rows], average="macro"))
        balanced.append(metrics.balanced_accuracy_score(truth[rows], predicted[rows]))
    assert found["macro_f1"] == pytest.approx(np.percentile(f1, [2.5, 97.5]), abs=0.012)
    assert found["balanced_accuracy"] == pytest.approx(np.percentile(balanced, [2.5, 97.5]), abs=0.012)
    assert found == intervals(counts)


def test_intervals_of_a_thousand_classes_are_cheap_enough_for_every_epoch() -> None:
    draw = np.random.default_rng(1)
    truth = draw.integers(1000, size=10_000)
    predicted = np.where(draw.random(10_000) < 0.7, truth, draw.integers(1000, size=10_000))
    counts = confusion.count_confusion(torch.from_numpy(truth), torch.from_numpy(predicted), 1000).numpy()
    start = time.process_time()
    low, high = intervals(counts)["balanced_accuracy"]
    assert low < metrics.balanced_accuracy_score(truth, predicted) < high
    assert time.process_time() - start < 10    # some 0.5 s on a free core


@pytest.mark.parametrize("wrong", [7, -2])
def test_a_label_outside_the_classes_is_named(wrong: int) -> None:
    with pytest.raises(DataError, match=rf"^label {wrong} is outside the 5 classes of this task, numbered 0 to 4: "):
        confusion.count_confusion(torch.tensor([0, wrong]), torch.tensor([0, 0]), CLASSES)
