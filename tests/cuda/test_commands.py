"""The command on a GPU: a killed run goes on to the same bits, several GPUs, a network on two devices, answers."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SHAPES = ["train", "shapes", "data.count=900", "data.size=32", "--batch", "30", "--epochs", "4", "-q"]
LAYERS = 'backbone.layers=[{conv = 32, kernel = 3, stride = 2}, {batchnorm = true}, "relu", {dropout = 0.2}, ' \
    '{conv = 64, kernel = 3, stride = 2}, {batchnorm = true}, "relu", {globalpool = "mean"}]'
COMMON = [*SHAPES, "--backbone", "stack", LAYERS, "augment.flip=true", "augment.mixup=0.3", "learner.average=0.98"]


def lensmith(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "lensmith", *map(str, words)], capture_output=True, text=True,
                          check=False, timeout=300)


def trained(*words: object) -> None:
    done = lensmith(*words)
    assert done.returncode == 0, done.stderr


def tensors(run: Path) -> dict[str, torch.Tensor]:
    return {f"{name}.{key}": tensor for name in ("last", "best")
            for key, tensor in load_file(run / f"{name}.safetensors").items()}


def accuracy(run: Path) -> float:
    return float(json.loads((run / "metrics.json").read_text())["test"]["accuracy_top1"])


def test_a_run_that_was_killed_goes_on_to_the_same_bits(gpu: str, tmp_path: Path):
    common = [*COMMON, "--device", gpu, "--plan", "exact", "run.save_every=0.02", "--runs", str(tmp_path)]
    trained(*common, "--name", "whole")
    process = subprocess.Popen([sys.executable, "-m", "lensmith", *common, "--name", "killed"])
    killed = tmp_path / "killed"
    for saved in ("first", "second"):
        before = (killed / "last.safetensors").stat().st_mtime_ns if saved == "second" else None
        while process.poll() is None and (not (killed / "last.safetensors").exists()
                                          or (killed / "last.safetensors").stat().st_mtime_ns == before):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL, f"it had ended before the {saved} kill"
        process = subprocess.Popen([sys.executable, "-m", "lensmith", "train", "--resume", str(killed), "-q"])
    assert process.wait(300) == 0
    found, wanted = tensors(killed), tensors(tmp_path / "whole")
    assert found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_by_all_defaults_a_run_learns_on_the_gpu_and_answers_on_the_cpu_too(gpu: str, tmp_path: Path):
    trained("train", "shapes", "data.count=600", "data.size=64", "--device", gpu, "--runs", tmp_path, "--name", "run",
            "-q")
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert plan["device"] == gpu and accuracy(tmp_path / "run") > 0.6
    measured = [json.loads(lensmith("val", tmp_path / "run", "--json", "-q", *device).stdout)["accuracy_top1"]
                for device in ([], ["--device", "cpu"])]
    assert abs(measured[0] - measured[1]) <= 0.02


@pytest.mark.parametrize("second", ["cpu", "cuda:1"])
def test_a_network_on_two_devices_learns_what_the_whole_one_learns(gpu: str, tmp_path: Path, second: str):
    if second == "cuda:1" and torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    plain = ["plan.precision=float32", "plan.layout=contiguous", "plan.threads=1", "plan.compiled=false"]
    trained(*COMMON, *plain, "--runs", tmp_path, "--name", "whole", "--device", gpu)
    trained(*COMMON, *plain, "--runs", tmp_path, "--name", "parted", f'plan.stages=["{gpu}", "{second}"]')
    assert abs(accuracy(tmp_path / "whole") - accuracy(tmp_path / "parted")) <= 0.1
    assert accuracy(tmp_path / "parted") > 0.6


@pytest.mark.parametrize("settings", [[], ["plan.synchronise=true"]])
def test_two_gpus_learn_together(gpu: str, tmp_path: Path, settings: list[str]):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    trained(*COMMON, "--plan", "exact", "--device", "cuda:0,1", *settings, "--runs", tmp_path, "--name", "both")
    assert accuracy(tmp_path / "both") > 0.6
