"""What a prediction shows: a trained task with other thresholds, and the classes that are asked for."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lensmith.base.errors import UserError, listed, nearest
from lensmith.tasks.task import Task


def deciding(task: Task, *, threshold: float | None, overlap: float | None) -> Task:
    """The task with other thresholds; by itself objects are shown from a score of 0.25 on.

    Raises UserError for a threshold that is no probability, and for a task without objects.
    """
    limits = {name: value for name, value in (("threshold", threshold), ("overlap", overlap)) if value is not None}
    if limits and not task.objects:
        name, value = next(iter(limits.items()))
        raise UserError(f"predict.{name}={value:g} is for networks that find objects; this one gives "
                        f"{', '.join(task.needs)}")
    for name, value in limits.items():
        if not 0 <= value <= 1:
            raise UserError(f"predict.{name}={value:g} is not possible: accepted is 0 .. 1")
    return task.with_thresholds(threshold, overlap)


def chosen_classes(task: Task, names: Mapping[str, Sequence[str]],
                   only: Sequence[str] | None) -> dict[str, Tensor] | None:
    """For each target of boxes, int64 [k]: the numbers of its classes that are shown; None where all are.

    Raises UserError for a class that no target has, and for a task without objects.
    """
    if only is None:
        return None
    if not task.objects:
        raise UserError(f"predict.classes is for networks that find objects; this one gives {', '.join(names)}")
    classes = list(dict.fromkeys(word for target in task.objects for word in names[target]))
    for word in only:
        if word not in classes:
            raise UserError(f"the network knows no class {word!r}.{nearest(word, classes)} It knows: "
                            f"{listed(classes)}")
    return {target: torch.tensor([number for number, word in enumerate(names[target]) if word in only],
                                 dtype=torch.int64) for target in task.objects}
