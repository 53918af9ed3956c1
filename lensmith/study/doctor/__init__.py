"""Why a run does not learn: the table of faults, each a function of the run's facts, and what they find in a run."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from lensmith.study.doctor.augmenting import cut_away, mirrored
from lensmith.study.doctor.batch_norm import foreign_pictures, running_statistics, tiny_batches
from lensmith.study.doctor.diagnosis import Diagnosis
from lensmith.study.doctor.facts import Facts
from lensmith.study.doctor.held_out import (
    class_never_predicted,
    no_better_than_commonest,
    overfitting,
    shared_pictures,
    shuffled_labels,
    underfitting,
)
from lensmith.study.doctor.objects import all_background, all_suppressed, small_objects, starved_part, unfit_anchors
from lensmith.study.doctor.playing import (
    entropy_gone,
    never_rewarded,
    one_action,
    short_replay,
    target_stays,
    values_run_away,
)
from lensmith.study.doctor.rates import rate_too_high, rate_too_low, thrown_layer
from lensmith.study.doctor.signals import dead_relus, exploding, flat_activations, vanishing
from lensmith.study.doctor.wiring import decayed_norms, evaluation_mode, frozen_by_accident, softmax_twice

# What a fault is called -> what looks for it in the facts of a run: the diagnosis, or None where it shows no sign.
FAULTS: Mapping[str, Callable[[Facts], Diagnosis | None]] = {
    "saturated activations": flat_activations,
    "dead relus": dead_relus,
    "vanishing gradients": vanishing,
    "exploding gradients": exploding,
    "a layer thrown about": thrown_layer,
    "rate too high": rate_too_high,
    "rate too low": rate_too_low,
    "tiny batches": tiny_batches,
    "running statistics": running_statistics,
    "overfitting": overfitting,
    "underfitting": underfitting,
    "no better than the commonest class": no_better_than_commonest,
    "shuffled labels": shuffled_labels,
    "shared pictures": shared_pictures,
    "a class never predicted": class_never_predicted,
    "preprocessing": foreign_pictures,
    "mirrored labels": mirrored,
    "objects cut away": cut_away,
    "frozen by accident": frozen_by_accident,
    "decay on norms": decayed_norms,
    "softmax twice": softmax_twice,
    "evaluation mode": evaluation_mode,
    "anchors": unfit_anchors,
    "small objects": small_objects,
    "boxes suppressed": all_suppressed,
    "all background": all_background,
    "a starved part": starved_part,
    "a reward never seen": never_rewarded,
    "values that run away": values_run_away,
    "a collapsed policy": one_action,
    "a short replay": short_replay,
    "a target never updated": target_stays,
    "entropy gone": entropy_gone,
}


def diagnose(facts: Facts) -> list[Diagnosis]:
    """What the facts speak for, the most certain first; of equals in the order of the table."""
    found = [replace(diagnosis, fault=name) for name, look in FAULTS.items()
             if (diagnosis := look(facts)) is not None]
    return sorted(found, key=lambda diagnosis: -diagnosis.sure)
