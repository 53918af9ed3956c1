"""Findings on labels and tags: by a probe, by folds, and where nothing can be told."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lensmith.recipe.sections import resolve
from lensmith.study.check.known_set import KnownSet, know
from lensmith.study.check.labels import quick_probe
from lensmith.study.check.labels.picture_features import PictureFeatures
from lensmith.study.check.labels.quick_probe import Said
from lensmith.study.check.labels.suspicious_labels import Opinions, opinions_of, suspicious_labels
from lensmith.values.labels import Label, Tags


def flipped(*, flips: int, budget: float = 600, **settings: int) -> tuple[KnownSet, set[int]]:
    """The drawn set, with so many flipped labels among its training pictures; and the rows of these."""
    known = know(resolve({"data": {"name": "shapes", **settings}}, trusted=False), source="shapes", budget=budget)
    source = known.sources["train"].subset(range(len(known.sources["train"])))
    index = source.targets["label"].index.clone()
    rows = torch.arange(0, len(index), len(index) // flips)[:flips]
    index[rows] = (index[rows] + 1) % 3
    source.targets = {"label": Label(index)}
    held_out = known.sources["test"].subset(range(len(known.sources["test"])))
    held_out.targets = {"label": held_out.targets["label"]}
    return replace(known, sources={"train": source, "test": held_out}), set(rows.tolist())


def by_true_class(known: KnownSet, *, noise: float = 0.3) -> object:
    """Features that tell the true class of the drawn pictures, which follow each other in turn, but for some noise."""
    draw = torch.Generator().manual_seed(0)

    def features_of(sources: list[object], *_: object, **__: object) -> PictureFeatures:
        true = torch.arange(sum(map(len, sources))) % 3    # type: ignore[arg-type]
        numbers = torch.nn.functional.one_hot(true, 8) + noise * torch.randn(len(true), 8, generator=draw)
        return PictureFeatures(numbers.half(), torch.ones(len(true), dtype=torch.bool), 96)

    return features_of


def test_flipped_labels_are_ranked_first_with_what_they_should_be(monkeypatch: pytest.MonkeyPatch):
    known, wrong = flipped(flips=12, count=360, size=16)
    monkeypatch.setattr(quick_probe, "features_of", by_true_class(known))
    first, *others = suspicious_labels(known)
    assert (first.check, first.kind, first.severity) == ("suspicious-labels", "suspicious-label", "warning")
    ranked = [one.pictures[0].row for one in first.groups]
    assert set(ranked[:10]) <= wrong and len(set(ranked) & wrong) >= 9
    assert [one.score for one in first.groups] == sorted((one.score for one in first.groups), reverse=True)
    assert first.groups[0].pictures[0].split in ("train", "valid")
    row = ranked[0]
    given = known.classes["label"][int(known.stacked("label").index[row])]
    assert first.groups[0].captions[0].startswith(f"labelled {given}, rather {known.classes['label'][row % 3]} (")
    assert {picture.row for picture in first.leave_out} == set(ranked)
    assert "a linear probe on ImageNet features (96 pixels) from 360 pictures that it never learned" in first.sentence
    assert all(finding.kind == "doubtful-label" and finding.severity == "note" for finding in others)


def test_labels_that_are_only_doubtful_are_no_more_than_others(monkeypatch: pytest.MonkeyPatch):
    known, _ = flipped(flips=3, count=120, size=16)
    monkeypatch.setattr(quick_probe, "features_of", by_true_class(known))
    whole = opinions_of
    monkeypatch.setattr("lensmith.study.check.labels.suspicious_labels.opinions_of", lambda *told: Opinions(
        [], [*whole(*told).likely, *whole(*told).others]))
    (finding,) = suspicious_labels(known)
    assert finding.kind == "doubtful-label" and "more" not in finding.sentence
    assert finding.sentence.endswith("(told by a linear probe on ImageNet features (96 pixels) from 120 pictures that "
                                     "it never learned from)")


def test_labels_that_nothing_tells_apart_are_said_to_be_unjudged(monkeypatch: pytest.MonkeyPatch):
    known, _ = flipped(flips=3, count=120, size=16)
    monkeypatch.setattr(quick_probe, "features_of", by_true_class(known, noise=100.0))
    (finding,) = suspicious_labels(known)
    assert (finding.kind, finding.severity, finding.groups) == ("labels-not-told", "note", ())
    assert finding.sentence.startswith("whether labels are wrong cannot be told") and "--run" in finding.sentence


def test_nothing_is_trained_without_a_budget_nor_on_a_handful_of_pictures(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(quick_probe, "features_of", lambda *_, **__: pytest.fail("features were computed"))
    assert list(suspicious_labels(flipped(flips=3, count=120, size=16, budget=0)[0])) == []
    assert list(suspicious_labels(flipped(flips=1, count=12, size=16)[0])) == []


def test_tags_are_judged_each_by_itself():
    present = torch.zeros(60, 2)
    present[:30, 0], present[::2, 1] = 1, 1
    odds = np.where(present.numpy() > 0, 4.0, -4.0).astype(np.float32)
    present[7, 0], present[9, 1] = 0, torch.nan    # one is missing, one is not known
    opinions = opinions_of(Tags(present), Said(np.arange(60), odds), ("dog", "cat"))
    (only,) = opinions.likely + opinions.others
    assert (only.row, only.given, only.suggested) == (7, "no dog", "dog") and only.probability < 0.1


def test_classes_of_a_few_pictures_are_not_spoken_of():
    labels = np.r_[np.zeros(30, int), np.ones(30, int), [2]]
    logits = np.full((61, 3), -4.0, np.float32)
    logits[np.arange(61), np.r_[labels[:60], 0]] = 4
    opinions = opinions_of(Label(torch.from_numpy(labels)), Said(np.arange(61), logits), ("a", "b", "c"))
    assert opinions.likely == [] and opinions.others == []


@pytest.mark.slow
def test_a_network_by_folds_finds_flipped_labels_of_many_small_gray_pictures():
    known, wrong = flipped(flips=100, count=2_400, size=28, channels=1)
    finding = next(iter(suspicious_labels(known)))
    found = {one.pictures[0].row for one in finding.groups}
    assert "told by a small network from 2,400 pictures" in finding.sentence
    assert len(found & wrong) >= 80 and len(found & wrong) >= 0.7 * len(found)


@pytest.mark.slow
def test_imagenet_features_find_flipped_labels_of_drawn_pictures():
    known, wrong = flipped(flips=20, count=480, size=64)
    finding = next(iter(suspicious_labels(known)))
    ranked = [one.pictures[0].row for one in finding.groups]
    assert "ImageNet features (128 pixels)" in finding.sentence
    assert len(set(ranked[:30]) & wrong) >= 14
