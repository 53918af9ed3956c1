"""What a metric of a user's own gets of each kind of target, from one process and from several."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lensmith.base.errors import UserError
from lensmith.tasks import TASKS
from lensmith.tasks.multitask import Multitask
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks, pack_bits
from lensmith.values.labels import Label, Numbers, Tags
from lensmith.values.semantic_mask import Mask
from lensmith.values.value import Value

FILE = '''
from lensmith.metrics import Metric, map50_95, macro_f1, miou, r2
import math, torch


def pictures(truth, predicted):
    return len(truth)


def sure(truth, predicted, scores):
    return scores[truth == 1].sum()


def known(truth, predicted):
    return (~truth.isnan()).sum()


def names(truth, predicted, classes):
    return len("".join(classes))


def infinite(truth, predicted):
    return math.inf
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def boxes(image: list[int], *, scores: bool) -> Boxes:
    low = torch.arange(len(image)).float()[:, None].repeat(1, 2)
    return Boxes(torch.cat((low, low + 5), 1), torch.tensor(image) % 2,
                 torch.linspace(0.3, 0.9, len(image)) if scores else None, torch.tensor(image))


def masks(image: list[int], *, scores: bool) -> Masks:
    plain = boxes(image, scores=scores)
    pixels = torch.zeros(len(image), 12, 16, dtype=torch.bool)
    for row in range(len(image)):
        pixels[row, row: row + 5, row: row + 5] = True
    return Masks(plain.corners, plain.classes, plain.scores, plain.image, None, torch.full((len(image),), 25.0),
                 bits=pack_bits(pixels))


INDEX = torch.tensor([0, 1, 1, -1, 0])
PRESENT = torch.tensor([[1.0, 0], [1, 1], [float("nan"), float("nan")], [0, float("nan")], [0, 1]])
NUMBERS = torch.tensor([[1.0, 2], [3, 1], [float("nan"), float("nan")], [5, float("nan")], [2, 8]])
PIXELS = torch.arange(5 * 16 * 16).view(5, 16, 16) // 8 % 2
# Of each kind of target: the truth and the predictions of five pictures.
CASES: dict[str, tuple[str, Value, Value]] = {
    "classification": ("label", Label(INDEX), Label(torch.tensor([0, 1, 0, 1, 0]), torch.rand(5, 2).softmax(1))),
    "tagging": ("tags", Tags(PRESENT), Tags(torch.ones(5, 2), torch.rand(5, 2))),
    "regression": ("numbers", Numbers(NUMBERS), Numbers(torch.arange(10.0).view(5, 2))),
    "segmentation": ("mask", Mask(PIXELS), Mask(PIXELS.flip(1).to(torch.uint8))),
    "detection": ("boxes", boxes([0, 0, 1, 4], scores=False), boxes([0, 1, 1, 4], scores=True)),
    "instances": ("masks", masks([0, 0, 1, 4], scores=False), masks([0, 1, 1, 4], scores=True)),
}


def counted(task: str, names: list[str], rows: list[range]) -> Any:
    """The metrics of a task after the pictures `rows`, batch by batch."""
    kind, truth, predicted = CASES[task]
    metrics: Any = TASKS[task](("one", "two"), metrics=names).metrics()
    for batch in rows:
        taken = torch.tensor(batch)
        metrics.update({kind: predicted.take(taken)}, {kind: truth.take(taken)}, count=len(batch))
    return metrics


@pytest.mark.parametrize(("task", "named", "pictures"), [
    ("classification", "macro_f1", 4), ("tagging", "", 4), ("regression", "", 4), ("segmentation", "miou", 5),
    ("detection", "map50_95", 5), ("instances", "map50_95", 5)])
def test_every_kind_comes_whole_whatever_the_batches_and_processes(file: Path, task: str, named: str,
                                                                   pictures: int) -> None:
    names = [f"{file}:pictures", f"{file}:names", *([f"{file}:{named}"] if named == "map50_95" else [])]
    whole = counted(task, names, [range(5)])
    result = whole.result()
    assert result["pictures"] == pictures and result["names"] == 6
    if named == "map50_95":    # the function of the package, of which the task's own number is the same
        assert result["map50_95"] == pytest.approx(result["mAP50-95" if task == "detection" else "mask_mAP50-95"])
    assert counted(task, names, [range(2), range(2, 5)]).result() == result
    merged = counted(task, names, [])
    for rows in ([range(3)], [range(3, 4), range(4, 5)]):
        merged.merge(counted(task, names, rows).state())
    assert merged.result() == result
    assert set(TASKS[task](("one", "two"), metrics=names).metrics().inner.state()) <= set(whole.state())
    plain = counted(task, [], [range(5)]).result()
    assert {key: result[key] for key in plain if key != "details"} == \
        {key: value for key, value in plain.items() if key != "details"}
    assert list(result)[: len(plain) - 2] == list(plain)[:-2] and list(result)[-2:] == ["intervals", "details"]


def test_unknown_truth_and_scores(file: Path) -> None:
    assert counted("classification", [f"{file}:sure"], [range(5)]).result()["sure"] == pytest.approx(
        CASES["classification"][2].scores[1:3].sum().item())    # type: ignore[attr-defined]
    assert counted("tagging", [f"{file}:known"], [range(5)]).result()["known"] == 7
    assert counted("regression", [f"{file}:infinite"], [range(5)]).result()["infinite"] == float("inf")
    with pytest.raises(UserError, match=r"sure ask for scores, which labels and tags alone have; of boxes they are in "
                                        "the predictions"):
        counted("detection", [f"{file}:sure"], [])


def test_nothing_is_kept_where_no_metric_of_ones_own_is_asked_for(file: Path) -> None:
    assert type(counted("classification", [], [])).__name__ == "LabelMetrics"
    kept = counted("classification", [f"{file}:pictures"], [range(5)]).batches[0]
    assert kept[1].scores is None


def test_of_several_tasks_each_part_has_its_own(file: Path) -> None:
    task = Multitask({"animal": ("one", "two"), "age": ("years", "days")}, kinds={"animal": "label", "age": "numbers"},
                     settings={"animal": {"metrics": [f"{file}:pictures"]}})
    targets = {"animal": CASES["classification"][1], "age": CASES["regression"][1]}
    predictions = {"animal": CASES["classification"][2], "age": CASES["regression"][2]}
    first, metrics = task.metrics(), task.metrics()
    first.update(predictions, targets, count=5)
    metrics.merge(first.state())
    result = metrics.result()
    assert result["animal/pictures"] == 4 and "age/pictures" not in result
    assert result["details"]["parts"]["animal"]["metrics"]["pictures"]["from"] == f"{file}:pictures"
