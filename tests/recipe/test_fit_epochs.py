"""The epochs of a run that has so many minutes, with steps that take as long as a test says."""

import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lensmith.base.errors import UserError
from lensmith.engine.rehearse import Pace, rehearse
from lensmith.recipe import choose_plan, fit_epochs
from lensmith.recipe.fit_epochs import Budget, with_epochs
from lensmith.recipe.sections import without_other_length
from lensmith.training.begin_or_resume import Session, begin_session, resolve_recipe

SHAPES = {"name": "shapes", "count": 60, "size": 20}


@pytest.fixture
def pace(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What an epoch of 10 steps takes; what really is rehearsed is put aside."""
    seconds = {"step": 0.5, "epoch_end": 1.0, "once": 2.0, "final": 4.0}

    def stand_in(learner: Any, **settings: Any) -> Pace:
        real = rehearse(learner, **settings)
        assert real.step > 0 and real.epoch_end > 0 and real.final > 0 and real.once == 0
        return Pace(steps=10, **seconds)

    monkeypatch.setattr(fit_epochs, "rehearse", stand_in)
    monkeypatch.setattr(Budget, "left", property(lambda self: 0.0 + self.until - self.asked_at))
    monkeypatch.setattr(Budget, "asked_at", 1000.0, raising=False)
    return seconds


def begun(tmp_path: Path, minutes: float, **sections: Any) -> tuple[Session, list[str]]:
    told: list[str] = []
    recipe = {"data": SHAPES, "plan": {"mode": "exact"}, "backbone": {"name": "lenet"}} | sections
    recipe["learner"] = {"minutes": minutes} | sections.get("learner", {})
    return begin_session(recipe, runs=tmp_path / "runs", tell=told.append, began=1000.0), told


@pytest.mark.parametrize(("minutes", "epochs"), [(0.2, 1), (0.29, 1), (0.3, 2), (1.0, 9), (10.0, 99)])
def test_as_many_epochs_as_end_in_time_are_written_into_the_recipe(pace, tmp_path, minutes, epochs):
    # 2 s once, 6 s an epoch, 4 s at the end
    assert 6 + 6 * epochs <= 60 * minutes < 6 + 6 * (epochs + 1)
    session, told = begun(tmp_path, minutes)
    recipe = tomllib.loads((session.run.folder / "recipe.toml").read_text())
    assert recipe["learner"]["epochs"] == epochs == session.job.learner.settings.epochs
    assert "minutes" not in recipe["learner"] and session.job.learner.steps == epochs
    assert session.job.learner.stepper.done == 0
    text = f"learner.minutes={minutes:g} has time for {epochs} epoch{'s' * (epochs > 1)} of about 6 s"
    assert text in told and text in session.run.read_json("data.json")["notes"]


def test_one_epoch_that_does_not_end_in_time_is_trained_whole_and_said(pace, tmp_path):
    session, told = begun(tmp_path, 0.1)
    assert session.job.learner.settings.epochs == 1
    # 6 s less 5 s of measuring and saving, of the 7 s of decoding and steps
    assert "one epoch takes about 8 s and does not end within learner.minutes=0.1; it is trained whole all the same: " \
        "loading.fraction=0.14 would end in time" in told
    _, told = begun(tmp_path, 0.05)
    assert any(line.endswith("give it more time") for line in told)


def test_what_depends_on_the_epochs_follows_them(pace, tmp_path):
    boxes = {"task": {"name": "detection"}, "backbone": {"name": "simple"}}
    session, _ = begun(tmp_path, 1.3, **boxes)    # 12 epochs
    recipe = tomllib.loads((session.run.folder / "recipe.toml").read_text())
    assert recipe["learner"]["epochs"] == 12 and recipe["augment"]["close_mosaic"] == 3
    augment = session.job.learner.train.augment
    assert [augment.tiles(epoch) for epoch in range(12)] == [True] * 9 + [False] * 3
    twelve = begin_session({"data": SHAPES, "plan": {"mode": "exact"}, "learner": {"epochs": 12}} | boxes,
                           runs=tmp_path / "runs")
    again = tomllib.loads((twelve.run.folder / "recipe.toml").read_text())
    assert again == recipe


def test_epochs_on_smaller_pictures_take_less(pace, tmp_path):
    layers = [{"conv": 4, "kernel": 3}, "relu", {"globalpool": "mean"}]
    session, _ = begun(tmp_path, 1.0, backbone={"name": "stack", "layers": layers},
                       augment={"shrink": [0.5, 0.5, 0.5, 0.5]})
    # Four of the epochs save three quarters of their 5 s of steps: 15 s, for two epochs more than the nine of above.
    assert session.job.learner.settings.epochs == (60 - 6 + 15) // 6 == 11


def test_parts_that_are_unfrozen_after_the_last_epoch_are_refused(pace, tmp_path):
    session, _ = begun(tmp_path, 1.0, learner={"unfreeze": [2]})
    assert session.job.learner.settings.unfreezing is not None and session.job.learner.settings.epochs == 9
    with pytest.raises(UserError, match=r"learner.unfreeze=\[2\].*the run has 1 epoch"):
        begun(tmp_path, 0.2, learner={"unfreeze": [2]})


def test_picking_the_plan_knows_how_long_the_run_takes(pace, tmp_path, monkeypatch):
    asked = []

    def pick(wanted: Any, *_: Any, **settings: Any) -> Any:
        asked.append(settings["seconds"])
        return choose_plan.Choice(wanted.plain())

    monkeypatch.setattr(choose_plan, "pick", pick)
    begun(tmp_path, 2.0, plan={})
    assert asked == [120.0]


def test_a_command_that_sets_the_one_takes_the_place_of_the_others_in_its_recipe():
    recipe = {"data": SHAPES, "learner": {"epochs": 5, "clip": 1.0}}
    assert without_other_length(recipe, {"learner.minutes"}) == {"data": SHAPES, "learner": {"clip": 1.0}}
    assert without_other_length(recipe, {"learner.epochs"}) == without_other_length(recipe, set()) == recipe
    minutes = {"learner": {"minutes": 3.0}}
    assert without_other_length(minutes, {"learner.epochs"}) == {"learner": {}}
    assert without_other_length({"data": SHAPES}, {"learner.minutes"}) == {"data": SHAPES}
    assert with_epochs({"learner": {"minutes": 3.0, "clip": 1.0}}, 7) == {"learner": {"clip": 1.0, "epochs": 7}}


@pytest.mark.parametrize(("sections", "text"), [
    ({"learner": {"epochs": 3, "minutes": 1}},
     "learner.epochs=3 and learner.minutes=1 both say how long to train: leave one of the two out"),
    ({"learner": {"minutes": 1}, "plan": {"stages": ["cpu", "cpu"]}},
     "learner.minutes=1 is told from steps on a copy of the network, and a network "
     "that plan.stages splits over devices has no room for one: give learner.epochs"),
    ({"learner": {"minutes": 0}}, "section [learner]: minutes must be greater than 0; got 0"),
    ({"learner": {"minutes": "long"}}, "section [learner]: minutes must be a number; got 'long'")])
def test_what_cannot_be_is_refused_before_anything_begins(sections, text, tmp_path):
    with pytest.raises(UserError) as raised:
        begin_session({"data": SHAPES} | sections, runs=tmp_path / "runs")
    assert str(raised.value) == text and not list(tmp_path.iterdir())


def test_a_resolved_recipe_has_its_minutes_and_no_epochs():
    recipe = resolve_recipe({"data": SHAPES, "learner": {"minutes": 2}}, trusted=False)
    assert recipe["learner"]["minutes"] == 2.0 and "epochs" not in recipe["learner"]


def test_a_budget_is_what_is_left_of_it(tmp_path):
    budget = Budget(time.monotonic() + 5.0, tmp_path)
    assert 4.0 < budget.left <= 5.0
