"""A network layer by layer: shapes, parameters, multiply-adds, memory and receptive field, up to one that fails."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from lensmith.base.device import check_picture_fits
from lensmith.base.errors import described
from lensmith.models.trial_forward import in_evaluation_mode
from lensmith.study.inspect.receptive_field import Follow


@dataclass(frozen=True)
class Row:
    """One call of a layer for one picture, in the order of the calls."""

    name: str
    kind: str
    shape: tuple[int, ...]        # of the output, without the batch; () for a layer that failed or was not called
    parameters: int               # its own; 0 where an earlier row has counted them
    multiply_adds: int
    activation_bytes: int         # of the output; 0 where it shares the memory of the input
    receptive_field: int | None   # pixels on the longer side; None where it is the whole picture or not known
    problem: str = ""             # why the layer failed; only in the last row


@dataclass(frozen=True)
class Summary:
    """The sums over a network's rows."""

    parameters: int
    multiply_adds: int
    activation_bytes: int
    problem: str = ""


def inspect_layers(network: nn.Module, channels: int, *, height: int, width: int) -> list[Row]:
    """The layers of `network` for one black picture of this form, on the network's device, in evaluation mode.

    A row is a module without children, or one with parameters or products of its own. Where the forward pass fails, the
    last row is the layer that failed, with the arithmetic in `problem`. Otherwise the modules with parameters that were
    never called come last.
    """
    device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
    check_picture_fits(channels, height, width)
    picture = torch.zeros(1, channels, height, width, device=device)
    record = _Record(network, picture)
    try:
        with in_evaluation_mode(network), record.watching(), record.follow:
            network(picture)
    except Exception as error:    # whatever a network may raise: it is what the user wants to see explained
        return [*record.rows, record.failure(error)]
    return [*record.rows, *record.unused()]


def summary(rows: list[Row]) -> Summary:
    """The sums over the rows, and the problem of the last one."""
    return Summary(sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows),
                   sum(row.activation_bytes for row in rows), rows[-1].problem if rows else "")


class _Record:
    """The rows so far, and the calls that are running, outermost first."""

    def __init__(self, network: nn.Module, picture: Tensor):
        self.network = network
        self.names = {module: name or type(module).__name__ for name, module in network.named_modules()}
        self.rows: list[Row] = []
        self.running: list[tuple[nn.Module, Tensor | None, int]] = []    # with its input and its products so far
        self.counted: set[int] = set()
        self.follow = Follow(picture, self._work)

    @contextmanager
    def watching(self) -> Iterator[None]:
        hooks = []
        for module in self.network.modules():
            hooks.append(module.register_forward_pre_hook(self._begin))
            hooks.append(module.register_forward_hook(self._end))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _work(self, multiply_adds: int) -> None:
        if self.running:
            module, inputs, before = self.running[-1]
            self.running[-1] = module, inputs, before + multiply_adds

    def _begin(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        self.running.append((module, _first_tensor(arguments), 0))

    def _end(self, module: nn.Module, arguments: tuple[Any, ...], result: Any) -> None:
        _, inputs, multiply_adds = self.running.pop()
        output = _first_tensor(result)
        leaf = next(module.children(), None) is None
        if leaf and isinstance(module, nn.Linear) and output is not None and inputs is not None and inputs.dim() > 2 \
                and inputs in self.follow.fields:
            # A dense layer on channels_last maps folds all cells into rows, and its output has them in place again.
            self.follow.fields[output] = self.follow.fields[inputs]
        if leaf or multiply_adds or any(True for _ in module.parameters(recurse=False)):
            self.rows.append(self._row(module, output, inputs, multiply_adds=multiply_adds))

    def _row(self, module: nn.Module, output: Tensor | None, inputs: Tensor | None, *, multiply_adds: int) -> Row:
        shape: tuple[int, ...] = ()
        size, edge = 0, None
        if output is not None:
            shape = tuple(output.shape[1:])
            new = inputs is None or output.untyped_storage().data_ptr() != inputs.untyped_storage().data_ptr()
            size = output.numel() * output.element_size() if new else 0
            field = self.follow.fields.get(output)
            edge = field.edge if field is not None else None
        return Row(self.names[module], type(module).__name__, shape, self._own_parameters(module), multiply_adds, size,
                   edge)

    def _own_parameters(self, module: nn.Module) -> int:
        new = [tensor for tensor in module.parameters(recurse=False) if id(tensor) not in self.counted]
        self.counted.update(id(tensor) for tensor in new)
        return sum(tensor.numel() for tensor in new)

    def unused(self) -> list[Row]:
        """The modules whose parameters have not been counted by any call."""
        rows = []
        for module, name in self.names.items():
            parameters = self._own_parameters(module)
            if parameters:
                rows.append(Row(name, f"{type(module).__name__} (not called)", (), parameters, 0, 0, None))
        return rows

    def failure(self, error: Exception) -> Row:
        """The row of the innermost layer that was running."""
        module, inputs, _ = self.running[-1] if self.running else (self.network, None, 0)
        name = self.names[module]
        problem = _arithmetic(module, name, inputs, flattened_from=self.follow.flattened.get)
        if problem is None:
            problem = f"`{name}` failed: {described(error)}"
        row = self._row(module, None, inputs, multiply_adds=0)
        return replace(row, problem=problem)


def _arithmetic(module: nn.Module, name: str, inputs: Tensor | None, *,
                flattened_from: Callable[[Tensor], tuple[int, ...] | None]) -> str | None:
    """What a layer expects and what it got, for the mistakes that a layer's own settings explain; else None."""
    if inputs is None:
        return None
    if isinstance(module, nn.Linear) and inputs.shape[-1] != module.in_features:
        got, folded = inputs.shape[-1], flattened_from(inputs)
        expects = f"`{name}` expects {module.in_features} values, got {got}"
        if inputs.dim() == 4:
            return f"{expects} in the last axis of a map of {_times(inputs.shape[1:])}: flatten or pool it first"
        return (f"{expects}{f' = {_times(folded)}' if folded else ''}: set in_features = {got}, or change the size of "
                "the pictures")
    if isinstance(module, nn.Conv2d) and inputs.dim() in (3, 4):
        if inputs.shape[-3] != module.in_channels:
            return (f"`{name}` expects {module.in_channels} channels, got {inputs.shape[-3]} in a map of "
                    f"{_times(inputs.shape[-3:])}: set in_channels = {inputs.shape[-3]}")
        return _too_small(name, inputs, module.kernel_size, padding=module.padding, dilation=module.dilation)
    if isinstance(module, nn.MaxPool2d | nn.AvgPool2d) and inputs.dim() in (3, 4):
        return _too_small(name, inputs, module.kernel_size, padding=module.padding,
                          dilation=getattr(module, "dilation", 1))
    if isinstance(module, nn.BatchNorm2d) and inputs.dim() == 4 and inputs.shape[1] != module.num_features:
        return (f"`{name}` expects {module.num_features} channels, got {inputs.shape[1]}: set num_features = "
                f"{inputs.shape[1]}")
    return None


def _too_small(name: str, inputs: Tensor, kernel: Any, *, padding: Any, dilation: Any) -> str | None:
    if isinstance(padding, str):
        return None
    needed = [(k - 1) * d + 1 - 2 * p for k, d, p in zip(_two(kernel), _two(dilation), _two(padding), strict=True)]
    if all(edge >= least for edge, least in zip(inputs.shape[-2:], needed, strict=True)):
        return None
    return (f"`{name}` needs maps of at least {_times(needed)}, got {_times(inputs.shape[-2:])}: take larger pictures "
            "with pictures.size, or fewer pools before it")


def _two(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _times(edges: Any) -> str:
    return " x ".join(str(edge) for edge in edges)


def _first_tensor(values: Any) -> Tensor | None:
    if isinstance(values, Tensor):
        return values
    if isinstance(values, dict):
        values = list(values.values())
    if isinstance(values, tuple | list):
        return next((tensor for value in values if (tensor := _first_tensor(value)) is not None), None)
    return None
