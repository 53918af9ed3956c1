"""The target `ncnn`: a network as ncnn's files, model.ncnn.param with layers and model.ncnn.bin with weights."""

import subprocess
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from torch import nn

from lensmith.base.atomic_files import write_atomic
from lensmith.base.errors import ModelError, UserError
from lensmith.ship.export.onnx import ADVICE, onnx_content
from lensmith.ship.export.target import Target
from lensmith.ship.runtimes.file_facts import KEY, FileFacts
from lensmith.ship.runtimes.packages import check_installed, import_quietly
from lensmith.tasks.task import Task

_KINDS = ("label", "tags", "numbers")    # ncnn has no suppression, and no largest of the classes of a pixel
_CAST = "Tensor.to"                      # pnnx's word for the first step of a network: from bytes to floats
_OTHERWISE = "choose another with export.to=onnx"


def write_ncnn(network: nn.Module, task: Task, facts: FileFacts, path: Path) -> FileFacts:
    """Write the network with its answers as `path`, its weights in float32 as .bin and the facts as .json beside it; ->
    the facts as the file has them. ncnn has no bytes: pixels go in as floats, 0 to 255, one picture at a time.

    Raises UserError where a package is missing or a file cannot be written, ModelError for a network that has no form
    in ONNX or in ncnn.
    """
    check_installed("pnnx", "ncnn")
    if facts.fits_inside:
        raise UserError(f"ncnn takes pictures of one size: leave export.any_size out, or {_OTHERWISE}")
    others = [f"{name} ({target.kind})" for name, target in facts.targets.items() if target.kind not in _KINDS]
    if others or facts.form.bits != 8:
        what = f"has no operators that decide on {', '.join(others)}" if others else "takes pictures of 8 bits"
        raise ModelError(f"ncnn {what}: {_OTHERWISE}")
    content, facts = onnx_content(network, task, facts)
    facts = replace(facts, any_size=False)    # of the size that pnnx has been told
    layers, weights = _converted(content, facts)
    for suffix, text in ((".bin", weights), (".json", facts.as_json().encode()), (path.suffix, layers.encode())):
        write_atomic(path.with_suffix(suffix), lambda aside, text=text: aside.write_bytes(text),    # type: ignore[misc]
                     advice=ADVICE)
    return facts


def _converted(content: bytes, facts: FileFacts) -> tuple[str, bytes]:
    """An ONNX file's content as those of ncnn's two files, by the program pnnx."""
    found = find_spec("pnnx")
    assert found is not None and found.origin is not None
    form = facts.form
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "model.onnx"
        whole.write_bytes(content)
        shape = f"[1,{form.channels},{form.height},{form.width}]u8"
        ended = subprocess.run([str(Path(found.origin).with_name("pnnx")), whole.name, f"inputshape={shape}", "fp16=0"],
                               cwd=folder, capture_output=True, text=True, errors="replace", check=False)
        param, weights = whole.with_suffix(".ncnn.param"), whole.with_suffix(".ncnn.bin")
        if ended.returncode or not param.is_file() or not weights.is_file():
            said = [line.strip() for line in (ended.stderr or ended.stdout).splitlines() if line.strip()]
            reason = said[-1][:300] if said else "it says nothing"
            raise ModelError(f"pnnx cannot convert the network ({reason}): {_OTHERWISE}")
        return _layers(param.read_text(encoding="utf-8")), weights.read_bytes()


def _layers(text: str) -> str:
    """The layers as pnnx writes them, where pixels that are floats already go in. Raises ModelError for an operator
    that ncnn has no layer for."""
    ncnn = import_quietly("ncnn")
    lines = text.splitlines()
    for number, line in enumerate(lines[2:], start=2):    # behind a magic number, and how many layers there are
        operator, name, *others = line.split()
        if operator == _CAST and others[2:3] == ["in0"]:
            lines[number] = " ".join(("Noop", KEY, *others[:4]))    # by its name the file is known as one of ours
        elif ncnn.layer_to_index(operator) < 0:
            raise ModelError(f"ncnn has no layer for the operator {operator} ({name}): {_OTHERWISE}")
    return "\n".join(lines) + "\n"


NCNN_FILE = Target(".param", write_ncnn, name="model.ncnn", beside=(".bin", ".json"))
