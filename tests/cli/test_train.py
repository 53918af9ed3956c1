"""The verb `train` as a user types it: data or a recipe to a run folder, and what it refuses."""

import json
from pathlib import Path

import pytest
import torch

from lensmith.base.pictures import to_pil
from lensmith.cli.options import with_flags
from lensmith.cli.terminal import baseline_line
from lensmith.engine.plan.time_candidates import pick


def test_the_run_folder_holds_what_is_promised(trained: Path):
    names = {path.name for path in trained.iterdir()}
    assert {"recipe.toml", "plan.json", "environment.json", "data.json", "history.csv", "metrics.json", "run.json",
            "last.safetensors", "last.json", "best.safetensors", "best.json", "report.html"} <= names
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["test"]["count"] == 150
    low, high = metrics["test"]["intervals"]["accuracy_top1"]
    assert low <= metrics["test"]["accuracy_top1"] <= high
    run = json.loads((trained / "run.json").read_text())
    assert run["status"] == "finished" and run["command"].startswith("lensmith train shapes")
    assert not [path for path in trained.rglob("*") if path.suffix in (".pt", ".pth", ".pkl")]


def test_the_report_opens_with_its_pictures_inside(trained: Path):
    text = (trained / "report.html").read_text()
    assert text.startswith("<!doctype html>") or text.lower().startswith("<!doctype html>")
    assert "data:image/png;base64" in text and "http://" not in text.replace("http://www.w3.org", "")


def test_dry_run_prints_a_recipe_that_trains(command, tmp_path: Path):
    ended = command("train", "shapes", "--backbone", "lenet", "--epochs", 1, "data.count=60", "--dry-run")
    assert ended.code == 0 and not (tmp_path / "runs").exists()
    (tmp_path / "one.toml").write_text(ended.out)
    again = command("train", tmp_path / "one.toml", "--runs", tmp_path / "runs", "-q", "--json")
    assert again.code == 0 and json.loads(again.out)["run"] == str(tmp_path / "runs" / "shapes-lenet-1")
    assert "epochs = 1" in ended.out and 'name = "lenet"' in ended.out


def test_a_run_folder_trains_again_from_its_own_recipe(trained: Path, command, tmp_path: Path):
    ended = command("train", trained, "--epochs", 1, "--runs", tmp_path, "-q", "--json")
    assert ended.code == 0 and (tmp_path / "shapes-lenet-1" / "report.html").exists()


def test_a_folder_of_pictures_trains_without_any_setting_but_the_epochs(photos: Path, command, tmp_path: Path):
    (photos / "square" / "zero.png").write_bytes(b"")
    (photos / "square" / "text.jpg").write_text("not a picture")
    ended = command("train", photos, "--epochs", 1, "--runs", tmp_path / "runs")
    assert ended.code == 0, ended.err
    run = tmp_path / "runs" / "photos-cnn3-1"
    data = json.loads((run / "data.json").read_text())
    assert {one["file"]: one["reason"] for one in data["dropped"]} == {
        "square/zero.png": "is empty (0 bytes)",
        "square/text.jpg": "is not a picture in a format that Pillow reads"}
    assert set(data["files"]) == {"train", "valid", "test"} and sum(map(len, data["files"].values())) == 60
    assert not set(data["files"]["train"]) & set(data["files"]["valid"])
    refused = command("train", photos, "--epochs", 1, "--on-bad", "refuse", "--runs", tmp_path / "runs")
    assert refused.code == 3 and "square/zero.png is empty (0 bytes)" in refused.err
    assert "pictures.on_bad=skip (--on-bad)" in refused.err


@pytest.mark.parametrize(("settings", "text"), [
    (["learner.patience=2", "split.valid=0"], "learner.patience=2 waits for a better score on a valid split"),
    (["augment.hue=0.1", "pictures.channels=1"], "augment.hue=0.1 does nothing to gray pictures"),
    (["augment.crop_padding=40"], "augment.crop_padding=40 must be smaller than the pictures, 32 x 32"),
    (["schedule.name=cosine", "schedule.final=-1.0"], "schedule.final is a fraction of the peak, 0 .. 1; got -1.0"),
    (["optimizer.beta1=1.5"], "optimizer 'adamw' does not take these settings: Invalid beta"),
    (["optimizer.rate=nan"], "optimizer 'adamw': rate must be a finite number; got nan"),
    (["run.seed=-1"], "section [run]: seed must be greater than or equal to 0; got -1"),
    (["pictures.size=0"], "0"), (["split.valid=1.5"], "split.valid=1.5")])
def test_settings_that_cannot_be_are_refused_before_anything_begins(command, tmp_path, monkeypatch, settings, text):
    monkeypatch.chdir(tmp_path)
    ended = command("train", "shapes", "data.count=90", "--backbone", "simple", "--name", "one", *settings)
    assert ended.code == 2 and text in ended.err and ended.err.count("\n") == 1, ended.err
    assert not list(tmp_path.iterdir())


def test_a_flag_that_names_another_entry_leaves_the_old_ones_settings_behind(command, tmp_path):
    recipe = tmp_path / "one.toml"
    recipe.write_text('[data]\nname = "shapes"\n[backbone]\nname = "lenet"\nactivation = "tanh"\n'
                      '[optimizer]\nname = "sgd"\nmomentum = 0.5\n')
    same = command("train", recipe, "--backbone", "lenet", "--dry-run")
    assert 'activation = "tanh"' in same.out and "momentum = 0.5" in same.out
    other = command("train", recipe, "--backbone", "simple", "--optimizer", "adam", "--dry-run")
    assert other.code == 0 and "activation" not in other.out and 'name = "adam"' in other.out


def test_resume_takes_no_other_option(command, trained: Path):
    for option in (["--dry-run"], ["--runs", "x"]):
        ended = command("train", "--resume", trained, *option)
        assert ended.code == 2 and "takes no other setting" in ended.err


def test_training_that_breaks_leaves_a_reason_and_a_report(command, tmp_path):
    ended = command("train", "shapes", "data.count=12", "--backbone", "stack", "--batch", "1", "--name", "one",
                    "--runs", tmp_path, 'backbone.layers=[{conv = 4, kernel = 3}, {globalpool = "mean"}, {dense = 4}, '
                    '{layernorm = true}]', "optimizer.rate=1e30", "-q")
    run = json.loads((tmp_path / "one" / "run.json").read_text())
    assert ended.code == 6 and run["status"] == "stopped"
    assert with_flags(run["reason"]) in ended.err and "Take a lower rate with optimizer.rate (--rate)" in ended.err
    assert "the loss is not finite" in run["reason"]
    assert "the loss is not finite" in (tmp_path / "one" / "report.html").read_text()


def test_batch_norm_on_one_value_is_told_in_words(command, tmp_path):
    ended = command("train", "shapes", "data.count=12", "--backbone", "resnet18", "--batch", "1", "--epochs", "1",
                    "--runs", tmp_path, "-q")
    assert ended.code == 6 and "batch normalisation cannot learn from one value" in ended.err
    assert "loading.batch (--batch)" in ended.err


def test_training_begins_with_weights_from_a_file(command, trained: Path, tmp_path):
    from safetensors.torch import save_file

    from lensmith.engine.checkpoint import read_state

    save_file(read_state(trained / "best.safetensors")["network"], tmp_path / "weights.safetensors")
    ended = command("train", "shapes", "data.count=60", "data.size=20", "--backbone", "lenet", "--epochs", 1,
                    "--rate", "1e-12", "--weights", tmp_path / "weights.safetensors", "--runs", tmp_path, "--json")
    assert ended.code == 0, ended.err
    before = json.loads((trained / "metrics.json").read_text())["test"]["accuracy_top1"]
    assert before > 0.5 and json.loads(ended.out)["test"]["accuracy_top1"] > before - 0.3
    assert "weights.safetensors" in ended.err
    (tmp_path / "weights.pth").write_bytes(b"\x80\x04junk")
    refused = command("train", "shapes", "--weights", tmp_path / "weights.pth", "--runs", tmp_path)
    assert refused.code == 4 and "weights.pth" in refused.err


def test_stopping_early_says_so(command, tmp_path):
    ended = command("train", "shapes", "data.count=60", "--backbone", "simple", "--epochs", 30, "--rate", "1e-12",
                    "learner.patience=1", "--name", "one", "--runs", tmp_path)
    run = json.loads((tmp_path / "one" / "run.json").read_text())
    assert ended.code == 0 and run["status"] == "stopped early" and run["planned_epochs"] == 30 > run["epochs"]
    best = run["best_epoch"]
    why = f"1 epoch brought nothing better than epoch {best} (accuracy_top1 {run['score']:.4f})"
    assert run["reason"] == why and f"stopped early after epoch {run['epochs']} of 30: {why}\n" in ended.err
    report = (tmp_path / "one" / "report.html").read_text()
    assert f"This run stopped early, after {run['epochs']} epochs of 30: {why}." in report


def test_what_one_answer_for_all_pictures_would_score_stands_beside_the_test_score(command, tmp_path):
    ended = command("train", "shapes", "data.count=60", "--backbone", "simple", "--epochs", 1, "--name", "one",
                    "--runs", tmp_path, "-q")
    metrics = json.loads((tmp_path / "one" / "metrics.json").read_text())
    data = json.loads((tmp_path / "one" / "data.json").read_text())
    trained, tested = (data["splits"][split]["per_class"] for split in ("train", "test"))
    commonest = max(trained, key=trained.get)    # the first of equals
    fraction = tested[commonest] / sum(tested.values())
    assert metrics["test"]["baselines"] == {"accuracy_top1": {"answer": f"always naming '{commonest}'",
                                                              "score": pytest.approx(fraction)}}
    lines = ended.out.splitlines()
    assert lines[1].startswith("test  accuracy_top1 ")
    assert lines[2] == f"      always naming '{commonest}' would score {fraction:.4f}"
    assert f"Always naming &#39;{commonest}&#39; would score {100 * fraction:.2f} %." in \
        (tmp_path / "one" / "report.html").read_text()


def test_of_several_tasks_each_has_its_own_comparison_and_boxes_have_none(command, tmp_path):
    ended = command("train", "shapes", "data.count=60", "data.size=16", "--task", "multitask", "--backbone", "simple",
                    "--epochs", 1, "--runs", tmp_path, "-q", "--json", 'task.parts=["label", "boxes", "mask"]')
    test = json.loads(ended.out)["test"]
    assert set(test["baselines"]) == {"label/accuracy_top1", "mask/mIoU"}
    assert test["baselines"]["mask/mIoU"]["answer"] == "always naming 'ground'"
    assert baseline_line(test) == ", ".join(f"{one['answer']} would score {one['score']:.4f} in {name}"
                                            for name, one in test["baselines"].items())
    assert baseline_line({}) == ""


def test_a_taken_name_is_refused(trained: Path, command):
    ended = command("train", "shapes", "--name", "one", "--runs", trained.parent)
    assert ended.code == 2 and "one exists: choose another run.name (--name), or go on with" in ended.err


def test_a_run_with_strange_code_asks_for_trust(command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_net.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, inputs, outputs, width=4):\n"
        "        super().__init__()\n"
        "        self.layers = nn.Sequential(nn.Conv2d(inputs, width, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1),\n"
        "                                    nn.Flatten(), nn.Linear(width, outputs))\n"
        "    def forward(self, images):\n"
        "        return self.layers(images)\n")
    ended = command("train", "shapes", "data.count=90", "--backbone", "my_net.py:Net", "backbone.width=6",
                    "--epochs", 1, "--name", "own", "-q")
    assert ended.code == 0, ended.err
    to_pil(torch.zeros(3, 32, 32, dtype=torch.uint8)).save("one.png")
    refused = command("predict", "runs/own", "one.png")
    assert refused.code == 4
    assert "would run the code of" in refused.err and "--trust" in refused.err
    assert command("predict", "runs/own", "one.png", "--trust").code == 0
    assert command("val", "runs/own", "--trust").code == 0
    for arguments in (["train", "runs/own", "--dry-run"], ["train", "runs/own"], ["train", "--resume", "runs/own"]):
        again = command(*arguments)
        assert again.code == 4 and "--trust" in again.err
    assert command("train", "runs/own", "--dry-run", "--trust").code == 0
    assert command("data", "show", "runs/own").code == 0    # looks at pictures, so no network is asked for


NET = """from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.dense = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 20 * 20, 3)

    def forward(self, images):
        return self.dense(self.conv(images).view(-1, 4 * 20 * 20))
"""


def test_a_network_of_ones_own_is_run_in_the_one_way_in_which_it_runs(tmp_path: Path, command, monkeypatch):
    """Through the real picker: `.view` behind a convolution does not run in channels_last."""
    monkeypatch.setattr("lensmith.recipe.choose_plan.pick", pick)
    # Seconds: on a busy machine its time would be over before channels_last.
    monkeypatch.setattr("lensmith.engine.plan.candidates._LEAST", 300.0)
    (tmp_path / "my.py").write_text(NET)
    ended = command("train", "shapes", "data.count=60", "data.size=20", "--backbone", f"{tmp_path / 'my.py'}:Net",
                    "--epochs", "1", "--name", "one", "--runs", tmp_path)
    assert ended.code == 0, ended.err
    plan = json.loads((tmp_path / "one" / "plan.json").read_text())
    assert plan["layout"] == "contiguous" and plan["source"] == "timed"
    assert "refused: RuntimeError: view size is not compatible" in (tmp_path / "one" / "report.html").read_text()


def test_what_a_plain_step_runs_into_is_told_in_words_behind_the_picker_too(tmp_path: Path, command, monkeypatch):
    monkeypatch.setattr("lensmith.recipe.choose_plan.pick", pick)
    ended = command("train", "shapes", "data.count=60", "data.size=16", "--backbone", "resnet18", "--batch", "1",
                    "--epochs", "1", "--runs", tmp_path)
    assert ended.code == 6 and "batch normalisation cannot learn from one value a channel" in ended.err, ended.err
