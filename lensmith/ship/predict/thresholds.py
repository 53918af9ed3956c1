"""How sure an answer has to be: a trained task with other thresholds, and the classes that are asked for."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lensmith.base.errors import UserError, nearest
from lensmith.tasks.task import Task


def deciding(task: Task, *, threshold: float | None, overlap: float | None) -> Task:
    """The task with other thresholds; by itself objects are shown from a score of 0.25 on."""
    given = {name: value for name, value in (("threshold", threshold), ("overlap", overlap)) if value is not None}
    if given and not task.objects:
        name, value = next(iter(given.items()))
        raise UserError(f"predict.{name}={value:g} is for networks that find objects; this one gives "
                        f"{', '.join(task.needs)}")
    for name, value in given.items():
        if not 0 <= value <= 1:
            raise UserError(f"predict.{name}={value:g} is not possible: accepted is 0 .. 1")
    return task.with_thresholds(threshold, overlap)


def chosen_classes(task: Task, names: Mapping[str, Sequence[str]],
                   only: Sequence[str] | None) -> dict[str, Tensor] | None:
    """For each target of boxes, int64 [k]: the numbers of those of its classes that are to be shown; None where all
    are."""
    if only is None:
        return None
    if not task.objects:
        raise UserError(f"predict.classes is for networks that find objects; this one gives {', '.join(names)}")
    known = list(dict.fromkeys(one for name in task.objects for one in names[name]))
    for wanted in only:
        if wanted not in known:
            raise UserError(f"the network knows no class {wanted!r}.{nearest(wanted, known)} It knows: "
                            f"{', '.join(known[:20])}{' ...' if len(known) > 20 else ''}")
    return {name: torch.tensor([number for number, one in enumerate(names[name]) if one in only], dtype=torch.int64)
            for name in task.objects}
