"""Resume is exact: a run killed by SIGKILL, again and again, ends with the same bits as one that was not."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lensmith.engine.checkpoint import read_state

COMMON = ["train", "shapes", "data.count=900", "data.size=20", "--backbone", "stack", "--batch", "10", "--epochs", "6",
          "--device", "cpu", "run.save_every=0.02", "learner.average=0.98", "learner.patience=4",
          "augment.flip=true", "augment.crop_padding=3", "augment.brightness=0.2", "augment.mixup=0.3",
          'backbone.layers=[{conv = 8, kernel = 3, stride = 2}, {batchnorm = true}, "relu", {dropout = 0.2}, '
          '{separable = 16, kernel = 3}, {batchnorm = true}, "relu", {globalpool = "mean"}, {dropout = 0.1}]']
PLAIN = ["plan.precision=float32", "plan.layout=channels_last", "plan.threads=1", "plan.compiled=false"]
FORMS = {"float32": ["--plan", "exact"],
         "bfloat16": ["plan.precision=bfloat16", "plan.layout=channels_last", "plan.threads=1", "plan.compiled=false"],
         "muon": ["--optimizer", "muon", "learner.accumulate=2", *PLAIN], "sgd": ["--optimizer", "sgd", *PLAIN]}


def start(*arguments: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "lensmith", *arguments], stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True)


def kill_after(process: subprocess.Popen, checkpoint: Path, saves: int) -> bool:
    """SIGKILL the process when its checkpoint has been written `saves` times; -> whether it was still running."""
    seen, last = 0, None
    while process.poll() is None:
        now = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
        if now != last:
            seen, last = seen + (last is not None or now is not None), now
            if seen > saves:
                process.send_signal(signal.SIGKILL)
                break
        time.sleep(0.001)
    process.wait(60)
    process.stderr.close()
    return process.returncode == -signal.SIGKILL


def everything(run: Path) -> tuple[dict[str, torch.Tensor], list]:
    """All tensors of a run's last state and best weights, and its history without the clock."""
    tensors = {f"{name}.{key}": tensor for name in ("last", "best")
               for key, tensor in load_file(run / f"{name}.safetensors").items()}
    history = read_state(run / "last.safetensors")["history"]
    clocks = ("time", "waited")
    return tensors, [{key: value for key, value in row.items() if key not in clocks} for row in history]


def check(tmp_path: Path, form: str, kills: list[int]) -> int:
    """Kill and resume; -> how many of the kills hit the middle of an epoch."""
    whole = start(*COMMON, *FORMS[form], "--name", "whole", "--runs", str(tmp_path))
    killed = start(*COMMON, *FORMS[form], "--name", "killed", "--runs", str(tmp_path))
    run, inside = tmp_path / "killed", 0
    for number, saves in enumerate(kills):
        assert kill_after(killed, run / "last.safetensors", saves), f"kill {number} came too late"
        inside += json.loads((run / "last.json").read_text())["position"] > 0
        killed = start("train", "--resume", str(run))
    assert killed.wait(120) == 0, killed.stderr.read()
    assert whole.wait(120) == 0, whole.stderr.read()
    for process in (whole, killed):
        process.stderr.close()
    tensors, history = everything(run)
    wanted, rows = everything(tmp_path / "whole")
    assert history == rows
    assert tensors.keys() == wanted.keys() and len(tensors) > 30
    for name, tensor in tensors.items():
        assert torch.equal(tensor, wanted[name]), name
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (run, tmp_path / "whole")]
    assert metrics[0]["test"]["accuracy_top1"] == metrics[1]["test"]["accuracy_top1"]
    assert (run / "report.html").exists() and json.loads((run / "run.json").read_text())["status"] == "finished"
    return inside


@pytest.mark.parametrize("form", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path, form: str):
    assert check(tmp_path, form, [2, 5]) > 0


@pytest.mark.parametrize("task", ["detection", pytest.param("yolov3", marks=pytest.mark.slow)])
def test_a_killed_run_with_mosaic_ends_with_the_same_bits(tmp_path: Path, task: str):
    common = ["train", "shapes", "data.count=180", "data.size=32", "--task", task, "--backbone", "csp",
              "backbone.width=8", "--batch", "6", "--epochs", "3", "--device", "cpu", "run.save_every=0.05", "--plan",
              "exact", "plan.threads=1", "augment.mosaic=0.8", "augment.zoom=[0.5, 1.5]", "augment.mixup=0.3",
              "augment.mixed=0.5", "augment.flip=true", "augment.hue=0.02", "augment.close_mosaic=1",
              "learner.average=0.98"]
    killed_twice(tmp_path, common)


def test_a_killed_run_on_masks_ends_with_the_same_bits(tmp_path: Path):
    killed_twice(tmp_path, [
        "train", "shapes", "data.count=120", "data.size=16", "--task", "segmentation", "--backbone", "csp",
        "backbone.width=8", "task.width=4", 'task.loss=["cross_entropy", "dice", "lovasz"]', "--batch", "6", "--epochs",
        "3", "--device", "cpu", "run.save_every=0.05", "--plan", "exact", "plan.threads=1", "augment.zoom=[0.7, 1.5]",
        "augment.flip=true", "augment.brightness=0.2", "learner.average=0.98"])


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_a_killed_run_that_learns_from_a_teacher_ends_with_the_same_bits(tmp_path: Path, task: str):
    common = ["train", "shapes", "data.count=240", "data.size=16", "--task", task, "--backbone", "csp",
              "backbone.width=8", "--batch", "6", "--device", "cpu", "run.save_every=0.02", *PLAIN]
    ended = start(*common, "--epochs", "1", "--seed", "5", "--name", "teacher", "--runs", str(tmp_path))
    _, told = ended.communicate(timeout=300)
    assert ended.returncode == 0, told
    killed_twice(tmp_path, [*common, "--epochs", "3", "--teacher", str(tmp_path / "teacher"), "learner.average=0.98",
                            "augment.flip=true", "augment.brightness=0.2"])


def killed_twice(tmp_path: Path, common: list[str]) -> None:
    """A run of three epochs that is killed twice ends as the one that is not."""
    common = [*common, "--runs", str(tmp_path)]
    whole = start(*common, "--name", "whole")
    killed = start(*common, "--name", "killed")
    for saves in (2, 4):
        assert kill_after(killed, tmp_path / "killed" / "last.safetensors", saves)
        killed = start("train", "--resume", str(tmp_path / "killed"))
    for process in (killed, whole):
        _, told = process.communicate(timeout=300)
        assert process.returncode == 0, told
    tensors, history = everything(tmp_path / "killed")
    wanted, rows = everything(tmp_path / "whole")
    assert history == rows and len(rows) == 3
    assert tensors.keys() == wanted.keys()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in tensors.items())


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_run_killed_many_times_ends_with_the_same_bits(tmp_path: Path, form: str):
    assert check(tmp_path, form, [1, 1, 2, 3, 1, 4, 2, 1]) > 3


def test_a_run_whose_plan_was_timed_goes_on_with_its_own(tmp_path: Path):
    killed = start(*COMMON, "--name", "killed", "--runs", str(tmp_path))
    assert kill_after(killed, tmp_path / "killed" / "last.safetensors", 2)
    plan = (tmp_path / "killed" / "plan.json").read_text()
    assert json.loads(plan)["source"] in ("timed", "the cache")
    for arguments in (["train", "--resume", str(tmp_path / "killed")],
                      [*COMMON, "--plan", str(tmp_path / "killed" / "plan.json"), "--name", "whole", "--runs",
                       str(tmp_path)]):
        process = start(*arguments)
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
    assert (tmp_path / "killed" / "plan.json").read_text() == plan
    tensors, wanted = everything(tmp_path / "killed")[0], everything(tmp_path / "whole")[0]
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in tensors.items())


def test_sigterm_saves_and_says_how_to_go_on(tmp_path: Path):
    process = start(*COMMON, "--name", "one", "--runs", str(tmp_path))
    while not (tmp_path / "one" / "last.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"all is saved. Go on with: lensmith train --resume {tmp_path / 'one'}" in told
    assert json.loads((tmp_path / "one" / "run.json").read_text())["status"] == "interrupted"


def test_data_that_changed_since_are_noticed(photos: Path, tmp_path: Path, command):
    ended = command("train", photos, "--epochs", "1", "--name", "one", "--runs", tmp_path, "-q")
    assert ended.code == 0, ended.err
    next(photos.rglob("*.png")).unlink()
    resumed = command("train", "--resume", tmp_path / "one")
    assert resumed.code == 3 and "have changed since it began" in resumed.err
    measured = command("val", tmp_path / "one")
    assert measured.code == 3 and "have changed since it was trained" in measured.err


def test_a_finished_run_resumes_to_the_same_report(tmp_path: Path, command):
    assert command("train", "shapes", "data.count=90", "--backbone", "simple", "--epochs", 1, "--name", "one", "--runs",
                   tmp_path, "-q").code == 0
    before = everything(tmp_path / "one")
    assert command("train", "--resume", tmp_path / "one", "-q").code == 0
    after = everything(tmp_path / "one")
    assert all(torch.equal(value, after[0][name]) for name, value in before[0].items()) and before[1] == after[1]


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of its own with 8 MB, where the system lets one be made."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True,
                          check=False)
    if made.returncode:
        pytest.skip("needs the right to mount a small file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_keeps_the_last_whole_checkpoint_and_the_run_goes_on_later(tmp_path, small_disk, command):
    process = start(*COMMON, *PLAIN, "--name", "one", "--runs", str(small_disk))
    run = small_disk / "one"
    while not (run / "last.safetensors").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)
    with (small_disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space left"):
        while filler.write(bytes(4096)):
            pass
    _, told = process.communicate(timeout=120)
    assert process.returncode == 6, told
    assert "the disk is full" in told and "the last whole file was kept" in told and "--resume" in told
    assert read_state(run / "last.safetensors")["learner"]["epoch"] < 6
    assert not [path for path in run.iterdir() if path.name.startswith(".")]
    (small_disk / "filler").unlink()
    assert command("train", "--resume", run, "-q").code == 0
    assert command(*COMMON, *PLAIN, "--name", "whole", "--runs", tmp_path, "-q").code == 0
    tensors, wanted = everything(run)[0], everything(tmp_path / "whole")[0]
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in tensors.items())


def test_a_limit_on_file_size_is_told_like_a_full_disk(tmp_path: Path):
    """RLIMIT_FSIZE gives the same failure without a disk: the writer's error comes from safetensors."""
    program = ("import resource, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))\n"
               "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
               "from lensmith.cli.app import main\nmain()\n")
    done = subprocess.run([sys.executable, "-c", program, *COMMON, "--name", "one", "--runs", str(tmp_path)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 6, done.stderr
    assert "the disk is full" in done.stderr and "Traceback" not in done.stderr
    assert not [path for path in (tmp_path / "one").iterdir() if path.name.startswith(".")]
