"""Looks into a network's file that may be damaged or hostile, in a process of its own that may end by it.

Run as a script with one argument, JSON: the `path` of an ONNX file, OpenVINO's .xml or ncnn's .param, the `runtimes`
that are to run it, the `form` that a user says a file of others takes, or null, the bytes of memory that are `free`,
and whether `anybodys` file will do, for which the form is then a wish. It writes one line of JSON: `facts`, what
Lensmith has written into the file, or else `signature`, what goes in and comes out; the `operators` by name, the number
of `parameters`, the bytes of `memory` that one picture takes beside the network, and in `failed` of each runtime that
cannot run it why; or `error`, why the file cannot be used. With `held`, the arguments of `_held`, in the place of all
that, it writes `memory` alone. It imports nothing of Lensmith, so that it starts without PyTorch.
"""

import importlib
import json
import math
import os
import sys
from collections import Counter
from typing import Any

_KEY, _INPUT = "lensmith", "pictures"    # as in `file_facts`, which a process without PyTorch cannot import
_LARGEST = 2 << 30                       # bytes of a file
# Of processor time: what importing and opening take, bytes of a file that are opened in a second, and what a picture of
# a million pixels takes at most, many times as much as a U-Net does. A loop without an end is ended by it.
_SECONDS, _BYTES_A_SECOND, _SECONDS_OF_MEGAPIXEL = 6, 25_000_000, 20
# Of memory: what a runtime takes, copies of the weights, and bytes of the maps of a pixel.
_MEMORY, _COPIES, _BYTES_OF_PIXEL = 2 << 30, 6, 2048
_MOST_PIXELS = 100_000_000               # of a picture that goes into a network
_CHANNELS = (1, 3, 4)                    # of pictures
# How the lines of OpenVINO's errors begin that say where in its code something was noticed, and not what.
_WHERE = ("Exception from", "Check '", "Details:", "Not Implemented:")
_TYPES = {1: "float32", 10: "float16", 2: "uint8"}    # of TensorProto, which a picture may have


class _Unusable(Exception):
    """Why the file cannot be used."""


def look_into(path: str, runtimes: list[str], form: dict[str, Any] | None, free: int, *,
              anybodys: bool = False) -> dict[str, Any]:
    """What the file holds. Raises _Unusable, or whatever a damaged file makes of a library."""
    if path.lower().endswith(".xml"):
        return _look_into_openvino(path, free=free)
    if path.lower().endswith(".param"):
        return _look_into_ncnn(path, free=free)
    size = os.path.getsize(path)
    if size > _LARGEST:
        raise _Unusable("has more than 2 GB, which no ONNX file has")
    _limit(size, free=free)
    import onnx

    try:
        model = onnx.load_model(path, load_external_data=False)
    except Exception as error:
        raise _Unusable(f"is not an ONNX file, or is damaged ({_line(error)})") from error
    _refuse_far_data(model, os.path.dirname(os.path.abspath(path)))
    facts = next((entry.value for entry in model.metadata_props if entry.key == _KEY), None)
    if facts is None and form is None:
        raise _Unusable(f"was not written by Lensmith: its metadata have no entry {_KEY!r}, which says the classes, "
                        "the form of the pictures and what the outputs mean. Say it in a file with predict.form, "
                        "as docs/export.md shows, or write one with `lensmith export RUN`")
    if facts is not None and form is not None and not anybodys:
        raise _Unusable("was written by Lensmith and says itself what it takes: leave predict.form out")
    try:
        onnx.checker.check_model(path)
    except Exception as error:
        raise _Unusable(f"is damaged ({_line(error)})") from error
    signature = None if facts is not None else _signature(model, form or {})
    shape, type_, name = _of_facts(str(facts)) if signature is None else _of_signature(signature)
    _limit(size, pixels=math.prod(shape) // min(shape[1:]), free=free)
    outputs, failed, memory = _try(path, runtimes, _noise(shape, type_), name)
    if signature is not None:
        signature["outputs"] = outputs
    sizes = (math.prod(tensor.dims) for tensor in model.graph.initializer)
    return {"facts": facts, "signature": signature, "operators": Counter(node.op_type for node in model.graph.node),
            "parameters": sum(sizes), "memory": memory, "failed": failed}


def _look_into_openvino(path: str, *, free: int) -> dict[str, Any]:
    weights = os.path.splitext(path)[0] + ".bin"
    if not os.path.isfile(weights):
        raise _Unusable(f"lacks its weights: {os.path.basename(weights)} has to lie beside it")
    size = os.path.getsize(path) + os.path.getsize(weights)
    _limit(size, free=free)
    openvino = _imported("openvino")
    try:
        model = openvino.Core().read_model(path)
    except Exception as error:
        raise _Unusable(f"is no network of OpenVINO, or is damaged ({_line(error)})") from error
    try:
        facts = str(model.get_rt_info(["framework", _KEY]).astype(str))
    except Exception as error:
        raise _Unusable(f"was not written by Lensmith: its rt_info has no entry framework/{_KEY}, which says the "
                        "classes, the form of the pictures and what the outputs mean. Write one with `lensmith export "
                        "RUN --to openvino`") from error
    shape, type_, name = _of_facts(facts)
    _limit(size, pixels=math.prod(shape) // min(shape[1:]), free=free)
    _, failed, memory = _try(path, ["openvino"], _noise(shape, type_), name)
    layers = model.get_ops()
    return {"facts": facts, "signature": None, "operators": Counter(layer.get_type_name() for layer in layers),
            "parameters": sum(math.prod(layer.shape) for layer in layers if layer.get_type_name() == "Constant"),
            "memory": memory, "failed": failed}


def _look_into_ncnn(path: str, *, free: int) -> dict[str, Any]:
    beside = [os.path.splitext(path)[0] + suffix for suffix in (".bin", ".json")]
    for file in beside:
        if not os.path.isfile(file):
            raise _Unusable(f"lacks {os.path.basename(file)}, which has to lie beside it")
    size = os.path.getsize(beside[0])
    _limit(size, free=free)
    with open(beside[1], encoding="utf-8") as file_of_facts:
        facts = file_of_facts.read()
    shape, type_, name = _of_facts(facts)
    _limit(size, pixels=math.prod(shape) // min(shape[1:]), free=free)
    _, failed, memory = _try(path, ["ncnn"], _noise(shape, type_), name)
    with open(path, encoding="utf-8") as layers:
        operators = Counter(line.split()[0] for line in layers.read().splitlines()[2:] if line.strip())
    return {"facts": facts, "signature": None, "operators": operators, "parameters": size // 4, "memory": memory,
            "failed": failed}


def _limit(size: int, *, free: int, pixels: int = 0) -> None:
    """Let this process be ended, or refused memory, beyond what a file of `size` bytes and its pictures can need."""
    try:
        import resource
    except ImportError:    # Windows has no such limits
        return
    seconds = _SECONDS + size // _BYTES_A_SECOND + _SECONDS_OF_MEGAPIXEL * pixels // 1_000_000
    memory = min(_MEMORY + _COPIES * size + _BYTES_OF_PIXEL * pixels, free)
    for kind, wanted in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_DATA, memory)):
        most = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


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


def _of_facts(text: str) -> tuple[tuple[int, ...], str, str]:
    """The shape and the type of a batch that a file of Lensmith's takes, and the name of its input."""
    try:
        form = json.loads(text)["form"]
        shape = (1, *(int(form[key]) for key in ("channels", "height", "width")))
        type_ = {8: "uint8", 16: "uint16"}[form["bits"]]
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _Unusable(f"says of itself what cannot be read ({type(error).__name__}: {_line(error)}): export the run "
                        "again") from error
    return _checked(shape), type_, _INPUT


def _checked(shape: tuple[int, ...]) -> tuple[int, ...]:
    if min(shape) < 1 or math.prod(shape) > _MOST_PIXELS:
        raise _Unusable(f"takes pictures of {' x '.join(map(str, shape[1:]))}, which is no picture")
    return shape


def _noise(shape: tuple[int, ...], type_: str) -> Any:
    """A batch of pictures of chance values, since one of zeros may leave parts of a network without work."""
    import numpy as np

    whole = np.random.default_rng(0).integers(0, 65536 if type_ == "uint16" else 256, shape)
    return (whole / 255 if type_.startswith("float") else whole).astype(type_)


def _signature(model: Any, form: dict[str, Any]) -> dict[str, Any]:
    """What goes into a file of others, of the form's size where the file leaves it open."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(repr(value.name) for value in inputs) or "none"
        raise _Unusable(f"takes {len(inputs)} inputs ({names}), and a network of pictures takes one")
    tensor = inputs[0].type.tensor_type
    axes = [axis.dim_value if axis.HasField("dim_value") and axis.dim_value > 0 else None for axis in tensor.shape.dim]
    if tensor.elem_type not in _TYPES or len(axes) != 4:
        shape = " x ".join(str(edge or "?") for edge in axes) or "no shape"
        raise _Unusable(f"takes {shape} of type {tensor.elem_type}, and pictures are four axes of "
                        f"{', '.join(_TYPES.values())}")
    channels_last = axes[1] not in (None, *_CHANNELS) or (axes[1] is None and axes[3] in _CHANNELS)
    batch, *others = axes
    edges = others[:2] if channels_last else others[1:]
    channels = (others[2] if channels_last else others[0]) or form["channels"]
    if channels not in _CHANNELS:
        raise _Unusable(f"takes {channels} channels, and pictures have 1, 3 or 4")
    asked = form["size"] or [None, None]
    if any(edge and wanted and edge != wanted for edge, wanted in zip(edges, asked, strict=True)):
        own = " x ".join(str(edge or "?") for edge in edges)
        raise _Unusable(f"takes pictures of {own} pixels, and size in {form['file']} is {asked[0]} x {asked[1]}: leave "
                        "size out")
    usual = form.get("usual", (None, None))
    size = [edge or wanted or other for edge, wanted, other in zip(edges, asked, usual, strict=True)]
    if None in size:
        raise _Unusable(f"takes pictures of any size: say in {form['file']} to which they are brought, as "
                        "size = [224, 224]")
    return {"input": inputs[0].name, "type": _TYPES[tensor.elem_type], "channels_last": channels_last, "batch": batch,
            "channels": channels, "size": size, "any_size": edges == [None, None],
            "last": {name: node.op_type for node in model.graph.node for name in node.output}}


def _of_signature(signature: dict[str, Any]) -> tuple[tuple[int, ...], str, str]:
    """The shape and the type of a batch that a file of others takes, and the name of its input."""
    channels, size = signature["channels"], signature["size"]
    picture = (*size, channels) if signature["channels_last"] else (channels, *size)
    return _checked((signature["batch"] or 1, *picture)), signature["type"], signature["input"]


def _try(path: str, runtimes: list[str], picture: Any, name: str) -> tuple[dict[str, Any], dict[str, str], int]:
    """Run the file on one picture: (shapes of the outputs by name, why a runtime cannot run it by its name, bytes that
    this took). Raises _Unusable where none can."""
    outputs: dict[str, Any] = {}
    failed: dict[str, str] = {}
    most = 0
    for runtime in runtimes:
        try:
            run = _OPEN[runtime](path, name)
            before = _peak()
            outputs = {output: list(array.shape) for output, array in run(picture).items()}
            most = max(most, _peak() - before)
        except Exception as error:
            failed[runtime] = _line(error)
    if len(failed) == len(runtimes):
        raise _Unusable("cannot be run by " + "; nor by ".join(f"{runtime} ({why})" for runtime, why in failed.items()))
    return outputs, failed, most


def _with_onnxruntime(path: str, name: str) -> Any:
    onnxruntime = _imported("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda picture: dict(zip(names, session.run(names, {name: picture}), strict=True))


def _with_openvino(path: str, name: str) -> Any:
    openvino = _imported("openvino")
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32",
                                                                 "INFERENCE_NUM_THREADS": 1})
    names = [sorted(output.get_names()) for output in compiled.outputs]

    def run(picture: Any) -> dict[str, Any]:
        answers = compiled([picture])
        return {output: answers[number] for number, several in enumerate(names) for output in several}

    return run


def _with_ncnn(path: str, name: str) -> Any:
    ncnn = _imported("ncnn")
    network = ncnn.Net()
    network.opt.num_threads = 1
    if network.load_param(path) or network.load_model(os.path.splitext(path)[0] + ".bin"):
        raise _Unusable("is damaged: ncnn cannot open it")

    def run(picture: Any) -> dict[str, Any]:
        extractor = network.create_extractor()
        pixels = picture[0].astype("float32")    # a Mat does not keep the memory that it looks at
        extractor.input("in0", ncnn.Mat(pixels).clone())
        code, answer = extractor.extract("out0")
        if code:
            raise _Unusable(f"is damaged: ncnn cannot run it (code {code})")
        return {name: answer.numpy()}

    return run


_OPEN = {"onnxruntime": _with_onnxruntime, "openvino": _with_openvino, "ncnn": _with_ncnn}


def _imported(runtime: str) -> Any:
    """The package of a runtime, kept from sending anything as `packages.import_quietly` does."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    sys.modules.setdefault("openvino_telemetry", None)    # type: ignore[arg-type]
    return importlib.import_module(runtime)


def _held(path: str, runtime: str, form: str) -> dict[str, Any]:
    """Bytes that opening a file and answering one picture take, beyond the runtime itself; 0 where the system does not
    tell. `form`: the facts of the file."""
    shape, type_, name = _of_facts(form)
    picture = _noise(shape, type_)
    _imported(runtime)
    before = _peak()
    _OPEN[runtime](path, name)(picture)
    return {"memory": _peak() - before}


def _peak() -> int:
    """Bytes of memory that this process has had at most."""
    try:    # what getrusage says begins with that of the process that has started this one (getrusage(2), execve(2))
        with open("/proc/self/status", encoding="ascii") as status:
            return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _line(error: BaseException) -> str:
    """The first line of an error that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(_WHERE)]
    return next(iter(said or lines), type(error).__name__)[:300]


def _main() -> None:
    request = json.loads(sys.argv[1])
    try:
        found = _held(**request["held"]) if "held" in request else look_into(**request)
    except _Unusable as error:
        found = {"error": str(error)}
    except Exception as error:
        found = {"error": f"cannot be read ({type(error).__name__}: {_line(error)})"}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    _main()
