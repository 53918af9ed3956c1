"""Tags: the numbers against scikit-learn, the settings, the errors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from lensmith.base.errors import DataError, UserError
from lensmith.tasks.metrics.tags import TagMetrics, average_precision
from lensmith.tasks.tagging import Tagging
from lensmith.values.labels import Tags

TAGS = ("sea", "sky", "tree", "dog")


def drawn(pictures: int, tags: int, seed: int, *, coarse: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, on a coarse grid many of them equal, and tags that they speak for."""
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(pictures, tags, generator=draw) * 2
    present = (torch.rand(pictures, tags, generator=draw) < logits.sigmoid()).float()
    return (logits.round() if coarse else logits), present


def measured(logits: torch.Tensor, present: torch.Tensor, *, batch: int = 7, threshold: float = 0.5) -> TagMetrics:
    task = Tagging(tuple(f"t{i}" for i in range(logits.shape[1])), threshold=threshold)
    kept = task.metrics()
    for start in range(0, len(logits), batch):
        part = slice(start, start + batch)
        kept.update(task.decode(logits[part]), {"tags": Tags(present[part])})
    return kept


@given(st.integers(1, 6), st.integers(1, 30), st.integers(0, 2**31), st.booleans(), st.sampled_from([0.3, 0.5, 0.8]))
@settings(deadline=None, max_examples=40)
def test_the_numbers_are_those_of_scikit_learn(tags: int, pictures: int, seed: int, coarse: bool,
                                               threshold: float) -> None:
    logits, present = drawn(pictures, tags, seed, coarse=coarse)
    found = measured(logits, present, threshold=threshold).result()
    scores = logits.sigmoid()
    truth, taken = present.numpy().astype(int), (scores >= threshold).numpy().astype(int)
    met = np.flatnonzero((truth + taken).any(0))
    each = metrics.precision_recall_fscore_support(truth.T.ravel(), taken.T.ravel(), labels=[1], zero_division=0)
    assert found["micro_f1"] == pytest.approx(each[2][0] if len(met) else 1)
    f1 = [metrics.f1_score(truth[:, tag], taken[:, tag], zero_division=0) for tag in met]
    assert found["macro_f1"] == pytest.approx(np.mean(f1) if len(met) else 1)
    assert found["exact_match"] == pytest.approx(np.mean([(a == b).all() for a, b in zip(truth, taken, strict=True)]))
    there = np.flatnonzero(truth.any(0))
    precisions = {tag: metrics.average_precision_score(truth[:, tag], scores[:, tag].numpy()) for tag in there.tolist()}
    if precisions:
        assert found["mAP"] == pytest.approx(np.mean(list(precisions.values())))
    else:
        assert "mAP" not in found
    for tag, row in enumerate(found["details"]["per_class"]):
        wanted = metrics.precision_recall_fscore_support(truth[:, tag], taken[:, tag], labels=[1], zero_division=0)
        assert [row["precision"], row["recall"], row["f1"], row["support"]] == \
            pytest.approx([float(column[0]) for column in wanted])
        assert row["average_precision"] == (pytest.approx(precisions[tag]) if tag in precisions else None)


def test_macro_f1_is_scikit_learns_where_every_tag_is_met() -> None:
    logits, present = drawn(50, 4, 1)
    assert measured(logits, present).result()["macro_f1"] == pytest.approx(
        metrics.f1_score(present.numpy(), (logits >= 0).numpy(), average="macro"))


def test_intervals_are_those_of_resampled_pictures() -> None:
    logits, present = drawn(200, 4, 3)
    found = measured(logits, present).result()
    draw = np.random.default_rng(0)
    truth, scores = present.numpy(), logits.sigmoid().numpy()
    precisions, macro, micro = [], [], []
    for _ in range(400):
        rows = draw.integers(200, size=200)
        precisions.append(metrics.average_precision_score(truth[rows], scores[rows], average="macro"))
        macro.append(metrics.f1_score(truth[rows], scores[rows] >= 0.5, average="macro"))
        micro.append(metrics.f1_score(truth[rows], scores[rows] >= 0.5, average="micro"))
    for name, draws in (("mAP", precisions), ("macro_f1", macro), ("micro_f1", micro)):
        assert found["intervals"][name] == pytest.approx(np.percentile(draws, [2.5, 97.5]), abs=0.015)
    assert set(found["intervals"]) == {"macro_f1", "micro_f1", "exact_match", "mAP"}


def test_a_weighted_average_precision_is_that_of_repeated_samples() -> None:
    logits, present = drawn(30, 1, 5, coarse=True)
    scores, truth = logits[:, 0].numpy(), present[:, 0].numpy() > 0
    weights = np.random.default_rng(0).integers(4, size=30)
    wanted = metrics.average_precision_score(np.repeat(truth, weights), np.repeat(scores, weights))
    assert average_precision(scores, truth, weights[None].astype(float))[0] == pytest.approx(wanted)


def test_the_truth_against_itself_is_one_whatever_is_met() -> None:
    for present in (torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]), torch.zeros(2, 3), torch.ones(2, 3)):
        kept = Tagging(("a", "b", "c")).metrics()
        kept.update({"tags": Tags(present)}, {"tags": Tags(present)})
        found = kept.result()
        assert {found[name] for name in found["intervals"]} == {1.0}


def test_tags_that_are_not_known_are_not_counted() -> None:
    logits, present = drawn(40, 3, 2)
    rows = torch.arange(40) % 2 == 0
    partly = present.clone()
    partly[rows, 1] = float("nan")
    found, whole = measured(logits, partly).result(), measured(logits, present).result()
    assert found["details"]["per_class"][0] == whole["details"]["per_class"][0]
    half = measured(logits[~rows], present[~rows]).result()
    assert found["details"]["per_class"][1]["average_precision"] == \
        pytest.approx(half["details"]["per_class"][1]["average_precision"])
    assert found["exact_match"] == half["exact_match"]
    assert found["details"]["count"] == 40


def test_nothing_to_measure_is_said() -> None:
    with pytest.raises(DataError, match="nothing to measure: no picture of this split has a tag that is known"):
        Tagging(TAGS).metrics().result()
    with pytest.raises(DataError, match="nothing to measure"):
        measured(torch.zeros(2, 4), torch.full((2, 4), float("nan"))).result()


def test_merged_answers_are_those_of_one_process() -> None:
    logits, present = drawn(30, 4, 4)
    first, second = measured(logits[:11], present[:11]), measured(logits[11:], present[11:])
    first.merge(second.state())
    assert first.result() == measured(logits, present).result()


def test_decode_holds_scores_against_the_threshold_in_full_precision() -> None:
    logits = torch.tensor([[-1.0, 0.0, 1.0, 2.0]])
    found = Tagging(TAGS, threshold=0.7).decode(logits.bfloat16())["tags"]
    assert found.present.tolist() == [[0, 0, 1, 1]] and found.scores.dtype == torch.float32
    assert found.scores.numpy() == pytest.approx(1 / (1 + np.exp([[1.0, 0, -1, -2]])))


def test_evidence_is_the_logit_of_the_tag() -> None:
    logits = torch.randn(3, 4)
    assert torch.equal(Tagging(TAGS).evidence(logits, 1), logits[:, 1])


def test_balanced_weights_are_absent_by_present() -> None:
    present = torch.tensor([[1.0, 1, 0, 1], [0, 1, 0, float("nan")], [0, 1, 0, 0], [0, 1, 0, 0]])
    task = Tagging(TAGS, targets=Tags(present), class_weights="balanced")
    assert task.weights.tolist() == [3, 1, 1, 2]
    logits = torch.randn(4, 4)
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(logits, present.nan_to_num(), pos_weight=task.weights)
    assert torch.allclose(task.loss(logits, {"tags": Tags(present.nan_to_num())})["tags"], wanted)


def test_settings_reach_the_loss() -> None:
    logits, present = drawn(8, 4, 6)
    losses = [Tagging(TAGS, **settings).loss(logits, {"tags": Tags(present)})["tags"].item()
              for settings in ({}, {"focal": 2.0}, {"class_weights": [1.0, 2.0, 3.0, 4.0]})]
    assert len(set(losses)) == 3


@pytest.mark.parametrize(("settings", "message"), [
    ({"threshold": 1.0}, r"task.threshold must lie between 0 and 1, both excluded; got 1.0. Usual is 0.5"),
    ({"threshold": 0.0}, r"task.threshold must lie"),
    ({"focal": float("inf")}, r"task.focal must be 0 \(off\) or more; got inf"),
    ({"class_weights": [1.0]}, r"task.class_weights has 1 numbers, but there are 4: give one a tag, in the order sea"),
])
def test_a_setting_that_cannot_be_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Tagging(TAGS, **settings)


def test_balancing_without_tags_is_refused_by_the_loss() -> None:
    with pytest.raises(UserError, match="counts the training tags, and none were given"):
        Tagging(TAGS, class_weights="balanced").loss(torch.zeros(1, 4), {"tags": Tags(torch.zeros(1, 4))})
