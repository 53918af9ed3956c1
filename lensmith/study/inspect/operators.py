"""Whether an operator of torch.library is whole: what torch.compile, autograd and each device here make of it."""

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

from lensmith.base.errors import ModelError, count, nearest, told

Result = Literal["passed", "failed", "missing", "skipped", "measured"]
Call = tuple[tuple[Any, ...], dict[str, Any]]
_TURNS, _SECONDS = 31, 2.0     # of timing, whichever comes first
_SMALL = 500                   # values up to which the gradient of each is compared, not one random projection
_PLACEHOLDERS = {"Tensor": "torch.rand(2, 3)", "int": "1", "float": "1.0", "bool": "True", "str": '"..."',
                 "List[Tensor]": "[torch.rand(2, 3)]", "List[int]": "[1]", "List[float]": "[1.0]"}


@dataclass(frozen=True)
class Check:
    """One property of an operator. `missing` and `failed` are to be mended; `lines` are what to write for it."""

    name: str
    result: Result
    words: str
    lines: str = ""


@dataclass(frozen=True)
class Operator:
    """What was found of an operator."""

    name: str      # namespace::name
    schema: str
    checks: list[Check] = field(default_factory=list)

    @property
    def problem(self) -> str:
        """One line on what is to be mended; empty where all is well."""
        wrong = [check.name for check in self.checks if check.result in ("failed", "missing")]
        return f"{self.name} is not whole: see {', '.join(wrong)}" if wrong else ""


def is_operator(found: object) -> bool:
    """Whether something found in a file names an operator: an object of torch.library, of torch.ops, `"a::b"`."""
    kinds = (CustomOpDef, torch._ops.OpOverload, torch._ops.OpOverloadPacket)
    return isinstance(found, kinds) or (isinstance(found, str) and found.count("::") == 1)


def check_operator(found: Any, module: ModuleType, place: str) -> Operator:
    """Check the operator `found` in a user's `module` (the file `place`) on the module's `examples`.

    `examples` is a list, or a function that gives one: each a tuple of arguments, or a dict of them by name. Gradients
    are checked for the tensors among them that require one, or, where none does, for all of floating point. `plain`,
    where the module has it, is a function that must give the same. Raises ModelError where there is nothing to run.
    """
    op = _overload(found, place)
    schema = op._schema
    examples = _examples(module, op, place)
    plain = getattr(module, "plain", None)
    if plain is not None and not callable(plain):
        raise ModelError(f"`plain` in {place} is {type(plain).__name__}, where a function that gives the same as "
                         f"{schema.name} is expected")
    report = Operator(schema.name, str(schema))
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")    # what is to be said is said in the checks
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


def _overload(found: Any, place: str) -> torch._ops.OpOverload:
    if isinstance(found, str):
        known = [name.partition(".")[0] for name in torch._C._dispatch_get_all_op_names()]
        namespace, _, name = found.partition("::")
        if found not in known:
            near = nearest(found, (other for other in known if other.startswith(f"{namespace}::")))
            raise ModelError(f"there is no operator {found!r} once {place} is imported.{near} Define it with "
                             f"torch.library.custom_op({found!r}, mutates_args=())")
        found = getattr(getattr(torch.ops, namespace), name)
    if isinstance(found, CustomOpDef):
        return found._opoverload
    if isinstance(found, torch._ops.OpOverloadPacket):
        names = found.overloads()
        if len(names) > 1:
            raise ModelError(f"{found._qualified_op_name} has the overloads {', '.join(names)}: name one of them in "
                             f"{place}, for example torch.ops.{found}.{names[0]}")
        return getattr(found, names[0])
    return found


def _examples(module: ModuleType, op: torch._ops.OpOverload, place: str) -> list[Call]:
    given = getattr(module, "examples", None)
    name, needed = op._schema.name, [one for one in op._schema.arguments if not one.has_default_value()]
    line = f"examples = [({', '.join(_PLACEHOLDERS.get(str(argument.type), '...') for argument in needed)},)]"
    if given is None:
        raise ModelError(f"{place} has no `examples` to run {name} on: write a list of argument tuples, or a function "
                         f"that gives one, such as {line}")
    if callable(given):
        try:
            given = given()
        except Exception as error:    # whatever a stranger's function may raise
            raise ModelError(f"`examples` in {place} failed: {told(error)}") from error
    if not isinstance(given, list | tuple) or not given or not all(isinstance(one, tuple | dict) for one in given):
        kinds = sorted({type(one).__name__ for one in given}) if isinstance(given, list | tuple) else []
        came = f"{type(given).__name__} of {', '.join(kinds) or 'nothing'}" if isinstance(given, list | tuple) else \
            type(given).__name__
        raise ModelError(f"`examples` in {place} must be a list of tuples or dicts of arguments; got {came}. "
                         f"Write {line}")
    return [((), one) if isinstance(one, dict) else (one, {}) for one in given]


def _runs(op: torch._ops.OpOverload, examples: list[Call]) -> Check:
    for args, kwargs in map(_fresh, examples):
        try:
            op(*args, **kwargs)
        except Exception as error:    # whatever a stranger's operator may raise
            if "alias" in str(error):
                return Check("runs", "failed", "it returns one of its inputs, or a view of one, which an operator must "
                             "not: torch could no longer say what a change of either changes", "return output.clone()")
            return Check("runs", "failed", told(error))
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    general = any(has(op.name(), key) for key in ("CompositeExplicitAutograd", "CompositeImplicitAutograd"))
    devices = [key.lower() for key in ("CPU", "CUDA", "MPS") if has(op.name(), key)]
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
    return Check("schema", "failed", told(error))


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
                foretold = op(*tree_map_only(Tensor, mode.from_tensor, args),
                              **tree_map_only(Tensor, mode.from_tensor, kwargs))
        except Exception as failure:    # whatever a stranger's fake kernel may raise
            return Check("fake kernel", "failed", told(failure), lines)
        said, is_so = _described(foretold), _described(op(*args, **kwargs))
        if said != is_so:
            return Check("fake kernel", "failed", f"it foretells {said}, and the operator gives {is_so}", lines)
    return Check("fake kernel", "failed", told(error), lines)


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
    seen = False
    for call in map(_leaves, examples):
        wanted = _differentiable(call)
        outputs = [leaf for leaf in tree_leaves(op(*call[0], **call[1])) if _floats(leaf)]
        if not wanted or not outputs:
            continue
        seen = True
        try:
            found = torch.autograd.grad(sum(leaf.sum() for leaf in outputs), wanted, allow_unused=True)
        except Exception as error:    # whatever a stranger's backward may raise
            if "autograd formula" in str(error) or "does not require grad" in str(error) or \
                    "derivative" in str(error):
                return Check("gradients", "missing", "no backward is registered, so that nothing before it can learn",
                             lines)
            return Check("gradients", "failed", f"its backward fails: {told(error)}", lines)
        if all(gradient is None for gradient in found):
            return Check("gradients", "missing", "its backward gives None for every input", lines)
    if not seen:
        return Check("gradients", "skipped", "none of its inputs or none of its outputs is of floating point")
    wrong = _opcheck(op, "test_autograd_registration", [_leaves(call) for call in examples])
    if wrong is not None:
        return Check("gradients", "failed", told(wrong), lines)
    return Check("gradients", "passed", "a backward is registered where autograd looks for it")


def _differences(op: torch._ops.OpOverload, examples: list[Call]) -> Check:
    for call in examples:
        args, kwargs = _leaves(call, torch.float64)
        wanted = _differentiable((args, kwargs))
        try:
            op(*args, **kwargs)
        except Exception as error:    # whatever a stranger's operator may raise
            return Check("gradients by differences", "skipped", f"it takes no float64: {told(error)}")
        values = sum(leaf.numel() for leaf in wanted)

        def compute(*leaves: Tensor, args: Any = args, kwargs: Any = kwargs, wanted: Any = wanted) -> Any:
            chosen = {id(old): new for old, new in zip(wanted, leaves, strict=True)}
            filled = tree_map(lambda leaf: chosen.get(id(leaf), leaf), (args, kwargs))
            found = op(*filled[0], **filled[1])
            return tuple(leaf for leaf in tree_leaves(found) if _floats(leaf))

        try:
            gradcheck(compute, tuple(wanted), fast_mode=values > _SMALL)
        except Exception as error:    # a mismatch, or whatever a stranger's operator may raise
            problem = told(error)
            if "Jacobian mismatch" in str(error):
                which = int(str(error).partition("with respect to input ")[2][:3].strip(" ,.:\n") or 0)
                argument = _argument(op, (args, kwargs), wanted[which])
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
    return Check("compilation", "failed", told(error))


def _devices(op: torch._ops.OpOverload, examples: list[Call]) -> Iterator[Check]:
    here = [name for name, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available()))
            if there]
    if not here:
        yield Check("other devices", "skipped", "this machine has only its CPU")
    for device in here:
        lines = f'@torch.library.register_kernel("{op._schema.name}", "{device}")'
        try:
            for call in examples:
                args, kwargs = _fresh(call)
                moved, named = tree_map_only(Tensor, partial(Tensor.to, device=device), (args, kwargs))
                torch.testing.assert_close(tree_map_only(Tensor, Tensor.cpu, op(*moved, **named)), op(*args, **kwargs))
        except NotImplementedError as error:
            yield Check(device, "missing", f"no kernel for it: {told(error)}", lines)
        except Exception as error:    # a difference, or whatever a stranger's kernel may raise
            yield Check(device, "failed", f"it does not give what the CPU gives: {told(error)}", lines)
        else:
            yield Check(device, "passed", "it gives what the CPU gives")


def _against(op: torch._ops.OpOverload, plain: Callable[..., Any], examples: list[Call]) -> Iterator[Check]:
    try:
        for call in examples:
            (args, kwargs), (others, named) = _fresh(call), _fresh(call)
            wanted = plain(*others, **named)
            torch.testing.assert_close(op(*args, **kwargs), wanted)
    except AssertionError as error:
        yield Check("plain form", "failed", " ".join(str(error).split()))
        return
    except Exception as error:    # whatever a stranger's function may raise
        yield Check("plain form", "failed", f"it could not be compared: {told(error)}")
        return
    yield Check("plain form", "passed", "it gives the same")
    forms: tuple[Callable[..., Any], ...] = (op, plain)
    seconds: tuple[list[float], list[float]] = ([], [])
    began = time.perf_counter()
    for turn in range(_TURNS):    # in turn, so that a busy moment of the machine hits both
        for form, taken in zip(forms, seconds, strict=True):
            calls = [_fresh(call) for call in examples]
            started = time.perf_counter()
            for args, kwargs in calls:
                form(*args, **kwargs)
            taken.append(time.perf_counter() - started)
        if turn >= 2 and time.perf_counter() - began > _SECONDS:
            break
    own, its = (statistics.median(taken[1:]) for taken in seconds)
    yield Check("time", "measured", f"{own * 1e3:.3g} ms, the plain form {its * 1e3:.3g} ms: {its / own:.2f} times as "
                f"fast (medians of {len(seconds[0]) - 1} turns on this device, all examples)")


def _opcheck(op: torch._ops.OpOverload, test: str, examples: list[Call]) -> BaseException | None:
    """The error of one of opcheck's tests; None where every example passes."""
    for args, kwargs in examples:
        found: Any = opcheck(op, args, kwargs, test_utils=test, raise_exception=False)[test]
        if found != "SUCCESS":
            return found
    return None


def _fresh(call: Call) -> Call:
    """The arguments with their tensors copied, so that an operator that changes them spoils nothing."""
    return tree_map_only(Tensor, lambda leaf: leaf.detach().clone(), call)


def _leaves(call: Call, dtype: torch.dtype | None = None) -> Call:
    """The arguments copied, what is of floating point as `dtype`; those that a gradient is wanted for require it."""
    asked = bool(_differentiable(call))

    def leaf(given: Tensor) -> Tensor:
        copied = given.detach().clone().to(dtype if _floats(given) else None)
        return copied.requires_grad_(given.requires_grad if asked else _floats(given))

    return tree_map_only(Tensor, leaf, call)


def _differentiable(call: Call) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(call) if isinstance(leaf, Tensor) and leaf.requires_grad]


def _floats(leaf: object) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


def _argument(op: torch._ops.OpOverload, call: Call, tensor: Tensor) -> str:
    named = {argument.name: value for argument, value in zip(op._schema.arguments, call[0], strict=False)} | call[1]
    return next((f"`{name}`" for name, value in named.items() if any(leaf is tensor for leaf in tree_leaves(value))),
                "an input")


def _described(output: Any) -> str:
    return ", ".join(f"{str(leaf.dtype).removeprefix('torch.')} {list(leaf.shape)} with strides {list(leaf.stride())} "
                     f"on {leaf.device.type}" if isinstance(leaf, Tensor) else repr(leaf)
                     for leaf in tree_leaves(output))
