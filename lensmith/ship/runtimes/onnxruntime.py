"""The runtime `onnxruntime`."""

from pathlib import Path

import torch
from torch import Tensor

from lensmith.base.errors import ModelError, first_line
from lensmith.ship.runtimes.packages import import_quietly
from lensmith.ship.runtimes.runtime import OpenFile, Runtime

_FATAL = 4    # the severity from which it logs: what is less says nothing that a user could mend


def open_with_onnxruntime(file: Path, threads: int, precision: str = "float32") -> OpenFile:
    """The file, ready to be run on the CPU in the precision of its weights, whichever is named. Raises ModelError where
    onnxruntime refuses it."""
    onnxruntime = import_quietly("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = _FATAL
    # Otherwise its threads stay awake behind each call and hold the cores that PyTorch or another runtime needs.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"onnxruntime cannot open {file} ({first_line(error)[:300]}): export the run again") from error
    name_in, names = session.get_inputs()[0].name, [output.name for output in session.get_outputs()]

    def run(pictures: Tensor) -> dict[str, Tensor]:
        try:
            outputs = session.run(names, {name_in: pictures.contiguous().numpy()})
        except Exception as error:
            raise ModelError(f"onnxruntime cannot run {file} on pictures of {'x'.join(map(str, pictures.shape[1:]))} "
                             f"({first_line(error)[:300]})") from error
        return {name: torch.from_numpy(output) for name, output in zip(names, outputs, strict=True)}

    return run


ONNXRUNTIME = Runtime("onnxruntime", (".onnx",), ("float32",), open_with_onnxruntime)
