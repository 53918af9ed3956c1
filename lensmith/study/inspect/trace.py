"""One forward pass, watched: every layer and every functional call with its shapes, its work and the line it is on."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from lensmith.study.inspect.calls import PICTURE, Call, TensorFacts, name_of_call
from lensmith.study.inspect.own_code import CodeLine, calling_place, place_of, places_of_building
from lensmith.study.inspect.receptive_field import Follow

# These may take tensors of several devices: they copy, or their second tensor is an index.
_BETWEEN_DEVICES = ("to", "copy_", "__getitem__", "__setitem__", "index_put_", "index_put", "type_as", "__get__",
                    "set_", "__set__", "is_same_size", "is_set_to", "new_tensor")


@dataclass
class _Running:
    """A call that has begun."""

    module: nn.Module | None
    inputs: tuple[Any, ...]
    began: float
    place: CodeLine | None
    calls_before: int
    multiply_adds: int = 0
    kept_bytes: int = 0
    inner_seconds: float = 0.0


class Trace(TorchFunctionMode):
    """The forward pass of `network` for `shown`. After `run()`: the `calls` in the order in which they ended, and the
    `output` or the `error`, of which the last call is then the one that failed.

    A call is a module without children, a module with parameters or products of its own, and every functional call on a
    line of the user's own; of those inside a library's network the ones that join or reshape maps.
    """

    def __init__(self, network: nn.Module, shown: Tensor, *, built: Mapping[nn.Module, CodeLine] | None = None):
        super().__init__()
        self.network, self.shown, self.built = network, shown, built or {}
        self.names = {module: name or type(module).__name__ for name, module in network.named_modules()}
        self.calls: list[Call] = []
        self.output: Any = None
        self.error: Exception | None = None
        self.made: Mapping[nn.Module, CodeLine] = {}    # modules that were built meanwhile on a line of the user's own
        self.mixed: tuple[Call, tuple[Tensor, ...]] | None = None    # the first call with tensors of several devices
        self.cut: list[Call] = []                    # the calls that gradients do not flow through
        self._running: list[_Running] = []
        self._failed: tuple[Exception, Call] | None = None
        self._sources = WeakTensorKeyDictionary()
        self._sources[shown] = PICTURE
        self._counted: set[int] = set()
        self.kept_bytes = 0                          # for the backward pass, of all calls
        self._kept: dict[int, StorageWeakRef] = {}
        self._fields = Follow(shown, self._work)
        self._busy = False

    def run(self, *, follow: bool = True, keeping: bool = False,
            forward: Callable[[Tensor], Any] | None = None) -> "Trace":
        """Run the forward pass in the network's present mode.

        follow: count multiply-adds and follow the receptive field, which has to be without gradients.
        keeping: count what is kept for the backward pass.
        forward: calls the network otherwise.
        """
        with ExitStack() as stack:
            for hook in (register_module_forward_pre_hook(self._begin), register_module_forward_hook(self._end)):
                stack.callback(hook.remove)
            self.made = stack.enter_context(places_of_building())
            if keeping:
                stack.enter_context(self._counting_what_is_kept())
            if follow:
                stack.enter_context(self._fields)
            stack.enter_context(self)
            try:
                self.output = (forward or self.network)(self.shown)
            except Exception as error:    # whatever a network may raise: it is what the user wants to see explained
                self.error = error
        if self.error is not None:
            self.calls.append(self._failing(self.error))
        return self

    def source_of(self, tensor: Tensor) -> int | None:
        """The number of the call that a tensor comes from; None of a weight or of what nothing is known of."""
        return self._sources.get(tensor)

    def _now(self) -> float:
        if self.shown.device.type == "cuda":
            torch.cuda.synchronize(self.shown.device)
        return time.perf_counter()

    def _work(self, multiply_adds: int) -> None:
        if self._running:
            self._running[-1].multiply_adds += multiply_adds

    @contextmanager
    def _counting_what_is_kept(self) -> Iterator[None]:
        own = {tensor.untyped_storage().data_ptr() for tensor in (*self.network.parameters(), *self.network.buffers())
               if not nn.parameter.is_lazy(tensor)}

        def pack(tensor: Tensor) -> None:    # nothing is kept, since no backward pass follows
            storage = tensor.untyped_storage()
            place = storage.data_ptr()
            known = self._kept.get(place)
            if place in own or (known is not None and not known.expired()):
                return
            self._kept[place] = StorageWeakRef(storage)
            self.kept_bytes += storage.nbytes()
            if self._running:
                self._running[-1].kept_bytes += storage.nbytes()

        hooks: Any = pack, lambda _: None
        with torch.autograd.graph.saved_tensors_hooks(*hooks):
            yield

    # Modules

    def _begin(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        place = calling_place() or self.built.get(module)
        self._running.append(_Running(module, arguments, self._now(), place, len(self.calls)))

    def _end(self, module: nn.Module, arguments: tuple[Any, ...], result: Any) -> None:
        self._busy = True
        while self._running[-1].module is not module:    # calls whose errors the network has caught
            self._running.pop()
        running = self._running.pop()
        elapsed = self._now() - running.began
        leaf = next(module.children(), None) is None
        own = self._count(module.parameters(recurse=False))
        if (leaf and len(self.calls) == running.calls_before) or running.multiply_adds or own:
            self._follow_dense(module, running.inputs, result)
            call = Call(self._name(module), type(module).__name__, "", module, running.place,
                        self._facts(running.inputs), outputs=self._facts(result), parameters=own)
            self._add(call, running, result, elapsed=elapsed)
        else:
            self._hand_on(running, elapsed)
        self._busy = False

    def _follow_dense(self, module: nn.Module, arguments: Any, result: Any) -> None:
        """A dense layer on channels_last maps folds all cells into rows, and its output has them in place again."""
        inputs, fields = first_tensor(arguments), self._fields.fields
        if isinstance(module, nn.Linear) and inputs is not None and inputs.dim() > 2 and inputs in fields:
            output = first_tensor(result)
            if output is not None:
                fields[output] = fields[inputs]

    def _name(self, module: nn.Module) -> str:
        return self.names.get(module, type(module).__name__)

    def _count(self, tensors: Any) -> int:
        """The numbers in those of the parameters that nobody has counted yet."""
        new = [tensor for tensor in tensors if isinstance(tensor, nn.Parameter) and id(tensor) not in self._counted
               and not nn.parameter.is_lazy(tensor)]
        self._counted.update(id(tensor) for tensor in new)
        return sum(tensor.numel() for tensor in new)

    def uncounted(self, module: nn.Module) -> int:
        """The numbers of a module's own parameters that no call has used."""
        return self._count(module.parameters(recurse=False))

    # Functions

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if self._busy:
            return func(*args, **kwargs)
        module = self._running[-1].module if self._running else None
        library = module is not None and type(module).__module__.startswith("torch.")
        place = None if library else calling_place()
        tensors = [leaf for leaf in tree_leaves((args, kwargs))
                   if isinstance(leaf, Tensor) and not nn.parameter.is_lazy(leaf)]
        facts = tuple(map(self._fact, tensors))    # before it runs, since it may change its argument
        running = _Running(None, tuple(tensors), self._now(), place, len(self.calls))
        call = Call("", "function", _name_of(func), None, place, facts, tuple(_plain(args)), dict(kwargs), func)
        self._note_devices(call, tensors, module)
        self._running.append(running)
        try:
            result = func(*args, **kwargs)
        except Exception as error:
            if not library and (self._failed is None or self._failed[0] is not error):
                self._failed = error, call
            self._drop(running)
            raise
        self._drop(running)
        elapsed = self._now() - running.began
        outputs = self._facts(result)
        self._note_cut(call, outputs)
        if not library and outputs and (place is not None or self._is_of_maps(facts, outputs)) \
                and not (module is not None and place is None and next(module.children(), None) is None):
            call.outputs, call.parameters = outputs, self._count(tensors)
            self._add(call, running, result, elapsed=elapsed)
        else:
            self._hand_on(running, elapsed)
            source = next((fact.source for fact in facts if fact.source is not None), None)
            for tensor in _tensors(result):
                if source is not None:
                    self._sources[tensor] = source
        return result

    def _drop(self, running: _Running) -> None:
        """Take a call from those that are running, and the ones in it whose errors were caught."""
        while self._running.pop() is not running:
            pass

    @staticmethod
    def _is_of_maps(inputs: tuple[TensorFacts, ...], outputs: tuple[TensorFacts, ...]) -> bool:
        """Whether a call in a library's network joins maps or reshapes one."""
        maps = [fact for fact in inputs if fact.source is not None and len(fact.shape) == 4]
        return len({fact.source for fact in maps}) > 1 or (len(maps) == 1 and maps[0].shape != outputs[0].shape)

    def _note_devices(self, call: Call, tensors: list[Tensor], module: nn.Module | None) -> None:
        if self.mixed is None and call.function not in _BETWEEN_DEVICES and \
                len({tensor.device for tensor in tensors if tensor.dim()}) > 1:
            if module is not None and call.place is None:
                call.place = self._running[-1].place
                call.name = self._name(module)
            self.mixed = call, tuple(tensors)

    def _note_cut(self, call: Call, outputs: tuple[TensorFacts, ...]) -> None:
        if any(fact.learns for fact in call.inputs) and outputs and not any(fact.learns for fact in outputs):
            if call.place is None and self._running:
                call.place = self._running[-1].place
            self.cut.append(call)

    # Rows

    def _add(self, call: Call, running: _Running, result: Any, *, elapsed: float) -> None:
        output, first = first_tensor(result), first_tensor(running.inputs)
        if call.function:
            call.name = name_of_call(call)
        if output is not None:
            new = first is None or not _share_memory(output, first)
            call.activation_bytes = output.numel() * output.element_size() if new else 0
            seen = self._fields.fields.get(output)
            call.receptive_field = seen.edge if seen is not None else None
        call.multiply_adds, call.kept_bytes = running.multiply_adds, running.kept_bytes
        call.seconds = max(0.0, elapsed - running.inner_seconds)
        if self._running:
            self._running[-1].inner_seconds += elapsed
        for tensor in _tensors(result):
            self._sources[tensor] = len(self.calls)
        self.calls.append(call)

    def _hand_on(self, running: _Running, elapsed: float) -> None:
        """What a call without a row has done is its caller's."""
        if self._running:
            outer = self._running[-1]
            outer.multiply_adds += running.multiply_adds
            outer.kept_bytes += running.kept_bytes
            outer.inner_seconds += running.inner_seconds

    def _failing(self, error: Exception) -> Call:
        """The call that raised: the functional call on a line of the network's own, else the innermost module."""
        causes = (error, error.__cause__, error.__context__)
        if self._failed is not None and self._failed[0] in causes:
            call = self._failed[1]
            call.name = name_of_call(call)
        else:
            running = next((running for running in reversed(self._running) if running.module is not None), None)
            module = self.network if running is None or running.module is None else running.module
            call = Call(self._name(module), type(module).__name__, "", module, running.place if running else None,
                        self._facts(running.inputs if running else ()),
                        parameters=self._count(module.parameters(recurse=False)))
        call.place = place_of(error) or call.place
        return call

    def _fact(self, tensor: Tensor) -> TensorFacts:
        return TensorFacts(tuple(tensor.shape), tensor.dtype, tensor.device, self._sources.get(tensor),
                           tensor.requires_grad)

    def _facts(self, values: Any) -> tuple[TensorFacts, ...]:
        return tuple(self._fact(tensor) for tensor in _tensors(values) if not nn.parameter.is_lazy(tensor))


def first_tensor(values: Any) -> Tensor | None:
    """The first tensor in what a module takes or gives; None where there is none."""
    return next(iter(_tensors(values)), None)


def _plain(args: tuple[Any, ...]) -> Iterator[Any]:
    """The arguments that are no tensors and hold none."""
    for value in args:
        if not any(isinstance(leaf, Tensor) for leaf in tree_leaves(value)):
            yield value


def _name_of(func: Any) -> str:
    name = getattr(func, "__name__", type(func).__name__)
    return getattr(getattr(func, "__self__", None), "__name__", name) if name == "__get__" else name


def _share_memory(one: Tensor, other: Tensor) -> bool:
    if one.device.type == "meta" or other.device.type == "meta":
        return False
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, Mapping):
        values = tuple(values.values())
    if isinstance(values, tuple | list):
        return [tensor for value in values for tensor in _tensors(value)]
    return []
