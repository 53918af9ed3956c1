"""What is wrong with the numbers themselves: their type, the device that they lie on, and what they stand for."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lensmith.base.errors import described
from lensmith.study.inspect.calls import PICTURE, Call, TensorFacts, name_of_call
from lensmith.study.inspect.evidence import Cause, Fault, ForwardPass
from lensmith.study.inspect.trace import Trace

_MAKING = ("zeros", "ones", "full", "empty", "rand", "randn", "arange", "linspace", "eye", "tensor", "as_tensor",
           "from_numpy", "randint", "randperm", "meshgrid")
_ANSWERS = ("argmax", "max", "topk", "argsort", "sort")


def wrong_type(evidence: ForwardPass) -> Fault | None:
    """Weights and inputs of different types, or numbers that a layer cannot compute with."""
    call = evidence.failing
    weights = _weights(call)
    if not call.inputs or weights is None:
        return None
    fact = next((fact for fact in call.inputs if fact.source is not None), call.inputs[0])
    if fact.dtype == weights:
        return None
    words = f"{call.name} has weights of {_word(weights)} and gets {_word(fact.dtype)}"
    made = next((other for other in evidence.chain(fact.source)
                 if other.inputs and other.outputs and other.outputs[0].dtype == fact.dtype
                 and other.inputs[0].dtype != fact.dtype), None)
    if made is not None:
        mend = "Leave it out" if weights == torch.float32 else f"Leave it out, or write x.to({weights})"
        return Fault(f"{words}, which {evidence.where(made)} makes. {mend}", call.place)
    if fact.source == PICTURE and weights != torch.float32:
        return Fault(f"{words}, as pictures come. Leave .{_method(weights)}() of the network out, or begin its forward "
                     f"with x = x.to({weights})", call.place)
    return Fault(f"{words}. Write x.to({weights}) before it", call.place)


def other_device(evidence: ForwardPass) -> Fault | None:
    """A call with tensors of several devices, in a forward pass that ended with it or went on."""
    mixed = evidence.trace.mixed
    if mixed is None:
        return None
    return _of_two_devices(evidence.trace, *mixed)


def absent_device(evidence: ForwardPass) -> Fault | None:
    """A call that asks for a device which this machine does not have."""
    call, error = evidence.failing, evidence.trace.error
    asked = [str(value) for value in (*call.values, call.named.get("device"))]
    if error is None or (call.function != "cuda" and not any(word.startswith(("cuda", "mps")) for word in asked)):
        return None
    return Fault(f"{name_of_call(call)} asks for a device that this machine does not have "
                 f"({described(error)}). The network is moved as a whole: write x.to(y.device) where a tensor has to "
                 "follow another", call.place)


def left_behind(trace: Trace) -> Fault | None:
    """The same of a forward pass on another device: a tensor that does not move with the network."""
    return None if trace.mixed is None or trace.mixed[0].place is None else _of_two_devices(trace, *trace.mixed)


def answers_instead_of_scores(evidence: ForwardPass) -> Fault | None:
    """An output of whole numbers, through which nothing can learn."""
    output = evidence.trace.output
    if not isinstance(output, Tensor) or output.is_floating_point() or output.is_complex():
        return None
    chain = evidence.chain(evidence.trace.source_of(output))
    call = next((call for call in chain if call.function in _ANSWERS), chain[0] if chain else None)
    told = f", made by {call.name}" if call is not None else ""
    return Fault(f"the network gives {_word(output.dtype)}{told}, through which no gradient flows. Return the scores: "
                 "the loss and predictions take them", call.place if call is not None else None)


def _of_two_devices(trace: Trace, call: Call, tensors: tuple[Tensor, ...]) -> Fault:
    name = call.name or name_of_call(call)
    main = trace.shown.device
    away = next(tensor for tensor in tensors if tensor.dim() and tensor.device != main)
    fact = next(fact for fact in call.inputs if fact.shape and fact.device != main)
    words = f"{name} takes tensors of two devices" + (
        " once the network is moved to a GPU" if main.type == "meta" else f", {main.type} and {away.device.type}")
    if isinstance(away, nn.Parameter):
        return Fault(f"{words}: its weights lie on {away.device.type}. Build all layers on one device; the network is "
                     "moved as a whole", call.place)
    owner = _attribute(trace, away)
    if owner is not None:
        return Fault(f"{words}: {owner} is a plain tensor, which stays where it is. Write self.register_buffer("
                     f"\"{owner.rpartition('.')[2]}\", ...) in __init__", call.place)
    made = _made_by(trace, fact)
    if made is not None:
        return Fault(f"{words}: {made.name} ({made.place}) is made on the {away.device.type}. Give it the device of "
                     "its partner, as device=x.device", call.place)
    return Fault(f"{words}: one of {list(away.shape)} stays on the {away.device.type}. Make it a buffer, or give it "
                 "device=x.device where it is made", call.place)


def _made_by(trace: Trace, fact: TensorFacts) -> Call | None:
    source, seen = fact.source, 0
    while source is not None and source != PICTURE and seen <= len(trace.calls):
        call, seen = trace.calls[source], seen + 1
        if call.function in _MAKING:
            return call
        source = next((other.source for other in call.inputs if other.source is not None), None)
    return None


def _attribute(trace: Trace, tensor: Tensor) -> str | None:
    """`Net.scale`: the module that has this very tensor as a plain attribute, and its name there."""
    for module in trace.network.modules():
        for key, value in vars(module).items():
            if value is tensor:
                return f"{type(module).__name__}.{key}"
    return None


def _weights(call: Call) -> torch.dtype | None:
    """The type of the weights of a call; None where it has none."""
    if call.module is not None:
        return next((parameter.dtype for parameter in call.module.parameters(recurse=False)), None)
    return next((fact.dtype for fact in call.inputs if fact.source is None and fact.dtype.is_floating_point), None)


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _method(dtype: torch.dtype) -> str:
    return {torch.float64: "double", torch.float16: "half", torch.bfloat16: "bfloat16"}.get(dtype, f"to({dtype})")


# Why a forward pass ends.
NUMBERS: Mapping[str, Cause] = {
    "two devices": other_device,
    "a device that is not here": absent_device,
    "another type of numbers": wrong_type,
}
