"""The table of flags: what `train` takes from it, and the flags that it adds to messages."""

from inspect import signature
from typing import Annotated

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from lensmith.base.errors import UserError
from lensmith.cli.app import main
from lensmith.cli.options import ARGUMENTS, FLAGS, settings_of, with_flags
from lensmith.cli.train import train
from lensmith.recipe import play_sections
from lensmith.recipe.play_sections import PlayLearnerSettings
from lensmith.recipe.sections import PLAIN, SECTIONS

WORDS = st.lists(st.sampled_from([*FLAGS.values(), *ARGUMENTS, "data.name", "learner.clip=1", "optimizer.rate=3e-4",
                                  "(--rate)", "--batch", "`learner.epochs`", "pictures.size,", "is", "at least 1;"]))


def test_every_flag_is_an_option_of_train_and_stands_for_a_setting_of_a_recipe():
    assert set(FLAGS) <= set(signature(train).parameters)
    for place in FLAGS.values():
        section, _, key = place.partition(".")
        assert section in SECTIONS or section in play_sections.SECTIONS
        assert section not in PLAIN or key in signature(PLAIN[section]).parameters \
            or key in signature(PlayLearnerSettings).parameters, place
    # The settings that only some entries of a table have, as the optimizer's rate, are checked where they are read.
    assert {place for place in FLAGS.values() if place.partition(".")[0] not in PLAIN} == \
        {"backbone.name", "task.name", "optimizer.name", "optimizer.rate", "world.name", "algorithm.name"}


def test_what_was_left_out_sets_nothing():
    left_out = dict.fromkeys(FLAGS) | {"probe": False, "quiet": False, "source": "shapes"}
    assert set(settings_of(left_out).values()) == {None}
    settings = settings_of(left_out | {"epochs": 3, "rate": 0.0, "probe": True})
    assert {place: value for place, value in settings.items() if value is not None} == {
        "learner.epochs": 3, "optimizer.rate": 0.0, "learner.probe": True}


@pytest.mark.parametrize(("text", "shown"), [
    ("learner.epochs must be at least 1; got 0", "learner.epochs (--epochs) must be at least 1; got 0"),
    ("train it with task.name=detection, or task.name=instances",
     "train it with task.name=detection (--task), or task.name=instances"),
    ("use plan.processes with plan.device=cuda:0,1.", "use plan.processes (--processes) with plan.device=cuda:0,1 "
                                                      "(--device)."),
    ("pictures.size=[32, 48] cannot be", "pictures.size=[32, 48] (--size) cannot be"),
    ("plan.mode='a plan.json' is lost", "plan.mode='a plan.json' (--plan) is lost"),
    ("leave files out with pictures.on_bad=skip", "leave files out with pictures.on_bad=skip (--on-bad)"),
    ("predict.overlap=2 is not possible", "predict.overlap=2 (--iou) is not possible"),
    ("if you trust it, say trust=True", "if you trust it, say trust=True (--trust)")])
def test_the_first_mention_of_a_setting_gets_its_flag(text, shown):
    assert with_flags(text) == shown


@pytest.mark.parametrize("text", [
    "", "data.name=folder, learner.clip=1 and task.width have no flag", "runs/run.name/best.safetensors is damaged",
    "learner.epochs (--epochs) must be at least 1", "plan.processes=2: `lensmith train RUN --processes 2` starts them",
    "unknown setting 'learner.epochs'", "write `learner.freeze=1`", "my.learner.rate and run.seeds and run.name.txt"])
def test_other_texts_stay_as_they_are(text):
    assert with_flags(text) == text


@given(WORDS)
def test_flags_are_added_once_and_nothing_else_is_changed(words):
    text = " ".join(words)
    shown = with_flags(text)
    assert with_flags(shown) == shown
    bare = shown
    for flag in {f"--{name.replace('_', '-')}" for name in FLAGS} | set(ARGUMENTS.values()):
        assert shown.count(f" ({flag})") - text.count(f" ({flag})") in (0, 1)
        bare = bare.replace(f" ({flag})", "")
        text = text.replace(f" ({flag})", "")
    assert bare == text


def test_a_flag_of_ones_own_is_a_parameter_and_a_line_of_the_table(capsys, monkeypatch):
    flags = {**FLAGS, "clip": "learner.clip"}

    def fit(context: typer.Context, clip: Annotated[float | None, typer.Option(help="The longest gradient.")] = None,
            epochs: int = 5) -> None:
        """Learn with gradients that are clipped."""
        settings = settings_of(dict.fromkeys(flags) | context.params, flags)
        assert settings["learner.clip"] == clip and settings["learner.epochs"] == epochs
        raise UserError(with_flags(f"learner.clip must be above 0; got {clip}", flags))

    monkeypatch.setattr("sys.argv", ["lensmith", "fit", "--clip", "-1"])
    with pytest.raises(SystemExit):
        main({"fit": fit})
    assert capsys.readouterr().err == "lensmith: learner.clip (--clip) must be above 0; got -1.0\n"
