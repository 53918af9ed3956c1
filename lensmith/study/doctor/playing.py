"""Faults of learning by playing, told from the rows of the history."""

from collections.abc import Mapping

from lensmith.study.doctor.diagnosis import Diagnosis
from lensmith.study.doctor.facts import Facts

_ROWS = 3          # measurements in a row that say a thing plainly
_SURE = 0.98       # from this fraction of all actions on, one action is nearly all that is played
_APART = 1.0       # by how many times the largest real return expected ones are above it where they run away
_UNCERTAIN = 0.02  # of the entropy of playing at random, below which nothing is tried any more


def never_rewarded(facts: Facts) -> Diagnosis | None:
    """Every step brought the same reward."""
    rows = _rows(facts)
    if not rows or any("reward/most" not in row for row in rows):
        return None
    least, most = min(row["reward/least"] for row in rows), max(row["reward/most"] for row in rows)
    ends = any(row.get("train/ended", 0.0) > 0 for row in rows)    # as where the reward is to hold out for long
    if most > least or (ends and most != 0):
        return None
    return Diagnosis(
        f"every one of {rows[-1]['step']:,.0f} steps brought a reward of {most:g}",
        "a reward was never seen, so that nothing tells one action from another: what is rewarded was never reached by "
        "chance", "play more before it decides by itself, with algorithm.decay=0.8 and more learner.steps, or reward "
        "what comes before", 0.97, grave=True, settings={"algorithm.decay": 0.8} if _by_values(facts) else {})


def values_run_away(facts: Facts) -> Diagnosis | None:
    """What is expected lies far above what the same episodes brought."""
    rows = [row for row in _rows(facts) if "value/expected" in row and "value/returned" in row][-_ROWS:]
    if len(rows) < _ROWS:
        return None
    scale = max(1.0, *(abs(row["value/returned"]) for row in rows))
    over = [(row["value/expected"] - row["value/returned"]) / scale for row in rows]
    if min(over) < _APART:
        return None
    runs = rows[-1]["value/expected"] > rows[0]["value/expected"] and over[-1] > 3 * _APART
    return Diagnosis(
        f"a discounted return of {rows[-1]['value/expected']:.3g} is expected, and "
        f"{rows[-1]['value/returned']:.3g} came",
        "values run away: the greatest of several uncertain values is taken for the truth, again and again",
        "algorithm.double=true, a target network that stays longer (algorithm.target=hard, a greater "
        "algorithm.target_every), or a lower rate", 0.92 if runs else 0.6, grave=runs,
        settings={"algorithm.double": True, "algorithm.target": "hard"} if _by_values(facts) else {})


def one_action(facts: Facts) -> Diagnosis | None:
    """Nearly always the same action is played, and what that brings does not grow."""
    rows = [row for row in _rows(facts) if "action/most" in row][-_ROWS:]
    if len(rows) < _ROWS or min(row["action/most"] for row in rows) < _SURE:
        return None
    returns = [row["valid/return"] for row in rows if "valid/return" in row]
    ended = max(row.get("valid/ended", 0.0) for row in rows)
    stuck = len(set(returns)) == 1 and ended < 0.5
    return Diagnosis(
        f"{min(row['action/most'] for row in rows):.0%} of all actions are one and the same"
        + (f", and {ended:.0%} of the episodes come to an end by themselves" if stuck else ""),
        "the policy has collapsed to one action",
        "explore for longer: algorithm.decay=0.8, or algorithm.entropy=0.01 of a policy; a lower rate",
        0.93 if stuck else 0.5, grave=stuck,
        settings={"algorithm.decay": 0.8} if _by_values(facts) else {})


def short_replay(facts: Facts) -> Diagnosis | None:
    """The replay forgets an episode before it is over."""
    rows, replay = _rows(facts), facts.number("algorithm.replay")
    if not rows or replay is None:
        return None
    moments = rows[-1].get("replay/moments")
    longest = max((row[name] for row in rows for name in ("train/length", "valid/length") if name in row), default=0.0)
    if moments is None or moments >= longest:
        return None
    enough = int(20 * longest * (facts.number("play.copies") or 1))
    return Diagnosis(
        f"the replay holds {moments:,.0f} steps of each copy, and an episode has {longest:,.0f}",
        "the replay is shorter than an episode: its beginning is forgotten when its end is learned",
        f"algorithm.replay={enough}", 0.85, grave=False, settings={"algorithm.replay": enough})


def target_stays(facts: Facts) -> Diagnosis | None:
    """The target network was never brought up to date."""
    rows = _rows(facts)
    updates = facts.number("algorithm.target_every")
    if not rows or rows[-1].get("target/updates", 1.0) > 0 or not rows[-1].get("updates"):
        return None
    return Diagnosis(
        f"after {rows[-1]['updates']:,.0f} updates the target network is as it was at first"
        + (f" (algorithm.target_every={updates:,.0f})" if updates else ""),
        "the target is never updated, so that it is learned from what a fresh network thinks",
        "algorithm.target_every=50", 0.95, grave=True, settings={"algorithm.target_every": 50})


def entropy_gone(facts: Facts) -> Diagnosis | None:
    """A policy is sure of everything before it has learned."""
    rows = [row for row in _rows(facts) if "policy/entropy" in row]
    if len(rows) < _ROWS or rows[0]["policy/entropy"] <= 0:
        return None
    late = rows[-_ROWS:]
    if max(row["policy/entropy"] for row in late) > _UNCERTAIN * rows[0]["policy/entropy"]:
        return None
    better = late[-1].get("valid/return", 0.0) > rows[0].get("valid/return", 0.0)
    return Diagnosis(
        f"the policy's entropy fell from {rows[0]['policy/entropy']:.3g} to {late[-1]['policy/entropy']:.2g}",
        "the entropy is gone: nothing is tried any more", "algorithm.entropy=0.01, or a lower rate",
        0.4 if better else 0.92, grave=not better, settings={"algorithm.entropy": 0.01})


def _by_values(facts: Facts) -> bool:
    return facts.setting("algorithm.name") == "dqn"


def _rows(facts: Facts) -> list[Mapping[str, float]]:
    """The measurements of a run that plays; none of another run."""
    return facts.rows if facts.setting("world.name") is not None else []
