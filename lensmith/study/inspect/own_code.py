"""Lines of the user's own files: where a call is made, where an error was raised, where a module was built."""

import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

_HERE = str(Path(__file__).parent) + os.sep
_PACKAGE = str(Path(__file__).parents[2]) + os.sep
_LIBRARIES = tuple({f"{folder}{os.sep}" for folder in (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"),
                                                       os.path.dirname(torch.__file__))})


@dataclass(frozen=True)
class CodeLine:
    """A line of a file that is neither ours nor a library's."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{shown_path(self.file)}:{self.line}"


def shown_path(file: str) -> str:
    """The path as a user of this folder would write it: from here on where it lies here, else whole."""
    relative = os.path.relpath(file) if os.path.isabs(file) else file
    return file if relative.startswith(os.pardir) else relative


def calling_place() -> CodeLine | None:
    """The innermost line of the user's own that is running; None where the call comes from a library or from us."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    while frame is not None and not frame.f_code.co_filename.startswith(_PACKAGE):
        if _is_own(frame.f_code.co_filename):
            return CodeLine(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None


def place_of(error: BaseException) -> CodeLine | None:
    """The innermost line of the user's own that an error came through. One in a file that Python cannot read is there.
    """
    place = None
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None:
        if _is_own(traceback.tb_frame.f_code.co_filename):
            place = CodeLine(traceback.tb_frame.f_code.co_filename, traceback.tb_lineno)
        traceback = traceback.tb_next
    return place


def last_own_line(function: Callable[..., Any]) -> CodeLine | None:
    """The last line of a function, where that is in a file of the user's own."""
    code = getattr(function, "__code__", None)
    if code is None or not _is_own(code.co_filename):
        return None
    return CodeLine(code.co_filename, max(line for _, _, line in code.co_lines() if line is not None))


@contextmanager
def places_of_building() -> Iterator["WeakKeyDictionary[nn.Module, CodeLine]"]:
    """While it is entered, the dictionary gets the line of the user's own on which each module with parameters is
    built."""
    places: WeakKeyDictionary[nn.Module, CodeLine] = WeakKeyDictionary()

    def note(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if module not in places and (place := calling_place()) is not None:
            places[module] = place

    hook: Any = register_module_parameter_registration_hook(note)
    try:
        yield places
    finally:
        hook.remove()


@cache
def _is_own(file: str) -> bool:
    if file.startswith("<"):
        return file.startswith(("<ipython", "<stdin"))
    parts = Path(file).parts
    return not file.startswith((_PACKAGE, *_LIBRARIES)) and \
        "site-packages" not in parts and "dist-packages" not in parts
