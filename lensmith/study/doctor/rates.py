"""Faults of the learning rate, from the history and from how far each step moves the weights."""

from collections.abc import Mapping, Sequence
from statistics import median

from lensmith.base.errors import count
from lensmith.study.doctor.diagnosis import Diagnosis
from lensmith.study.doctor.facts import Facts

_USUAL = 1e-3     # of its own size, by which a step of a healthy training moves a weight
_FAR = 0.1        # the same where a step throws what was learned away
_STILL = 1e-4     # the same below which no step overshoots
_LITTLE = 2e-5    # the same where hardly anything moves
_THROWN = 0.02    # the same of one layer that loses what it had within some ten steps
_APART = 15       # times what the others move, from which on a layer has a rate of its own
_BLOWN = 1.5      # times the loss of guessing, beyond which a training loss tells that steps overshoot
_FEW = 20         # steps in which a loss that was high at first may not have come down
_GENTLE = 0.95    # times the loss of the first epoch, below which a rate that is far too low does not come
_OWN = {"sgd": 0.05, "adam": 1e-3, "adamw": 1e-3, "muon": 0.02}    # the rates of the optimizers by themselves
_TIMID = 3e-5     # a rate below what any optimizer here is used with


def moves(facts: Facts) -> list[float]:
    """How far a step moved each weight that was looked at and got a gradient, as a fraction of its own size, after the
    first tenth of the steps that were watched."""
    rows = facts.watched
    return [ratio for row in rows[len(rows) // 10:]
            for ratio, gradient in zip(row.get("updates") or (), row.get("gradients") or (), strict=False)
            if ratio is not None and gradient]


def rate_too_high(facts: Facts) -> Diagnosis | None:
    """The loss is not finite, or beyond that of guessing, or rises; steps move weights by a tenth of themselves."""
    rate, losses = facts.number("optimizer.rate"), facts.column("train/loss")
    moved = median(moves(facts)) if moves(facts) else None
    words, sure = [], 0.0
    if facts.run.get("status") == "stopped" and "the loss is not finite" in str(facts.run.get("reason") or ""):
        words.append(str(facts.run["reason"]).partition(" (epoch")[0])
        sure = 0.85
    if moved is not None and moved < _STILL and not words:
        return None
    if facts.chance is not None and losses and _is_blown(facts.rows, facts.chance):
        words.append(f"train/loss rose to {max(losses):.4g}, where guessing costs {facts.chance:.4g}")
        sure = max(sure, 0.85)
    if facts.chance is not None and len(losses) >= 2 and losses[-1] > 1.1 * min(losses) and losses[-1] > 0.9 * \
            facts.chance:
        words.append(f"train/loss has risen from {min(losses):.4g} to {losses[-1]:.4g}, that of guessing")
        sure = max(sure, 0.8)
    if moved is not None and moved > _FAR:
        words.append(f"a step moves the weights by {moved:.0%} of their size; {_USUAL:.1%} is usual")
        sure = max(sure + 0.1, 0.8 if facts.stays_at_chance(0.1) else 0.55)
    if not words:
        return None
    lower = _rounded(rate / 10) if rate else None
    return Diagnosis("; ".join(words), "the rate is so high that each step undoes what the last one learned"
                     + (f" (optimizer.rate={rate:g})" if rate else ""),
                     f"--rate {lower:g}; learner.clip=1 where single batches do it; `lensmith doctor RECIPE --rates` "
                     "finds one" if lower else "a lower --rate", min(sure, 0.97), grave=sure >= 0.7,
                     settings={"optimizer.rate": lower} if lower else {})


def _is_blown(rows: Sequence[Mapping[str, float]], chance: float) -> bool:
    """Whether a training loss went far beyond that of guessing. That of the first epoch, and of the first steps, does
    by itself where the first weights are large, and then the later ones come down."""
    losses = [(row["train/loss"], row.get("step", 0)) for row in rows if "train/loss" in row]
    later = max((loss for loss, step in losses[1:] if step > _FEW), default=0.0)
    stays = losses[-1][1] > _FEW and losses[0][0] > _BLOWN * chance and min(losses)[0] > 0.95 * chance
    return later > _BLOWN * chance or stays


def rate_too_low(facts: Facts) -> Diagnosis | None:
    """The loss has hardly moved, and neither have the weights."""
    rate, losses = facts.number("optimizer.rate"), facts.column("train/loss")
    moved = median(moves(facts)) if moves(facts) else None
    if rate is None or facts.chance is None or facts.loss is None or facts.loss < 0.8 * facts.chance:
        return None
    if moved is not None:
        if moved >= _LITTLE or moved <= 0:
            return None
        sure = 0.9
        words = f"a step moves the weights by {moved:.1e} of their size, where {_USUAL:.0e} is usual"
    else:
        if len(losses) < 2 or rate > _TIMID or losses[-1] < _GENTLE * losses[0]:
            return None
        sure = 0.8
        words = f"train/loss only went from {losses[0]:.4g} to {losses[-1]:.4g} in {count(len(losses), 'epoch')}"
    higher = max(10 * rate, _OWN.get(str(facts.setting("optimizer.name")), 1e-3))
    return Diagnosis(f"{words}; the loss is {facts.loss:.4g}, that of guessing {facts.chance:.4g}",
                     f"the rate is so low that nothing is learned in this time (optimizer.rate={rate:g})",
                     f"--rate {higher:g}; `lensmith doctor RECIPE --rates` finds one", sure, grave=True,
                     settings={"optimizer.rate": higher})


def thrown_layer(facts: Facts) -> Diagnosis | None:
    """One layer moves by a large part of itself in each step, while the others do not."""
    watched = [row["updates"] for row in facts.watched if row.get("updates")]
    names = list(facts.vitals.get("weights") or ())
    if len(watched) < 2 or any(len(row) != len(names) for row in watched):
        return None
    of_layer = {name: median(values) for name, column in zip(names, zip(*watched, strict=True), strict=True)
                if (values := [ratio for ratio in column if ratio is not None])}
    if len(of_layer) < 2:
        return None
    worst = max(of_layer, key=lambda name: of_layer[name])
    others = median(ratio for name, ratio in of_layer.items() if name != worst)
    if of_layer[worst] < _THROWN or others > of_layer[worst] / _APART:
        return None
    groups, lost = facts.setting("learner.groups"), facts.stays_at_chance(0.1)
    # Dead units and a loss that rises come of it too, where the recipe gives layers rates of their own.
    sure = 0.94 if groups and lost else 0.8 if of_layer[worst] > _FAR else 0.65
    return Diagnosis(
        f"a step moves {worst} by {of_layer[worst]:.0%} of its size, and the other weights by {others:.2%}",
        f"the rate of {worst} is far above that of the other layers",
        "take its entry out of learner.groups" if groups else f"learner.groups=[{{match=\"{worst}\", rate=0.1}}]", sure,
        grave=lost, settings={"learner.groups": [] if groups else [{"match": worst, "rate": 0.1}]})


def _rounded(rate: float) -> float:
    """The rate to two digits."""
    return float(f"{rate:.2g}")
