"""The command line: each command as a user types it, and what each mistake gets."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from lensmith.base.pictures import to_pil
from lensmith.engine.plan.time_candidates import pick

ENDING = {"usage": 2, "data": 3, "model": 4, "stopped": 6}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder, trained by the command in a process of its own."""
    runs = tmp_path_factory.mktemp("trained")
    done = subprocess.run([sys.executable, "-m", "lensmith", "train", "shapes", "data.count=900", "data.size=20",
                           "--backbone", "lenet",
                           "--batch", "16", "--epochs", "6", "--name", "one", "--runs", str(runs), "--device", "cpu"],
                          capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("valid accuracy_top1 ") and lines[1].startswith("test  accuracy_top1 ")
    assert lines[2] == f"run    {runs / 'one'}" and lines[3] == f"report {runs / 'one' / 'report.html'}"
    assert "epoch 6/6" in done.stderr and "epoch" not in done.stdout
    return runs / "one"


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


def test_val_gives_what_the_run_measured(trained: Path, command):
    for verb in ("val", "validate", "test"):
        ended = command(verb, trained, "--json", "-q")
        found = json.loads(ended.out)
        wanted = json.loads((trained / "metrics.json").read_text())["test"]
        assert ended.code == 0 and found["split"] == "test"
        assert found["accuracy_top1"] == wanted["accuracy_top1"] and found["loss"] == pytest.approx(wanted["loss"])
    shown = command("val", trained, "--split", "train")
    assert shown.code == 0 and shown.out.startswith("train accuracy_top1") and "precision" in shown.out


def test_predict_takes_files_folders_and_patterns(trained: Path, photos: Path, command, tmp_path: Path):
    whole = json.loads(command("predict", trained, photos, "--json").out)
    assert len(whole) == 60
    pattern = json.loads(command("predict", trained, f"{photos}/*/*.png", "--json").out)
    assert {one["file"]: one["label"] for one in pattern} == {one["file"]: one["label"] for one in whole}
    first = whole[0]["file"]
    shown = command("predict", trained, first, "--out", tmp_path / "out", "--top", "2")
    assert shown.code == 0 and shown.out.startswith(f"{first}: {whole[0]['label']} ")
    assert json.loads((tmp_path / "out" / "predictions.json").read_text())[0]["label"] == whole[0]["label"]
    assert (tmp_path / "out" / "predictions.csv").read_text().startswith("file,label,score,label2,score2\n")
    with Image.open(next((tmp_path / "out").glob("00000-*.png"))) as drawn:
        assert max(drawn.size) >= 224
    right = sum(Path(one["file"]).parent.name == one["label"] for one in whole)
    assert right > 30    # of 60 in three classes


def test_predict_names_what_it_cannot_read_and_goes_on(trained: Path, photos: Path, command):
    good = next(photos.rglob("*.png"))
    bad = photos / "broken.png"
    bad.write_bytes(good.read_bytes()[:50])
    ended = command("predict", trained, good, bad)
    assert ended.code == ENDING["data"]
    assert ended.out.count("\n") == 1 and f"lensmith: {bad} " in ended.err
    found = json.loads(command("predict", trained, bad, good, "--json").out)
    assert "error" in found[0] and "label" in found[1]


def test_a_trained_network_gives_the_same_answers_after_loading(trained: Path, photos: Path, command):
    once = command("predict", trained, photos, "--json").out
    assert once == command("predict", trained, photos, "--json").out


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
    assert refused.code == ENDING["data"] and "square/zero.png is empty (0 bytes)" in refused.err
    assert "--on-bad skip" in refused.err


def test_inspect_shows_layers_and_sums(command, trained: Path):
    ended = command("inspect", "lenet", "--size", 28, "--channels", 1)
    assert ended.code == 0
    assert "16 x 4 x 4" in ended.out and "44,426 parameters" in ended.out
    found = json.loads(command("summary", "lenet", "activation=tanh", "--size", 32, "--json").out)
    assert any(layer["kind"] == "Tanh" for layer in found["layers"])
    assert command("inspect", trained).code == 0


def test_list_and_data(command, trained: Path):
    assert "resnet18" in command("list").out
    for what in ("tasks", "data", "optimizers", "schedules"):
        assert command("list", what).code == 0
    runs = json.loads(command("list", "runs", "--runs", trained.parent, "--json").out)
    assert runs[0]["status"] == "finished" and runs[0]["epochs"] == 6
    shown = command("data", "show", "shapes", "data.count=90")
    assert shown.code == 0 and "label: square, disc, triangle" in shown.out
    assert shown.out.splitlines()[-1].startswith("all")
    assert "shapes" in command("data", "list").out


@pytest.mark.parametrize(("arguments", "kind", "texts"), [
    (["train"], "usage", ["nothing to train on"]),
    (["train", "fashion-mist"], "data", ["'fashion-mist' is no recipe", "Did you mean 'fashion-mnist'?"]),
    (["train", "no/such/folder"], "data", ["'no/such/folder' is no recipe", "folder of pictures"]),
    (["train", "none.toml"], "usage", ["there is no recipe none.toml"]),
    (["train", "none.csv"], "data", ["none.csv"]),
    (["train", "shapes", "--backbone", "lennet"], "model", ["unknown backbone 'lennet'. Did you mean 'lenet'?"]),
    (["train", "shapes", "--epoch", "3"], "usage", ["No such option: --epoch (Possible options: --epochs)"]),
    (["train", "shapes", "--epochs", "three"], "usage",
     ["Invalid value for '--epochs'", "; got 'three'. `lensmith train --help`"]),
    (["train", "shapes", "--epochs", "0"], "usage", ["learner.epochs must be at least 1; got 0"]),
    (["train", "shapes", "--batch", "0"], "usage", ["loading.batch must be at least 1; got 0"]),
    (["train", "shapes", "--rate", "-1"], "usage", ["optimizer.rate must be above 0; got -1.0"]),
    (["train", "shapes", "learner.epoch=3"], "usage", ["has no setting 'epoch'. Did you mean 'epochs'?"]),
    (["train", "shapes", "lerner.epochs=3"], "usage", ["unknown section 'lerner'. Did you mean 'learner'?"]),
    (["train", "learner.epochs=3"], "usage", ["the first argument names the data or the recipe"]),
    (["train", "shapes", "--device", "gpu"], "usage", ["unknown device 'gpu': accepted are auto, cpu, cuda"]),
    (["train", "shapes", "--task", "regression"], "usage", ["data set 'shapes' gives label, boxes, mask; task "
                                                             "'regression' needs numbers"]),
    (["train", "shapes", "--backbone", "lenet", "--size", "6"], "model", ["lenet cannot take pictures of 6 x 6 pixels",
                                                                          "--size"]),
    (["train", "--resume", "no/run"], "model", ["there is no run folder no/run"]),
    (["train", "--resume", "x", "--epochs", "3"], "usage", ["--resume goes on with the run as it was"]),
    (["val", "no/run"], "model", ["there is no run folder no/run"]),
    (["inspect", "lennet"], "model", ["Did you mean 'lenet'?"]),
    (["inspect", "lenet", "kernel=3"], "usage", ["backbone 'lenet' has no setting 'kernel'"]),
    (["list", "bakbones"], "usage", ["unknown list 'bakbones'. Did you mean 'backbones'?"]),
    (["data", "get", "imagenet"], "data", ["imagenet", "fashion-mnist"]),
    (["trian"], "usage", ["No such command 'trian'. Did you mean 'train'?"])])
def test_mistakes_get_one_line_and_their_exit_code(command, arguments, kind, texts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = command(*arguments)
    assert ended.code == ENDING[kind], ended.err
    for text in texts:
        assert text in ended.err
    if ended.err.startswith("lensmith: "):
        assert ended.err.count("\n") == 1
    assert "Traceback" not in ended.err and ended.out == ""
    assert not list(tmp_path.iterdir())    # nothing was begun


@pytest.mark.parametrize(("settings", "text"), [
    (["learner.patience=2", "split.valid=0"], "learner.patience=2 waits for a better score on a valid part"),
    (["augment.hue=0.1", "pictures.channels=1"], "augment.hue=0.1 does nothing to gray pictures"),
    (["augment.crop_padding=40"], "augment.crop_padding=40 must be smaller than the pictures, 32 x 32"),
    (["schedule.name=cosine", "schedule.final=-1.0"], "schedule.final is a share of the peak, 0 .. 1; got -1.0"),
    (["optimizer.beta1=1.5"], "optimizer 'adamw' does not take these settings: Invalid beta"),
    (["optimizer.rate=nan"], "optimizer.rate must be above 0; got nan"),
    (["run.seed=-1"], "section [run]: seed must be greater than or equal to 0; got -1"),
    (["pictures.size=0"], "0"), (["split.valid=1.5"], "split.valid=1.5")])
def test_settings_that_cannot_be_are_refused_before_anything_begins(command, tmp_path, monkeypatch, settings, text):
    monkeypatch.chdir(tmp_path)
    ended = command("train", "shapes", "data.count=90", "--backbone", "simple", "--name", "one", *settings)
    assert ended.code == ENDING["usage"] and text in ended.err and ended.err.count("\n") == 1, ended.err
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
        assert ended.code == ENDING["usage"] and "takes no other setting" in ended.err


def test_training_that_breaks_leaves_a_reason_and_a_report(command, tmp_path):
    ended = command("train", "shapes", "data.count=12", "--backbone", "stack", "--batch", "1", "--name", "one",
                    "--runs", tmp_path, 'backbone.layers=[{conv = 4, kernel = 3}, {globalpool = "mean"}, {dense = 4}, '
                    '{layernorm = true}]', "optimizer.rate=1e30", "-q")
    run = json.loads((tmp_path / "one" / "run.json").read_text())
    assert ended.code == ENDING["stopped"] and run["status"] == "stopped"
    assert run["reason"] in ended.err and "the loss is not finite" in run["reason"]
    assert "the loss is not finite" in (tmp_path / "one" / "report.html").read_text()


def test_batch_norm_on_one_value_is_told_in_words(command, tmp_path):
    ended = command("train", "shapes", "data.count=12", "--backbone", "resnet18", "--batch", "1", "--epochs", "1",
                    "--runs", tmp_path, "-q")
    assert ended.code == ENDING["stopped"] and "batch normalisation cannot learn from one value" in ended.err
    assert "--batch" in ended.err


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
    assert refused.code == ENDING["model"] and "weights.pth" in refused.err


def test_stopping_early_says_so(command, tmp_path):
    ended = command("train", "shapes", "data.count=60", "--backbone", "simple", "--epochs", 30, "--rate", "1e-12",
                    "learner.patience=1", "--name", "one", "--runs", tmp_path, "-q")
    run = json.loads((tmp_path / "one" / "run.json").read_text())
    assert ended.code == 0 and run["status"] == "stopped early" and run["planned_epochs"] == 30 > run["epochs"]


def test_a_taken_name_is_refused(trained: Path, command):
    ended = command("train", "shapes", "--name", "one", "--runs", trained.parent)
    assert ended.code == ENDING["usage"] and "one exists: choose another --name, or go on with" in ended.err


def test_predicting_what_is_not_there(trained: Path, command, tmp_path: Path):
    (tmp_path / "cat.png").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    for source, text in ((tmp_path / "cta.png", "Did you mean 'cat.png'?"), (tmp_path / "empty", "holds no picture"),
                         (tmp_path / "*.jpg", "no file matches")):
        ended = command("predict", trained, source)
        assert ended.code == ENDING["data"] and text in ended.err


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
    assert refused.code == ENDING["model"]
    assert "would run the code of" in refused.err and "--trust" in refused.err
    assert command("predict", "runs/own", "one.png", "--trust").code == 0
    assert command("val", "runs/own", "--trust").code == 0
    for arguments in (["train", "runs/own", "--dry-run"], ["train", "runs/own"], ["train", "--resume", "runs/own"]):
        again = command(*arguments)
        assert again.code == ENDING["model"] and "--trust" in again.err
    assert command("train", "runs/own", "--dry-run", "--trust").code == 0
    assert command("data", "show", "runs/own").code == 0    # looks at pictures, so no network is asked for


@pytest.mark.parametrize("file", ["best.safetensors", "plan.json", "data.json", "recipe.toml"])
def test_run_files_with_strange_content_are_refused(trained: Path, command, photos: Path, tmp_path: Path, file: str):
    import shutil

    from lensmith.engine.checkpoint import write_state

    broken = tmp_path / "broken"
    shutil.copytree(trained, broken)
    if file == "best.safetensors":
        write_state(broken / file, {"something": 1})
    else:
        (broken / file).write_text('{"device": "mps", "colour": 3}' if file.endswith("json") else "[colour]\nred = 1\n")
    ended = command("predict", broken, photos)
    assert ended.code == ENDING["model"] and file in ended.err and ended.err.count("\n") == 1


def test_damaged_and_foreign_checkpoints_are_refused(trained: Path, command, photos: Path, tmp_path: Path):
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(trained, broken)
    (broken / "best.safetensors").write_bytes((trained / "best.safetensors").read_bytes()[:-9])
    ended = command("predict", broken, photos)
    assert ended.code == ENDING["model"] and "damaged" in ended.err
    (broken / "best.safetensors").write_bytes((trained / "best.safetensors").read_bytes())
    text = (broken / "recipe.toml").read_text().replace('name = "lenet"', 'name = "lenet3x3"')
    (broken / "recipe.toml").write_text("\n".join(line for line in text.splitlines()
                                                  if not line.startswith(("activation", "pool"))))
    ended = command("predict", broken, photos)
    assert ended.code == ENDING["model"] and "is a checkpoint of another network" in ended.err


def test_help_is_quick_and_does_not_wait_for_torch():
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-X", "importtime", "-m", "lensmith", "--help"], capture_output=True,
                          text=True, check=True)
    assert "train" in done.stdout and "predict" in done.stdout
    assert time.monotonic() - started < 30    # a hang, not a benchmark: that is benchmarks/start.py
    imported = [line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line]
    assert not {"torch", "numpy", "PIL", "matplotlib", "pydantic"} & set(imported)


def test_a_reader_that_leaves_is_no_error():
    done = subprocess.run(f"{sys.executable} -m lensmith list | head -n 1", shell=True, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0 and done.stdout.startswith("name") and done.stderr == ""


def test_the_module_runs_as_the_command():
    done = subprocess.run([sys.executable, "-m", "lensmith", "train"], capture_output=True, text=True, check=False,
                          env={**os.environ, "NO_COLOR": "1"})
    assert done.returncode == 2 and done.stderr.startswith("lensmith: nothing to train on")


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
