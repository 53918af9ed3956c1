"""The packages of the extras `deploy` and `ncnn`: whether they are here, and how they are imported without sending
anything."""

import importlib
import os
import sys
from importlib.util import find_spec
from typing import Any

from lensmith.base.errors import UserError

COMMAND = 'pip install "lensmith[deploy]"'
_OTHERS = dict.fromkeys(("ncnn", "pnnx"), 'pip install "lensmith[ncnn]"')    # packages of another extra


def is_installed(package: str) -> bool:
    return find_spec(package) is not None


def command_for(package: str) -> str:
    """The command that installs it."""
    return _OTHERS.get(package, COMMAND)


def check_installed(*packages: str) -> None:
    """Raises UserError with the command that installs them where one of the packages is not here."""
    missing = [package for package in packages if not is_installed(package)]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise UserError(f"this needs {' and '.join(missing)}, which {verb} not installed: {command_for(missing[0])}")


def import_quietly(package: str) -> Any:
    """The package, imported so that it sends nothing and writes nothing into the home folder.

    onnxruntime sends events from Linux unless the environment says otherwise when it is loaded (microsoft/onnxruntime
    #29843). `import openvino` sends one through a package of its own (openvinotoolkit/openvino#23832), which counts as
    missing where `sys.modules` has None for it. Raises UserError where the package is not installed.
    """
    check_installed(package)
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None    # type: ignore[assignment]
    return importlib.import_module(package)
