"""Values that are changed in place although gradients are computed from them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lensmith.study.inspect.calls import Call
from lensmith.study.inspect.evidence import Cause, Fault, ForwardPass, at_rest, in_training_mode


def overwritten_values(evidence: ForwardPass) -> Fault | None:
    """What a backward pass of a forward pass in training mode says of its calls in place; None where it has none on a
    line of the user's own, and where gradients flow."""
    network, output = evidence.trace.network, evidence.trace.output
    calls = [call for call in evidence.calls if call.place is not None and _in_place(call)]
    if not calls or not isinstance(output, Tensor) or not output.is_floating_point() or not output.requires_grad:
        return None
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    with at_rest(network), in_training_mode(network):
        try:
            torch.autograd.grad(network(evidence.trace.shown.clone()).sum(), learned, allow_unused=True)
        except RuntimeError as error:
            if "modified by an inplace operation" not in str(error):
                return None
            calls.sort(key=lambda call: "relu" in call.kind.lower() + call.function)    # the usual one is harmless
            others = ", or ".join(evidence.where(call) for call in calls[1:])
            also = f" (it may also be {others})" if others else ""
            return Fault(f"{calls[0].name} changes a value in place from which gradients are computed, and training "
                         f"ends at its first step{also}. Make a new value of it, as x = x + 1 in the place of x += 1",
                         calls[0].place)
    return None


def _in_place(call: Call) -> bool:
    """Whether a call changes its argument: `relu_`, `x += 1`, a layer with inplace=True."""
    name = call.function
    return bool(getattr(call.module, "inplace", False)) or bool(call.named.get("inplace")) or \
        (name.endswith("_") and not name.endswith("__")) or (name.startswith("__i") and name != "__init__")


# What shows in a backward pass alone.
OVERWRITING: Mapping[str, Cause] = {"values changed in place": overwritten_values}
