"""Faults of how a network is put together: what learns, in which mode, and what it gives."""

import math

from lensmith.base.errors import count
from lensmith.study.doctor.diagnosis import Diagnosis
from lensmith.study.doctor.facts import Facts

_NAMED = 3


def softmax_twice(facts: Facts) -> Diagnosis | None:
    """The network gives probabilities, where the loss takes what comes before the softmax."""
    if not facts.vitals.get("probabilities"):
        return None
    classes = len(facts.class_counts()) or 10
    return Diagnosis(
        "the outputs of the network lie in 0 .. 1 and add up to 1 for every picture",
        "the network ends in a softmax, and the loss applies another: of a picture that is certainly right it still "
        f"costs {_least_cost(classes):.2f}, and gradients are small",
        f"take the softmax out of {_own_network(facts)}: it is to give what comes before it; predictions have it "
        "anyway", 0.97, grave=True)


def evaluation_mode(facts: Facts) -> Diagnosis | None:
    """Batch norm or dropout stays in evaluation mode while the network learns, and nobody asked for it."""
    names = list(facts.vitals.get("evaluating") or ())
    if not names:
        return None
    return Diagnosis(
        f"{_first(names)} {'is' if len(names) == 1 else 'are'} in evaluation mode while the network learns",
        "eval() was left on: batch norm uses statistics that do not follow the weights, and dropout drops nothing",
        f"take the call of eval(), or the train() that keeps it, out of {_own_network(facts)}; learner.freeze=norms "
        "where that is meant", 0.95, grave=True)


def frozen_by_accident(facts: Facts) -> Diagnosis | None:
    """Weights that get no gradient, though the recipe freezes nothing."""
    if any(facts.setting(f"learner.{name}") for name in ("freeze", "unfreeze", "probe", "head_first")):
        return None
    if any(group.get("rate") == 0 for group in facts.entries("learner.groups")):
        return None
    frozen, unused = list(facts.vitals.get("frozen") or ()), list(facts.vitals.get("unused") or ())
    if not frozen and not unused:
        return None
    if frozen:
        return Diagnosis(
            f"{_first(frozen)} {'does' if len(frozen) == 1 else 'do'} not learn (requires_grad is False), and the "
            "recipe freezes nothing", "a part of the network is frozen by accident",
            f"take requires_grad_(False), or the .data and .detach() that go with it, out of {_own_network(facts)}; "
            "learner.freeze where that is meant", 0.92, grave=True)
    return Diagnosis(
        f"{_first(unused)} {'gets' if len(unused) == 1 else 'get'} no gradient", "a part of the network is not used in "
        "its forward, or cut off from the loss by detach(), .data, numpy() or no_grad()",
        f"use it in the forward of {_own_network(facts)}, or take it out", 0.9, grave=True)


def decayed_norms(facts: Facts) -> Diagnosis | None:
    """Weight decay reaches parameters of norms, since they have more than one axis."""
    names = list(facts.vitals.get("decayed_norms") or ())
    decay = facts.number("optimizer.decay") or 0.0
    if not names or not decay:
        return None
    pattern = names[0]
    return Diagnosis(
        f"optimizer.decay={decay:g} shrinks {_first(names)}, which {'scales' if len(names) == 1 else 'scale'} whole "
        "channels", "weight decay on norms: it shrinks the signal itself, and not the function that is learned",
        f"give them one axis, [channels], in {_own_network(facts)}, since what has one is not decayed; or "
        f"learner.groups=[{{match=\"{pattern}\", decay=0.0}}]", 0.85 if decay >= 1e-3 else 0.5, grave=False,
        settings={"learner.groups": [{"match": name, "decay": 0.0} for name in names]})


def _least_cost(classes: int) -> float:
    """The least cross entropy of probabilities that are taken for logits: of 1 beside zeros."""
    return math.log(math.e + classes - 1) - 1


def _own_network(facts: Facts) -> str:
    """The file of the user's own network, as the recipe names it."""
    name = str(facts.setting("backbone.name") or "the network")
    return name.rpartition(":")[0] if ".py:" in name else "the network"


def _first(names: list[str]) -> str:
    more = f" and {count(len(names) - _NAMED, 'other')}" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
