"""Looks into an ONNX file that may be damaged or hostile, in a process of its own that may end by it.

Run as a script with the name of the file and of a runtime. It writes one line of JSON: `facts`, what Lensmith has
written into the file, `operators` by name and the number of `parameters`; or `error`, why it cannot be used. It imports
nothing of Lensmith, so that it starts without PyTorch.
"""

import json
import math
import os
import sys
from collections import Counter
from typing import Any

_KEY, _INPUT = "lensmith", "pictures"    # as in `file_facts`, which a process without PyTorch cannot import
_LARGEST = 2 << 30                       # bytes of a file


class _Unusable(Exception):
    """Why the file cannot be used."""


def look_into(path: str, runtime: str) -> dict[str, Any]:
    """What the file holds. Raises _Unusable, or whatever a damaged file makes of a library."""
    import onnx

    if os.path.getsize(path) > _LARGEST:
        raise _Unusable("has more than 2 GB, which no ONNX file has")
    try:
        model = onnx.load_model(path, load_external_data=False)
    except Exception as error:
        raise _Unusable(f"is not an ONNX file, or is damaged ({_line(error)})") from error
    _refuse_far_data(model, os.path.dirname(os.path.abspath(path)))
    facts = next((entry.value for entry in model.metadata_props if entry.key == _KEY), None)
    if facts is None:
        raise _Unusable(f"was not written by Lensmith: its metadata have no entry {_KEY!r}, which says the classes, "
                        "the form of the pictures and what the outputs mean. Write one with `lensmith export RUN`")
    try:
        onnx.checker.check_model(path)
    except Exception as error:
        raise _Unusable(f"is damaged ({_line(error)})") from error
    _try(path, runtime, json.loads(facts)["form"])
    sizes = (math.prod(tensor.dims) for tensor in model.graph.initializer)
    operators = Counter(node.op_type for node in model.graph.node)
    return {"facts": facts, "operators": operators, "parameters": sum(sizes)}


def _refuse_far_data(model: Any, folder: str) -> None:
    """Raises _Unusable where weights are read from a file that does not lie in the folder of this one."""
    from onnx.external_data_helper import _get_all_tensors

    for tensor in _get_all_tensors(model):
        for entry in tensor.external_data:
            if entry.key != "location":
                continue
            place = os.path.realpath(os.path.join(folder, entry.value))
            if os.path.isabs(entry.value) or os.path.commonpath((place, os.path.realpath(folder))) != \
                    os.path.realpath(folder):
                raise _Unusable(f"reads its weights from {entry.value!r}, outside of its folder, which is refused")


def _try(path: str, runtime: str, form: dict[str, Any]) -> None:
    """Open the file with the runtime and run it on one picture."""
    import numpy as np

    picture = np.zeros((1, form["channels"], form["height"], form["width"]),
                       dtype=np.uint8 if form["bits"] == 8 else np.uint16)
    try:
        if runtime == "openvino":
            sys.modules["openvino_telemetry"] = None    # type: ignore[assignment]
            import openvino

            core = openvino.Core()
            core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([picture])
        else:
            os.environ["ORT_DISABLE_TELEMETRY"] = "1"
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.log_severity_level = 1, 4
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            session.run(None, {_INPUT: picture})
    except Exception as error:
        raise _Unusable(f"cannot be run by {runtime} ({_line(error)})") from error


def _line(error: BaseException) -> str:
    """The first line of an error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


def _main() -> None:
    try:
        found = look_into(sys.argv[1], sys.argv[2])
    except _Unusable as error:
        found = {"error": str(error)}
    except Exception as error:
        found = {"error": f"cannot be read ({type(error).__name__}: {_line(error)})"}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    _main()
