"""A run's network made smaller from the command line: an ordinary run folder, its table, and everything refused."""

import json
import shutil
import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lensmith.base.errors import ModelError
from lensmith.engine.checkpoint import read_state
from lensmith.models.darknet.cfg_file import read_cfg
from lensmith.models.darknet.network import Darknet
from lensmith.models.network import Network
from lensmith.models.widths import Widths, narrow
from lensmith.ship.export.darknet import write_darknet
from lensmith.training.trained import load
from tests.conftest import Command


def test_the_smaller_network_is_an_ordinary_run(run: Path, pruned: Path, command: Command, tmp_path: Path):
    recipe = tomllib.loads((pruned / "recipe.toml").read_text())
    assert recipe["pruned"]["outputs"]["backbone.layers.conv1"] < 16
    assert recipe["learner"]["weights"] == "first.safetensors" and recipe["learner"]["epochs"] == 1
    before, after = load(run, device="cpu"), load(pruned, device="cpu")
    assert sum(p.numel() for p in after.network.parameters()) < sum(p.numel() for p in before.network.parameters())
    moved = shutil.move(pruned, tmp_path / "moved")    # nothing in it hangs on where it was
    try:
        for verb in (("val", moved), ("inspect", moved), ("doctor", moved), ("train", "--resume", moved, "--quiet")):
            ended = command(*verb)
            assert ended.code in (0, 1) and "Traceback" not in ended.err, ended.err
    finally:
        shutil.move(tmp_path / "moved", pruned)
    assert command("val", pruned, "--json").code == 0
    again = command("train", pruned, "--epochs", 1, "--name", "again", "--runs", tmp_path, "--quiet")
    assert again.code == 0, again.err
    assert tomllib.loads((tmp_path / "again" / "recipe.toml").read_text())["pruned"] == recipe["pruned"]
    first = load_file(pruned / "first.safetensors")
    assert all(torch.equal(tensor, first[name])
               for name, tensor in load_file(tmp_path / "again" / "first.safetensors").items())
    other = command("train", pruned, "--backbone", "lenet", "--epochs", 1, "learner.weights=none", "--name", "other",
                    "--runs", tmp_path, "--quiet")
    assert other.code == 0, other.err
    assert "pruned" not in tomllib.loads((tmp_path / "other" / "recipe.toml").read_text())


@pytest.mark.slow
def test_it_lends_its_network_to_other_classes(pruned: Path, command: Command, photos: Path, tmp_path: Path):
    for number, folder in enumerate(sorted(photos.iterdir())[2:]):
        folder.rename(photos / f"other{number}")
    ended = command("train", photos, "--backbone", pruned, "--size", 20, "--epochs", 1, "--name", "mine", "--runs",
                    tmp_path, "--quiet")
    assert ended.code == 0, ended.err
    assert tomllib.loads((tmp_path / "mine" / "recipe.toml").read_text())["pruned"]["outputs"]


def test_the_table_says_what_it_cost(run: Path, pruned: Path):
    content = json.loads((pruned / "compress.json").read_text())
    original, smaller = content["rows"]
    assert content["reached"]["macs"] <= 0.5 and content["asked"] == {"macs": 0.5} and content["split"] == "test"
    assert original["score"] == pytest.approx(json.loads((run / "metrics.json").read_text())["test"]["accuracy_top1"])
    assert smaller["score"] == pytest.approx(
        json.loads((pruned / "metrics.json").read_text())["test"]["accuracy_top1"])
    assert smaller["difference"]["value"] == pytest.approx(smaller["score"] - original["score"])
    assert smaller["multiply_adds"] == pytest.approx(content["reached"]["macs"] * original["multiply_adds"], rel=1e-6)
    assert smaller["file"] == pytest.approx(content["reached"]["size"] * original["file"], rel=1e-6)
    assert smaller["parameters"] < original["parameters"] and smaller["memory"] < original["memory"]
    assert smaller["latency"]["torch"]["p50"] > 0 and smaller["outputs_differ"] > 0
    assert "What the compression cost and gained: accuracy_top1 on test" in (pruned / "report.html").read_text()


def test_it_begins_again_to_the_same_bits(pruned: Path, command: Command, tmp_path: Path):
    """A run that `compress` has trained, and one that was stopped before its first state was saved and goes on."""
    shutil.copytree(pruned, tmp_path / "part")
    for file in ("last.safetensors", "last.json", "best.safetensors", "best.json", "history.csv"):
        (tmp_path / "part" / file).unlink()
    ended = command("train", "--resume", tmp_path / "part", "--quiet")
    assert ended.code == 0, ended.err
    whole, part = (read_state(folder / "last.safetensors") for folder in (pruned, tmp_path / "part"))
    assert all(torch.equal(tensor, part["learner"]["network"][name])
               for name, tensor in whole["learner"]["network"].items())


@pytest.mark.slow
def test_it_is_cut_again(pruned: Path, command: Command, tmp_path: Path, without_files: None):
    ended = command("compress", pruned, "--size", 0.6, "--by", "norm", "--name", "twice", "--runs", tmp_path, "--json",
                    "-q", "optimizer.rate=0.001")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["reached"]["size"] <= 0.6
    once, twice = (tomllib.loads((folder / "recipe.toml").read_text()) for folder in (pruned, tmp_path / "twice"))
    assert twice["optimizer"]["rate"] == 0.001
    assert all(twice["pruned"]["outputs"][name] <= number for name, number in once["pruned"]["outputs"].items())


@pytest.mark.parametrize(("arguments", "text"), [
    ((), "say how small: compress.speed=2 (--speed) for twice as fast"),
    (("--macs", 1.5), "compress.macs=1.5 (--macs) must lie between 0 and 1"),
    (("--speed", 0.5), "compress.speed=0.5 (--speed) must be above 1"),
    (("--lose", 2), "compress.lose=2 (--lose) must lie in 0 <= lose < 1"),
    (("--macs", 0.5, "--size", 0.5), "both say how small: give one of them"),
    (("--macs", 0.5, "--by", "magic"), "'magic'"),
    (("--macs", 0.001), "compress.macs=0.001 (--macs) cannot be reached by leaving channels out"),
    (("--macs", 0.5, "learner.epoch=3"), "has no setting 'epoch'"),
])
def test_what_cannot_be_is_refused(arguments: tuple[object, ...], text: str, run: Path, command: Command):
    command("compress", run, *arguments, "--quiet").refused(text)


def test_runs_that_cannot_be_compressed(run: Path, command: Command, tmp_path: Path):
    shutil.copytree(run, tmp_path / "unfinished")
    (tmp_path / "unfinished" / "best.safetensors").unlink()
    command("compress", tmp_path / "unfinished", "--macs", 0.5).refused("best.safetensors", code=4)
    command("compress", tmp_path, "--macs", 0.5).refused("is not a run folder", code=4)
    command("compress", "imagenet", "--macs", 0.5).refused("the installed ImageNet classifier has no data")


@pytest.mark.parametrize(("former", "edited", "text"), [
    ("conv1\" = ", "conv1\" = 9", "cannot be cut to 9"),
    ("conv1\" = ", "conv1\" = -1", "[pruned]: outputs must be"),
    ("[pruned.inputs]", "[pruned.other]", "[pruned] has no setting 'other'"),
    ("backbone.layers.conv1", "backbone.layers.conv9", "which the network has no layer for"),
])
def test_damaged_widths_are_one_line(former: str, edited: str, text: str, pruned: Path, command: Command,
                                     tmp_path: Path):
    shutil.copytree(pruned, tmp_path / "damaged")
    recipe = tmp_path / "damaged" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace(former, edited))
    command("predict", tmp_path / "damaged", tmp_path).refused(text, code=4)


@pytest.mark.slow
def test_its_backbone_serves_another_task(pruned: Path, command: Command, tmp_path: Path):
    ended = command("train", "shapes", "data.count=60", "data.size=20", "--task", "detection", "--backbone", pruned,
                    "--epochs", 1, "--name", "boxes", "--runs", tmp_path, "--quiet")
    assert ended.code == 0, ended.err
    ours, former = (load(folder, device="cpu").network.backbone for folder in (tmp_path / "boxes", pruned))
    assert ours.channels == former.channels    # of the maps, which the head was made for
    assert [tensor.shape for tensor in ours.parameters()] == [tensor.shape for tensor in former.parameters()]


@pytest.mark.slow
def test_a_detector_is_cut_and_taught_by_itself(command: Command, tmp_path: Path, without_files: None):
    common = ("--runs", tmp_path, "--quiet")
    ended = command("train", "shapes", "data.count=60", "--task", "detection", "--backbone", "csp", "backbone.width=8",
                    "--epochs", 1, "--name", "boxes", *common)
    assert ended.code == 0, ended.err
    ended = command("compress", tmp_path / "boxes", "--size", 0.5, "--by", "scale", "--name", "small", *common)
    assert ended.code == 0, ended.err
    assert json.loads((tmp_path / "small" / "compress.json").read_text())["reached"]["size"] <= 0.5
    assert command("val", tmp_path / "small").code == 0


@pytest.mark.slow
def test_the_smallest_that_keeps_the_score_is_looked_for(run: Path, command: Command, tmp_path: Path,
                                                         without_files: None):
    ended = command("compress", run, "--lose", 0.5, "--name", "kept", "--runs", tmp_path, "--json")
    assert ended.code == 0, ended.err
    content = json.loads(ended.out)
    assert len(content["tries"]) == 4
    kept = [each for each in content["tries"] if -each["difference"]["value"] <= 0.5]
    assert content["run"] == min(kept, key=lambda each: each["reached"]["macs"])["run"]


@pytest.mark.slow
def test_the_file_of_the_smaller_network_is_smaller(run: Path, command: Command, tmp_path: Path):
    ended = command("compress", run, "--speed", 1.2, "--name", "faster", "--runs", tmp_path, "--json")
    assert ended.code == 0, ended.err
    original, smaller = json.loads(ended.out)["rows"]
    assert smaller["file"] < original["file"] and set(smaller["latency"]) > {"torch", "onnxruntime"}
    assert json.loads(ended.out)["reached"]["speed"] >= 1.2
    assert command("export", tmp_path / "faster").code == 0


def test_a_cut_network_is_not_written_as_the_cfg_of_the_whole_one(tmp_path: Path):
    layer = "[convolutional]\nfilters=8\nsize=3\nstride=1\npad=1\nactivation=leaky\n"
    (tmp_path / "two.cfg").write_text(f"[net]\nwidth=16\nheight=16\nchannels=3\n{layer}{layer}[avgpool]\n\n[softmax]\n")
    trunk = Darknet(read_cfg(tmp_path / "two.cfg"))
    network = Network(trunk, nn.Identity(), mean=[0.0] * 3, deviation=[255.0] * 3)
    first = next(name for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
    narrow(network, Widths({first: 4}))
    with pytest.raises(ModelError, match=r"^the network was cut by lensmith compress \(.* has other channels than its "
                                         "cfg says"):
        write_darknet(network, tmp_path / "out.cfg", tmp_path / "out.weights")
    assert not (tmp_path / "out.cfg").exists()
