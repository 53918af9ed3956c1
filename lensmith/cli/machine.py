"""What `lensmith info` finds: the machine, PyTorch, the extras, the caches, data sets and weights."""

import os
import re
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from lensmith.base.cache_folder import cache_folder
from lensmith.base.device import environment, free_memory, instructions
from lensmith.base.errors import ModelError
from lensmith.base.extras import extras
from lensmith.base.matrix_rate import matrix_rate
from lensmith.cli.catalogue import entries
from lensmith.models.adapters.embedded_weights import EMBEDDED, embedded_file
from lensmith.models.weights import SUFFIXES

# What can be computed or read again, by its folder in the cache, and what it is. Data sets that were downloaded lie
# beside these folders and are never cleared.
CACHES = {"pictures": "decoded pictures", "contents": "hashes of files", "plans": "how to run fastest",
          "runtimes": "which runtime is fastest", "exports": "networks as files", "explain": "what explanations found"}
# Of the instructions that Linux names, those that convolutions are computed by.
_TOLD = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16",
         "amx_int8", "asimd", "asimddp", "i8mm", "bf16", "sve")
_RATES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_DRIVER = Path("/proc/driver/nvidia/version")


def machine() -> dict[str, Any]:
    """All that `lensmith info` says, by sections, as plain data."""
    here = environment()
    known = instructions()
    return {
        "version": version("lensmith"), "python": here["python"], "platform": here["platform"],
        "processor": {"name": here["processor"], "cores": os.cpu_count(), "usable": usable_cores(),
                      "instructions": [name for name in _TOLD if name in known],
                      "memory_free_gb": round(free_memory() / 1e9, 1), "rates": rates("cpu")},
        "gpus": gpus(), "gpu": gpu_in_words(), "driver": driver(),
        "torch": torch_build(), "packages": here["packages"],
        "extras": [{"name": extra.name, "here": not extra.missing, "packages": list(extra.packages),
                    "missing": list(extra.missing), "install": extra.command if extra.missing else None}
                   for extra in extras()],
        "cache": {"folder": str(cache_folder()), "parts": caches()},
        "data": [row for row in entries("data") if row["here"] and os.path.isabs(row["here"])],
        "weights": weights(),
    }


def usable_cores() -> int:
    """The cores that this process may use, of those that there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def rates(device: str) -> dict[str, float | None]:
    """Measured 1e9 operations a second of a multiplication of matrices, by dtype; None where there is no such thing."""
    return {name: None if (rate := matrix_rate(device, dtype)) is None else round(rate, 1)
            for name, dtype in _RATES.items() if device != "cpu" or name != "float16"}


def gpus() -> list[dict[str, Any]]:
    """The GPUs that PyTorch can use, with their memory and measured rates."""
    if not torch.cuda.is_available():
        return [{"name": "Apple's (mps)", "device": "mps", "rates": rates("mps")}] \
            if torch.backends.mps.is_available() else []
    found = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found.append({"name": properties.name, "device": f"cuda:{index}",
                      "memory_gb": round(properties.total_memory / 1e9, 1),
                      "capability": f"{properties.major}.{properties.minor}", "rates": rates(f"cuda:{index}")})
    return found


def driver() -> str | None:
    """The version of NVIDIA's driver; None where there is none, or the system does not tell."""
    try:
        match = re.search(r"(?:Kernel Module|x86_64|aarch64)\s+([\d.]+)", _DRIVER.read_text())
    except OSError:
        return None
    return match[1] if match else None


def gpu_in_words() -> str:
    """Whether a GPU is used here, and where not, why and what to do."""
    if torch.cuda.is_available():
        number = torch.cuda.device_count()
        return f"yes: {number} CUDA device{'s' * (number > 1)}, which training takes by itself"
    if torch.backends.mps.is_available():
        return "yes: Apple's, which training takes by itself"
    if torch.version.cuda is None and torch.version.hip is None:
        why = "this build of PyTorch is for the CPU alone"
        has = driver() is not None or shutil.which("nvidia-smi") is not None
        return f"no: {why}, and NVIDIA's driver is here: install PyTorch's CUDA build (https://pytorch.org)" if has \
            else f"no: {why}, and no driver of NVIDIA's was found"
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
    if torch.version.cuda and driver() is None:
        return f"no: PyTorch is built for {build}, and no driver of NVIDIA's was found"
    return f"no: PyTorch is built for {build} and finds no device: see what nvidia-smi says, and CUDA_VISIBLE_DEVICES"


def torch_build() -> dict[str, Any]:
    """PyTorch's version and what it was built with."""
    return {"version": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(),
            "threads": torch.get_num_threads(), "mkl": torch.backends.mkl.is_available(),
            "onednn": torch.backends.mkldnn.is_available(), "openmp": torch.backends.openmp.is_available(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability()}


def caches() -> list[dict[str, Any]]:
    """What the cache keeps that can be made again: name, what it is, bytes and files."""
    rows = []
    for name, what in CACHES.items():
        sizes = [size for path in (cache_folder() / name).rglob("*") if (size := _size(path)) is not None]
        rows.append({"name": name, "what": what, "bytes": sum(sizes), "files": len(sizes)})
    return rows


def _size(path: Path) -> int | None:
    try:
        return path.lstat().st_size if path.is_file() and not path.is_symlink() else None
    except OSError:    # removed meanwhile by another process
        return None


def clear_caches() -> int:
    """Remove what the cache keeps that can be made again; -> the bytes that this has freed. A link in the place of a
    folder is left alone."""
    before = sum(row["bytes"] for row in caches())
    for name in CACHES:
        folder = cache_folder() / name
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)
    return before - sum(row["bytes"] for row in caches())


def weights() -> list[dict[str, Any]]:
    """The weights on this machine to begin with: those that are installed, and those that were downloaded."""
    rows = []
    for backbone in EMBEDDED:
        try:
            rows.append({"name": f"imagenet of {backbone}", "file": str(embedded_file(backbone))})
        except ModelError:
            continue
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    rows += [{"name": path.name, "file": str(path)} for path in sorted(folder.glob("*")) if path.suffix in SUFFIXES]
    return rows

