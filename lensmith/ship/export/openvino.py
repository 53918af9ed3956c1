"""The target `openvino`: a network as OpenVINO's own files, model.xml with layers and model.bin with weights."""

import os
import shutil
import tempfile
from pathlib import Path

from torch import nn

from lensmith.base.atomic_files import is_full, write_atomic
from lensmith.base.errors import ModelError, Stopped, first_line
from lensmith.ship.export.onnx import ADVICE, onnx_content
from lensmith.ship.export.target import Target
from lensmith.ship.runtimes.file_facts import FileFacts
from lensmith.ship.runtimes.packages import check_installed, import_quietly
from lensmith.tasks.task import Task


def write_openvino(network: nn.Module, task: Task, facts: FileFacts, path: Path) -> FileFacts:
    """Write the network with its answers as `path` and the file of its weights beside it; -> the facts as the file has
    them, in its rt_info under `framework`, as OpenVINO keeps the metadata of an ONNX file. Weights are in float32.

    Raises UserError where a package is missing or a file cannot be written, ModelError for a network that has no form
    in ONNX, or that OpenVINO refuses.
    """
    check_installed("openvino")
    content, facts = onnx_content(network, task, facts)
    layers, weights = _converted(content)

    def write_both(aside: Path) -> None:
        aside.write_bytes(layers)
        write_atomic(path.with_suffix(".bin"), write_weights, advice=ADVICE)

    def write_weights(aside: Path) -> None:
        with open(aside, "wb") as file:
            file.write(weights)
            file.flush()
            os.fsync(file.fileno())
        # Layers that were there before do not belong to these weights. Whoever is killed here has no file, not a wrong
        # one; where the disk is full, the old ones are still there.
        path.unlink(missing_ok=True)

    write_atomic(path, write_both, advice=ADVICE)
    return facts


def _converted(content: bytes) -> tuple[bytes, bytes]:
    """An ONNX file's content as those of OpenVINO's two files."""
    openvino = import_quietly("openvino")
    with tempfile.TemporaryDirectory() as folder:
        whole, layers = Path(folder) / "model.onnx", Path(folder) / "model.xml"
        try:
            whole.write_bytes(content)
            openvino.save_model(openvino.Core().read_model(str(whole)), str(layers), compress_to_fp16=False)
        except Exception as error:
            if is_full(error) or shutil.disk_usage(folder).free < len(content):
                raise Stopped(f"the disk is full: {folder} does not hold the network while it is converted. Free some "
                              "space, or name another folder for temporary files with TMPDIR") from error
            raise ModelError(f"openvino cannot convert the network ({first_line(error)[:300]}): choose another with "
                             "export.to=onnx") from error
        return layers.read_bytes(), layers.with_suffix(".bin").read_bytes()


OPENVINO_FILE = Target(".xml", write_openvino, beside=(".bin",))
