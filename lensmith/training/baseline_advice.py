"""What to try where the training loss falls and the held-out score stays at that of one answer for all pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from lensmith.tasks.baseline import Baseline

_EPOCHS = 3        # so many epochs in a row say it plainly: one may be chance
_LUCK = 3.0        # spreads by which the best of many epochs may lie above a baseline by chance
_FALL = 0.2        # the fraction by which the training loss has fallen where something is learned
_UNEVEN = 0.6      # from this accuracy of always naming one class on, the classes are so uneven that it pays to say so


def learns_by_heart(history: Sequence[Mapping[str, float]]) -> bool:
    """Whether there were epochs enough, and the training loss has fallen, so that a held-out score can be expected.
    `history` has a row an epoch, as history.csv."""
    if len(history) < _EPOCHS:
        return False
    first, last = history[0]["train/loss"], history[-1]["train/loss"]
    return first - last >= _FALL * abs(first)


def stays_at_baseline(history: Sequence[Mapping[str, float]], baselines: Mapping[str, Baseline],
                      recipe: Mapping[str, Any], *, slow_norms: bool) -> str:
    """What to try where a run learns its training pictures and nothing that holds for others; empty where it does not.

    That is so where the training loss has fallen by a fifth since the first epoch, the score of each of the last three
    epochs is above its baseline by at most the baseline's spread, and the best of all by at most three. Of several
    tasks one is enough.

    baselines: of the valid split, by the name of the score.
    recipe: resolved.
    slow_norms: whether the network has batch norm that keeps its own momentum, which may be a hundredth.
    """
    if not learns_by_heart(history):
        return ""
    for name, baseline in baselines.items():
        scores = [row[f"valid/{name}"] for row in history if f"valid/{name}" in row]
        if _is_at(scores, baseline):
            return (f"in {len(history)} epochs the training loss has fallen from {history[0]['train/loss']:.4g} to "
                    f"{history[-1]['train/loss']:.4g}, and valid/{name} stays at {scores[-1]:.4f}, where "
                    f"{baseline.answer} has {baseline.score:.4f}: what is learned does not hold for other pictures. "
                    f"Try {_what_to_try(baseline, recipe, slow_norms=slow_norms)}")
    return ""


def _is_at(scores: Sequence[float], baseline: Baseline) -> bool:
    above = [score - baseline.score for score in scores]
    return (len(scores) >= _EPOCHS and all(score <= baseline.spread for score in above[-_EPOCHS:])
            and max(above) <= _LUCK * baseline.spread)


def _what_to_try(baseline: Baseline, recipe: Mapping[str, Any], *, slow_norms: bool) -> str:
    tries = []
    if baseline.score >= _UNEVEN and not recipe["loading"]["balance"]:
        tries.append("loading.balance=true, since one class is so frequent")
    if slow_norms:
        tries.append("a new run with learner.norm_floor=0.1, since batch norm may not have followed the weights")
    if "weights" not in recipe["learner"]:
        tries.append("weights to begin with (learner.weights)")
    tries += ["a lower optimizer.rate", "more pictures"]
    return f"{', '.join(tries)}; and look whether the pictures that were held out are like those that are learned from"
