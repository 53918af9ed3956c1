"""The verb `info` and the flag --version: what the machine, the installation and the caches have."""

import json
import os
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from lensmith.base.extras import extras
from lensmith.base.matrix_rate import matrix_rate
from lensmith.cli import machine
from lensmith.cli.machine import CACHES

ROOT = Path(__file__).parents[2]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lensmith.base.matrix_rate._SECONDS", 0.0)


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_said_alone(command, flag):
    assert command(flag) == (0, f"lensmith {version('lensmith')}\n", "")


def test_info_says_what_is_here_in_words_and_as_json(command, quick):
    facts = json.loads(command("info", "--json").out)
    assert facts["processor"]["cores"] == os.cpu_count()
    assert 1 <= facts["processor"]["usable"] <= facts["processor"]["cores"]
    assert facts["processor"]["rates"]["float32"] > 0
    assert facts["torch"]["version"] == torch.__version__ and bool(facts["gpus"]) == facts["gpu"].startswith("yes")
    assert "shapes" not in [row["name"] for row in facts["data"]]    # which is drawn, and lies nowhere
    assert any(row["name"] == "imagenet of efficientnet_lite0" for row in facts["weights"])
    shown = command("info")
    assert shown.code == 0
    for text in (f"lensmith      {version('lensmith')}, Python", "GFLOP/s", "GPU ", torch.__version__,
                 str(facts["cache"]["folder"])):
        assert text in shown.out
    for extra in facts["extras"]:
        line = next(line for line in shown.out.splitlines() if line.startswith(f"{extra['name']} "))
        assert extra["here"] or f'pip install "lensmith[{extra["name"]}]"' in line


def test_the_extras_are_those_that_the_package_declares():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    known = {extra.name: extra for extra in extras()}
    assert set(known) <= set(declared) - {"docs", "test"}
    assert {"timm", "smp", "deploy", "video"} <= set(known)
    assert known["timm"].packages == ("timm",) and known["timm"].command == 'pip install "lensmith[timm]"'


def test_an_extra_that_is_not_here_brings_its_command(monkeypatch):
    monkeypatch.setattr("lensmith.base.extras.requires", lambda name: [
        "torch>=2.9", "lensmith[deploy] ; extra == 'ncnn'", "no-such-package>=1.0; extra == 'ncnn'",
        "timm>=1; extra == 'test'"])
    assert [(extra.name, extra.packages, extra.missing) for extra in extras()] == [
        ("ncnn", ("no-such-package",), ("no-such-package",))]


def test_the_cache_is_measured_and_cleared_of_what_can_be_made_again(command, quick, tmp_path, monkeypatch):
    monkeypatch.setenv("LENSMITH_CACHE", str(tmp_path / "cache"))
    kept = tmp_path / "cache" / "cifar10" / "data.bin"
    elsewhere = tmp_path / "elsewhere"
    for path in (kept, tmp_path / "cache" / "plans" / "one.json", tmp_path / "cache" / "pictures" / "set" / "rows.npy",
                 elsewhere / "mine.txt"):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * 1000)
    (tmp_path / "cache" / "exports").symlink_to(elsewhere)
    sizes = {row["name"]: row["bytes"] for row in json.loads(command("info", "--json").out)["cache"]["parts"]}
    assert sizes["plans"] == sizes["pictures"] == 1000 and set(sizes) == set(CACHES)
    assert json.loads(command("info", "--clear", "--json").out)["freed_bytes"] == 2000
    assert kept.is_file() and (elsewhere / "mine.txt").is_file()
    assert not (tmp_path / "cache" / "plans").exists() and not (tmp_path / "cache" / "pictures").exists()
    assert ": 0.0 MB were removed" in command("info", "--clear").out


def test_every_folder_of_the_cache_is_known():
    """A cache that info does not know could not be cleared."""
    used = {match[1] for path in (ROOT / "lensmith").rglob("*.py")
            for match in re.finditer(r'cache_folder\(\) / "(\w+)"', path.read_text())}
    assert used == set(CACHES)


@pytest.mark.parametrize(("cuda", "driver", "words"), [
    (None, None, "no: this build of PyTorch is for the CPU alone, and no driver of NVIDIA's was found"),
    (None, "570.1", "no: this build of PyTorch is for the CPU alone, and NVIDIA's driver is here: install"),
    ("13.2", None, "no: PyTorch is built for CUDA 13.2, and no driver of NVIDIA's was found"),
    ("13.2", "570.1", "no: PyTorch is built for CUDA 13.2 and finds no device: see what nvidia-smi says")])
def test_why_there_is_no_gpu_is_said(monkeypatch, cuda, driver, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(machine, "driver", lambda: driver)
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    assert machine.gpu_in_words().startswith(words)


def test_the_drivers_version_is_read_from_the_kernel(monkeypatch, tmp_path):
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.133.20  Release\n")
    monkeypatch.setattr(machine, "_DRIVER", tmp_path / "version")
    assert machine.driver() == "570.133.20"
    monkeypatch.setattr(machine, "_DRIVER", tmp_path / "none")
    assert machine.driver() is None


def test_a_rate_that_cannot_be_measured_is_none(quick):
    assert matrix_rate("cpu", torch.float32) > 0
    assert matrix_rate("cpu", torch.bool) is None
