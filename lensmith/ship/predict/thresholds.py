"""How sure an answer has to be: a trained task with other thresholds, and the classes that are asked for."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, cast

import torch
from torch import Tensor

from lensmith.base.errors import UserError, nearest
from lensmith.tasks.multitask import Multitask
from lensmith.tasks.task import Task

SHOWN = 0.25    # the least score of an object that is shown
_MARGINS = 32   # of a hundred objects, each with a sixteenth of the picture's cells, and their bits


def deciding(task: Task, *, threshold: float | None, overlap: float | None) -> Task:
    """The task with other thresholds; by itself objects are shown from a score of 0.25 on."""
    given = {name: value for name, value in (("threshold", threshold), ("overlap", overlap)) if value is not None}
    if given and not any(_finds(one) for one in _parts(task).values()):
        name, value = next(iter(given.items()))
        raise UserError(f"predict.{name}={value:g} is for networks that find objects; this one gives "
                        f"{', '.join(task.needs)}")
    for name, value in given.items():
        if not 0 <= value <= 1:
            raise UserError(f"predict.{name}={value:g} is not possible: accepted is 0 .. 1")
    if isinstance(task, Multitask):
        several = copy(task)
        several.tasks = {name: _decided(one, threshold, overlap) for name, one in task.tasks.items()}
        return several
    return _decided(task, threshold, overlap)


def chosen_classes(task: Task, names: Mapping[str, Sequence[str]],
                   only: Sequence[str] | None) -> dict[str, Tensor] | None:
    """For each target of boxes, int64 [k]: the numbers of those of its classes that are to be shown; None where all
    are."""
    if only is None:
        return None
    finders = [name for name, one in _parts(task).items() if _finds(one)]
    if not finders:
        raise UserError(f"predict.classes is for networks that find objects; this one gives {', '.join(names)}")
    known = list(dict.fromkeys(one for name in finders for one in names[name]))
    for wanted in only:
        if wanted not in known:
            raise UserError(f"the network knows no class {wanted!r}.{nearest(wanted, known)} It knows: "
                            f"{', '.join(known[:20])}{' ...' if len(known) > 20 else ''}")
    return {name: torch.tensor([number for number, one in enumerate(names[name]) if one in only], dtype=torch.int64)
            for name in finders}


def held_scores(task: Task, names: Mapping[str, Sequence[str]]) -> int:
    """How many chances the answers of a task hold for each pixel; of objects with their pixels about as many."""
    tasks = _parts(task).items()
    return sum(len(names[name]) for name, one in tasks if getattr(one, "keeps_scores", False)) + \
        sum(_MARGINS for _, one in tasks if getattr(one, "keeps_margins", False))


def _parts(task: Task) -> dict[str, Task]:
    """The tasks by the targets that they read: one, or several."""
    return task.tasks if isinstance(task, Multitask) else dict.fromkeys(task.needs, task)


def _finds(task: Task) -> bool:
    return task.needs in (("boxes",), ("masks",))


def _decided(task: Task, threshold: float | None, overlap: float | None) -> Task:
    decided: Any = copy(task)
    if _finds(task):
        decided.threshold = SHOWN if threshold is None else threshold
        if overlap is not None:
            decided.overlap = overlap
        if hasattr(task, "keeps_margins"):    # as below
            decided.keeps_margins = True
    elif hasattr(task, "keeps_scores"):    # outlines at the size of the files come from the scores
        decided.keeps_scores = True
    return cast(Task, decided)
