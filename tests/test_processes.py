"""Several processes train one network: as one would, to the same bits after any of them ended, and in one voice."""

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lensmith.base.errors import UserError
from lensmith.engine.checkpoint import read_state
from lensmith.engine.distributed.launch import launch
from lensmith.engine.distributed.process_group import ProcessGroup
from lensmith.recipe import choose_plan as planning
from lensmith.training import begin_or_resume

# One step's losses, as every process sees them, of a run from Python.
LOSSES = """
import json, sys
from lensmith.engine.distributed.rendezvous import join
from lensmith.training.begin_or_resume import begin_session
name, batch, epochs, settings = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
recipe = {'data': {'name': 'shapes', 'count': 1500, 'size': 12}, 'plan': {'mode': 'exact', 'device': 'cpu'},
          'run': {'name': name}, 'loading': {'batch': batch}, 'learner': {'epochs': epochs},
          'optimizer': {'name': 'sgd', 'rate': 0.02}, 'augment': {'flip': True, 'crop_padding': 1},
          'backbone': {'name': 'stack', 'layers': [{'conv': 8, 'kernel': 3}, 'relu', {'maxpool': 2}, {'dense': 16}]}}
for section, values in settings.items():
    recipe[section] = recipe.get(section, {}) | values
session = begin_session(recipe, runs='.')
losses = [report.loss for report in session if report.row is None]
with open(f'{name}-{join().rank}.json', 'w') as file:
    json.dump(losses, file)
"""
COMMON = ["train", "shapes", "data.count=600", "data.size=16", "--backbone", "stack", "--batch", "8", "--epochs", "4",
          "--device", "cpu", "--plan", "exact", "plan.threads=1", "run.save_every=0.02", "learner.average=0.98",
          "learner.accumulate=2", "augment.flip=true", "augment.brightness=0.2", "augment.mixup=0.3",
          'backbone.layers=[{conv = 8, kernel = 3, stride = 2}, {batchnorm = true}, "relu", {dropout = 0.2}, '
          '{separable = 16, kernel = 3}, {batchnorm = true}, "relu", {globalpool = "mean"}, {dropout = 0.1}]']


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)


def losses(folder: Path, count: int, name: str, batch: int, *, epochs: int = 1, **settings) -> list[list[float]]:
    """The losses that each of `count` processes reports, by step; one is this process."""
    (folder / "losses.py").write_text(LOSSES)
    words = [name, str(batch), str(epochs), json.dumps(settings)]
    if count == 1:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["losses.py", *words])
            runpy.run_path(str(folder / "losses.py"))
    else:
        assert launch(count, words, program=[str(folder / "losses.py")]) == 0
    return [json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in range(count)]


def history(run: Path) -> list[dict]:
    return [{key: value for key, value in row.items() if key not in ("time", "waited")}
            for row in read_state(run / "last.safetensors")["history"]]


def test_two_processes_give_the_losses_of_one_with_twice_the_batch(tmp_path):
    (alone,) = losses(tmp_path, 1, "alone", 64, epochs=2)
    two = losses(tmp_path, 2, "two", 32, epochs=2)
    assert len(alone) == len(two[0]) >= 20
    assert two[0] == two[1]
    assert two[0] == pytest.approx(alone, abs=1e-5)
    assert alone[0] - alone[-1] > 0.02    # something was learned: they do not agree by standing still
    for row, wanted in zip(history(tmp_path / "two"), history(tmp_path / "alone"), strict=True):
        assert row == pytest.approx(wanted, abs=1e-5)
    found, wanted = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("two", "alone"))
    assert found["test"]["details"]["confusion"] == wanted["test"]["details"]["confusion"]
    weights, true = (read_state(tmp_path / name / "best.safetensors")["network"] for name in ("two", "alone"))
    assert all(torch.allclose(weights[name], true[name], atol=1e-5) for name in true)
    assert json.loads((tmp_path / "two" / "data.json").read_text())["splits"]["train"]["count"] % 64 not in (0, 1)
    assert 'processes = 2' in (tmp_path / "two" / "recipe.toml").read_text()


def start(*arguments: object, program: tuple[str, ...] = (sys.executable, "-m", "lensmith")) -> subprocess.Popen:
    return subprocess.Popen([*program, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(true, process: subprocess.Popen, seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.01)


def member(process: subprocess.Popen, rank: int) -> int:
    """The number of the process of that rank which a launcher or torchrun has started."""
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        with suppress(OSError):
            if f"\0RANK={rank}\0".encode() in Path(f"/proc/{child}/environ").read_bytes():
                return int(child)
    raise AssertionError(f"process {rank} is not there")


def saved(run: Path) -> float:
    with suppress(OSError):
        return (run / "last.safetensors").stat().st_mtime
    return 0.0


def end(process: subprocess.Popen, run: Path, number: signal.Signals, *, rank: int | None) -> tuple[int, str]:
    """Send a signal to a rank, or to the launcher, once the run has saved a state; -> exit code and stderr."""
    before = saved(run)
    wait_for(lambda: saved(run) > before, process)
    os.kill(process.pid if rank is None else member(process, rank), number)
    _, told = process.communicate(timeout=120)
    return process.returncode, told


def everything(run: Path) -> dict[str, torch.Tensor]:
    """All tensors of a run's last state and best weights."""
    return {f"{name}.{key}": tensor for name in ("last", "best")
            for key, tensor in load_file(run / f"{name}.safetensors").items()}


def check(tmp_path: Path, ends: list[tuple[signal.Signals, int | None, int, str]], *, count: int = 2,
          settings: tuple[str, ...] = ()) -> None:
    """End and resume a run in each of the ways; it comes to the bits of a run that was not ended."""
    arguments = [*COMMON, *settings, "--processes", count, "--runs", tmp_path]
    run, process = tmp_path / "ended", start(*arguments, "--name", "ended")
    for number, rank, code, text in ends:
        ended, told = end(process, run, number, rank=rank)
        assert ended == code, told
        assert text in told and "Traceback" not in told
        assert told.count("lensmith: ") == 1 and f"lensmith train --resume {run}" in told.splitlines()[-1]
        assert json.loads((run / "run.json").read_text())["status"] in ("stopped", "interrupted", "running")
        process = start("train", "--resume", run)
    out, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert out.count("report ") == 1 and told.count("epoch 4/4") == 1
    whole = start(*arguments, "--name", "whole")
    assert whole.wait(120) == 0, whole.communicate()[1]
    whole.communicate()
    assert history(run) == history(tmp_path / "whole")
    tensors, wanted = everything(run), everything(tmp_path / "whole")
    assert tensors.keys() == wanted.keys() and len(tensors) > 30
    for name, tensor in tensors.items():
        assert torch.equal(tensor, wanted[name]), name


KILLED = (signal.SIGKILL, 1, 6, "process 1 of 2 was killed by SIGKILL; the last state saved is whole")
TOLD = (signal.SIGTERM, None, 130, "told to end (SIGTERM) after step")


def test_a_run_that_lost_a_process_comes_to_the_same_bits(tmp_path):
    check(tmp_path, [KILLED])


@pytest.mark.slow
def test_a_run_that_was_told_to_end_comes_to_the_same_bits(tmp_path):
    check(tmp_path, [TOLD])


@pytest.mark.slow
def test_whichever_process_is_killed_or_hangs_the_run_comes_to_the_same_bits(tmp_path):
    check(tmp_path, [(signal.SIGKILL, 0, 6, "process 0 of 2 was killed by SIGKILL; go on with"),
                     (signal.SIGSTOP, 1, 6, "process 1 of 2 gave no sign for 4 s (plan.timeout): it hangs"),
                     (signal.SIGINT, None, 130, "told to end"), KILLED], settings=("plan.timeout=4.0",))


@pytest.mark.slow
def test_three_processes_come_to_the_same_bits(tmp_path):
    """With three the order of a sum matters: gradients must lie in the same buckets in every sitting."""
    check(tmp_path, [TOLD, (signal.SIGKILL, 2, 6, "process 2 of 3 was killed by SIGKILL")], count=3)


TRAINS_TWICE = """
import json, os, sys, time
import lensmith
from PIL import Image
from lensmith.training import session
measure = session.Session._measure
session.Session._measure = lambda self: (time.sleep(1.0), measure(self))    # the others would be long gone
rank, found = int(os.environ['RANK']), []
follow = session.follow
def torn(learner, *given, **named):
    learner.train.dropped.update({'torn.png': 'is torn'} if rank else {})
    yield from follow(learner, *given, **named)
session.follow = torn
settings = {'data.count': 300, 'data.size': 16, 'plan.mode': 'exact'}
for name in ('one', 'two'):
    trained = lensmith.train('shapes', backbone='lenet', epochs=1, batch=16, device='cpu', name=name,
                             settings=settings)
    facts = json.loads((trained.folder / 'run.json').read_text())
    found.append([facts['status'], (trained.folder / 'report.html').exists(), trained.metrics['test']['details'],
                  trained.predict(Image.new('RGB', (16, 16)))[0].error,
                  json.loads((trained.folder / 'data.json').read_text())['dropped']])
open(f'{rank}.json', 'w').write(json.dumps(found))
"""


@pytest.mark.slow
def test_a_script_trains_twice_and_has_what_was_trained_in_each_process(tmp_path):
    (tmp_path / "twice.py").write_text(TRAINS_TWICE)
    assert launch(2, [], program=[str(tmp_path / "twice.py")]) == 0
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second and len(first) == 2
    assert all(status == "finished" and report and error is None for status, report, _, error, _ in first)
    assert [one[-1] for one in first] == [[{"file": "torn.png", "reason": "is torn (found while training)"}]] * 2


@pytest.mark.parametrize(("plan", "text"), [
    ({"mode": "fast"}, "plan.mode='fast' is neither auto nor exact"),
    ({"device": "cuda:99"}, "cuda:99"), ({"device": "cpu", "precision": "float16"}, "float16")])
def test_a_plan_that_cannot_be_had_is_told_before_the_pictures_are_read(tmp_path, monkeypatch, plan, text):
    monkeypatch.setattr(begin_or_resume, "read_data", lambda *given, **named: pytest.fail("the pictures were read"))
    with pytest.raises(UserError, match=text):
        begin_or_resume.begin_session({"data": {"name": "shapes"}, "plan": plan}, runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_run_that_goes_on_keeps_what_was_told_of_it(tmp_path):
    recipe = {"data": {"name": "shapes", "count": 60, "size": 16}, "plan": {"mode": "exact", "device": "cpu"}}
    begun = begin_or_resume.begin_session(recipe, runs=tmp_path)
    begun.run.write_json("run.json", {"notes": ["batches of 32 were cut"]})
    assert begin_or_resume.resume_session(begun.run.folder).notes == ["batches of 32 were cut"]


def test_a_mistake_is_told_once_and_leaves_no_run_folder(tmp_path):
    process = start(*COMMON, "augment.crop_padding=99", "--processes", 2, "--runs", tmp_path / "runs", "--name", "one")
    _, told = process.communicate(timeout=120)
    assert process.returncode == 2
    assert told.count("lensmith: ") == 1 and "lensmith: augment.crop_padding=99 must be smaller" in told
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_torchrun_starts_the_processes_as_well(tmp_path):
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d",
                "--rdzv-endpoint", "127.0.0.1:0", "-m", "lensmith")
    process = start(*COMMON, "--epochs", 1, "--runs", tmp_path, "--name", "one", program=torchrun)
    out, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert out.count("report ") == 1 and told.count("epoch 1/1") == 1
    own = start(*COMMON, "--epochs", 1, "--runs", tmp_path, "--name", "two", "--processes", 2)
    assert own.wait(120) == 0, own.communicate()[1]
    own.communicate()
    tensors, wanted = everything(tmp_path / "one"), everything(tmp_path / "two")
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in tensors.items())


@pytest.fixture
def nodes():
    """Two network namespaces, joined by a cable; -> what runs a command in each, and their addresses."""
    names, ip = ("lensmith-a", "lensmith-b"), shutil.which("ip")
    if ip is None:
        pytest.skip("network namespaces are made with the command ip (Debian's iproute2)")

    def run(*arguments: str) -> bool:
        return subprocess.run([ip, *arguments], capture_output=True, check=False).returncode == 0

    made = all(run("netns", "add", name) for name in names) and \
        run("link", "add", "lens0", "netns", names[0], "type", "veth", "peer", "name", "lens0", "netns", names[1])
    for number, name in enumerate(names, start=1):
        made = made and run("-n", name, "addr", "add", f"10.197.3.{number}/24", "dev", "lens0") and \
            run("-n", name, "link", "set", "lens0", "up") and run("-n", name, "link", "set", "lo", "up")
    if made:
        yield [(ip, "netns", "exec", name) for name in names], ("10.197.3.1", "10.197.3.2")
    for name in names:
        run("netns", "del", name)
    if not made:
        pytest.skip("network namespaces cannot be made here: it takes root, and a kernel that lets them be made")


@pytest.mark.slow
def test_two_nodes_train_over_their_network(tmp_path, nodes):
    enter, addresses = nodes
    processes = [start(*COMMON, "--epochs", 2, "--runs", tmp_path, "--name", "one",
                       program=(*inside, "env", "GLOO_SOCKET_IFNAME=lens0", sys.executable, "-m",
                                "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--local-addr", own,
                                "--rdzv-backend", "c10d", "--rdzv-id", "one", "--rdzv-conf",
                                f"is_host={int(own == addresses[0])}", "--rdzv-endpoint", f"{addresses[0]}:29411",
                                "-m", "lensmith"))
                 for inside, own in zip(enter, addresses, strict=True)]
    said = [process.communicate(timeout=200) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said[0][1] + said[1][1]
    assert (said[0][0] + said[1][0]).count("report ") == 1
    own = start(*COMMON, "--epochs", 2, "--runs", tmp_path, "--name", "two", "--processes", 2)
    assert own.wait(120) == 0, own.communicate()[1]
    own.communicate()
    tensors, wanted = everything(tmp_path / "one"), everything(tmp_path / "two")
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in tensors.items())


def test_a_split_network_learns_what_the_whole_one_does(tmp_path, command):
    for name, more in (("whole", []), ("split", ['plan.stages=["cpu", "cpu"]'])):
        assert command(*COMMON, "--epochs", 2, *more, "--runs", tmp_path, "--name", name, "-q").code == 0
    tensors, wanted = everything(tmp_path / "split"), everything(tmp_path / "whole")
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in tensors.items())
    assert history(tmp_path / "split") == history(tmp_path / "whole")
    assert command("val", tmp_path / "split").code == 0


SECTION = {"mode": "auto", "device": "auto", "threads": 0, "processes": 1, "timeout": 60.0, "synchronise": False}


@pytest.mark.parametrize(("started", "settings", "resumes", "text"), [
    (1, {"processes": 2}, False, "2 processes are asked for, and this is one: the command lensmith train"),
    (1, {"device": "cuda:0,1"}, False, "2 processes are asked for, and this is one"),
    (2, {"processes": 3}, False, "plan.processes=3 and 2 processes were started: leave plan.processes out"),
    (2, {"processes": 3}, True, "the run began with plan.processes=3 and goes on, to the same bits, with as many; 2"),
    (2, {}, True, "the run began with plan.processes=1 and goes on"),
    (2, {"stages": ["cpu", "cpu"]}, False, "plan.stages splits one network over devices"),
    (2, {"device": "mps"}, False, "device 'mps' is neither"),
    (1, {"synchronise": True}, False, "plan.synchronise is for several processes, and this is one")])
def test_what_cannot_go_together_is_refused(monkeypatch, started, settings, resumes, text):
    monkeypatch.setattr(planning, "join", lambda: ProcessGroup(0, started, local_world_size=started))
    with pytest.raises(UserError, match=text):
        planning.connect_processes(SECTION | settings, resumes=resumes)
