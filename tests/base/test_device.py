"""The machine: names of devices, free memory, the environment of a run."""

import json
from pathlib import Path

import pytest
import torch

from lensmith.base import device as machine
from lensmith.base.errors import UserError


@pytest.fixture
def bare(monkeypatch):
    """A machine without an accelerator."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_auto_takes_the_fastest_there_is(bare, monkeypatch):
    assert machine.choose_device() == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert machine.choose_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert machine.choose_device("auto") == torch.device("cuda")


def test_a_gpu_is_chosen_by_its_number(two_gpus):
    assert machine.choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UserError, match="device 'cuda:2' is not on this machine, which has 2 CUDA devices"):
        machine.choose_device("cuda:2")


@pytest.mark.parametrize(("name", "said"), [
    ("gpu", "unknown device 'gpu': accepted are auto, cpu, cuda, cuda:N and mps"),
    ("cuda:x", "unknown device 'cuda:x': accepted are"),
    ("cuda", "device 'cuda' is not on this machine, which has no CUDA device: use plan.device=auto or cpu"),
    ("mps", "device 'mps' is not on this machine: use plan.device=auto or cpu")])
def test_a_device_that_is_not_there_is_refused_with_what_is(bare, name, said):
    with pytest.raises(UserError) as caught:
        machine.choose_device(name)
    assert str(caught.value).startswith(said)


def test_free_memory_is_that_of_the_system_or_less():
    free = machine.free_memory()
    assert free > 0
    total = next(int(line.split()[1]) * 1024 for line in Path("/proc/meminfo").read_text().splitlines()
                 if line.startswith("MemTotal"))
    assert free <= total


def test_a_control_group_lowers_what_is_free(monkeypatch):
    said = {"/sys/fs/cgroup/memory.max": "1000", "/sys/fs/cgroup/memory.current": "400"}

    def read(path, *rest):
        if str(path) in said:
            return said[str(path)]
        raise OSError("absent")

    monkeypatch.setattr(machine, "_system_memory", lambda: 5000)
    monkeypatch.setattr(Path, "read_text", read)
    assert machine.free_memory() == 600
    said["/sys/fs/cgroup/memory.max"] = "max"
    assert machine.free_memory() == 5000
    said["/sys/fs/cgroup/memory.max"] = "100"
    assert machine.free_memory() == 0


def test_the_environment_can_be_written_as_json_and_names_the_versions():
    found = json.loads(json.dumps(machine.environment()))
    assert found["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["threads"] == torch.get_num_threads() and found["python"].startswith("3.")


def test_the_work_of_others_is_a_share():
    busy = machine.Busy()
    sum(i * i for i in range(200_000))
    others = busy.others()
    assert others is None or 0 <= others <= 1
