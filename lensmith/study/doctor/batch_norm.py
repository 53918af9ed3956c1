"""Faults of batch norm: batches that are too small for it, and running statistics that do not fit."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from lensmith.study.doctor.diagnosis import Diagnosis
from lensmith.study.doctor.facts import Facts

_TINY = 4        # pictures of which means and variances are mostly chance
_MISFIT = 1.5    # times the loss of the same pictures with their own statistics
_LAGS = 0.6      # between a batch and the running statistics, as `engine/activations.py` has it: those of healthy runs
                 # stay below 0.4, of statistics that lag they are 0.7 to 1.3
_GAP = 1.5       # the same, beyond any drift


def tiny_batches(facts: Facts) -> Diagnosis | None:
    """Batch norm takes its statistics from a handful of pictures."""
    batch, norms = facts.number("loading.batch"), _has_batch_norm(facts)
    if batch is None or batch > _TINY or not norms or facts.setting("plan.synchronise"):
        return None
    held_out, trained = facts.column("valid/loss"), facts.column("train/loss")
    gap = held_out[-1] / trained[-1] if held_out and trained and trained[-1] > 0 else 1.0
    words = f"; valid/loss is {gap:.1f} times train/loss" if gap > _MISFIT else ""
    sure = 0.9 if batch <= 2 or gap > _MISFIT else 0.75
    return Diagnosis(f"loading.batch={batch:.0f}, and the network has batch norm{words}",
                     "batch norm with tiny batches: means and variances of so few pictures are mostly chance",
                     "--batch 16 or more, or group norm (groupnorm in a stack, nn.GroupNorm); learner.accumulate does "
                     "not help batch norm; with weights that have learned, learner.freeze=norms", sure, grave=False,
                     settings={"loading.batch": 32})


def running_statistics(facts: Facts) -> Diagnosis | None:
    """The same pictures cost more with the running statistics than with their own, which lie far from these."""
    rows = [row for row in facts.watched[1:] if row.get("loss") is not None and row.get("plain_loss") is not None]
    latest = rows[-3:]
    if len(latest) < 2:
        return None
    much = all(row["plain_loss"] > _MISFIT * row["loss"] + 0.2 for row in latest)
    gaps = [_middle_gap(row) for row in latest]
    costlier = sum(row["plain_loss"] for row in latest) > sum(row["loss"] for row in latest)
    meant = facts.setting("learner.freeze") or facts.setting("learner.probe")    # norms that keep what they have
    if not much and (meant or not costlier or min(gaps) < _LAGS):
        return None
    own = facts.number("learner.norm_floor")
    settings = {"learner.norm_floor": 0.1} if not own or own < 0.1 else {}
    mend = "learner.norm_floor=0.1 (the least momentum of batch norm)" if settings else \
        "larger batches (--batch), or nn.GroupNorm"
    away = f", which lie {gaps[-1]:.1f} away (in standard deviations, and powers of e of these)" if gaps[-1] else ""
    return Diagnosis(f"the same pictures cost {latest[-1]['loss']:.4g} with their own statistics and "
                     f"{latest[-1]['plain_loss']:.4g} with the running ones, as in use{away}", "the running statistics "
                     "of batch norm do not fit the weights: they lag behind, or come from other pictures", mend,
                     0.9 if much else 0.8, grave=much, settings=settings)


def _middle_gap(row: Mapping[str, Any]) -> float:
    """The gap of the norm in the middle, by size, as it was watched; 0 where none was measured."""
    gaps = [gap for gap in row.get("norm_gaps") or () if gap is not None]
    return median(gaps) if gaps else 0.0


def foreign_pictures(facts: Facts) -> Diagnosis | None:
    """The pictures that weights from elsewhere see are not like those that they were learned from."""
    if facts.setting("learner.weights") in (None, "none") or not facts.watched:
        return None
    first = facts.watched[0]
    pairs = zip(facts.vitals.get("norms") or (), first.get("norm_gaps") or (), strict=False)
    gaps = [(name, gap) for name, gap in pairs if gap is not None]
    if not gaps or gaps[0][1] < _GAP:
        return None
    name, gap = gaps[0]
    return Diagnosis(
        f"at step {first.get('step', 0)} the pictures reach {name}, the first batch norm, {gap:.1f} away from the "
        "statistics that came with the weights (in standard deviations, and powers of e of these)",
        "the preprocessing does not fit the weights: another range, mean or order of channels than they were learned "
        "with", "leave scaling and normalising to Lensmith, which takes bytes and standardises them once (no division "
        "by 255 in a network of your own), and look at pictures.channels and pictures.interpolation", 0.9, grave=True)


def _has_batch_norm(facts: Facts) -> bool:
    """As far as it is known: a recipe settles learner.norm_floor where there is batch norm that follows."""
    return bool(facts.vitals.get("norms")) or (facts.setting("learner.norm_floor") is not None)
