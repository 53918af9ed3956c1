"""The lesson on a real learner: its steps are those of a training, its numbers those of its optimizer."""

import math
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import torch

from lensmith.base.errors import DataError, ModelError, UserError
from lensmith.base.html_page import render_page
from lensmith.lessons import lesson as any_lesson
from lensmith.lessons.training import jobs
from lensmith.lessons.training.jobs import job_of_run, job_with, lesson_settings, open_labelled, small_layers
from lensmith.lessons.training.lesson import training_lesson
from lensmith.lessons.training.measured import TrainingResults, training_results, training_results_of_run
from lensmith.lessons.training.watched_steps import watch_steps


@pytest.fixture(scope="module")
def shapes():
    recipe = lesson_settings("shapes", optimizer="sgd", seed=0)
    return recipe, open_labelled(recipe, "shapes", lambda text: None)


@pytest.mark.parametrize(("optimizer", "kind"), [("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW"),
                                                 ("muon", "AdamW")])
def test_the_update_that_is_told_is_that_of_the_real_optimizer(shapes, optimizer: str, kind: str):
    recipe, data = shapes
    recipe = {name: section for name, section in recipe.items() if name != "optimizer"}
    job = job_with(recipe, data, {"optimizer.name": optimizer})
    first = {name: parameter.detach().clone() for name, parameter in job.learner.network.named_parameters()}
    watched = watch_steps(job, 3)
    name, place = watched.weight.split(" [")
    place = tuple(map(int, place.rstrip("]").split(", ")))
    assert watched.optimizer == kind and len(watched.steps) == len(watched.losses) == 3
    assert watched.steps[0].before == first[name][place].item()
    assert watched.steps[-1].after == job.learner.network.get_parameter(name)[place].item()
    assert watched.largest_error <= 1e-7
    for before, after in zip(watched.steps, watched.steps[1:], strict=False):
        assert before.after == after.before
    assert sum(watched.terms.values()) == pytest.approx(watched.losses[0], rel=1e-6)
    # The gradient is the slope of the loss, measured by moving the weight.
    (low, below), (middle, here), (high, above) = watched.losses_along[11:14]
    assert middle == pytest.approx(watched.steps[0].before, abs=1e-6)
    assert here == pytest.approx(watched.losses[0], abs=1e-5)
    assert (above - below) / (high - low) == pytest.approx(watched.steps[0].gradient, rel=0.15, abs=2e-3)


def test_watching_changes_no_bit(shapes):
    recipe, data = shapes
    watched = job_with(recipe, data, {})
    losses = watch_steps(watched, 3).losses
    alone = job_with(recipe, data, {})
    assert tuple(report.loss for report in islice(alone.learner, 3)) == losses
    assert all(torch.equal(one, other) for one, other in zip(watched.learner.network.parameters(),
                                                             alone.learner.network.parameters(), strict=True))


def finished(results: TrainingResults) -> str:
    """The text of the page."""
    lesson = training_lesson(results)
    return render_page(any_lesson._TEMPLATES / "training.html.jinja", lesson.contents)


def test_the_lesson_on_a_set(monkeypatch: pytest.MonkeyPatch):
    few = [{"conv": 2, "kernel": 7, "stride": 3}, "relu"]
    monkeypatch.setattr("lensmith.lessons.training.measured.small_layers", lambda name: [*few[:1], name])
    monkeypatch.setattr(jobs, "_FRACTIONS", {"shapes": {"data.count": 120, "learner.epochs": 2}})
    results = training_results("shapes", activations=("tanh", "elu", "tanh"))
    assert [each.name for each in results.by_activation] == ["tanh", "elu"]
    assert [each.name for each in results.by_loss] == ["cross entropy", "label smoothing 0.1", "focal 2"]
    lesson = training_lesson(results)
    text = "\n".join(lesson.lines)
    assert f"to guess among 3 classes costs log 3 = {math.log(3):.4f}" in text
    assert "formula and optimizer differ by" in text and lesson.facts["largest_error"] <= 1e-7
    page = finished(results)
    assert "Which activation?" in page and page.count("<svg") == 16 and "http://" not in page.replace(
        "http://www.w3.org/2000/svg", "")


@pytest.fixture(scope="module")
def run(run_of: Callable[[str], Path]) -> Path:
    return run_of("conv10_20")


def test_a_run_is_only_read_and_its_steps_are_those_that_it_took(run: Path):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    results = training_results_of_run(run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    # An epoch of one batch: its loss is what the history has.
    row = (run / "history.csv").read_text().splitlines()
    history = dict(zip(row[0].split(","), row[1].split(","), strict=True))
    assert len(results.watched.losses) == 1
    assert results.watched.losses[0] == pytest.approx(float(history["train/loss"]), rel=1e-5)
    page = finished(results)
    assert "Which activation?" not in page and "The run itself was only read" in page


def test_a_run_that_never_began(tmp_path: Path):
    (tmp_path / "recipe.toml").write_text('[data]\nname = "shapes"\n')
    with pytest.raises(ModelError, match="never began to learn, .* lensmith train --resume"):
        job_of_run(tmp_path, trusted=False, tell=lambda text: None)
    with pytest.raises(ModelError, match="there is no run folder"):
        job_of_run(tmp_path / "none", trusted=False, tell=lambda text: None)


def test_a_set_of_no_labels(tmp_path: Path):
    from PIL import Image

    for number in range(12):
        Image.new("RGB", (16, 16), (20 * number, 0, 0)).save(tmp_path / f"{number}.png")
    with pytest.raises(DataError) as error:
        training_results(str(tmp_path))
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_unknown_names_are_told_with_the_nearest():
    with pytest.raises(UserError, match="unknown activation 'rellu'. Did you mean 'relu'"):
        training_results("shapes", activations=("rellu",))
    with pytest.raises(UserError, match="unknown optimizer 'sdg'. Did you mean 'sgd'"):
        training_results("shapes", optimizer="sdg")
    with pytest.raises(DataError, match="Did you mean 'shapes'"):
        training_results("shapse")


def test_the_small_network_has_its_activation_everywhere():
    layers = small_layers("elu")
    assert layers.count("elu") == 3 and "relu" not in layers
