"""An ONNX file of anybody's, checked in a process of its own before this one touches it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lensmith.base.errors import ModelError, nearest
from lensmith.ship.runtimes.file_facts import FileFacts, facts_of_file
from lensmith.ship.runtimes.packages import check_installed

_SCRIPT = Path(__file__).with_name("look_into_file.py")
_SECONDS = 300    # that opening and running a file may take


@dataclass(frozen=True)
class CheckedFile:
    """What an ONNX file holds."""

    facts: FileFacts
    operators: dict[str, int]    # how often each occurs
    parameters: int              # numbers of its weights


def check_file(file: Path, runtime: str) -> CheckedFile:
    """What the file holds, once the `runtime` has run it on one picture elsewhere.

    Raises ModelError for a file that is absent, damaged, hostile, or not Lensmith's; UserError where a package is
    missing.
    """
    if not file.is_file():
        siblings = [path.name for path in file.parent.iterdir()] if file.parent.is_dir() else []
        raise ModelError(f"there is no file {file}.{nearest(file.name, siblings)}")
    check_installed("onnx", runtime)
    # -I: neither the folder of the script nor that of the user is looked in for modules.
    command = [sys.executable, "-I", "-W", "ignore", str(_SCRIPT), str(file), runtime]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False,
                               env=os.environ | {"ORT_DISABLE_TELEMETRY": "1"})
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{file} is not open after {_SECONDS} seconds: it is damaged, or too large for this machine"
                         ) from error
    try:
        found = json.loads(ended.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise ModelError(f"{file} is damaged: it ends the process that reads it (code {ended.returncode}): export the "
                         "run again") from error
    if "facts" not in found:
        raise ModelError(f"{file} {found['error']}")
    return CheckedFile(facts_of_file(found["facts"], str(file)), dict(found["operators"]), int(found["parameters"]))
