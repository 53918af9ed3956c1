"""Faults that the pictures that were held out tell: what was learned does not hold for them, or holds too well."""

from lensmith.base.errors import count
from lensmith.study.doctor.diagnosis import Diagnosis
from lensmith.study.doctor.facts import Facts

_LATEST = 3        # epochs that are looked at: one may be chance
_FALL = 0.2        # the fraction by which a training loss has fallen where something is learned
_SPREADS = 2.0     # standard deviations above a baseline up to which a score may be luck
_UNEVEN = 1.5      # times the even share, from which on one class is so frequent that naming it pays
_RISE = 1.1        # times its least, to which a valid loss has risen where a run overfits
_SHARED = 0.02     # fraction of the held-out pictures that may have been learned too
_AGAINST_IT = ("crop_padding", "mixup", "erase", "rotate")    # augmentations that keep a network from it
_EARLY = 0.7       # of the loss of guessing, above which a network is far from done, and says so of some classes last
_SUPPORT = 5       # pictures of a class below which it is chance whether it is ever named


def overfitting(facts: Facts) -> Diagnosis | None:
    """The valid loss rises, or stays far above it, while the training loss falls."""
    held_out, trained = facts.column("valid/loss"), facts.column("train/loss")
    if len(held_out) < _LATEST + 1 or len(trained) != len(held_out) or min(held_out) <= 0:
        return None
    least = held_out.index(min(held_out))
    later = len(held_out) - 1 - least
    risen = later >= _LATEST - 1 and held_out[-1] >= _RISE * held_out[least] and trained[-1] <= 0.5 * held_out[-1]
    half = len(held_out) // 2    # the least of each half, since a single epoch of a small split may be chance
    stalled = (facts.chance is not None and held_out[-1] > 0.25 * facts.chance and trained[-1] < 0.25 * held_out[-1]
               and min(held_out[half:]) > 0.97 * min(held_out[:half]))
    if not risen and not stalled:
        return None
    rise = held_out[-1] / held_out[least]
    settings: dict[str, object] = {"learner.patience": max(3, len(held_out) // 5)}
    more = [] if facts.setting("learner.weights") not in (None, "none") else ["weights to begin with (--weights)"]
    if facts.task == "classification" and not any(facts.number(f"augment.{name}") for name in _AGAINST_IT):
        settings["augment.mixup"] = 0.2
        more.append("augment.mixup=0.2")
    return Diagnosis(
        f"valid/loss is lowest in epoch {facts.rows[least]['epoch']:.0f} ({held_out[least]:.4g}) and "
        f"{'has risen to' if risen else 'is still'} {held_out[-1]:.4g} while train/loss fell to {trained[-1]:.4g}",
        "the network learns its training pictures by heart (overfitting)",
        f"{', '.join([*more, 'more pictures', 'a stronger optimizer.decay'])}; the weights of the best epoch are kept "
        "anyway", min(0.9, 0.55 + 0.15 * (rise - 1)), grave=False, settings=settings)


def underfitting(facts: Facts) -> Diagnosis | None:
    """Even the training pictures are not learned, though learning goes on as it should."""
    trained, held_out = facts.column("train/loss"), facts.column("valid/loss")
    if facts.chance is None or len(trained) < 4 or not held_out:
        return None
    fallen = 1 - trained[-1] / facts.chance
    quarter = max(1, len(trained) // 4)
    if not -0.05 < fallen < 0.6 or held_out[-1] > 1.15 * trained[-1] or trained[-1 - quarter] <= 0:
        return None
    falling = 1 - trained[-1] / trained[-1 - quarter]
    longer = 3 * len(trained)
    if falling > 0.04:
        cause, mend = "training ended while the loss was still falling (underfitting)", f"--epochs {longer}"
        settings: dict[str, object] = {"learner.epochs": longer}
    else:
        cause = "the network is too small, or too strongly regularised, to learn its training pictures (underfitting)"
        mend, settings = "a larger network (--backbone), larger pictures (--size), less augmentation and decay", {}
    where = f"only {fallen:.0%} below" if fallen > 0.05 else "at"
    return Diagnosis(f"train/loss {trained[-1]:.4g} and valid/loss {held_out[-1]:.4g} are {where} that of guessing "
                     f"({facts.chance:.4g}), and the last {count(quarter, 'epoch')} brought {falling:.1%}", cause, mend,
                     0.5 if fallen > 0.05 else 0.45, grave=False, settings=settings)


def no_better_than_commonest(facts: Facts) -> Diagnosis | None:
    """The score is that of always naming the class that most training pictures have, in a set where that is much."""
    if facts.commonest is None or len(facts.scores) < _LATEST:
        return None
    name, fraction = facts.commonest
    if fraction < _UNEVEN / len(facts.class_counts()) or not _is_at(facts, fraction):
        return None
    settings = {} if facts.setting("loading.balance") else {"loading.balance": True}
    return Diagnosis(
        f"valid/{facts.score} is {facts.scores[-1]:.4f} after {count(len(facts.scores), 'epoch')}, and always naming "
        f"{name!r} scores {fraction:.4f}", f"the network says little else than {name!r}, the commonest class",
        "loading.balance=true, or task.class_weights=balanced" if settings else
        "weights to begin with (--weights), more pictures of the other classes", 0.85, grave=True, settings=settings)


def shuffled_labels(facts: Facts) -> Diagnosis | None:
    """Nothing that holds for other pictures is learned, whatever becomes of the training loss."""
    trained, held_out = facts.column("train/loss"), facts.column("valid/loss")
    if facts.chance is None or facts.commonest is None or len(facts.scores) < _LATEST or not held_out:
        return None
    even = max(facts.commonest[1], 1 / len(facts.class_counts()))
    if not _is_at(facts, even) or min(held_out) < 0.98 * facts.chance or max(trained) > 1.5 * facts.chance:
        return None
    fallen = trained[0] - trained[-1] >= _FALL * abs(trained[0]) or trained[-1] < 0.9 * facts.chance
    return Diagnosis(
        f"valid/{facts.score} stays at {facts.scores[-1]:.4f}, that of guessing ({even:.4f}), and valid/loss never "
        f"falls below {min(held_out):.4g} (guessing: {facts.chance:.4g}), while train/loss is {trained[-1]:.4g}",
        "the labels say nothing about the pictures that holds for others: they are shuffled, or shifted against the "
        "pictures", "look at pictures beside their labels (`lensmith check DATA`, and the worst errors in report.html) "
        "and at what pairs them, as the rows of a table", 0.8 if fallen else 0.5, grave=True)


def shared_pictures(facts: Facts) -> Diagnosis | None:
    """Pictures that are measured on were learned from."""
    source, splits = facts.data.get("source") or {}, facts.data.get("splits") or {}
    counted = source.get("in_two_splits")
    number = counted.get("count") if isinstance(counted, dict) else None
    held_out = sum((splits.get(name) or {}).get("count") or 0 for name in ("valid", "test"))
    if not isinstance(number, int) or isinstance(number, bool) or not held_out or number < _SHARED * held_out:
        return None
    return Diagnosis(
        f"{count(number, 'picture')} are in two splits, and {held_out:,} are held out",
        "what is measured was learned: the score is that of pictures known by heart",
        "remove them from train (`lensmith data show RUN --all` names them), or let Lensmith divide the set: "
        "split.valid=0.1 on the training pictures alone", 0.95, grave=True)


def class_never_predicted(facts: Facts) -> Diagnosis | None:
    """A class that the held-out pictures show is never named."""
    for name, details in facts.parts():
        matrix, rows = details.get("confusion"), details.get("per_class")
        if not matrix or not rows or "AP50" in rows[0] or "IoU" in rows[0] or len(matrix) != len(rows):
            continue
        shown = [sum(row) for row in matrix]
        said = [sum(row[column] for row in matrix) for column in range(len(matrix))]
        never = [i for i in range(len(rows)) if shown[i] >= _SUPPORT and not said[i]]
        if not never or len(never) > len(rows) // 2:    # of most classes it is another fault
            continue
        names = ", ".join(repr(rows[i]["class"]) for i in never[:5])
        few = len(never) <= max(1, len(rows) // 4) and not facts.stays_at_chance(0.05)
        early = facts.chance is not None and facts.loss is not None and facts.loss > _EARLY * facts.chance
        target = "" if len(facts.measured.get("details", {}).get("parts", ())) == 0 else f" (target {name})"
        return Diagnosis(
            f"of {sum(shown[i] for i in never):,} held-out pictures of {names}{target} none is named so, nor any other",
            f"the network never answers {names}: too few pictures of it, or a weight of nearly 0 in the loss",
            "loading.balance=true or task.class_weights=balanced; more pictures of it; look whether its labels are "
            "right", 0.4 if not few else 0.6 if early else 0.88, grave=False,
            settings={} if facts.setting("loading.balance") else {"loading.balance": True})
    return None


def _is_at(facts: Facts, baseline: float) -> bool:
    """Whether the scores of the latest epochs, and the best of all, are those of one answer for all pictures."""
    pictures = sum(facts.class_counts("valid").values()) or 1
    spread = (baseline * (1 - baseline) / pictures) ** 0.5
    above = [score - baseline for score in facts.scores]
    return all(score <= _SPREADS * spread for score in above[-_LATEST:]) and max(above) <= (_SPREADS + 1) * spread
