"""Whether an operator of torch.library is complete: for torch.compile, for autograd and on each device here."""

import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import gradcheck
from torch.library import CustomOpDef, opcheck
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

from lensmith.base.errors import ModelError, count, described, nearest

Result = Literal["passed", "failed", "missing", "skipped", "measured"]
Call = tuple[tuple[Any, ...], dict[str, Any]]
_TURNS, _SECONDS = 31, 2.0     # timing ends after so many turns or seconds, whichever comes first
_SMALL = 500                   # values up to which the gradient of each is compared, above it one random projection
_PLACEHOLDERS = {"Tensor": "torch.rand(2, 3)", "int": "1", "float": "1.0", "bool": "True", "str": '"..."',
                 "List[Tensor]": "[torch.rand(2, 3)]", "List[int]": "[1]", "List[float]": "[1.0]"}


@dataclass(frozen=True)
class Check:
    """One property of an operator. What is `missing` or `failed` has to be mended; `lines` is the code to write."""

    name: str
    result: Result
    words: str
    lines: str = ""


@dataclass(frozen=True)
class Operator:
    """An operator with its checks."""

    name: str      # namespace::name
    schema: str
    checks: list[Check] = field(default_factory=list)

    @property
    def problem(self) -> str:
        """One line on what is to be mended; empty where all is well."""
        wrong = [check.name for check in self.checks if check.result in ("failed", "missing")]
        return f"{self.name} is not whole: see {', '.join(wrong)}" if wrong else ""


def is_operator(candidate: object) -> bool:
    """Whether an object of a user's file names an operator: one of torch.library, one of torch.ops, or `"a::b"`."""
    kinds = (CustomOpDef, torch._ops.OpOverload, torch._ops.OpOverloadPacket)
    return isinstance(candidate, kinds) or (isinstance(candidate, str) and candidate.count("::") == 1)


def check_operator(operator: Any, module: ModuleType, file: str) -> Operator:
    """Check the `operator` of a user's `module` (the source `file`) on the module's `examples`.

    `examples` is a list, or a function that gives one, of tuples of arguments or dicts of them by name. Gradients are
    checked for the tensors among them that require one; where none does, for all of floating point. `plain`, where the
    module has it, is a function that must give the same. Raises ModelError where there is nothing to run.
    """
    op = _overload(operator, file)
    schema = op._schema
    examples = _examples(module, op, file)
    plain = getattr(module, "plain", None)
    if plain is not None and not callable(plain):
        raise ModelError(f"`plain` in {file} is {type(plain).__name__}, where a function that gives the same as "
                         f"{schema.name} is expected")
    report = Operator(schema.name, str(schema))
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")    # the checks say what has to be said
        report.checks.append(_runs(op, examples))
        if report.checks[0].result == "passed":
            gradients = _gradients(op, examples)
            differentiable = gradients.result in ("passed", "failed")
            fake = _fake(op, examples)
            report.checks.extend([_schema(op, examples), fake, gradients])
            if differentiable:
                report.checks.append(_differences(op, examples))
            report.checks.append(_compiled(op, examples, fake, differentiable))
            report.checks.extend(_devices(op, examples))
            report.checks.extend(_against(op, plain, examples) if plain is not None else ())
    return report


def _overload(operator: Any, file: str) -> torch._ops.OpOverload:
    if isinstance(operator, str):
        registered = [name.partition(".")[0] for name in torch._C._dispatch_get_all_op_names()]
        namespace, _, name = operator.partition("::")
        if operator not in registered:
            near = nearest(operator, (other for other in registered if other.startswith(f"{namespace}::")))
            raise ModelError(f"there is no operator {operator!r} once {file} is imported.{near} Define it with "
                             f"torch.library.custom_op({operator!r}, mutates_args=())")
        operator = getattr(getattr(torch.ops, namespace), name)
    if isinstance(operator, CustomOpDef):
        return operator._opoverload
    if isinstance(operator, torch._ops.OpOverloadPacket):
        names = operator.overloads()
        if len(names) > 1:
            raise ModelError(f"{operator._qualified_op_name} has the overloads {', '.join(names)}: name one of them in "
                             f"{file}, for example torch.ops.{operator}.{names[0]}")
        return getattr(operator, names[0])
    return operator


def _examples(module: ModuleType, op: torch._ops.OpOverload, file: str) -> list[Call]:
    examples = getattr(module, "examples", None)
    name = op._schema.name
    needed = [argument for argument in op._schema.arguments if not argument.has_default_value()]
    line = f"examples = [({', '.join(_PLACEHOLDERS.get(str(argument.type), '...') for argument in needed)},)]"
    if examples is None:
        raise ModelError(f"{file} has no `examples` to run {name} on: write a list of argument tuples, or a function "
                         f"that gives one, such as {line}")
    if callable(examples):
        try:
            examples = examples()
        except Exception as error:    # whatever a stranger's function may raise
            raise ModelError(f"`examples` in {file} failed: {described(error)}") from error
    listed = isinstance(examples, list | tuple)
    if not listed or not examples or not all(isinstance(example, tuple | dict) for example in examples):
        types = sorted({type(example).__name__ for example in examples}) if listed else []
        came = f"{type(examples).__name__} of {', '.join(types) or 'nothing'}" if listed else type(examples).__name__
        raise ModelError(f"`examples` in {file} must be a list of tuples or dicts of arguments; got {came}. "
                         f"Write {line}")
    return [((), example) if isinstance(example, dict) else (example, {}) for example in examples]


def _runs(op: torch._ops.OpOverload, examples: list[Call]) -> Check:
    for args, kwargs in map(_fresh, examples):
        try:
            op(*args, **kwargs)
        except Exception as error:    # whatever a stranger's operator may raise
            if "alias" in str(error):
                return Check("runs", "failed", "it returns one of its inputs, or a view of one, which an operator must "
                             "not: torch could no longer say what a change of either changes", "return output.clone()")
            return Check("runs", "failed", described(error))
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    general = any(has_kernel(op.name(), key) for key in ("CompositeExplicitAutograd", "CompositeImplicitAutograd"))
    devices = [key.lower() for key in ("CPU", "CUDA", "MPS") if has_kernel(op.name(), key)]
    return Check("runs", "passed", f"registered for {', '.join(devices + ['every device'] * general)}; gives a result "
                 f"on {count(len(examples), 'example')}")


def _schema(op: torch._ops.OpOverload, examples: list[Call]) -> Check:
    error = _opcheck(op, "test_schema", examples)
    if error is None:
        return Check("schema", "passed", "nothing is changed or shared that is not declared")
    words = str(error).split()
    if "mutated" in words and words[0] == "Argument":
        return Check("schema", "failed", f"it changes its input `{words[1]}` and does not say so: declare it, or work "
                     "on a clone", f'@torch.library.custom_op("{op._schema.name}", mutates_args=("{words[1]}",))')
    return Check("schema", "failed", described(error))


def _fake(op: torch._ops.OpOverload, examples: list[Call]) -> Check:
    names = ", ".join(argument.name for argument in op._schema.arguments)
    lines = (f'@torch.library.register_fake("{op._schema.name}")\n'
             f"def _({names}):\n"
             f"    return torch.empty_like({op._schema.arguments[0].name if op._schema.arguments else '...'})"
             "    # the shape, dtype and device of the result; no values")
    error = _opcheck(op, "test_faketensor", examples)
    if error is None:
        return Check("fake kernel", "passed", "it foretells shape, dtype and strides")
    if "fake impl" in str(error) or "Meta" in str(error) or "register_fake" in str(error):
        return Check("fake kernel", "missing", "torch.compile and torch.export cannot know what it returns", lines)
    for args, kwargs in map(_fresh, examples):
        try:
            with FakeTensorMode() as mode:
                predicted = op(*tree_map_only(Tensor, mode.from_tensor, args),
                               **tree_map_only(Tensor, mode.from_tensor, kwargs))
        except Exception as failure:    # whatever a stranger's fake kernel may raise
            return Check("fake kernel", "failed", described(failure), lines)
        fake, real = _described(predicted), _described(op(*args, **kwargs))
        if fake != real:
            return Check("fake kernel", "failed", f"it foretells {fake}, and the operator gives {real}", lines)
    return Check("fake kernel", "failed", described(error), lines)


def _gradients(op: torch._ops.OpOverload, examples: list[Call]) -> Check:
    name = op._schema.name
    lines = ("def keep(ctx, inputs, output):\n"
             f"    {', '.join(argument.name for argument in op._schema.arguments)}, *_ = inputs\n"
             "    ctx.save_for_backward(...)    # the tensors that the gradient needs\n"
             "def backward(ctx, gradient):\n"
             f"    return {', '.join('...' for _ in op._schema.arguments)}    # one an argument; None for no gradient\n"
             f'torch.library.register_autograd("{name}", backward, setup_context=keep)')
    if op._schema.is_mutable:
        return Check("gradients", "skipped", "it changes its inputs, and torch takes no gradient through that")
    tried = False
    for call in map(_leaves, examples):
        inputs = _differentiable(call)
        outputs = [leaf for leaf in tree_leaves(op(*call[0], **call[1])) if _is_float(leaf)]
        if not inputs or not outputs:
            continue
        tried = True
        try:
            gradients = torch.autograd.grad(sum(leaf.sum() for leaf in outputs), inputs, allow_unused=True)
        except Exception as error:    # whatever a stranger's backward may raise
            if "autograd formula" in str(error) or "does not require grad" in str(error) or \
                    "derivative" in str(error):
                return Check("gradients", "missing", "no backward is registered, so that nothing before it can learn",
                             lines)
            return Check("gradients", "failed", f"its backward fails: {described(error)}", lines)
        if all(gradient is None for gradient in gradients):
            return Check("gradients", "missing", "its backward gives None for every input", lines)
    if not tried:
        return Check("gradients", "skipped", "none of its inputs or none of its outputs is of floating point")
    unregistered = _opcheck(op, "test_autograd_registration", [_leaves(call) for call in examples])
    if unregistered is not None:
        return Check("gradients", "failed", described(unregistered), lines)
    return Check("gradients", "passed", "a backward is registered where autograd looks for it")


def _differences(op: torch._ops.OpOverload, examples: list[Call]) -> Check:
    for call in examples:
        args, kwargs = _leaves(call, torch.float64)
        inputs = _differentiable((args, kwargs))
        try:
            op(*args, **kwargs)
        except Exception as error:    # whatever a stranger's operator may raise
            return Check("gradients by differences", "skipped", f"it takes no float64: {described(error)}")
        values = sum(leaf.numel() for leaf in inputs)

        def compute(*leaves: Tensor, args: Any = args, kwargs: Any = kwargs, inputs: Any = inputs) -> Any:
            replaced = {id(old): new for old, new in zip(inputs, leaves, strict=True)}
            new_args, new_kwargs = tree_map(lambda leaf: replaced.get(id(leaf), leaf), (args, kwargs))
            return tuple(leaf for leaf in tree_leaves(op(*new_args, **new_kwargs)) if _is_float(leaf))

        try:
            gradcheck(compute, tuple(inputs), fast_mode=values > _SMALL)
        except Exception as error:    # a mismatch, or whatever a stranger's operator may raise
            problem = described(error)
            if "Jacobian mismatch" in str(error):
                which = int(str(error).partition("with respect to input ")[2][:3].strip(" ,.:\n") or 0)
                argument = _argument(op, (args, kwargs), inputs[which])
                problem = f"the gradient for {argument} is not what differences give"
            return Check("gradients by differences", "failed", f"{problem} (torch.autograd.gradcheck, float64)")
    return Check("gradients by differences", "passed", "they are what differences give in float64")


def _compiled(op: torch._ops.OpOverload, examples: list[Call], fake: Check, differentiable: bool) -> Check:
    if fake.result != "passed":
        return Check("compilation", "skipped", "it needs the fake kernel")
    error = _opcheck(op, "test_aot_dispatch_dynamic", [_leaves(call) if differentiable else call for call in examples])
    if error is None:
        return Check("compilation", "passed", "traced for torch.compile it gives the same"
                     + (", gradients too" if differentiable else ""))
    return Check("compilation", "failed", described(error))


def _devices(op: torch._ops.OpOverload, examples: list[Call]) -> Iterator[Check]:
    backends = {"cuda": torch.cuda, "mps": torch.backends.mps}
    devices = [device for device, backend in backends.items() if backend.is_available()]
    if not devices:
        yield Check("other devices", "skipped", "this machine has only its CPU")
    for device in devices:
        lines = f'@torch.library.register_kernel("{op._schema.name}", "{device}")'
        try:
            for call in examples:
                args, kwargs = _fresh(call)
                moved_args, moved_kwargs = tree_map_only(Tensor, partial(Tensor.to, device=device), (args, kwargs))
                output = tree_map_only(Tensor, Tensor.cpu, op(*moved_args, **moved_kwargs))
                torch.testing.assert_close(output, op(*args, **kwargs))
        except NotImplementedError as error:
            yield Check(device, "missing", f"no kernel for it: {described(error)}", lines)
        except Exception as error:    # a difference, or whatever a stranger's kernel may raise
            yield Check(device, "failed", f"it does not give what the CPU gives: {described(error)}", lines)
        else:
            yield Check(device, "passed", "it gives what the CPU gives")


def _against(op: torch._ops.OpOverload, plain: Callable[..., Any], examples: list[Call]) -> Iterator[Check]:
    try:
        for call in examples:
            (args, kwargs), (plain_args, plain_kwargs) = _fresh(call), _fresh(call)
            expected = plain(*plain_args, **plain_kwargs)
            torch.testing.assert_close(op(*args, **kwargs), expected)
    except AssertionError as error:
        yield Check("plain form", "failed", " ".join(str(error).split()))
        return
    except Exception as error:    # whatever a stranger's function may raise
        yield Check("plain form", "failed", f"it could not be compared: {described(error)}")
        return
    yield Check("plain form", "passed", "it gives the same")
    forms: tuple[Callable[..., Any], ...] = (op, plain)
    seconds: tuple[list[float], list[float]] = ([], [])
    began = time.perf_counter()
    for turn in range(_TURNS):    # both take turns, so that a busy moment of the machine hits both
        for form, times in zip(forms, seconds, strict=True):
            calls = [_fresh(call) for call in examples]
            started = time.perf_counter()
            for args, kwargs in calls:
                form(*args, **kwargs)
            times.append(time.perf_counter() - started)
        if turn >= 2 and time.perf_counter() - began > _SECONDS:
            break
    operator_time, plain_time = (statistics.median(times[1:]) for times in seconds)
    yield Check("time", "measured", f"{operator_time * 1e3:.3g} ms, the plain form {plain_time * 1e3:.3g} ms: "
                f"{plain_time / operator_time:.2f} times as fast (medians of {len(seconds[0]) - 1} turns on this "
                "device, all examples)")


def _opcheck(op: torch._ops.OpOverload, test: str, examples: list[Call]) -> BaseException | None:
    """The error of one of opcheck's tests; None where every example passes."""
    for args, kwargs in examples:
        outcome: Any = opcheck(op, args, kwargs, test_utils=test, raise_exception=False)[test]
        if outcome != "SUCCESS":
            return outcome
    return None


def _fresh(call: Call) -> Call:
    """The arguments with their tensors copied, so that an operator may change them."""
    return tree_map_only(Tensor, lambda leaf: leaf.detach().clone(), call)


def _leaves(call: Call, dtype: torch.dtype | None = None) -> Call:
    """The arguments copied, those of floating point as `dtype`.

    A gradient is required by the tensors that require one in the call; where none does, by all of floating point.
    """
    some_require = bool(_differentiable(call))

    def copied(tensor: Tensor) -> Tensor:
        leaf = tensor.detach().clone().to(dtype if _is_float(tensor) else None)
        return leaf.requires_grad_(tensor.requires_grad if some_require else _is_float(tensor))

    return tree_map_only(Tensor, copied, call)


def _differentiable(call: Call) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(call) if isinstance(leaf, Tensor) and leaf.requires_grad]


def _is_float(leaf: object) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


def _argument(op: torch._ops.OpOverload, call: Call, tensor: Tensor) -> str:
    """The name of the argument that holds a tensor."""
    values = {argument.name: value for argument, value in zip(op._schema.arguments, call[0], strict=False)} | call[1]
    return next((f"`{name}`" for name, value in values.items() if any(leaf is tensor for leaf in tree_leaves(value))),
                "an input")


def _described(output: Any) -> str:
    return ", ".join(f"{str(leaf.dtype).removeprefix('torch.')} {list(leaf.shape)} with strides {list(leaf.stride())} "
                     f"on {leaf.device.type}" if isinstance(leaf, Tensor) else repr(leaf)
                     for leaf in tree_leaves(output))
