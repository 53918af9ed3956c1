"""A network whose output is already the answer: named tensors of a fixed number, by operations that a file can hold."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.base.errors import ModelError
from lensmith.models.heads.points import Points
from lensmith.models.heads.prototypes import MaskedPoints
from lensmith.models.heads.several_heads import Answers
from lensmith.models.heads.yolo import Anchored
from lensmith.ship.export.suppression import best_of_overlapping
from lensmith.ship.runtimes.file_facts import OBJECTS_IN_FILES, TargetFacts, outputs_of
from lensmith.tasks.multitask import Multitask
from lensmith.tasks.nms import SHOWN
from lensmith.tasks.task import Task

CANDIDATES = 1000    # boxes of a picture that NMS looks at, those with the best scores, as in `tasks.nms`
_SUPPRESSIONS = ("batched", "agnostic")    # those that ONNX has an operator for
# kind of a whole picture's value -> its tensors, in the order of `outputs_of`.
_TENSORS: dict[str, Callable[[Any], tuple[Tensor, ...]]] = {
    "label": lambda value: (value.scores,),
    "tags": lambda value: (value.scores,),
    "numbers": lambda value: (value.values,),
    "mask": lambda value: (value.classes, value.scores),
}


class AnsweringNetwork(nn.Module):
    """Pictures as they are -> the tensors of `file_facts.outputs_of` for each target, one after another."""

    def __init__(self, network: nn.Module, task: Task):
        super().__init__()
        self.network, self.task = network, task

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        size = (pictures.shape[2], pictures.shape[3])
        return tuple(tensors_of(self.task, self.network(pictures), size).values())


def target_facts(task: Task, classes: Mapping[str, tuple[str, ...]]) -> dict[str, TargetFacts]:
    """What a file says of each target of the task. Raises ModelError for what no file can hold."""
    if task.window is not None:
        raise ModelError("the network is fully convolutional, which no file holds yet: export the run that it was "
                         "converted from")
    return {name: _facts(part, classes[name]) for name, part in _parts(task).items()}


def _parts(task: Task) -> dict[str, Any]:
    return dict(task.tasks) if isinstance(task, Multitask) else {task.needs[0]: task}


def _facts(task: Any, classes: tuple[str, ...]) -> TargetFacts:
    kind = task.needs[0]
    if kind in OBJECTS_IN_FILES:
        if task.suppression not in _SUPPRESSIONS:
            raise ModelError(f"task.suppression={task.suppression!r} has no operator in ONNX: accepted are "
                             f"{' and '.join(_SUPPRESSIONS)}; change it in the run's recipe.toml, the weights stay the "
                             "same")
        return TargetFacts(kind, classes, task.threshold, SHOWN, task.overlap, min(task.most, CANDIDATES))
    return TargetFacts(kind, classes, task.threshold if kind == "tags" else None)


def tensors_of(task: Task, output: Any, size: tuple[int, int]) -> dict[str, Tensor]:
    """The named tensors of all targets of a network's `output` for pictures of `size` (height, width)."""
    parts, named = _parts(task), dict[str, Tensor]()
    outputs = output.parts if isinstance(output, Answers) else dict.fromkeys(parts, output)
    for name, part in parts.items():
        named |= _tensors(name, part, outputs[name], size)
    return named


def _tensors(name: str, task: Any, output: Any, size: tuple[int, int]) -> dict[str, Tensor]:
    kind = task.needs[0]
    if isinstance(output, Points | Anchored | MaskedPoints):
        return dict(zip(outputs_of(name, kind), _object_tensors(task, output, size), strict=True))
    if kind in OBJECTS_IN_FILES:
        raise ModelError("a detector of torchvision that comes whole looks for its objects by code that no file can "
                         "hold (layer head.model, pytorch/vision#9306): train task 'detection' on another backbone")
    decided = task.with_thresholds(None, None) if kind == "mask" else task    # a mask with its scores
    if kind not in _TENSORS:
        raise ModelError(f"values of kind {kind!r} have no form in a file: accepted are "
                         f"{', '.join([*_TENSORS, *OBJECTS_IN_FILES])}")
    return dict(zip(outputs_of(name, kind), _TENSORS[kind](decided.decode(output)[kind]), strict=True))


def _object_tensors(task: Any, output: Points | Anchored | MaskedPoints, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """The objects of each picture: corners, classes, scores and counts; of masks pixels, these, and margins."""
    scores = output.scores() if isinstance(output, Anchored) else output.logits.float().sigmoid()
    rows, classes, best, count = _best(output.corners(), scores, task)
    corners = _of_rows(output.corners(), rows)
    if not isinstance(output, MaskedPoints):
        return corners, classes, best, count
    coefficients = _of_rows(output.coefficients.float(), rows)
    margins = torch.einsum("bnp,bphw->bnhw", coefficients, output.prototypes.float())
    return _pixels(margins, corners, size), corners, classes, best, count, margins


def _of_rows(numbers: Tensor, rows: Tensor) -> Tensor:
    """The rows [batch, n] of `numbers` [batch, points, k] -> [batch, n, k]; 0 where the row is -1."""
    chosen = numbers.gather(1, rows.clamp(min=0)[..., None].expand(-1, -1, numbers.shape[2]))
    return chosen.where((rows >= 0)[..., None], 0.0)


def _best(corners: Tensor, scores: Tensor, task: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The objects that are kept of `corners` [batch, points, 4] with `scores` [batch, points, classes], the best first:
    points, classes and scores [batch, most], -1, -1 and 0 behind the last one, and their number [batch]."""
    classes, most = scores.shape[2], min(task.most, CANDIDATES)
    finite = corners.isfinite().all(2, keepdim=True)
    scores = scores.where(finite & (scores >= task.threshold), -1.0)
    # Padded, so that there are always as many candidates, however few points a small picture has.
    score, flat = F.pad(scores.flatten(1), (0, CANDIDATES), value=-1.0).topk(CANDIDATES, 1)
    flat = flat.where(score > 0, 0)    # of the padding any will do: its score keeps it out
    point, number = flat // classes, flat % classes
    groups = 1 if task.suppression == "agnostic" else classes
    group = torch.zeros_like(number) if groups == 1 else number
    of_groups = score[:, None].where(group[:, None] == torch.arange(groups)[:, None], -1.0)
    kept = best_of_overlapping(_of_rows(corners, point), of_groups, task.overlap)
    best, order = score.where(kept, -1.0).topk(most, 1)
    there = best > 0
    return (point.gather(1, order).where(there, -1), number.gather(1, order).where(there, -1), best.where(there, 0.0),
            there.sum(1))


def _pixels(margins: Tensor, corners: Tensor, size: tuple[int, int]) -> Tensor:
    """uint8 [batch, n, height, width]: 1 where the margins are above 0 within the boxes, as `in_boxes` has it."""
    inside = F.interpolate(margins, size, mode="bilinear", align_corners=False) > 0
    down, along = (torch.arange(edge, device=margins.device) + 0.5 for edge in size)
    x0, y0, x1, y1 = (edge[..., None] for edge in corners.unbind(-1))
    columns, rows = (along >= x0) & (along < x1), (down >= y0) & (down < y1)
    return (inside & rows[..., :, None] & columns[..., None, :]).to(torch.uint8)


def judged(task: Task) -> Task:
    """A copy of the task that decides as its file does: by the thresholds that it is measured with, masks with their
    scores."""
    decided = task.with_thresholds(None, None)
    for name, part in _parts(decided).items():
        if part.needs[0] in OBJECTS_IN_FILES:    # the copy's own
            part.threshold = _parts(task)[name].threshold
    return decided
