"""One class per picture: the numbers against scikit-learn, the settings, the errors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from lensmith.base.errors import DataError, UserError
from lensmith.tasks.classification import Classification
from lensmith.tasks.metrics.labels import LabelMetrics
from lensmith.values.labels import Label

pytestmark = pytest.mark.filterwarnings("ignore:y_pred contains classes", "ignore:A single label was found")
SIX = tuple("abcdef")


def measured(logits: torch.Tensor, index: torch.Tensor, *, batch: int = 7) -> LabelMetrics:
    task = Classification(tuple(f"c{i}" for i in range(logits.shape[1])))
    counts = task.metrics()
    for start in range(0, len(index), batch):
        part = slice(start, start + batch)
        counts.update(task.decode(logits[part]), {"label": Label(index[part])})
    return counts


@given(st.integers(5, 12), st.integers(1, 40), st.integers(0, 2**31))
@settings(deadline=None, max_examples=40)
def test_the_headlines_are_those_of_scikit_learn(classes: int, pictures: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(pictures, classes, generator=draw)
    index = torch.randint(classes, (pictures,), generator=draw)
    found = measured(logits, index).result()
    predicted = logits.argmax(1)
    assert found["accuracy_top1"] == pytest.approx(metrics.accuracy_score(index, predicted))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(index, predicted, average="macro", zero_division=0))
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(index, predicted))
    if classes > 5:    # scikit-learn warns where k is all
        wanted = metrics.top_k_accuracy_score(index, logits.softmax(1), k=5, labels=range(classes))
        assert found["accuracy_top5"] == pytest.approx(wanted)
    else:
        assert found["accuracy_top5"] == 1
    assert found["details"]["count"] == pictures
    assert np.array_equal(found["details"]["confusion"],
                          metrics.confusion_matrix(index, predicted, labels=range(classes)))
    for name in ("accuracy_top1", "accuracy_top5"):
        low, high = found["intervals"][name]
        assert 0 <= low <= found[name] <= high <= 1


def test_every_headline_has_an_interval_and_is_a_float() -> None:
    found = measured(torch.randn(30, 6), torch.arange(30) % 6).result()
    headlines = {name: value for name, value in found.items() if name not in ("intervals", "details")}
    assert set(headlines) == set(found["intervals"]) == {"accuracy_top1", "accuracy_top5", "macro_f1",
                                                         "balanced_accuracy"}
    assert all(type(value) is float for value in headlines.values())


def test_top5_is_given_from_five_classes_on() -> None:
    assert "accuracy_top5" not in measured(torch.eye(4), torch.arange(4)).result()
    assert "accuracy_top5" in measured(torch.eye(5), torch.arange(5)).result()


def test_a_network_that_says_nothing_is_not_praised_for_its_top5() -> None:
    silent = measured(torch.zeros(12, 12), torch.arange(12)).result()
    assert silent["accuracy_top1"] == silent["accuracy_top5"] == pytest.approx(1 / 12)
    broken = measured(torch.full((12, 12), float("nan")), torch.arange(12)).result()
    assert broken["accuracy_top5"] == broken["accuracy_top1"] <= 1 / 12


def test_the_truth_against_itself_is_one() -> None:
    truth = {"label": Label(torch.tensor([0, 3, 3, 1]))}
    counts = Classification(SIX).metrics()
    counts.update(truth, truth)
    found = counts.result()
    assert {found[name] for name in found["intervals"]} == {1.0}


def test_pictures_without_a_label_are_not_counted() -> None:
    logits = torch.randn(20, 6)
    index = torch.arange(20) % 6
    index[::3] = -1
    found, wanted = measured(logits, index).result(), measured(logits[index >= 0], index[index >= 0]).result()
    assert found == wanted and found["details"]["count"] == int((index >= 0).sum())


def test_nothing_to_measure_is_said() -> None:
    counts = Classification(SIX).metrics()
    with pytest.raises(DataError, match=r"^nothing to measure: no picture of this split has a label\. Give it"):
        counts.result()
    with pytest.raises(DataError, match="nothing to measure"):
        measured(torch.zeros(3, 6), torch.full((3,), -1)).result()


def test_merged_counts_are_those_of_one_process() -> None:
    logits, index = torch.randn(30, 6), torch.arange(30) % 6
    first, second = measured(logits[:11], index[:11]), measured(logits[11:], index[11:])
    before = {name: tensor.clone() for name, tensor in second.state().items()}
    first.merge(second.state())
    assert first.result() == measured(logits, index).result()
    assert all(torch.equal(tensor, before[name]) for name, tensor in second.state().items())


def test_decode_gives_the_likeliest_class_and_its_probabilities_in_full_precision() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0]], dtype=torch.bfloat16)
    found = Classification(("a", "b", "c")).decode(logits)["label"]
    assert found.index.tolist() == [1] and found.scores.dtype == torch.float32
    assert found.scores.numpy() == pytest.approx(np.exp([[1, 3, 2]]) / np.exp([1, 3, 2]).sum())


def test_evidence_is_the_logit_of_the_class() -> None:
    logits = torch.randn(3, 6)
    assert torch.equal(Classification(SIX).evidence(logits, 2), logits[:, 2])


def test_balanced_weights_are_counted_on_the_known_training_labels() -> None:
    targets = Label(torch.tensor([0, 0, 0, 1, -1]))
    task = Classification(("a", "b"), targets=targets, class_weights="balanced")
    assert task.weights.tolist() == pytest.approx([4 / 6, 2.0])
    logits = torch.randn(4, 2)
    wanted = torch.nn.functional.cross_entropy(logits, targets.index[:4], torch.tensor([4 / 6, 2.0]))
    assert torch.allclose(task.loss(logits, {"label": Label(targets.index[:4])})["label"], wanted)


def test_settings_reach_the_loss() -> None:
    logits, truth = torch.randn(8, 3), {"label": Label(torch.arange(8) % 3)}
    losses = [Classification(("a", "b", "c"), **settings).loss(logits, truth)["label"].item()
              for settings in ({}, {"smoothing": 0.1}, {"focal": 2.0}, {"class_weights": [1.0, 2.0, 3.0]})]
    assert len(set(losses)) == 4


@pytest.mark.parametrize(("settings", "message"), [
    ({"smoothing": 1.0}, r"task.smoothing must lie in 0 <= smoothing < 1; got 1.0"),
    ({"smoothing": -0.1}, r"task.smoothing must lie"),
    ({"smoothing": float("nan")}, r"task.smoothing must lie"),
    ({"focal": -1.0}, r"task.focal must be 0 \(off\) or more; got -1.0"),
    ({"class_weights": [1.0, 2.0]}, r"task.class_weights has 2 numbers, but there are 3: give one a class, in the "
                                    r"order a, b, c"),
    ({"class_weights": [1.0, 2.0, -1.0]}, r"task.class_weights must be numbers of 0 or more, not all of them 0; got"),
    ({"class_weights": [0.0, 0.0, 0.0]}, r"not all of them 0; got \[0.0, 0.0, 0.0\]"),
    ({"class_weights": "balance"}, r"task.class_weights must be \"balanced\" or a list of numbers; got 'balance'"),
])
def test_a_setting_that_cannot_be_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Classification(("a", "b", "c"), **settings)


def test_balancing_without_labels_is_refused_by_the_loss_but_not_by_a_prediction() -> None:
    task = Classification(("a", "b"), class_weights="balanced")
    task.decode(torch.zeros(1, 2))
    with pytest.raises(UserError, match=r"counts the training labels, and none were given: build the task"):
        task.loss(torch.zeros(1, 2), {"label": Label(torch.tensor([0]))})


def test_training_labels_outside_the_classes_are_refused() -> None:
    with pytest.raises(DataError, match="label 4 is outside the 2 classes"):
        Classification(("a", "b"), targets=Label(torch.tensor([0, 4])))
