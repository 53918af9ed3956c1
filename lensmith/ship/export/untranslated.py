"""What a network has that ONNX has not: the layer and its line, out of the errors of PyTorch's exporter."""

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType

import torch
from torch import nn

from lensmith.base.errors import first_line

_LINE = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in ')    # of a trace that a node keeps
_OPERATOR = re.compile(r"No ONNX function found for <OpOverload\(op='([^']+)'")
_DEPENDS = "data-dependent"    # in the error of a branch by the values of a tensor


def what_lacks(error: BaseException, network: nn.Module) -> str:
    """`layer head (Odd, my_net.py line 18) has operator prims.bessel_j0, which ONNX has not`"""
    layer, reason = _layer_of(error, network), _reason(error)
    operator = _OPERATOR.search(reason)
    if operator:
        return f"{layer} has the operator {operator[1]}, for which there is no translation"
    if _DEPENDS in reason:
        return f"{layer} goes one way or the other by the values of a tensor, which a file cannot: use torch.where " \
            f"there ({reason})"
    return f"{layer} has no translation ({reason})"


def _layer_of(error: BaseException, network: nn.Module) -> str:
    """The innermost layer in whose forward pass the error was raised, or whose operator could not be translated, by its
    name and with its line."""
    names, found = {id(module): name for name, module in network.named_modules()}, ""
    for frame, line in _frames(error):
        module, node = frame.f_locals.get("self"), frame.f_locals.get("node")
        if isinstance(module, nn.Module) and names.get(id(module)):
            found = _named(names[id(module)], type(module).__name__, frame.f_code.co_filename, line)
        elif isinstance(node, torch.fx.Node):
            found = _of_node(node, set(names.values())) or found
    return found or "the network"


def _frames(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    """The frames that an error and its causes went through, each with its line."""
    cause: BaseException | None = error
    while cause is not None:
        trace: TracebackType | None = cause.__traceback__
        while trace is not None:
            yield trace.tb_frame, trace.tb_lineno
            trace = trace.tb_next
        cause = cause.__cause__


def _of_node(node: torch.fx.Node, names: set[str]) -> str:
    """The layer that a captured operation came from; empty where that was not noted."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    lines = list(_LINE.finditer(node.meta.get("stack_trace") or ""))
    if not stack or not lines:
        return ""
    path, kind = stack[-1]
    # The whole path begins at the module that was captured, in which the network is a part.
    parts = path.split(".")
    name = next((tail for start in range(len(parts)) if (tail := ".".join(parts[start:])) in names), path)
    return _named(name, str(kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2],
                  lines[-1]["file"], int(lines[-1]["line"]))


def _named(name: str, kind: str, file: str, line: int) -> str:
    return f"layer {name} ({kind}, {Path(file).name} line {line})"


def _reason(error: BaseException) -> str:
    """The first line of the error that others were raised from."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)[:300]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """PyTorch's exporter warns, logs and prints about its own code, whole graphs where it fails: no user can mend that.
    Its trace is made only where somebody listens to its logs, and then takes longer than the rest."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    nowhere = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
