"""What each run cost beside what it scores, and which runs no other beats in both."""

from collections.abc import Sequence
from dataclasses import dataclass

from lensmith.study.compare.entry import Entry

# Title of a cost -> the field of an entry that has it, and what it is divided by to be shown.
COSTS = {"seconds of training": ("seconds", 1.0), "parameters": ("parameters", 1.0),
         "MB of weights": ("file_bytes", 1e6), "million multiply-adds": ("multiply_adds", 1e6),
         "ms a picture": ("milliseconds", 1.0), "MB of memory": ("memory_bytes", 1e6)}


@dataclass(frozen=True)
class CostRow:
    """A run with its score and costs."""

    run: str
    score: float
    costs: dict[str, float]     # by their title; what is not known is left out
    on_front: tuple[str, ...]   # the costs for which no other run is both better and cheaper


def cost_rows(runs: Sequence[Entry], scores: Sequence[float], *, more_is_better: bool) -> list[CostRow]:
    """A row a run. On the front of a cost is a run that no other one beats: none is at least as good and as cheap, and
    better in one of both."""
    costs = [{title: value / unit for title, (name, unit) in COSTS.items()
              if (value := getattr(run, name)) is not None and value > 0} for run in runs]
    worth = [score if more_is_better else -score for score in scores]
    rows = []
    for number, run in enumerate(runs):
        front = [title for title, cost in costs[number].items()
                 if not any(worth[other] >= worth[number] and others[title] <= cost
                            and (worth[other] > worth[number] or others[title] < cost)
                            for other, others in enumerate(costs) if title in others)]
        rows.append(CostRow(run.run, scores[number], costs[number], tuple(front)))
    return rows
