"""A network that begins with what another has learned: what fits, what is frozen, and which classes stay."""

import csv
import json
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision.models import get_model

import lensmith
from lensmith.base.errors import ModelError, UserError
from lensmith.engine.checkpoint import read_state
from lensmith.recipe.starting_weights import check_probe

LAYERS = ('[{conv = 8, kernel = 3, stride = 2}, {batchnorm = true}, "relu", {conv = 16, kernel = 3}, '
          '{batchnorm = true}, "relu", {dropout = 0.2}, {conv = 16, kernel = 3}, {batchnorm = true}, "relu", '
          '{globalpool = "mean"}]')
COMMON = ["data.size=20", "--batch", "10", "--device", "cpu", "--plan", "exact", "plan.threads=1"]
SHAPES = ["train", "shapes", "data.count=300", *COMMON]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the drawn shapes that learned something."""
    return lensmith.train("shapes", epochs=4, batch=10, device="cpu", name="shapes", backbone="stack",
                          runs=tmp_path_factory.mktemp("runs"), settings={
                              "data.count": 900, "data.size": 20, "plan.threads": 1, "plan.mode": "exact",
                              "backbone.layers": tomllib.loads(f"x = {LAYERS}")["x"]}).folder


def start(*arguments: object) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "lensmith", *map(str, arguments)], stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True)


def kill_within_epoch(process: subprocess.Popen, run: Path, epoch: int) -> None:
    """SIGKILL the process when the state it has saved lies within that epoch, counted from 0."""
    saved = run / "last.json"
    while process.poll() is None:
        if saved.exists() and saved.stat().st_size:
            now = json.loads(saved.read_text())
            if (now["epoch"], min(now["position"], 1)) >= (epoch, 1):
                process.send_signal(signal.SIGKILL)
        time.sleep(0.001)
    process.stderr.close()
    assert process.wait() == -signal.SIGKILL


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return read_state(run / "best.safetensors")["network"]


def test_what_became_of_each_tensor_is_in_the_run_and_in_its_report(trained: Path, tmp_path: Path, command):
    weights = weights_of(trained)
    del weights["backbone.layers.conv3.bias"]
    weights["backbone.layers.conv1.bias"] = torch.zeros(5)
    save_file(weights | {"extra": torch.zeros(2)}, tmp_path / "w.safetensors")
    ended = command(*SHAPES, "--backbone", "stack", f"backbone.layers={LAYERS}", "--weights",
                    tmp_path / "w.safetensors", "--epochs", 1, "--name", "one", "--runs", tmp_path)
    assert ended.code == 0, ended.err
    assert "1 tensor of another shape left fresh (backbone.layers.conv1.bias)" in ended.err
    table = json.loads((tmp_path / "one" / "weights.json").read_text())
    assert table["counts"] == {"taken": len(weights) - 1, "missing": 1, "unknown": 1, "of_another_shape": 1,
                               "of_other_classes": 0}
    rows = {row["tensor"] or row["in_file"]: row for row in table["tensors"]}
    assert set(rows) == {*weights, "extra", "backbone.layers.conv3.bias"}
    assert rows["backbone.layers.conv1.bias"] == {
        "tensor": "backbone.layers.conv1.bias", "shape": "8", "in_file": "backbone.layers.conv1.bias",
        "shape_in_file": "5", "became": "fresh: of another shape"}
    assert rows["backbone.layers.conv3.bias"]["became"] == "fresh: the file lacks it"
    assert rows["extra"]["became"] == "not used" and rows["backbone.layers.conv2.weight"]["became"] == "taken"
    report = (tmp_path / "one" / "report.html").read_text()
    for text in ("Weights to begin with", "fresh: of another shape", "fresh: the file lacks it", "not used"):
        assert text in report
    assert "<td>backbone.layers.conv2.weight</td>" not in report


@pytest.mark.parametrize(("backbone", "near", "tensors"), [("resnet50", "resnet18", 120), ("cnn3", "resnet34", 216)])
def test_weights_of_another_architecture_name_the_nearest_one(tmp_path, command, backbone, near, tensors):
    save_file(get_model(near, weights=None).state_dict(), tmp_path / "w.safetensors")
    ended = command(*SHAPES, "--size", 64, "--backbone", backbone, "--weights", tmp_path / "w.safetensors", "--runs",
                    tmp_path)
    assert ended.code == 4 and ended.err.count("\n") == 1 and not list(tmp_path.glob("shapes*"))
    assert f"w.safetensors is of another network than '{backbone}': " in ended.err
    assert f"Nearest of the known networks is '{near}', of which {tensors} of {tensors} tensors fit: take it with " \
        f"backbone.name={near} (--backbone)" in ended.err


def test_weights_that_fit_nothing_known_and_those_of_a_run_are_told(trained: Path, tmp_path: Path, command):
    save_file({"a.w": torch.ones(2), "b.w": torch.ones(2)}, tmp_path / "w.safetensors")
    ended = command(*SHAPES, "--weights", tmp_path / "w.safetensors", "--runs", tmp_path)
    assert ended.code == 4 and "0 of 6 weight tensors fit by name and shape. None of the networks that were compared " \
        "fits; the file has a.w, b.w: name the network that it is of with backbone.name (--backbone)" in ended.err
    ended = command(*SHAPES, "--backbone", "lenet", "--weights", trained, "--runs", tmp_path)
    assert ended.code == 4 and "It is a run of backbone 'stack': leave backbone.name (--backbone) out to take it with" \
        in ended.err


FREEZING = [["learner.freeze=1", "learner.unfreeze=[1, 2]", "learner.depth_decay=0.5", "learner.average=0.98"],
            pytest.param(["learner.freeze=backbone", "--optimizer", "sgd"], marks=pytest.mark.slow),
            pytest.param(["--optimizer", "muon", "optimizer.normalise=true", "learner.unfreeze=[2]",
                          "learner.accumulate=2"], marks=pytest.mark.slow)]


@pytest.mark.parametrize("settings", FREEZING, ids=["depths", "backbone", "muon"])
def test_a_run_that_wakes_by_depth_goes_on_to_the_same_bits(trained: Path, tmp_path: Path, settings, command):
    common = ["train", "shapes", "data.count=200", *COMMON, "--weights", str(trained), "--epochs", "4",
              "run.save_every=0.02", *settings, "--runs", str(tmp_path)]
    whole, killed = start(*common, "--name", "whole"), start(*common, "--name", "killed")
    kill_within_epoch(killed, tmp_path / "killed", 1)    # one depth is awake, and the other still has to wake
    ended = command("train", "--resume", tmp_path / "killed")
    assert ended.code == 0, ended.err
    _, told = whole.communicate(timeout=120)
    assert whole.returncode == 0, told
    states = [load_file(tmp_path / name / "last.safetensors") for name in ("whole", "killed")]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    begun, ended = weights_of(trained), read_state(tmp_path / "killed" / "last.safetensors")["learner"]["network"]
    moved = {name.split(".")[2] for name, tensor in ended.items()
             if name.startswith("backbone.") and not torch.equal(tensor, begun[name])}
    frozen = {"conv1", "batchnorm1"} if "learner.freeze=1" in settings else \
        {"conv1", "batchnorm1", "conv2", "batchnorm2", "conv3", "batchnorm3"} if "sgd" in settings else set()
    assert moved == {"conv1", "batchnorm1", "conv2", "batchnorm2", "conv3", "batchnorm3"} - frozen
    notes = json.loads((tmp_path / "killed" / "data.json").read_text())["notes"]
    assert any(note.startswith(("frozen (", "the backbone is unfrozen")) for note in notes)
    assert notes[-1].split(" (")[0].split(" from")[0] in (tmp_path / "killed" / "report.html").read_text()


@pytest.mark.slow
def test_two_processes_wake_a_backbone_together(trained: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    process = start("train", "shapes", "data.count=120", *COMMON, "--weights", str(trained), "--epochs", "3",
                    "learner.freeze=1", "learner.unfreeze=[1, 2]", "--processes", "2", "plan.timeout=60", "--name",
                    "two", "--runs", str(tmp_path))
    try:
        _, told = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0, told
    begun, ended = weights_of(trained), read_state(tmp_path / "two" / "last.safetensors")["learner"]["network"]
    still = {name.split(".")[2] for name, tensor in ended.items()
             if name.startswith("backbone.") and torch.equal(tensor, begun[name])}
    assert still == {"conv1", "batchnorm1"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, drawn) -> Path:
    """A table of the drawn shapes whose classes stand in another order, with one that is new."""
    folder = tmp_path_factory.mktemp("table")
    train = drawn["train"]
    names = train.classes["label"]
    with (folder / "shapes.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label"])
        for i in range(120):
            sample = train[i]
            Image.fromarray(sample.image.permute(1, 2, 0).numpy()).save(folder / f"{i}.png")
            name = names[int(sample.targets["label"].index)]
            rows.writerow([f"{i}.png", "aster" if name == names[0] and i % 2 else name])
    return folder / "shapes.csv"


def test_the_last_layer_keeps_the_classes_that_stay_by_their_names(trained: Path, table: Path, tmp_path: Path, command):
    ended = command("train", table, "--weights", trained, "--epochs", 1, "--rate", "1e-12", *COMMON[1:], "--size", 20,
                    "--name", "one", "--runs", tmp_path, "learner.head_first=0")
    assert ended.code == 0, ended.err
    old, new = (json.loads((run / "data.json").read_text())["classes"]["label"] for run in (trained, tmp_path / "one"))
    assert new != old and set(new) == {*old, "aster"}
    assert f"the last layer keeps {len(old)} of {len(new)} classes by name: " in ended.err
    before, after = weights_of(trained), weights_of(tmp_path / "one")
    last = next(name for name in reversed(before) if name.startswith("head.") and name.endswith("weight"))
    for key in (last, last.replace("weight", "bias")):
        for name in new:
            wanted = before[key][old.index(name)] if name in old else torch.zeros_like(before[key][0])
            torch.testing.assert_close(after[key][new.index(name)], wanted, atol=1e-6, rtol=0)


def test_a_last_layer_of_other_classes_begins_anew_though_it_fits(trained: Path, table: Path, tmp_path: Path, command):
    old = json.loads((trained / "data.json").read_text())["classes"]["label"]
    lines = table.read_text().replace("aster", old[0])
    for number, name in enumerate(old):
        lines = lines.replace(f",{name}\n", f",new{number}\n")
    other = table.parent / "other.csv"
    other.write_text(lines)
    ended = command("train", other, "--weights", trained, "--epochs", 1, "--rate", "1e-12", *COMMON[1:], "--size", 20,
                    "--name", "one", "--runs", tmp_path, "learner.head_first=0")
    assert ended.code == 0, ended.err
    assert f"the last layer keeps 0 of {len(old)} classes by name" in ended.err
    assert "2 tensors of other classes left fresh (head." in ended.err
    after = weights_of(tmp_path / "one")
    assert all(after[name].abs().max() < 1e-6 for name in after if name.startswith("head."))


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two YOLO sets of the same pictures: one of a square and a bar, one of a bar, a disc and a square."""
    sets = {}
    for kind, names in (("first", ["square", "bar"]), ("second", ["bar", "disc", "square"])):
        folder = sets[kind] = tmp_path_factory.mktemp(kind)
        draw = np.random.default_rng(0)
        for number in range(12):
            pixels = draw.integers(90, 130, (64, 64, 3)).astype(np.uint8)
            pixels[10:30, 20:40] = 240
            name = ("square", "bar")[number % 2]
            for place in ("images", "labels"):
                (folder / place).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
            (folder / "labels" / f"{number}.txt").write_text(f"{names.index(name)} 0.46875 0.3125 0.3125 0.3125\n")
        (folder / "data.yaml").write_text(f"train: images\nnames: [{', '.join(names)}]\n")
    return sets


@pytest.mark.parametrize("task", ["detection", "yolov3"])
def test_a_detector_keeps_its_classes_by_name(boxes: dict[str, Path], tmp_path: Path, command, task: str):
    common = ("--epochs", 1, "--batch", 4, "--rate", "1e-12", "--size", 64, "--device", "cpu", "--plan", "exact",
              "plan.threads=1", "learner.average=0.0", "--runs", tmp_path)
    small = ("--backbone", "csp", "backbone.width=8", "--task", task, *(["task.width=16"] * (task == "detection")))
    assert command("train", boxes["first"], *small, "--name", "one", "--seed", 1, *common).code == 0
    ended = command("train", boxes["second"], "--weights", tmp_path / "one", "--name", "two", *common)
    assert ended.code == 0, ended.err
    assert "the last layer keeps 2 of 3 classes by name: bar, square" in ended.err
    before, after = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    differing = [name for name in before if before[name].shape != after[name].shape]
    front, anchors = (0, 1) if task == "detection" else (5, 3)    # x y width height objectness, before the classes
    assert len(differing) == (2 if task == "detection" else 6)
    for name in differing:
        old = before[name].unflatten(0, (anchors, front + 2))
        new = after[name].unflatten(0, (anchors, front + 3))
        torch.testing.assert_close(new[:, :front], old[:, :front], atol=1e-6, rtol=0)
        torch.testing.assert_close(new[:, [front, front + 2]], old[:, [front + 1, front]], atol=1e-6, rtol=0)
    same = [name for name in before if name.endswith("weight") and name not in differing]
    assert all(torch.allclose(after[name], before[name], atol=1e-6) for name in same)


def test_the_backbone_of_a_run_serves_another_task(trained: Path, boxes: dict[str, Path], tmp_path: Path, command):
    ended = command("train", boxes["first"], "--backbone", trained, "--freeze", "backbone", "--task", "detection",
                    "task.width=16", "--epochs", 1, "--batch", 4, "--size", 64, "--device", "cpu", "--plan", "exact",
                    "--name", "one", "--runs", tmp_path)
    assert ended.code == 0, ended.err
    recipe = tomllib.loads((tmp_path / "one" / "recipe.toml").read_text())
    own = tomllib.loads((trained / "recipe.toml").read_text())
    assert recipe["backbone"] == own["backbone"] and recipe["task"]["name"] == "detection"
    assert "the last layer keeps" not in ended.err    # the head of another task
    assert recipe["learner"]["weights"] == str(trained) and recipe["learner"]["freeze"] == "backbone"
    before, after = weights_of(trained), weights_of(tmp_path / "one")
    for name in before:
        if not name.startswith("head."):    # and its mean and deviation
            assert torch.equal(after[name], before[name]), name
    assert command("predict", tmp_path / "one", boxes["first"] / "images" / "0.png").code == 0
    refused = command("train", boxes["first"], "--backbone", trained, "--weights", trained, "--runs", tmp_path)
    assert refused.code == 2 and "' (--backbone) brings the weights of that run; got learner.weights='" in refused.err


def test_the_code_of_a_run_named_as_a_backbone_is_not_run_unasked(tmp_path: Path, command):
    trace = tmp_path / "ran"
    (tmp_path / "net.py").write_text(f"from pathlib import Path\nPath({str(trace)!r}).touch()\n")
    run = tmp_path / "stranger"
    run.mkdir()
    (run / "recipe.toml").write_text(f'[data]\nname = "shapes"\n[backbone]\nname = "{tmp_path / "net.py"}:Net"\n')
    for arguments in (["--backbone", run], [f"backbone.name={run}"]):
        ended = command(*SHAPES, *arguments, "--runs", tmp_path)
        assert ended.code == 4 and "say trust=True (--trust)" in ended.err and not trace.exists()
    with pytest.raises(ModelError, match="say trust=True"):
        lensmith.train("shapes", backbone=str(run), runs=tmp_path)
    assert not trace.exists()
    (run / "recipe.toml").write_text('[data]\nname = "shapes"\n[backbone]\nname = "python:Net"\n')
    ended = command(*SHAPES, "--backbone", run, "--runs", tmp_path)
    assert ended.code == 4 and "was trained on a Python object as its backbone" in ended.err


def test_a_probe_ends_as_a_run_like_any_other(trained: Path, table: Path, tmp_path: Path, command):
    common = ["train", table, "--backbone", trained, "--probe", *COMMON[1:], "--size", 20, "--runs", tmp_path]
    ended = command(*common, "--name", "one")
    assert ended.code == 0, ended.err
    assert "the backbone ran once over 9" in ended.err and "the head learns from 16 x 1 x 1 numbers" in ended.err
    run = tmp_path / "one"
    assert json.loads((run / "run.json").read_text())["epochs"] == 20
    before, after = weights_of(trained), weights_of(run)
    assert all(torch.equal(after[name], before[name]) for name in before if not name.startswith("head."))
    measured = json.loads((run / "metrics.json").read_text())["test"]
    again = command("val", run, "--json", "-q")
    assert again.code == 0, again.err
    assert json.loads(again.out)["loss"] == pytest.approx(measured["loss"], rel=1e-5)
    rows = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    assert float(rows[-1]["valid/loss"]) < float(rows[0]["valid/loss"])
    best = float(rows[json.loads((run / "best.json").read_text())["epoch"] - 1]["valid/loss"])
    on_pictures = json.loads((run / "metrics.json").read_text())["valid"]
    assert on_pictures["loss"] == pytest.approx(best, rel=1e-3)    # what the maps said, the pictures say too
    shown = command("predict", run, table.parent / "0.png", "--json")
    assert shown.code == 0 and json.loads(shown.out)[0]
    assert command("train", "--resume", run, "-q").code == 0    # nothing left to do: the same report

    process = start(*common, "--name", "two", "run.save_every=0.01")
    kill_within_epoch(process, tmp_path / "two", 1)
    assert command("train", "--resume", tmp_path / "two", "-q").code == 0
    assert all(torch.equal(tensor, after[name]) for name, tensor in weights_of(tmp_path / "two").items())


@pytest.mark.parametrize(("settings", "told"), [
    (["learner.probe=true"], "this backbone has learned nothing yet: give learner.weights=FILE (--weights), or backb"),
    (["RUN", "--freeze", "2"],
     "learner.probe (--probe) freezes the whole backbone; got learner.freeze='2' (--freeze) beside"),
    (["RUN", "learner.unfreeze=[1]"], "got learner.unfreeze=[1] beside it: leave one of the two out"),
    (["RUN", "augment.flip=true"], "looks at each picture once, as it is; got augment.flip=True beside it"),
    (["RUN", "--task", "detection"], "task 'detection' learns boxes: use learner.freeze=backbone (--freeze)"),
    (["RUN", "learner.depth_decay=0.0"], "depth_decay must be greater than 0; got 0.0"),
    (["RUN", "--freeze", "bakcbone", "learner.probe=false"],
     "learner.freeze='bakcbone' (--freeze): no parameter has that")])
def test_settings_that_no_probe_can_have_are_told(trained: Path, tmp_path, command, settings, told):
    given = ["--backbone", trained, "--probe"] * ("RUN" in settings) + [one for one in settings if one != "RUN"]
    ended = command(*SHAPES, *given, "--runs", tmp_path)
    assert ended.code == 2 and told in ended.err and ended.err.rstrip().splitlines()[-1].startswith("lensmith: ")
    assert not list(tmp_path.glob("shapes*"))


def test_a_probe_of_several_processes_is_told():
    recipe = {"learner": {"probe": True}, "task": {"name": "classification"}, "augment": {"mixed": 1.0}}
    check_probe(recipe, ("label",), pretrained=True, processes=1)
    with pytest.raises(UserError, match="learner.probe is trained by one process, and 2 were asked for: leave"):
        check_probe(recipe, ("label",), pretrained=True, processes=2)


def test_a_head_learns_first_and_what_follows_never_ends_below_it(trained: Path, table: Path, tmp_path: Path, command):
    common = ["train", table, "--weights", trained, "--epochs", 2, *COMMON[1:], "--size", 20, "--runs", tmp_path,
              "split.valid=0.3", "learner.head_first=15"]
    ended = command(*common, "--name", "one", "--rate", 3.0)    # a rate that destroys what the head has learned
    assert ended.code == 0, ended.err
    assert "the head learned first: 15 epochs on the maps of 7" in ended.err
    run = tmp_path / "one"
    rows = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"] and rows[0]["step"] == "0"
    assert "epoch 0/2" in ended.err
    best = json.loads((run / "best.json").read_text())
    scores = [float(row["valid/accuracy_top1"]) for row in rows]
    assert best["score"] == pytest.approx(max(scores)) and best["epoch"] == scores.index(max(scores)) == 0
    facts = json.loads((run / "run.json").read_text())
    assert (facts["best_epoch"], facts["epochs"], facts["status"]) == (0, 2, "finished")
    after, before = weights_of(run), weights_of(trained)
    assert all(torch.equal(after[name], before[name]) for name in before if name.startswith("backbone."))
    head = next(name for name in reversed(before) if name.startswith("head.") and name.endswith("weight"))
    assert not torch.equal(after[head], before[head])

    assert command(*common, "--name", "two").code == 0
    process = start(*common, "--name", "three", "run.save_every=0.01")
    kill_within_epoch(process, tmp_path / "three", 1)
    assert command("train", "--resume", tmp_path / "three", "-q").code == 0
    wanted = weights_of(tmp_path / "two")
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in weights_of(tmp_path / "three").items())
    one, other = (list(csv.DictReader((tmp_path / name / "history.csv").read_text().splitlines()))
                  for name in ("two", "three"))
    assert [row["valid/loss"] for row in one] == [row["valid/loss"] for row in other]


@pytest.mark.parametrize(("settings", "told"), [
    (["learner.head_first=3"], "the network begins without weights that have learned: leave it out"),
    (["RUN", "learner.head_first=3", "--probe"], "and learner.probe (--probe) trains the head alone: leave it out"),
    (["RUN", "learner.head_first=3", "learner.unfreeze=[1]"], "and learner.unfreeze begins with the head alone too"),
    (["RUN", "learner.head_first=3", "--task", "detection"], "and task 'detection' has no head on the last map alone"),
    (["RUN", "learner.head_first=-1"], "head_first must be greater than or equal to 0; got -1")])
def test_heads_that_cannot_learn_first_are_told(trained: Path, tmp_path, command, settings, told):
    given = ["--weights", trained] * ("RUN" in settings) + [one for one in settings if one != "RUN"]
    ended = command(*SHAPES, *given, "--runs", tmp_path)
    assert ended.code == 2 and told in ended.err, ended.err
