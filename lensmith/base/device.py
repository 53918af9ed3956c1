"""The machine: which device to use, how much memory is free, how busy it is, what environment.json says of it."""

import ctypes
import os
import platform
import re
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from lensmith.base.errors import UserError

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3    # of glibc's malloc.h
# What Linux calls the instructions that multiply bfloat16, on x86 and on ARM.
_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}
# The same of those that multiply bytes and add the products in 32 bits.
_INT8 = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}
PACKAGES = ("torch", "torchvision", "numpy", "pillow", "safetensors", "timm")


def choose_device(name: str = "auto") -> torch.device:
    """`cpu`, `cuda`, `cuda:1`, `mps` or `auto` (CUDA, else MPS, else CPU) -> the device. Raises UserError where this
    machine does not have it."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    if not re.fullmatch(r"cpu|mps|cuda(:\d{1,3})?", name):
        raise UserError(f"unknown device {name!r}: accepted are auto, cpu, cuda, cuda:N and mps")
    device = torch.device(name)
    if device.type == "cuda" and (not cuda or (device.index or 0) >= torch.cuda.device_count()):
        have = f"{torch.cuda.device_count()} CUDA devices" if cuda else "no CUDA device"
        raise UserError(f"device {name!r} is not on this machine, which has {have}: use plan.device=auto or cpu")
    if device.type == "mps" and not mps:
        raise UserError("device 'mps' is not on this machine: use plan.device=auto or cpu")
    return device


def multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16; without them it takes several times as long as float32. Only Linux
    tells."""
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()    # of oneDNN, which PyTorch and OpenVINO compute with
    if limit and not any(word in limit for word in ("BF16", "AMX", "FP16", "DEFAULT", "ALL")):
        return False
    return bool(_BFLOAT16 & instructions())


def multiplies_int8() -> bool:
    """Whether the CPU has instructions for INT8 (VNNI or AMX on x86); without them it is hardly faster than float32, or
    slower. Only Linux tells."""
    return bool(_INT8 & instructions())


def instructions() -> set[str]:
    """What Linux calls the instructions of this CPU, such as avx2 and amx_bf16; none on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return {word for line in lines if line.lower().startswith(("flags", "features")) for word in line.split()}


def free_memory() -> int:
    """Bytes of main memory that can be taken now: the least of what the system and the control group have left."""
    free = [_system_memory()]
    for limit, used in (("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
                        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes")):
        try:
            free.append(int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):    # The file is absent, or says "max".
            continue
    return max(0, min(free))


def check_memory(wanted: int, what: str, advice: str) -> None:
    """Raise a UserError that names `what` where it takes more bytes of main memory than are free, before it is tried:
    the system may end a process that it has promised more than there is."""
    free = free_memory()
    if wanted > free:
        amount = f"{wanted / 1e9:,.1f} GB" if wanted < 10**21 else "more than any machine has"
        raise UserError(f"{what} would take {amount}, and {free / 1e9:,.1f} GB of memory are free: {advice}")


def check_picture_fits(channels: int, height: int, width: int) -> None:
    """Raises UserError where a picture of this form, as it is, as float32 and as its first map, takes more memory than
    is free."""
    check_memory(2 * 4 * channels * height * width, f"a picture of {channels:,} x {height:,} x {width:,}",
                 "take a smaller one with pictures.size")


def _system_memory() -> int:
    try:
        available = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        if available:
            return int(available[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return 2 << 30


def keep_freed_memory() -> None:
    """Let the C library keep large blocks that are freed, for the next step to take. Otherwise glibc gives blocks of
    more than 32 MB back to the system, which fills every page with zeros again in every step. Does nothing where there
    is no glibc."""
    try:
        library = ctypes.CDLL(None)
        # Other C libraries have another mallopt, or none, and lack this name.
        library.gnu_get_libc_version    # noqa: B018
        for option, value in ((_MMAP_THRESHOLD, 1 << 30), (_TRIM_THRESHOLD, (1 << 31) - 1)):
            library.mallopt(option, value)
    except (AttributeError, OSError, TypeError):
        return


def give_back_freed_memory() -> None:
    """Let the C library give the system what is free of what it keeps, since blocks of other sizes than the next ones
    lie between what is used. Does nothing where there is no glibc."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return


class Busy:
    """How busy the machine is with other processes, from now on. Only Linux tells."""

    def __init__(self) -> None:
        self.began, self.used = time.monotonic(), _used()

    def others(self) -> float | None:
        """The fraction of all cores that other processes have taken since; None where the system does not tell."""
        now, elapsed = _used(), time.monotonic() - self.began
        if self.used is None or now is None or elapsed <= 0:
            return None
        all_processes, this_process = now[0] - self.used[0], now[1] - self.used[1]
        return round(min(1.0, max(0.0, all_processes - this_process) / (elapsed * (os.cpu_count() or 1))), 2)


def _used() -> tuple[float, float] | None:
    """(seconds that all cores worked since the machine started, those of this process)."""
    try:
        counts = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        tick = os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return None
    idle = sum(counts[3:5])    # idle and waiting for a disk
    times = os.times()
    return (sum(counts[:8]) - idle) / tick, times.user + times.system + times.children_user + times.children_system


def environment() -> dict[str, Any]:
    """What a result depends on apart from the recipe: machine, versions, threads."""
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
        model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        if model:
            return model[1]
    return platform.processor()
