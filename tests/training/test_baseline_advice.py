"""What is said of a run whose training loss falls while its held-out score stays at that of one answer for all."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lensmith.tasks.baseline import Baseline
from lensmith.training.baseline_advice import stays_at_baseline

RECIPE = {"learner": {}, "loading": {"balance": False}}
CATS = {"accuracy_top1": Baseline("always naming 'cat'", 0.3333, 0.06)}


def history(losses: list[float], scores: list[float]) -> list[dict[str, float]]:
    return [{"train/loss": loss, "valid/accuracy_top1": score} for loss, score in zip(losses, scores, strict=True)]


def test_it_says_what_fell_what_stayed_and_what_to_try():
    found = stays_at_baseline(history([1.07, 0.9, 0.58], [0.3333] * 3), CATS, RECIPE, slow_norms=True)
    assert found == (
        "in 3 epochs the training loss has fallen from 1.07 to 0.58, and valid/accuracy_top1 stays at 0.3333, where "
        "always naming 'cat' has 0.3333: what is learned does not hold for other pictures. Try a new run with "
        "learner.norm_floor=0.1, since batch norm may not have followed the weights, weights to begin with "
        "(learner.weights), a lower optimizer.rate, more pictures; and look whether the pictures that were held out "
        "are like those that are learned from")


def test_what_to_try_goes_by_the_run():
    often = {"accuracy_top1": Baseline("always naming 'dog'", 0.9, 0.01)}
    rows = history([1.0, 0.6, 0.4], [0.9] * 3)
    found = stays_at_baseline(rows, often, RECIPE, slow_norms=False)
    assert "Try loading.balance=true, since one class is so frequent, weights" in found and "norm_floor" not in found
    settled = {"learner": {"weights": "runs/x"}, "loading": {"balance": True}}
    assert "Try a lower optimizer.rate, more pictures; and look" in stays_at_baseline(rows, often, settled,
                                                                                     slow_norms=False)


@pytest.mark.parametrize(("losses", "scores"), [
    ([1.07, 0.58], [0.3333] * 2),                        # too early to say
    ([1.07, 1.0, 0.9], [0.3333] * 3),                    # nothing is learned yet
    ([1.07, 0.9, 0.58], [0.3333, 0.3333, 0.40]),         # more than the spread above
    ([1.07, 0.9, 0.7, 0.58, 0.5], [0.7, 0.3, 0.3, 0.3, 0.3]),    # its best epoch was good
    ([1.07, 0.9, 0.58], [float("nan")] * 3),
    ([-1.0, -0.9, -1.1], [0.3333] * 3)])
def test_nothing_is_said_where_it_is_not_plain(losses: list[float], scores: list[float]):
    assert stays_at_baseline(history(losses, scores), CATS, RECIPE, slow_norms=False) == ""


def test_a_target_without_a_baseline_or_without_a_score_is_told_nothing():
    rows = history([1.07, 0.9, 0.58], [0.3333] * 3)
    assert stays_at_baseline(rows, {}, RECIPE, slow_norms=False) == ""
    assert stays_at_baseline(rows, {"R2": Baseline("always saying the mean", 0.0)}, RECIPE, slow_norms=False) == ""


def test_a_run_says_it_when_it_is_plain_and_at_its_end_and_in_the_report(command, tmp_path: Path):
    """Noise, whose labels mean nothing: they are learned by heart."""
    draw = np.random.default_rng(2)
    for number in range(160):
        place = tmp_path / "noise" / ("cat", "dog")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8), dtype=np.uint8)).save(place / f"{number:03d}.png")
    ended = command("train", tmp_path / "noise", "--runs", tmp_path / "runs", "--name", "noise", "--backbone", "stack",
                    "backbone.layers=[{dense = 64}, \"relu\"]", "--epochs", 8, "--rate", 0.01, "split.valid=0.5",
                    "split.test=0.0", "--batch", 8)
    told = [line for line in ended.err.splitlines() if "what is learned does not hold for other pictures" in line]
    assert ended.code == 0, ended.err
    warning = json.loads((tmp_path / "runs" / "noise" / "run.json").read_text())["warning"]
    assert len(told) == 2 and "where always naming 'cat' has 0.5000" in told[0], ended.err
    assert ended.err.rstrip().endswith(told[1]) and "(--weights)" in told[1] and "--rate" in told[1]
    assert warning and warning[1:31] in (tmp_path / "runs" / "noise" / "report.html").read_text()
