"""The machine: which device to use, how much memory is free, what stands in a run's environment.json."""

import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from lensmith.base.errors import UserError

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "safetensors", "timm")


def choose_device(name: str = "auto") -> torch.device:
    """`cpu`, `cuda`, `cuda:1`, `mps` or `auto` (CUDA, else MPS, else CPU) -> the device, known to be there."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise UserError(f"unknown device {name!r}: accepted are auto, cpu, cuda, cuda:N and mps")
    device = torch.device(name)
    if device.type == "cuda" and (not cuda or (device.index or 0) >= torch.cuda.device_count()):
        have = f"{torch.cuda.device_count()} CUDA devices" if cuda else "no CUDA device"
        raise UserError(f"device {name!r} is not on this machine, which has {have}: use --device auto or cpu")
    if device.type == "mps" and not mps:
        raise UserError("device 'mps' is not on this machine: use --device auto or cpu")
    return device


def free_memory() -> int:
    """Bytes of main memory that can be taken now: the least of what the system and its control group leave."""
    free = [_system_memory()]
    for limit, used in (("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
                        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes")):
        try:
            free.append(int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):    # absent, or "max"
            continue
    return max(0, min(free))


def _system_memory() -> int:
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        if found:
            return int(found[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return 2 << 30


def environment() -> dict[str, Any]:
    """What a result depends on beside the recipe: machine, versions, threads."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "packages": versions,
    }


def _processor() -> str:
    if sys.platform == "linux":
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        if found:
            return found[1]
    return platform.processor()
