"""What several processes tell each other: real ones, two or three, and a process alone."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lensmith.base.errors import DataError, Stopped, UserError
from lensmith.engine.distributed import rendezvous as joining
from lensmith.engine.distributed.launch import launch
from lensmith.engine.distributed.process_group import Elsewhere, Lost, ProcessGroup
from lensmith.engine.distributed.rendezvous import join

BEGINNING = """
import json, os, signal, sys, time
import torch
from torch import nn
from lensmith.base.errors import DataError
from lensmith.values.labels import UNKNOWN, Label
from lensmith.engine.distributed.rendezvous import join
from lensmith.engine.distributed.process_group import Elsewhere, Lost
from lensmith.tasks.losses.picture_losses import class_entropy
process_group = join()
def told(**facts):
    open(f'told{process_group.rank}.json', 'w').write(json.dumps(facts))
"""

TOGETHER = """
read = process_group.broadcast_json(lambda: {'plan': [process_group.rank, 'exact']})
process_group.connect('cpu', timeout=60)
def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, affine=False), nn.Flatten(), nn.Linear(64, 3),
                         nn.Linear(3, 3)).to(memory_format=torch.channels_last)
pictures, classes = torch.randn(7, 1, 6, 6, generator=torch.Generator().manual_seed(5)), torch.arange(7) % 3
rows = torch.arange(7).tensor_split(process_group.world_size)[process_group.rank]

# Unequal parts, batch norm at rest: the gradient is that of the mean over all.
one = network().eval()
learning = process_group.wrap(one)
loss = nn.functional.cross_entropy(learning(pictures[rows]), classes[rows])
whole, values = process_group.reduce_loss(len(rows), {'label': loss.item()})
(loss * process_group.loss_weight(len(rows), whole)).backward()
own = [parameter.grad.clone() for parameter in one.parameters()]
alone = network().eval()
true = nn.functional.cross_entropy(alone(pictures), classes)
true.backward()
off = max((a - b.grad).abs().max().item() for a, b in zip(own, alone.parameters()))

# Two batches make one step: the first does not wait for the other processes.
one.zero_grad()
with process_group.gradient_sync(learning, last=False):
    nn.functional.cross_entropy(learning(pictures[rows]), classes[rows]).backward()
apart = process_group.all_gather([parameter.grad.sum().item() for parameter in one.parameters()])
nn.functional.cross_entropy(learning(pictures[rows].flip(0)), classes[rows]).backward()
mixed = process_group.all_gather([parameter.grad.sum().item() for parameter in one.parameters()])

# No label is known in two of the processes.
one.zero_grad()
labels = Label(torch.full((len(rows),), UNKNOWN) if process_group.rank else classes[rows])
class_entropy(learning(pictures[rows]), labels).backward()
halved = one[3].weight.grad.abs().sum().item()

# Batch norm sees other pictures in each process; then all have what the first one has.
one.train()(pictures[rows])
before = process_group.all_gather(one[1].running_mean.tolist())
process_group.broadcast_buffers(one)
after = process_group.all_gather(one[1].running_mean.tolist())

# A parameter that no output depends on.
lonely = nn.ModuleDict({'used': nn.Linear(2, 2), 'unused': nn.Linear(2, 2)})
class Uses(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = lonely
    def forward(self, given):
        return self.inner['used'](given)
uses = process_group.wrap(Uses())
for _ in range(3):
    uses(torch.ones(2, 2)).sum().backward()

first = process_group.broadcast(lambda: {'picked': torch.tensor([process_group.rank + 5.0]), 'by': process_group.rank})
caught = []
for failing, error in ((1, DataError('no such picture')), (0, ValueError('a mistake of ours'))):
    try:
        with process_group.barrier():
            if process_group.rank == failing:
                raise error
    except Exception as found:
        caught.append([type(found).__name__, str(found), getattr(found, 'code', None)])
asked = []
for step in range(3):
    if step == 1 and process_group.rank == 1:
        process_group.ask_to_stop()
    asked.append(process_group.stopping)
    process_group.reduce_loss(1, {})
asked.append(process_group.stopping)
early = process_group.posted()
process_group.all_gather(0)    # the first one has looked
process_group.post('old')
process_group.post([['a.png', f'bad in {process_group.rank}']])
with process_group.barrier():
    pass
told(early=early, posted=process_group.posted() if process_group.is_rank_zero else None,
     off=off, values=values, true=true.item(), whole=whole, apart=apart, mixed=mixed, halved=halved, before=before,
     after=after, read=read, first=first['picked'].tolist() + [first['by']], caught=caught,
     asked=asked, names=list(one.state_dict()), device=process_group.device('auto'), threads=process_group.threads(0),
     speaks=[process_group.should_report(DataError('both say this')),
             process_group.should_report(DataError(f'said by {process_group.rank}')),
             process_group.should_report(Elsewhere('another says this'))])
process_group.disconnect()
"""


def run(folder: Path, text: str, count: int = 2) -> int:
    (folder / "program.py").write_text(BEGINNING + text)
    return launch(count, [], program=[str(folder / "program.py")])


def read(folder: Path, rank: int) -> dict:
    return json.loads((folder / f"told{rank}.json").read_text())


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> list[dict]:
    """What each of three processes found."""
    folder = tmp_path_factory.mktemp("together")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("OMP_NUM_THREADS", "1")
        assert run(folder, TOGETHER, 3) == 0
    return [read(folder, rank) for rank in range(3)]


def test_the_gradient_is_that_of_the_mean_over_all_pictures_however_they_are_divided(together):
    for found in together:
        assert found["off"] < 1e-6
        assert found["whole"] == 7
        assert found["values"]["label"] == pytest.approx(found["true"], abs=1e-6)


def test_gradients_are_mixed_when_the_step_is_whole_and_not_before(together):
    apart, mixed = together[0]["apart"], together[0]["mixed"]
    assert apart[0] != apart[1]
    assert mixed[0] == mixed[1] == mixed[2]
    assert together[1]["apart"] == apart


def test_a_process_whose_pictures_teach_nothing_breaks_nothing(together):
    assert len({found["halved"] for found in together}) == 1 and together[0]["halved"] > 0


def test_the_first_ones_buffers_are_kept(together):
    before = together[0]["before"]
    assert before[0] != before[1]
    assert together[2]["after"] == [before[0]] * 3


def test_names_of_weights_stay(together):
    assert together[0]["names"][0] == "0.weight"


def test_what_the_first_makes_all_have(together):
    assert [found["first"] for found in together] == [[5.0, 0]] * 3
    assert [found["read"] for found in together] == [{"plan": [0, "exact"]}] * 3


def test_where_one_fails_all_leave_and_say_whose_error_it_is(together):
    mistake = ["Elsewhere", "process 0 of 3: a mistake of ours", 1]
    assert together[0]["caught"] == [["Elsewhere", "process 1 of 3: no such picture", 3],
                                     ["ValueError", "a mistake of ours", None]]
    assert together[1]["caught"] == [["DataError", "no such picture", 3], mistake]
    assert together[2]["caught"] == [["Elsewhere", "process 1 of 3: no such picture", 3], mistake]


def test_all_stop_after_the_same_step(together):
    assert all(found["asked"] == [False, False, True, True] for found in together)


def test_the_first_one_reads_the_newest_word_of_each_other_one(together):
    assert together[0]["early"] == []
    assert together[0]["posted"] == [[["a.png", "bad in 1"]], [["a.png", "bad in 2"]]]


def test_a_sentence_is_said_once_and_others_with_their_rank(together):
    assert [found["speaks"] for found in together] == [[True, True, False], [False, True, False], [False, True, False]]


def test_each_process_has_its_device_and_threads(together):
    assert all(found["device"] == ("cuda:0" if torch.cuda.is_available() else "cpu") for found in together[:1])
    assert all(found["threads"] == 0 for found in together)    # OMP_NUM_THREADS says it


# A process that is waited for only briefly seems to hang where the machine is busy, before it is found to be dead.
@pytest.mark.parametrize(("end", "timeout", "text"), [
    ("os.kill(os.getpid(), signal.SIGKILL)", 60, "process 1 of 2 was killed by SIGKILL"),
    ("os.kill(os.getpid(), signal.SIGSTOP)", 5, "process 1 of 2 gave no sign for 5 s (plan.timeout): it hangs")])
def test_a_dead_and_a_hung_process_are_missed(tmp_path, monkeypatch, end, timeout, text):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lensmith.engine.distributed.launch._SHORT", 0.5)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert run(tmp_path, f"""
process_group.connect('cpu', timeout={timeout})
learning = process_group.wrap(nn.Linear(4, 4))
try:
    for step in range(3):
        if step == 2 and process_group.rank == 1:
            {end}
        process_group.reduce_loss(1, {{'x': 1.0}})
        learning(torch.ones(1, 4)).sum().backward()
except Lost as error:
    told(text=str(error), code=error.code)
    assert error.at_once
    os._exit(error.code)    # as the command does
""") == 6
    assert read(tmp_path, 0)["text"].startswith(text) and read(tmp_path, 0)["code"] == 6


def test_a_process_without_its_launcher_ends(tmp_path, monkeypatch):
    """The launcher is killed by SIGKILL, which nobody can hand on."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "program.py").write_text(BEGINNING + "told(number=os.getpid())\ntime.sleep(60)\n")
    process = subprocess.Popen([sys.executable, "-c", "import sys; "
                                "from lensmith.engine.distributed.launch import launch; "
                                "launch(2, [], program=sys.argv[1:])", str(tmp_path / "program.py")])
    until = time.monotonic() + 60
    while not all((tmp_path / f"told{rank}.json").exists() for rank in (0, 1)):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    numbers = [read(tmp_path, rank)["number"] for rank in (0, 1)]
    while any(Path(f"/proc/{number}").exists() and
              Path(f"/proc/{number}/stat").read_text().split()[2] != "Z" for number in numbers):
        assert time.monotonic() < until, os.listdir(tmp_path)
        time.sleep(0.05)


def test_a_process_alone_is_a_process_group_that_costs_nothing():
    process_group = ProcessGroup()
    network = torch.nn.Linear(2, 2)
    assert process_group.is_rank_zero and process_group.wrap(network) is network
    assert process_group.reduce_loss(5, {"x": 2.0}) == (5, {"x": 2.0}) and process_group.loss_weight(5, 5) == 1.0
    assert process_group.broadcast(lambda: 7) == 7 == process_group.broadcast_json(lambda: 7)
    assert process_group.all_gather(3) == [3]
    assert process_group.device("cuda:1") == "cuda:1"
    assert process_group.rows(10, 4) == range(10) and process_group.threads(0) == 0
    process_group.connect("cpu", timeout=1.0)
    process_group.broadcast_buffers(network)
    with process_group.barrier(), process_group.gradient_sync(network, last=False):
        pass
    with pytest.raises(DataError, match="its own"), process_group.barrier():
        raise DataError("its own")
    assert not process_group.stopping
    process_group.ask_to_stop()
    assert process_group.stopping and process_group.should_report(DataError("said"))
    assert not torch.distributed.is_initialized()


@given(length=st.integers(0, 200), batch=st.integers(1, 50), count=st.integers(1, 9))
def test_all_samples_are_measured_once_in_whole_batches(length, batch, count):
    parts = [ProcessGroup(rank, count).rows(length, batch) for rank in range(count)]
    assert [row for part in parts for row in part] == list(range(length))
    assert all(part.start % batch == 0 or not len(part) for part in parts)
    sizes = [-(-len(part) // batch) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_variables_that_are_not_all_set_are_named(monkeypatch):
    joining._joined.cache_clear()
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="WORLD_SIZE=2 says that this is one of several processes, but RANK"):
        join()


def test_a_first_process_that_is_not_there_is_named(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for name, value in {"WORLD_SIZE": 2, "RANK": 1, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1",
                        "MASTER_PORT": port}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(joining, "_BEGIN", timedelta(seconds=1))
    joining._joined.cache_clear()
    with pytest.raises(Stopped, match=f"process 1 of 2 cannot reach the first one at 127.0.0.1:{port}"):
        join()


def test_devices_are_given_out_by_the_rank_on_the_machine(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    process_group = ProcessGroup(3, 4, local_rank=1, local_world_size=2)
    asked = ("cuda:0,3", "cuda", "auto", "cpu")
    assert [process_group.device(name) for name in asked] == ["cuda:3", "cuda:1", "cuda:1", "cpu"]
    with pytest.raises(UserError, match="2 processes on a machine need as many CUDA devices, and 'cuda:1' gives 1"):
        process_group.device("cuda:1")
    with pytest.raises(UserError, match="device 'cuda:0,7' is not on this machine, which has 4 CUDA devices: use"):
        process_group.device("cuda:0,7")
    with pytest.raises(UserError, match="unknown device 'gpu': accepted are auto, cpu, cuda, and cuda:0,1"):
        process_group.device("gpu")
    with pytest.raises(UserError, match="device 'mps' is neither"):
        process_group.device("mps")


def test_cores_are_shared_by_the_processes_of_a_machine(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    process_group = ProcessGroup(0, 4, local_world_size=2)
    assert process_group.threads(0) == 3 and process_group.threads(5) == 5
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert process_group.threads(0) == 1


def test_batch_norm_is_synchronised_on_cuda_alone():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    names, weight = list(network.state_dict()), network[1].weight
    with pytest.raises(UserError, match="plan.synchronise needs CUDA devices, and the device is cpu: PyTorch"):
        ProcessGroup(0, 2).synchronise_batch_norm(network, device="cpu")
    ProcessGroup(0, 2).synchronise_batch_norm(network, device="cuda:0")
    assert isinstance(network[1], torch.nn.SyncBatchNorm) and network[1].weight is weight
    assert list(network.state_dict()) == names


def test_an_error_of_another_kind_is_not_taken_for_a_lost_process():
    process_group = ProcessGroup(0, 2)
    assert process_group.as_lost(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
    assert isinstance(process_group.as_lost(RuntimeError("Connection closed by peer [127.0.0.1]:1")), Lost)
    assert ProcessGroup().as_lost(RuntimeError("Connection closed by peer")) is None
    assert Elsewhere("x").code == 6
