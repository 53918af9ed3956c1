"""One tree's command line, as often as it is asked for: this process has imported torch and forks for each command.

A line of JSON on stdin asks for a command, a line on stdout gives its exit code. Importing PyTorch takes longer than
most of the commands. Nothing of Lensmith is imported before the fork, so that each command is `python -m lensmith` as
it is.
"""


import atexit
import gc
import importlib.util
import json
import os
import runpy
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy  # noqa: F401
import PIL.Image  # noqa: F401
import pydantic  # noqa: F401
import torch  # noqa: F401
import torchvision  # noqa: F401
import typer  # noqa: F401

with suppress(ImportError):
    import timm  # noqa: F401

_LOOK = 0.001      # seconds between two looks at a process
LATE = 124         # the exit code of a command that took longer than it may


def serve() -> list[str]:
    """The arguments of a command, in a process that is there for it alone; ends when stdin does."""
    origin = importlib.util.find_spec("lensmith")
    print(json.dumps({"lensmith": origin.origin if origin is not None else None}), flush=True)
    gc.freeze()    # or the collector of every command would copy all pages that it looks at
    for line in sys.stdin:
        asked = json.loads(line)
        process = os.fork()
        if process == 0:
            return _begun(asked)
        print(json.dumps(_wait(process, asked)), flush=True)
    sys.exit()


def _begun(asked: dict[str, Any]) -> list[str]:
    atexit.register(gc.unfreeze)    # or nanobind tells of what was never collected
    os.chdir(asked["folder"])
    sys.path[0] = os.getcwd()    # as python -m has it
    for number, file, mode in ((0, os.devnull, os.O_RDONLY), (1, asked["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
                               (2, asked["error"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)):
        opened = os.open(file, mode, 0o644)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, closefd=False)    # noqa: SIM115 - as long as the process
    return list(asked["arguments"])


def _wait(process: int, asked: dict[str, Any]) -> dict[str, Any]:
    """{"code": ...} of a command, killed by SIGKILL once the file `asked["watch"]` has been written so many times."""
    began, watch, seen, last = time.monotonic(), asked.get("watch"), 0, None
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return {"code": os.waitstatus_to_exitcode(status)}
        if time.monotonic() - began > asked["limit"]:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return {"code": LATE}
        if watch is not None:
            with suppress(FileNotFoundError):
                now = Path(asked["folder"], watch).stat().st_mtime_ns
                seen, last = seen + (now != last), now
            if seen >= asked["saves"]:
                os.kill(process, signal.SIGKILL)
                watch = None
        time.sleep(_LOOK if watch is not None else 10 * _LOOK)


if __name__ == "__main__":
    sys.argv = ["lensmith", *serve()]
    runpy.run_module("lensmith", run_name="__main__", alter_sys=True)
