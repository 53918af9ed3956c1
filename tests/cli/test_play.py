"""Learning by playing from the command line: the run folder, the same bits after a kill, measuring and showing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from safetensors.numpy import load_file

from lensmith.base.errors import ModelError
from lensmith.training.played import load_player

SMALL = ["maze", "--steps", "640", "--plan", "exact", "--seed", "3", "play.copies=4", "learner.every=160",
         "learner.episodes=3", "learner.widths=[16]", "algorithm.learning_starts=64", "algorithm.batch=16",
         "algorithm.replay=400", "world.steps=20"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has played 640 steps."""
    runs = tmp_path_factory.mktemp("runs")
    subprocess.run([sys.executable, "-m", "lensmith", "train", *SMALL, "--runs", str(runs), "--name", "whole"],
                   check=True, capture_output=True)
    return runs / "whole"


def test_the_run_folder_is_one_like_any_other(trained: Path, command):
    facts = json.loads((trained / "run.json").read_text())
    assert facts["status"] == "finished" and facts["epochs"] == facts["planned_epochs"] == 4
    assert facts["understood"].startswith("maze: 4 actions (up, right, down, left), 25 numbers seen; dqn by dense "
                                          "layers of 16; 640 steps in 4 copies")
    scores = json.loads((trained / "metrics.json").read_text())["test"]
    assert scores["count"] == 100 and scores["counted"] == "episode" and scores["best_known"] > scores["return"] - 1e-6
    assert scores["intervals"]["return"][0] <= scores["return"] <= scores["intervals"]["return"][1]
    for row in scores["films"]:
        with Image.open(trained / row["picture"]) as picture:
            assert picture.format == "PNG" and min(picture.size) >= 100
    with Image.open(trained / "pictures" / "episode-best.gif") as film:
        assert getattr(film, "n_frames", 1) >= 1
    page = (trained / "report.html").read_text()
    assert "Playing at random would score" in page and "lensmith play" in page and "over 100 episodes" in page
    ended = command("list", "runs", "--runs", trained.parent)
    assert "return" in ended.out and "finished" in ended.out


@pytest.mark.parametrize("algorithm", ["dqn", pytest.param("ppo", marks=pytest.mark.slow)])
@pytest.mark.parametrize("after", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_run_that_was_killed_ends_with_the_same_bits(tmp_path: Path, algorithm: str, after: int):
    small = [one for one in SMALL if not one.startswith("algorithm.") or algorithm == "dqn"]
    small += ["--algorithm", algorithm]
    lensmith = [sys.executable, "-m", "lensmith", "train"]
    subprocess.run([*lensmith, *small, "--runs", str(tmp_path), "--name", "whole"], check=True, capture_output=True)
    process = subprocess.Popen([*lensmith, *small, "--runs", str(tmp_path), "--name", "killed", "run.save_every=0.01"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    history = tmp_path / "killed" / "history.csv"
    while process.poll() is None and not (history.exists() and len(history.read_text().splitlines()) > after):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() in (-signal.SIGKILL, 0)
    again = subprocess.run([*lensmith, "--resume", str(tmp_path / "killed")], check=True, capture_output=True,
                           text=True)
    assert "steps in 4 copies; " in again.stderr
    for name in ("last.safetensors", "best.safetensors"):
        ours, theirs = (load_file(tmp_path / run / name) for run in ("whole", "killed"))
        assert ours.keys() == theirs.keys() and all((ours[key] == theirs[key]).all() for key in ours), name
    whole, killed = (json.loads((tmp_path / run / "metrics.json").read_text())["test"] for run in ("whole", "killed"))
    assert whole["return"] == killed["return"]


def test_val_measures_fresh_episodes_again(trained: Path, command):
    ended = command("val", trained, "--episodes", "100", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["return"] == json.loads((trained / "metrics.json").read_text())["test"]["return"]
    text = command("val", trained, "--episodes", "8").out
    assert "on 8 episodes" in text and "playing at random would score" in text


def test_play_shows_it_and_writes_a_film(trained: Path, tmp_path: Path, command):
    shown = command("play", trained)
    assert shown.code == 0 and shown.out.startswith("episode 1 of 1") and len(shown.out.splitlines()) > 5
    film = tmp_path / "it.gif"
    assert command("play", trained, "--episodes", "2", "--out", film).code == 0
    with Image.open(film) as picture:
        assert picture.format == "GIF"
    again = command("play", trained, "--out", film)
    assert again.code == 2 and "is there already, and nothing of yours is written over" in again.err
    assert "is a film, .gif or .mp4" in command("play", trained, "--out", tmp_path / "it.png").err
    assert "--human needs a terminal to be played in" in command("play", trained, "--human").err
    assert command("play", trained, "--out", tmp_path / "it.mp4").code == 0
    assert (tmp_path / "it.mp4").stat().st_size > 500


def test_what_is_for_pictures_says_that_this_plays(trained: Path, photos: Path, tmp_path: Path, command):
    for words in (["predict", trained, photos], ["export", trained], ["compress", trained, "--macs", "0.5"]):
        ended = command(*words)
        assert ended.code == 2
        assert "has learned to play, and this is for networks that learned from pictures" in ended.err
        assert len(ended.err.splitlines()) == 1
    assert "--episodes is of runs that have learned to play" in command("val", tmp_path, "--episodes", "3").err


def test_explain_shows_what_it_looks_at(trained: Path, tmp_path: Path, command):
    ended = command("explain", trained)
    assert ended.code == 2 and "sees 25 numbers and no pictures, on which there is nothing to look at" in ended.err
    small = [word for word in SMALL if "widths" not in word and "steps=20" not in word][1:]
    ended = command("train", "catch", *small, "--steps", "320", "--runs", tmp_path, "--name", "catches")
    assert ended.code == 0 and (tmp_path / "catches" / "pictures" / "looked-at.png").is_file()
    ended = command("explain", tmp_path / "catches", "--out", tmp_path / "maps", "--method", "integrated_gradients")
    assert ended.code == 0 and ended.out.startswith("step 0: ") and (tmp_path / "maps" / "looked-at.png").is_file()
    with Image.open(tmp_path / "maps" / "looked-at.png") as strip:
        assert strip.height == 160 and strip.width > 160 * 4
    again = command("explain", tmp_path / "catches", "--out", tmp_path / "maps")
    assert again.code == 2 and "is there already, and nothing of yours is written over" in again.err
    assert "is made of the maps of layers" in command("explain", tmp_path / "catches", "--method", "grad_cam").err


def test_a_run_of_pictures_plays_nothing(tmp_path: Path):
    (tmp_path / "recipe.toml").write_text('[data]\nname = "shapes"\n')
    with pytest.raises(ModelError, match="learned from pictures, and plays nothing: lensmith predict"):
        load_player(tmp_path)


def test_a_dry_run_prints_the_whole_recipe_and_writes_nothing(tmp_path: Path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = command("train", "--world", "catch", "algorithm.n_step=3", "--dry-run")
    assert ended.code == 0 and 'name = "catch"' in ended.out and "n_step = 3" in ended.out and "[play]" in ended.out
    assert os.listdir(tmp_path) == []
    assert "unknown world" in command("train", "--world", "mase").err
    assert command("train", "mase").code == 3 or "mase" in command("train", "mase").err


def test_a_folder_that_is_called_as_a_world_is_a_folder(photos: Path, command, monkeypatch):
    shutil.move(photos, photos.parent / "snake")
    monkeypatch.chdir(photos.parent)
    assert 'name = "folder"' in command("train", "snake", "--dry-run").out


def test_worlds_and_algorithms_are_listed(command):
    assert all(name in command("list", "worlds").out for name in ("maze", "catch", "snake", "bricks"))
    assert all(name in command("list", "algorithms").out for name in ("dqn", "ppo", "a2c", "reinforce"))
