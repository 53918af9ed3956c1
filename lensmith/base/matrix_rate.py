"""How fast matrices are multiplied on a device, as measured."""

import time

import torch

_EDGES = (256, 1024)    # of the square matrices: the large ones are tried where the small ones do not take long
_CUDA_EDGE = 4096       # a GPU that small matrices do not fill would look slow
_SECONDS = 0.15         # that a measurement takes at least
_LONG = 0.005           # seconds for the small matrices: without instructions for a dtype the large ones take minutes


def matrix_rate(device: str, dtype: torch.dtype) -> float | None:
    """Multiplications and additions a second of square matrices of this dtype, in 1e9: the best of what `_SECONDS`
    allow. None where the device cannot multiply them."""
    try:
        if device != "cpu":
            return _best(device, dtype, _CUDA_EDGE)[0]
        rate, seconds = _best(device, dtype, _EDGES[0])
        return rate if seconds > _LONG else _best(device, dtype, _EDGES[1])[0]
    except (RuntimeError, MemoryError):    # no such kernel, or no room
        return None


def _best(device: str, dtype: torch.dtype, edge: int) -> tuple[float, float]:
    """(1e9 operations a second, the least seconds of one multiplication)"""
    left, right = (torch.full((edge, edge), value, dtype=dtype, device=device) for value in (0.5, 0.25))
    left[:8] @ right    # the first call makes the library ready
    least, began = float("inf"), time.perf_counter()
    while least == float("inf") or time.perf_counter() - began < _SECONDS:
        started = time.perf_counter()
        left @ right
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        elif device == "mps":
            torch.mps.synchronize()
        least = min(least, time.perf_counter() - started)
    return 2 * edge**3 / least / 1e9, least
