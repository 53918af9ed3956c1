"""The table of causes, and what of it fits a network: the forward pass that failed, or others that show more."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.parameter import is_lazy

from lensmith.base.errors import described
from lensmith.models.network import sees_targets
from lensmith.models.trial_forward import in_evaluation_mode
from lensmith.study.inspect.dense_causes import DENSE, ROWS
from lensmith.study.inspect.evidence import Cause, Fault, ForwardPass, at_rest, in_training_mode
from lensmith.study.inspect.join_causes import JOINS
from lensmith.study.inspect.learning_causes import EVALUATED, LEARNING
from lensmith.study.inspect.map_causes import MAPS
from lensmith.study.inspect.number_causes import NUMBERS, left_behind, other_device
from lensmith.study.inspect.overwriting_causes import OVERWRITING
from lensmith.study.inspect.own_code import CodeLine
from lensmith.study.inspect.slip_causes import HIDDEN, RETURNED, SLIPS, layers_in_a_list
from lensmith.study.inspect.trace import Trace

# Why a forward pass ends: the name of the cause -> what finds it and says so. The first that fits is told.
FAILURES: Mapping[str, Cause] = {**SLIPS, **NUMBERS, **JOINS, **DENSE, **MAPS}
# What is wrong though it does not end. All that fit are told.
FINDINGS: Mapping[str, Cause] = {**HIDDEN, **RETURNED, **ROWS, "two devices": other_device, **EVALUATED}
_PICTURES = 2    # of the second forward pass: another batch than one tells what mixes pictures


def faults_of(evidence: ForwardPass, *, checked: bool) -> tuple[tuple[Fault, ...], Trace | None]:
    """What is wrong, the grave before notes, and the forward pass in training mode with two pictures; None where there
    was none, or where it failed.

    Of a forward pass that failed it is that alone. Without `checked` there are no further forward passes.
    """
    if evidence.trace.error is not None:
        return (why_it_failed(evidence),), None
    if not checked:
        return (), None
    faults = _found(FINDINGS, evidence)
    learning = None
    if not sees_targets(evidence.trace.network):
        learning, more = _in_training(evidence)
        faults += [fault for fault in more if fault.name not in {known.name for known in faults}]
    # A library's network is moved by many already; what is made in forward, or hidden in a list, is told.
    if any(call.place is not None for call in evidence.calls) and not evidence.trace.made and \
            layers_in_a_list(evidence) is None:
        faults += _on_another_device(evidence)
    return tuple(sorted(faults, key=lambda fault: not fault.grave)), learning


def why_it_failed(evidence: ForwardPass) -> Fault:
    """What ended the forward pass."""
    found = _found(FAILURES, evidence)
    if found:
        return found[0]
    error, call = evidence.trace.error, evidence.failing
    assert error is not None    # the caller has looked
    return Fault(f"{call.name} failed: {described(error)}".rstrip("."), call.place, name="failed")


def _found(causes: Mapping[str, Cause], evidence: ForwardPass) -> list[Fault]:
    return [replace(fault, name=name) for name, cause in causes.items() if (fault := cause(evidence)) is not None]


def _in_training(evidence: ForwardPass) -> tuple[Trace | None, list[Fault]]:
    """The forward pass in training mode, and what it shows."""
    network = evidence.trace.network
    shown = torch.zeros(_PICTURES, *evidence.shape, device=evidence.trace.shown.device)
    with at_rest(network), in_training_mode(network):
        trace = Trace(network, shown, built=evidence.trace.built).run(follow=False, keeping=True)
    learning = replace(evidence, trace=trace)
    if trace.error is None:
        return trace, _found({**ROWS, **LEARNING, **OVERWRITING}, learning)
    fault = next(iter(_found({**ROWS, **FAILURES}, learning)), why_it_failed(learning))
    if fault.place is None:    # a library's network, which may need targets to learn
        return None, []
    with at_rest(network), in_evaluation_mode(network):
        again = Trace(network, shown, built=evidence.trace.built).run(follow=False)
    when = "in training mode" if again.error is None else f"with {_PICTURES} pictures"
    words = fault.words if fault.name in ROWS else f"{when} {fault.words}"
    return None, [replace(fault, words=words)]


def _on_another_device(evidence: ForwardPass) -> list[Fault]:
    """What does not move with the network, found on the meta device, which has no numbers: every machine has it."""
    network = evidence.trace.network
    tensors = list(chain(network.named_parameters(), network.named_buffers()))
    if any(is_lazy(tensor) or tensor.device != evidence.trace.shown.device for _, tensor in tensors):
        return []
    empty = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors}
    shown = torch.zeros(_PICTURES, *evidence.shape, device="meta")
    with at_rest(network), in_evaluation_mode(network):
        trace = Trace(network, shown).run(follow=False, forward=lambda pictures: functional_call(
            network, empty, (pictures,)))
    fault = left_behind(trace)
    return [] if fault is None else [replace(fault, name="two devices")]


def whole_failure(network: nn.Module, shape: tuple[int, ...], *, built: Mapping[nn.Module, CodeLine]) -> Fault | None:
    """Why a network cannot take pictures of this `shape`, or gives something that cannot be right for them; None where
    it can and does."""
    device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
    modules = set(network.modules())
    for number in (1, _PICTURES):
        with at_rest(network), in_evaluation_mode(network):
            trace = Trace(network, torch.zeros(number, *shape, device=device), built=built).run(follow=False)
        evidence = ForwardPass(trace, shape, modules)
        found = _found({**RETURNED, **ROWS}, evidence)
        if found or trace.error is not None:
            return found[0] if found else why_it_failed(evidence)
    return None
