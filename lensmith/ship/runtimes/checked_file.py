"""A network's file of anybody's, checked in a process of its own before this one touches it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lensmith.base.device import free_memory
from lensmith.base.errors import ModelError, UserError, nearest
from lensmith.ship.runtimes.file_facts import FileFacts, facts_of_file
from lensmith.ship.runtimes.form_file import Signature, facts_of_others, form_size, read_form
from lensmith.ship.runtimes.packages import check_installed

_SCRIPT = Path(__file__).with_name("look_into_file.py")
_USUAL = (224, 224)    # height and width of a picture, ImageNet's, where neither the file nor the user says it
_SECONDS = 300    # that opening and running a file may take, however busy the machine is


@dataclass(frozen=True)
class CheckedFile:
    """What an ONNX file, or OpenVINO's or ncnn's files hold, and how they are run."""

    facts: FileFacts
    operators: dict[str, int]       # how often each occurs
    parameters: int                 # numbers of its weights
    runtimes: tuple[str, ...]       # those that have run it
    memory: int                     # bytes that one picture takes beside the network
    signature: Signature | None     # of a file that others have written


def check_file(file: Path, runtimes: Sequence[str], form: Path | None = None) -> CheckedFile:
    """What the file holds, once each of the `runtimes` has run it on one picture elsewhere; those that cannot are left
    out.

    form: of a file that others have written, the file that says what it takes and gives.

    Raises ModelError for a file that is absent, damaged or hostile, or not Lensmith's and without a form; UserError
    where a package is missing, or for a form that does not belong to the file.
    """
    _check_there(file)
    is_onnx = file.suffix.lower() == ".onnx"
    if not is_onnx and form is not None:
        raise UserError(f"predict.form says what an ONNX file of others takes, and {file} is none: leave it out")
    check_installed(*["onnx"] * is_onnx, *runtimes)
    said = None if form is None else read_form(form)
    size = None if said is None else form_size(said)
    found = _looked_into(file, {"runtimes": list(runtimes), "free": free_memory(), "form": None if said is None else {
        "file": str(form), "size": size, "channels": 3}})
    if said is None or form is None:
        facts, signature = facts_of_file(found["facts"], str(file)), None
    else:
        facts, signature = facts_of_others(form, said, found["signature"], str(file))
    return CheckedFile(facts, dict(found["operators"]), int(found["parameters"]),
                       tuple(name for name in runtimes if name not in found["failed"]), int(found["memory"]), signature)


def memory_of_file(file: Path, facts: FileFacts, runtime: str) -> int | None:
    """Bytes that opening a sound file with a runtime and answering one picture take on one thread, beyond the runtime
    itself, measured in a process of its own; None where the system does not tell. Raises ModelError where the runtime
    cannot run it."""
    found = _looked_into(file, {"held": {"path": str(file), "runtime": runtime, "form": facts.as_json()}})
    return int(found["memory"]) or None


@dataclass(frozen=True)
class AnyFile:
    """What an ONNX file of anybody's takes and is made of."""

    shape: tuple[int, ...]    # of a picture, in the file's order of axes
    dtype: str                # uint8, uint16, float16 or float32
    batch: int | None         # pictures that it takes at once; None where any number
    operators: dict[str, int]
    parameters: int
    runtimes: tuple[str, ...]    # those that have run it


def check_any_file(file: Path, runtimes: Sequence[str], *, size: tuple[int, int] | None = None,
                   channels: int | None = None) -> AnyFile:
    """What a file holds that need not be Lensmith's, once each of the `runtimes` has run it on one picture elsewhere.

    size, channels: of the picture, (height, width), where the file leaves them open; 224 and 3 by themselves.

    Raises ModelError for a file that is absent, damaged or hostile, or that takes no such pictures.
    """
    _check_there(file)
    check_installed("onnx", *runtimes)
    form = {"file": "the command", "size": size, "channels": channels or 3, "usual": _USUAL}
    found = _looked_into(file, {"runtimes": list(runtimes), "free": free_memory(), "form": form, "anybodys": True})
    if found["facts"] is not None:
        own = facts_of_file(found["facts"], str(file)).form
        shape, dtype, batch, depth = (own.channels, *own.size), f"uint{own.bits}", None, own.channels
    else:
        sign = found["signature"]
        depth, dtype, batch = int(sign["channels"]), str(sign["type"]), sign["batch"]
        height, width = sign["size"]
        shape = (height, width, depth) if sign["channels_last"] else (depth, height, width)
    if channels not in (None, depth):
        raise ModelError(f"{file} takes pictures of {depth} channels, and {channels} are asked for: leave --channels "
                         "out")
    return AnyFile(shape, dtype, batch, dict(found["operators"]), int(found["parameters"]),
                   tuple(name for name in runtimes if name not in found["failed"]))


def _check_there(file: Path) -> None:
    if not file.is_file():
        siblings = [path.name for path in file.parent.iterdir()] if file.parent.is_dir() else []
        raise ModelError(f"there is no file {file}.{nearest(file.name, siblings)}")


def _looked_into(file: Path, request: dict[str, Any]) -> dict[str, Any]:
    """What `look_into_file` says of the file. Raises ModelError where it cannot be used."""
    # -I: neither the folder of the script nor that of the user is looked in for modules.
    command = [sys.executable, "-I", "-W", "ignore", str(_SCRIPT), json.dumps({"path": str(file), **request})]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False, errors="replace",
                               env=os.environ | {"ORT_DISABLE_TELEMETRY": "1"})
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{file} is not open after {_SECONDS} seconds: it is damaged, or too large for this machine"
                         ) from error
    if ended.returncode == -getattr(signal, "SIGXCPU", 0) != 0:
        raise ModelError(f"{file} takes far more time for one picture than a network of its size should: it is damaged "
                         "or hostile")
    try:
        found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise ModelError(f"{file} is damaged or hostile: it ends the process that reads it (code {ended.returncode})"
                         ) from error
    if "error" in found:
        raise ModelError(f"{file} {found['error']}")
    return found
