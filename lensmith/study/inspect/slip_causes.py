"""Slips of Python in a network of the user's own: what is missing, misspelt, hidden from the network or not returned.
"""

import difflib
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from lensmith.base.errors import count
from lensmith.study.inspect.evidence import Cause, Fault, ForwardPass
from lensmith.study.inspect.own_code import CodeLine, last_own_line

_LISTS: dict[type, str] = {list: "nn.ModuleList", tuple: "nn.ModuleList", dict: "nn.ModuleDict"}


def no_forward(evidence: ForwardPass) -> Fault | None:
    """A network without a forward, or with one that is misspelt."""
    error, network = evidence.trace.error, evidence.failing.module
    if not isinstance(error, NotImplementedError) or 'missing the required "forward"' not in str(error):
        return None
    written = [name for name in vars(type(network)) if not name.startswith("__")]
    near = difflib.get_close_matches("forward", written, 1)
    mend = f"It has {near[0]}: call that forward" if near else \
        "Write def forward(self, x), which takes the pictures and returns the scores"
    return Fault(f"{type(network).__name__} has no forward. {mend}")


def attribute_that_is_not_set(evidence: ForwardPass) -> Fault | None:
    """A layer that forward uses and __init__ does not set, and a layer that is used as if it were what it gives."""
    error = evidence.trace.error
    if not isinstance(error, AttributeError) or not isinstance(error.obj, nn.Module) or error.name is None:
        return None
    module, place = error.obj, evidence.failing.place
    kind = type(module).__name__
    if hasattr(Tensor, error.name):
        return Fault(f"{error.name} is asked of {kind}, which is a layer and not what it gives. Make it in __init__, "
                     f"as self.layer = nn.{kind}(...), and call it in forward, as self.layer(x)", place)
    names = [name for name, _ in module.named_children()] + [name for name, _ in module.named_parameters()]
    near = difflib.get_close_matches(error.name, names, 1)
    meant = f", or write self.{near[0]}, which there is" if near else ""
    return Fault(f"{kind} has no {error.name}, since __init__ does not set it. Write self.{error.name} = ... there"
                 f"{meant}", place)


def layers_in_a_list(evidence: ForwardPass) -> Fault | None:
    """Layers in a list or dictionary of Python, where no optimizer finds them."""
    called = {call.module for call in evidence.calls if call.module is not None} - evidence.modules
    for module in evidence.modules:
        for name, value in vars(module).items():
            holder = _LISTS.get(type(value))
            held = [] if holder is None or name.startswith("_") else \
                [one for one in (value.values() if isinstance(value, dict) else value) if isinstance(one, nn.Module)]
            if not called.isdisjoint(part for one in held for part in one.modules()):
                numbers = sum(parameter.numel() for one in held for parameter in one.parameters())
                return Fault(f"{type(module).__name__}.{name} is a {type(value).__name__}, which hides its "
                             f"{count(len(held), 'layer')} ({count(numbers, 'parameter')}) from the network: they do "
                             f"not learn, are not saved and stay on the CPU. Write self.{name} = {holder}(...)",
                             _built_at(evidence, held))
    return None


def nothing_returned(evidence: ForwardPass) -> Fault | None:
    """A forward without a return, which came to its end."""
    if evidence.trace.output is not None or evidence.trace.error is not None:
        return None
    return Fault("forward returns nothing. End it with return and the scores, as return x",
                 last_own_line(type(evidence.trace.network).forward))


def several_returned(evidence: ForwardPass) -> Fault | None:
    """A whole network of the user's own that gives more than the scores, which a training takes alone."""
    output, network = evidence.trace.output, evidence.trace.network
    place = last_own_line(type(network).forward)
    if place is None or not isinstance(output, tuple | list | dict) or hasattr(network, "strides"):
        return None
    shapes = [str(list(value.shape)) for value in _values(output) if isinstance(value, Tensor)]
    return Fault(f"forward returns a {type(output).__name__} of {' and '.join(shapes) or 'no tensors'}. lensmith train "
                 "takes one tensor, the scores: return them alone", place, grave=False)


def _values(output: Any) -> list[Any]:
    return list(output.values()) if isinstance(output, dict) else list(output)


def _built_at(evidence: ForwardPass, modules: list[nn.Module]) -> CodeLine | None:
    """The line of the user's own that built one of these, else one that calls it."""
    parts = [part for module in modules for part in module.modules()]
    built = (evidence.trace.built.get(part) for part in parts)
    called = (call.place for call in evidence.calls if call.module in parts)
    return next((place for place in (*built, *called) if place is not None), None)


# Why a forward pass ends.
SLIPS: Mapping[str, Cause] = {
    "no forward": no_forward,
    "an attribute that is not set": attribute_that_is_not_set,
}
# What shows in what it gives.
RETURNED: Mapping[str, Cause] = {
    "nothing is returned": nothing_returned,
    "several values are returned": several_returned,
}
HIDDEN: Mapping[str, Cause] = {"layers in a list": layers_in_a_list}
