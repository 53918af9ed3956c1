"""The runtime `openvino`."""

from pathlib import Path

import torch
from torch import Tensor

from lensmith.base.errors import ModelError
from lensmith.ship.runtimes.packages import import_quietly
from lensmith.ship.runtimes.runtime import OpenFile, Runtime

# How the lines of its errors begin that say where in its code something was noticed, and not what.
_WHERE = ("Exception from", "Check '", "Details:", "Not Implemented:")
_HINTS = {"float32": "f32", "bfloat16": "bf16"}    # a precision -> what OpenVINO calls it


def open_with_openvino(file: Path, threads: int, precision: str = "float32") -> OpenFile:
    """The file, ready to be run on the CPU: what it has in float32 in float32 or `bfloat16`, and INT8 as it is. Raises
    ModelError where OpenVINO refuses it."""
    openvino = import_quietly("openvino")
    try:
        core = openvino.Core()
        # Without the hint it computes in bfloat16 wherever the CPU can.
        settings = {"INFERENCE_PRECISION_HINT": _HINTS.get(precision, "f32"), "INFERENCE_NUM_THREADS": threads,
                    "PERFORMANCE_HINT": "LATENCY"}
        compiled = core.compile_model(core.read_model(str(file)), "CPU", settings)
    except Exception as error:
        raise ModelError(f"openvino cannot open {file} ({_reason(error)}): export the run again") from error
    names = [sorted(output.get_names()) for output in compiled.outputs]    # an output may have several

    def run(pictures: Tensor) -> dict[str, Tensor]:
        try:
            outputs = compiled([pictures.contiguous().numpy()])
        except Exception as error:
            raise ModelError(f"openvino cannot run {file} on pictures of {'x'.join(map(str, pictures.shape[1:]))} "
                             f"({_reason(error)})") from error
        # A copy: the next call writes into the same memory.
        return {name: torch.from_numpy(outputs[number].copy()) for number, several in enumerate(names)
                for name in several}

    return run


def _reason(error: BaseException) -> str:
    """The first line of an error that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(_WHERE)]
    return next(iter(said or lines), type(error).__name__)[:300]


OPENVINO = Runtime("openvino", (".onnx", ".xml"), tuple(_HINTS), open_with_openvino)
