"""What keeps a network from learning though its forward pass works."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lensmith.base.errors import count
from lensmith.study.inspect.calls import Call
from lensmith.study.inspect.evidence import Cause, Fault, ForwardPass
from lensmith.study.inspect.number_causes import answers_instead_of_scores

_ENDS = {nn.Softmax: "softmax", nn.Softmax2d: "softmax", nn.LogSoftmax: "log_softmax", nn.Sigmoid: "sigmoid",
         nn.ReLU: "relu"}
_KEEPING_MODULES = (nn.Flatten, nn.Dropout, nn.Identity)
_KEEPING = ("view", "reshape", "flatten", "squeeze", "contiguous", "clone", "float", "to", "dropout", "clamp")
_CUTTING = ("detach", "detach_", "data", "argmax", "round", "sign", "floor", "ceil", "long", "int", "byte", "bool")
_NAMED = 4    # modules of a list
ENDINGS = ("softmax before cross entropy", "relu before cross entropy")


def softmax_at_the_end(evidence: ForwardPass) -> Fault | None:
    """An output that is a softmax or a sigmoid already, of which the loss takes one again."""
    call = _end(evidence)
    word = _word_of(call)
    if call is None or word not in ("softmax", "log_softmax", "sigmoid"):
        return None
    if word == "sigmoid":
        return Fault(f"{call.name} ends the network with a sigmoid, which cross entropy takes by itself: where it is "
                     "to score classes or tags, return the scores before it", call.place, grave=False)
    if _axis(call) == 0:
        return Fault(f"{call.name} works along the batch: what it says of one picture depends on the others. Return "
                     "the scores before it, of which cross entropy takes a softmax for each picture", call.place)
    if word == "log_softmax":    # of which a softmax gives the same again
        return None
    return Fault(f"{call.name} ends the network with a softmax, and cross entropy takes one of its own: gradients "
                 "become small and training stalls. Return the scores before it", call.place)


def relu_at_the_end(evidence: ForwardPass) -> Fault | None:
    """Scores of a dense layer that go through a relu."""
    call = _end(evidence)
    if call is None or _word_of(call) != "relu" or not call.inputs or len(call.inputs[0].shape) != 2:
        return None
    before = next((other for other in evidence.chain(call.inputs[0].source)[:1]), None)
    if before is None or not (isinstance(before.module, nn.Linear) or before.function == "linear"):
        return None
    return Fault(f"{call.name} ends the network with a relu: scores of {before.name} below 0 become 0, and get no "
                 "gradient. Where they score classes or tags, return them as they are", call.place, grave=False)


def _end(evidence: ForwardPass) -> Call | None:
    """The last call of a network that gives scores, before those that only move or round them."""
    output = evidence.trace.output
    if not isinstance(output, Tensor) or output.dim() not in (2, 4):
        return None
    return next((call for call in evidence.chain(evidence.trace.source_of(output))
                 if call.function not in _KEEPING and not isinstance(call.module, _KEEPING_MODULES)), None)


def _word_of(call: Call | None) -> str | None:
    """`softmax`, for a layer and for a function; None of one that is none of these."""
    if call is None:
        return None
    return next((word for kinds, word in _ENDS.items() if isinstance(call.module, kinds)),
                call.function.strip("_") or None)


def _axis(call: Call) -> Any:
    numbers = [value for value in call.values if isinstance(value, int)]
    return getattr(call.module, "dim", call.named.get("dim", numbers[0] if numbers else None))


def made_in_forward(evidence: ForwardPass) -> Fault | None:
    """Layers that are made anew in each forward pass."""
    made = {module: place for module, place in evidence.trace.made.items() if module not in evidence.modules}
    if not made:
        return None
    module, place = next(iter(made.items()))
    weights = sum(parameter.numel() for parameter in module.parameters(recurse=False) if not is_lazy(parameter))
    lazy = f", or nn.LazyLinear({module.out_features}) there, which finds in_features by itself" \
        if isinstance(module, nn.Linear) else ""
    return Fault(f"{_call(module)} is made in forward: its {count(weights, 'weight')} are drawn anew, and no optimizer "
                 f"knows them. Make it once in __init__{lazy}", place)


def without_gradient(evidence: ForwardPass) -> Fault | None:
    """Parameters that the output does not depend on, or not in a way that gradients take."""
    reached = _reached(evidence.trace.output)
    if reached is None:
        return None
    lost, numbers = {}, 0
    for name, module in evidence.trace.network.named_modules():
        missed = [parameter.numel() for parameter in module.parameters(recurse=False)
                  if parameter.requires_grad and id(parameter) not in reached]
        if missed and module in evidence.modules:
            lost[name], numbers = module, numbers + sum(missed)
    if not lost:
        return None
    names = [name or type(module).__name__ for name, module in lost.items()]
    listed = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    words = f"{listed} ({count(numbers, 'parameter')}) never {'get' if len(names) > 1 else 'gets'} a gradient"
    cut = next((call for call in evidence.trace.cut if _cuts(call)), None)
    called = {call.module for call in evidence.calls}
    if cut is not None:
        name = cut.name or cut.function
        reason = f"{name} cuts it off" if cut.function in _CUTTING else f"{name} runs under torch.no_grad()"
        return Fault(f"{words}: {reason}. Leave that out, or freeze what is not to learn with requires_grad_(False)",
                     cut.place)
    if called.isdisjoint(lost.values()):
        return Fault(f"{words}: forward does not use {'them' if len(names) > 1 else 'it'}. Use or remove what is not "
                     "needed")
    return Fault(f"{words}: the output does not depend on {'them' if len(names) > 1 else 'it'}. Return what they give, "
                 "or remove them")


def shared_weights(evidence: ForwardPass) -> Fault | None:
    """One tensor that two layers have, which may be meant so."""
    names: dict[int, list[str]] = {}
    for name, parameter in evidence.trace.network.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    shared = next((group for group in names.values() if len(group) > 1), None)
    if shared is not None:
        return Fault(f"{' and '.join(shared[:3])} are one tensor: these layers learn together, and its parameters "
                     "count once", grave=False)
    called: dict[nn.Module, list[Call]] = {}
    for call in evidence.calls:
        if call.module is not None and call.place is not None and \
                any(True for _ in call.module.parameters(recurse=False)):
            called.setdefault(call.module, []).append(call)
    twice = next((calls for calls in called.values() if len(calls) > 1), None)
    if twice is None:
        return None
    lines = " and ".join(dict.fromkeys(str(call.place) for call in twice[:3]))
    return Fault(f"{twice[0].name} is called {len(twice)} times with the same weights ({lines}): they are shared, and "
                 "their parameters count once", grave=False)


def _reached(output: object) -> set[int] | None:
    """The ids of the parameters that gradients of the output reach; None where that cannot be told: there is no output
    of floating point, or a part is computed anew in the backward pass, which the graph does not show."""
    tensors = _tensors(output)
    if not any(tensor.is_floating_point() for tensor in tensors):
        return None
    reached: set[int] = set()
    nodes = [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None]
    seen = set(nodes)
    while nodes:
        node = nodes.pop()
        if "Checkpoint" in node.name():
            return None
        variable = getattr(node, "variable", None)
        if variable is not None:
            reached.add(id(variable))
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                nodes.append(following)
    return reached


def _tensors(values: object) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, dict):
        values = tuple(values.values())
    if hasattr(values, "__dataclass_fields__"):
        values = tuple(vars(values).values())
    if isinstance(values, tuple | list):
        return [tensor for value in values for tensor in _tensors(value)]
    return []


def _cuts(call: Call) -> bool:
    return call.place is not None and (call.function in _CUTTING or any(
        fact.learns and fact.source is None for fact in call.inputs))


def _call(module: nn.Module) -> str:
    """`Linear(6272, 10)`: how a layer is made."""
    values = (getattr(module, "in_features", getattr(module, "in_channels", None)),
              getattr(module, "out_features", getattr(module, "out_channels", None)))
    return f"{type(module).__name__}({', '.join(str(value) for value in values if value is not None)})"


# What shows in a forward pass in evaluation mode, and what in one in training mode.
EVALUATED: Mapping[str, Cause] = {
    "made in forward": made_in_forward,
    "shared weights": shared_weights,
}
LEARNING: Mapping[str, Cause] = {
    ENDINGS[0]: softmax_at_the_end,
    ENDINGS[1]: relu_at_the_end,
    "answers instead of scores": answers_instead_of_scores,
    "parameters without a gradient": without_gradient,
}
