"""Faults of what runs through the layers: activations that are flat or dead, gradients that vanish or explode."""

from collections.abc import Mapping
from typing import Any

from lensmith.study.doctor.diagnosis import Diagnosis
from lensmith.study.doctor.facts import Facts

_FLAT = 0.02       # spread of a sigmoid over the pictures, of its range, below which it says nearly nothing of them
_DEAD = 0.9        # fraction of a layer's units that are never above 0, from which on little comes through
_SOME_DEAD = 0.6   # the same where the loss stays that of guessing, of so many pictures
_MANY = 16
_OF_FEW = 0.8      # and of fewer, of which a healthy unit may give 0 for all
_VANISHED = 1e-4   # gradient over weight of the first layers, to that of the last ones
_EXPLODED = 1e3
_LARGE = 1e4       # norm of a gradient over that of its weight, beyond any that steps were made for


def flat_activations(facts: Facts) -> Diagnosis | None:
    """The loss stays that of guessing, since sigmoids or tanhs give the same for every picture."""
    if not facts.stays_at_chance(0.05) or not facts.watched:
        return None
    row, layers = facts.watched[-1], list(facts.vitals.get("activations") or ())
    spreads = [(layer, value) for layer, value in zip(layers, row.get("spread") or (), strict=False)
               if value is not None]
    if not spreads:
        return None
    layer, least = min(spreads, key=lambda pair: float(pair[1]))
    if least > _FLAT:
        return None
    ratio = _first_to_last(facts, row)
    gradient = "" if ratio is None else f"; the gradient of the first layers is {ratio:.1e} of that of the last"
    kind = layer["kind"]
    settings, mend = _unflattened(facts, f"{kind} {layer['name']}".rstrip())
    return Diagnosis(
        f"the loss stays at {facts.loss:.4f}, that of guessing ({facts.chance:.4f}); {kind} {layer['name']} differs by "
        f"{least:.1e} from picture to picture{gradient}",
        f"{kind} gives the same for every picture, so that no gradient gets through (saturated, or begun too flat)",
        mend, 0.95, grave=True, settings=settings)


def _unflattened(facts: Facts, layer: str) -> tuple[dict[str, Any], str]:
    """The settings that let a flat layer learn, and the mend in words."""
    if facts.setting("backbone.activation") in ("sigmoid", "tanh"):
        return {"backbone.activation": "relu"}, "backbone.activation=relu"
    if facts.setting("learner.first_weights") == "fitted":
        return {}, f"nn.ReLU() in the place of {layer}, or batch norm before it"
    return {"learner.first_weights": "fitted"}, (
        "learner.first_weights=fitted, which draws the first weights for the activation behind each layer (PyTorch's "
        f"own are for none), or nn.ReLU() in the place of {layer}")


def dead_relus(facts: Facts) -> Diagnosis | None:
    """Most units of a layer are 0 for every picture."""
    if not facts.watched:
        return None
    layers, row = list(facts.vitals.get("activations") or ()), facts.watched[-1]
    pairs = zip(layers, row.get("silent") or (), strict=False)
    silent = [(layer, value) for layer, value in pairs if value is not None]
    if not silent:
        return None
    layer, most = max(silent, key=lambda pair: float(pair[1]))
    stuck = facts.stays_at_chance(0.05)
    some = _SOME_DEAD if facts.vitals.get("pictures", 0) >= _MANY else _OF_FEW
    if most < (some if stuck else _DEAD):
        return None
    rate = facts.number("optimizer.rate")
    lower = float(f"{rate / 10:.2g}") if rate else None
    return Diagnosis(
        f"{most:.0%} of the units of {layer['kind']} {layer['name']} are 0 for every picture"
        + (f", and the loss stays at {facts.loss:.4f}, that of guessing" if stuck and facts.loss is not None else ""),
        "these units are dead: they give 0 and get no gradient, most often after steps that were too large, or from a "
        "negative bias", (f"--rate {lower:g}, " if lower else "a lower --rate, ") + "batch norm before them, or "
        "nn.LeakyReLU in their place", 0.93 if stuck else 0.6 + 0.2 * (most >= 0.98), grave=stuck,
        settings={"optimizer.rate": lower} if lower else {})


def vanishing(facts: Facts) -> Diagnosis | None:
    """The first layers get a gradient that is nearly nothing beside that of the last ones."""
    ratios = [ratio for row in facts.watched if (ratio := _first_to_last(facts, row)) is not None]
    if len(ratios) < 2 or sorted(ratios)[len(ratios) // 2] > _VANISHED:
        return None
    stuck = facts.stays_at_chance(0.05)
    return Diagnosis(
        f"the gradient of the first layers, beside their weights, is {ratios[-1]:.1e} of that of the last ones",
        "the gradients vanish on their way back: the first layers hardly learn",
        "batch norm or residual connections between the layers, relu in the place of sigmoid and tanh, first weights "
        "that fit the activation (nn.init.kaiming_normal_)", 0.9 if stuck else 0.65, grave=stuck)


def exploding(facts: Facts) -> Diagnosis | None:
    """Gradients are beyond any size that steps are made for, or grow on their way back."""
    worst: tuple[float, str] | None = None
    for row in facts.watched:
        found = _largest(facts, row)
        if found is not None and (worst is None or found > worst):
            worst = found
    ratios = [ratio for row in facts.watched if (ratio := _first_to_last(facts, row)) is not None]
    grown = max(ratios, default=0.0) > _EXPLODED
    if worst is None or not (worst[0] > _LARGE or (grown and worst[0] > 10)):
        return None
    broken = "the loss is not finite" in str(facts.run.get("reason") or "")
    return Diagnosis(
        f"the gradient of {worst[1]} is {worst[0]:.1e} times its weight"
        + (f", and that of the first layers {max(ratios):.1e} times that of the last ones" if grown else ""),
        "the gradients explode on their way back", "learner.clip=1, batch norm between the layers, smaller first "
        "weights (nn.init.kaiming_normal_)", 0.9 if broken or worst[0] > _LARGE else 0.7, grave=True,
        settings={"learner.clip": 1.0})


def _relative(facts: Facts, row: Mapping[str, Any]) -> list[tuple[str, float]]:
    """(name, norm of the gradient over that of the weight) of each weight that got a gradient, in order."""
    names = list(facts.vitals.get("weights") or ())
    pairs = zip(names, row.get("weights") or (), row.get("gradients") or (), strict=False)
    return [(name, gradient / weight) for name, weight, gradient in pairs if weight and gradient is not None]


def _largest(facts: Facts, row: Mapping[str, Any]) -> tuple[float, str] | None:
    return max(((value, name) for name, value in _relative(facts, row)), default=None)


def _first_to_last(facts: Facts, row: Mapping[str, Any]) -> float | None:
    """The gradients, over the weights, of the first third of the layers beside those of the last third; None of a
    network of fewer than three."""
    values = [value for _, value in _relative(facts, row)]
    third = len(values) // 3
    last = max(values[-third:], default=0.0) if third else 0.0
    return max(values[:third]) / last if last > 0 else None
